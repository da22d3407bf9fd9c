//! Files that are there whole, or as they were, whenever the power fails.

use std::{
    fs::{File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Puts a file into place, or replaces it, for those that the mode lets read it, whatever the umask is.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = parent(path);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    // Until here only its owner could.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_directory(directory)
}

/// Makes sure that a crash does not lose which files are in a directory.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that a file is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ring.json");
        for (text, mode) in [("old", 0o600), ("newer", 0o644), ("", 0o600)] {
            replace(&file, text.as_bytes(), mode).expect("replaced");
            assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
            let found = std::fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{text}");
            assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 1);
        }
        let occupied = directory.path().join("a/b");
        std::fs::create_dir_all(&occupied).expect("made");
        let refused = replace(&directory.path().join("a"), b"x", 0o600).expect_err("a directory is there");
        assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
        assert!(occupied.is_dir());
        assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 2);
    }

    #[test]
    fn a_name_alone_is_in_this_directory() {
        for (path, expected) in [("ring.json", "."), ("keys/ring.json", "keys"), ("/ring.json", "/")] {
            assert_eq!(parent(Path::new(path)), Path::new(expected));
        }
    }
}
