//! A wheel's RECORD: every file with its digest (PEP 376, PEP 427; threats.md R-14).

use std::{collections::HashMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use touchstone_domain::{Algorithm, ArchiveRule, Digest};

use crate::{
    InspectError,
    archive::{Limits, refuse, shown},
};

/// What RECORD says, by path.
pub(super) struct Record {
    files: HashMap<Vec<u8>, Listed>,
}

/// What RECORD says of one file.
struct Listed {
    digest: Option<Digest>,
    size: Option<u64>,
}

impl Record {
    /// Reads RECORD: `path,algorithm=digest,size` a line, as CSV.
    pub(super) fn parse(document: &[u8], limits: &Limits) -> Result<Self, InspectError> {
        let mut files = HashMap::new();
        for line in document.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let (path, listed) = parse_line(line)
                .ok_or_else(|| untrue(format_args!("the line {} cannot be read", shown(line))))?;
            if files.len() >= limits.entries_max {
                return Err(refuse(
                    ArchiveRule::Limit,
                    format!("RECORD has more than {} lines", limits.entries_max),
                ));
            }
            if files.contains_key(&path) {
                return Err(untrue(format_args!("it lists {} twice", shown(&path))));
            }
            files.insert(path, listed);
        }
        Ok(Self { files })
    }

    /// Takes out what is listed for a file that must have a digest. The hasher to unpack it into.
    pub(super) fn take(&mut self, path: &str) -> Result<Expected, InspectError> {
        let listed = self
            .files
            .remove(path.as_bytes())
            .ok_or_else(|| untrue(format_args!("it does not list {}", shown(path))))?;
        let digest =
            listed.digest.ok_or_else(|| untrue(format_args!("it has no digest for {}", shown(path))))?;
        let hasher = match digest.algorithm() {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
            weak @ (Algorithm::Md5 | Algorithm::Sha1) => {
                return Err(untrue(format_args!("the digest of {} is {weak}", shown(path))));
            }
        };
        Ok(Expected { digest, size: listed.size, hasher })
    }

    /// Takes out what is listed for RECORD itself or a signature of it, which cannot have a digest.
    pub(super) fn take_unhashed(&mut self, path: &str) -> Result<(), InspectError> {
        match self.files.remove(path.as_bytes()) {
            Some(listed) if listed.digest.is_some() => {
                Err(untrue(format_args!("it vouches for {}", shown(path))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what is listed and was not there.
    pub(super) fn finish(self) -> Result<(), InspectError> {
        match self.files.keys().min() {
            None => Ok(()),
            Some(path) => Err(untrue(format_args!("it lists {}, which is not there", shown(path)))),
        }
    }
}

/// A file that is being unpacked, and what RECORD says of it.
pub(super) struct Expected {
    digest: Digest,
    size: Option<u64>,
    hasher: Hasher,
}

enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Expected {
    /// Takes a piece of the file.
    pub(super) fn update(&mut self, piece: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha256(hasher) => hasher.update(piece),
            Hasher::Sha384(hasher) => hasher.update(piece),
            Hasher::Sha512(hasher) => hasher.update(piece),
        }
    }

    /// Compares, once the file has ended.
    pub(super) fn finish(self, path: &str, size: u64) -> Result<(), InspectError> {
        let computed = match self.hasher {
            Hasher::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Hasher::Sha384(hasher) => Digest::Sha384(hasher.finalize().into()),
            Hasher::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        };
        if computed != self.digest {
            return Err(untrue(format_args!("the digest of {} is another", shown(path))));
        }
        if self.size.is_some_and(|declared| declared != size) {
            return Err(untrue(format_args!("the size of {} is another", shown(path))));
        }
        Ok(())
    }
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Listed)> {
    let (path, rest) = csv_field(line)?;
    let (digest, rest) = csv_field(rest?)?;
    let (size, rest) = csv_field(rest?)?;
    if rest.is_some() || path.is_empty() {
        return None;
    }
    let digest = if digest.is_empty() { None } else { Some(parse_digest(str::from_utf8(&digest).ok()?)?) };
    let size = if size.is_empty() { None } else { Some(parse_size(str::from_utf8(&size).ok()?)?) };
    Some((path, Listed { digest, size }))
}

/// The first field of a CSV line, and what follows its comma.
fn csv_field(line: &[u8]) -> Option<(Vec<u8>, Option<&[u8]>)> {
    let Some(mut quoted) = line.strip_prefix(b"\"") else {
        let length = line.iter().position(|b| *b == b',').unwrap_or(line.len());
        let (field, rest) = line.split_at(length);
        return (!field.contains(&b'"')).then(|| (field.to_vec(), rest.get(1..)));
    };
    let mut field = vec![];
    loop {
        let quote = quoted.iter().position(|b| *b == b'"')?;
        field.extend_from_slice(&quoted[..quote]);
        quoted = &quoted[quote + 1..];
        match quoted.first() {
            Some(b'"') => {
                field.push(b'"');
                quoted = &quoted[1..];
            }
            Some(b',') => return Some((field, Some(&quoted[1..]))),
            Some(_) => return None,
            None => return Some((field, None)),
        }
    }
}

fn parse_digest(text: &str) -> Option<Digest> {
    let (word, digest) = text.split_once('=')?;
    let algorithm =
        [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512].into_iter().find(|a| a.as_str() == word)?;
    Digest::from_bytes(algorithm, &URL_SAFE_NO_PAD.decode(digest).ok()?).ok()
}

fn parse_size(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn untrue(detail: impl fmt::Display) -> InspectError {
    refuse(ArchiveRule::Record, format!("RECORD is not true: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_csv_of_three_fields() {
        let digest = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let path =
            |line: &str| parse_line(line.as_bytes()).map(|(path, _)| String::from_utf8(path).expect("UTF-8"));
        assert_eq!(path(&format!("a/b.py,{digest},0")).as_deref(), Some("a/b.py"));
        assert_eq!(path(&format!("\"a,\"\"b\",{digest},0")).as_deref(), Some("a,\"b"));
        assert_eq!(path("a,,").as_deref(), Some("a"));
        let sha384 = format!("a,sha384={},", URL_SAFE_NO_PAD.encode([0; 48]));
        assert_eq!(path(&sha384).as_deref(), Some("a"));
        for bad in [
            "a",
            "a,",
            ",,",
            "a,,,",
            "\"a,,",
            "\"a\"b,,",
            "a\"b,,",
            "a,sha256,",
            "a,sha256=x,",
            "a,,-1",
            "a,,1x",
            "a,md5=1B2M2Y8AsgTpgAmY7PhCfg,",
            "a,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=,",
            "a,SHA256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
