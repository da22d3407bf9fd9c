//! The directories of a private server, and who may enter them. Blocking; call it on the blocking pool.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{SERVER_UID, ServerError};

/// Where a running server's address is left.
pub(super) const URL_FILE: &str = "url";
/// `sun_path` holds 108 bytes, the last of which is zero.
const SOCKET_PATH_BYTES_MAX: usize = 106;
/// What Postgres adds to the socket's directory.
const SOCKET_NAME: &str = "/.s.PGSQL.5432";

/// Whether this process is root, so that the servers must run as another user.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user that the servers run as.
fn server_uid() -> u32 {
    if is_root() { SERVER_UID } else { rustix::process::geteuid().as_raw() }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ServerError {
    let path = path.to_owned();
    move |source| ServerError::Directory { path, source }
}

/// Creates the directory, and what is above it, if it is not there; hands it to the servers' user, closed to all others.
/// Returns its absolute path.
pub(super) fn private(path: &Path) -> Result<PathBuf, ServerError> {
    fs::create_dir_all(path).map_err(failed(path))?;
    let path = path.canonicalize().map_err(failed(path))?;
    if is_root() {
        chown(&path, Some(SERVER_UID), Some(SERVER_UID)).map_err(failed(&path))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed(&path))?;
    reachable(&path)?;
    Ok(path)
}

/// Like [`private`], emptied.
pub(super) fn private_and_empty(path: &Path) -> Result<PathBuf, ServerError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => private(path),
    }
}

/// Writes a file that only the servers' user reads, anew: it may hold passwords.
pub(super) fn private_file(path: &Path, text: &str) -> Result<PathBuf, ServerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path)(error)),
        _ => {}
    }
    let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = open.map_err(failed(path))?;
    file.write_all(text.as_bytes()).map_err(failed(path))?;
    if is_root() {
        chown(path, Some(SERVER_UID), Some(SERVER_UID)).map_err(failed(path))?;
    }
    Ok(path.to_owned())
}

/// Whether the servers' user may enter every directory above the path.
pub(super) fn reachable(path: &Path) -> Result<(), ServerError> {
    if !is_root() {
        return Ok(());
    }
    for above in path.ancestors().skip(1) {
        let metadata = fs::metadata(above).map_err(failed(above))?;
        let bit = if metadata.uid() == SERVER_UID { 0o100 } else { 0o001 };
        if metadata.mode() & bit == 0 {
            return Err(ServerError::Unreachable { path: above.to_owned() });
        }
    }
    Ok(())
}

/// The directory for the socket: inside `base`, or, where that path is too long for a socket, one in `/tmp` named after it.
pub(super) fn socket(base: &Path) -> Result<PathBuf, ServerError> {
    let inside = base.join("socket");
    if inside.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_BYTES_MAX {
        return private(&inside);
    }
    let metadata = fs::metadata(base).map_err(failed(base))?;
    let outside = PathBuf::from(format!("/tmp/touchstone-{}-{}", metadata.dev(), metadata.ino()));
    match fs::create_dir(&outside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&outside)(error)),
        _ => {}
    }
    // Anybody may create things in /tmp: it must be a real directory of ours before anything is put there.
    let found = fs::symlink_metadata(&outside).map_err(failed(&outside))?;
    let ours = [rustix::process::geteuid().as_raw(), server_uid()];
    if !found.is_dir() || !ours.contains(&found.uid()) {
        return Err(failed(&outside)(io::Error::other("it belongs to somebody else")));
    }
    private(&outside)
}

/// Leaves the server's address for other commands.
pub(super) fn record_url(base: &Path, url: &str) -> Result<(), ServerError> {
    let path = base.join(URL_FILE);
    fs::write(&path, format!("{url}\n")).map_err(failed(&path))
}

/// Takes the address away again; the server is gone.
pub(super) fn forget_url(base: &Path) {
    let _ = fs::remove_file(base.join(URL_FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_always_fits() {
        let directory =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let near = private(&directory.path().join("near")).unwrap();
        assert_eq!(socket(&near).unwrap(), near.join("socket"));

        let far = private(&directory.path().join("far".repeat(40))).unwrap();
        let outside = socket(&far).unwrap();
        assert_eq!(socket(&far).unwrap(), outside, "the same after a restart");
        assert!(outside.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_BYTES_MAX);
        assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(&outside).unwrap();
        std::os::unix::fs::symlink(directory.path(), &outside).unwrap();
        let refused = socket(&far).unwrap_err();
        fs::remove_file(&outside).unwrap();
        assert_eq!(std::error::Error::source(&refused).unwrap().to_string(), "it belongs to somebody else");
    }

    #[test]
    fn as_root_a_closed_directory_above_is_named() {
        let directory =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let closed = directory.path().canonicalize().unwrap();
        let result = private(&closed.join("data"));
        if is_root() {
            assert!(matches!(result, Err(ServerError::Unreachable { path }) if path == closed));
        } else {
            assert_eq!(result.unwrap(), closed.join("data"));
        }
    }
}
