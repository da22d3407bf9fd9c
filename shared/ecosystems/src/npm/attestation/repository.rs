//! Where a package says that its source is, in one form: `https://host/owner/repository`.

use serde::Deserialize;
use serde_json::value::RawValue;
use touchstone_domain::ArchiveRule;

use super::dist::repository_text;
use crate::{
    InspectError, ReadSeek,
    archive::{Limits, Links, Paths, Root, Tar, read_rooted, refuse, shown},
    json::Object,
};

const MANIFEST: &str = "package.json";
/// The longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 1024;
/// What npm takes for `prefix:owner/repository`.
const SHORTHANDS: [(&str, &str); 3] =
    [("github", "github.com"), ("gitlab", "gitlab.com"), ("bitbucket", "bitbucket.org")];
/// The forge of a bare `owner/repository`.
const DEFAULT_HOST: &str = "github.com";
const SCHEMES: [&str; 4] = ["https", "http", "git", "ssh"];

/// The address of the repository that the `package.json` inside a tarball names, as it stands there; `None` if it names none.
/// The whole tarball is read, so that every `package.json` in its place is the same.
pub fn package_repository(archive: &mut dyn ReadSeek) -> Result<Option<String>, InspectError> {
    #[derive(Deserialize)]
    struct Manifest<'a> {
        #[serde(borrow)]
        repository: Option<&'a RawValue>,
    }
    let limits = Limits::SOURCE;
    let rooted = read_rooted(
        &mut Tar::open(archive, limits, Links::Refused, Paths::Dotted)?,
        Root::Any,
        MANIFEST,
        &limits,
    )?;
    let document = rooted.manifest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&rooted.manifest);
    let Object(manifest): Object<Manifest<'_>> = serde_json::from_slice(document).map_err(|error| {
        let detail = format!("{MANIFEST} cannot be read: {}", shown(error.to_string()));
        refuse(ArchiveRule::Malformed, detail)
    })?;
    Ok(manifest.repository.and_then(repository_text))
}

/// The one form of a repository's address: without `git+`, user, fragment, `.git` and trailing slash, over HTTPS, the host
/// in lower case and the path as it stands. `None` for what is no address of a repository, with a port or a query for
/// instance.
pub fn repository_url(text: &str) -> Option<String> {
    if text.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let text = text.trim();
    let text = text.split_once('#').map_or(text, |(address, _fragment)| address);
    let (host, path) = parts(text.strip_prefix("git+").unwrap_or(text))?;
    let host = host.to_ascii_lowercase();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let dotted =
        host.contains('.') && host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_host));
    let segments: Vec<&str> = path.split('/').collect();
    let plain = |segment: &&str| !matches!(*segment, "" | "." | "..") && segment.bytes().all(is_plain);
    (dotted && segments.len() >= 2 && segments.iter().all(plain)).then(|| format!("https://{host}/{path}"))
}

/// Host and path.
fn parts(text: &str) -> Option<(&str, &str)> {
    if let Some((scheme, rest)) = text.split_once("://") {
        if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return None;
        }
        let (authority, path) = rest.split_once('/')?;
        let host = without_user(authority);
        // `ssh://git@host:owner/repository`, which mixes two forms, and which npm understands.
        return match host.split_once(':') {
            Some((host, owner)) if !owner.bytes().all(|b| b.is_ascii_digit()) => {
                let start = rest.len() - path.len() - 1 - owner.len();
                Some((host, &rest[start..]))
            }
            Some(_) => None,
            None => Some((host, path)),
        };
    }
    match text.split_once(':') {
        Some((host, path)) if host.contains('@') => Some((without_user(host), path)),
        Some((prefix, path)) => {
            SHORTHANDS.iter().find(|(known, _)| *known == prefix).map(|(_, host)| (*host, path))
        }
        None => Some((DEFAULT_HOST, text)).filter(|(_, path)| path.matches('/').count() == 1),
    }
}

fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
