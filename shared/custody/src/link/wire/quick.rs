//! Links in the form that [`super::Writer`] gives them, cut up by that form.
//!
//! *Invariant:* nothing is decided here. Whoever reads so compares what would be written with what was read, byte for byte; for all else
//! there is [`super::read`].

use std::{borrow::Cow, fmt::Display, str::FromStr};

use percent_encoding::percent_decode_str;
use touchstone_domain::{ArtifactId, Ecosystem, FileName, PackageName, Sha256, Version};

use super::{BEFORE_FIELDS, BEFORE_MATERIALS, BEFORE_PRODUCTS, HEAD, Source, StatementError, TAIL};

/// A link that is not read as JSON. What is made of it counts only if it would be written as what was read.
pub(in crate::link) struct Quick<'a> {
    step: &'a str,
    materials: &'a str,
    products: &'a str,
    /// Those that are still to be read.
    fields: &'a str,
}

impl<'a> Quick<'a> {
    pub(in crate::link) fn read(payload: &'a [u8]) -> Option<Self> {
        let rest = str::from_utf8(payload).ok()?.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
        let (step, rest) = rest.split_once(BEFORE_MATERIALS)?;
        let (materials, rest) = rest.split_once(BEFORE_PRODUCTS)?;
        let (products, fields) = rest.split_once(BEFORE_FIELDS)?;
        Some(Self { step, materials, products, fields })
    }

    /// The next field, if it has this name.
    fn next(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let text = self.fields.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\":\"")?;
        let mut end = text.find('"')?;
        while text[..end].ends_with('\\') {
            end += 1 + text[end + 1..].find('"')?;
        }
        let (text, rest) = text.split_at(end);
        self.fields = rest[1..].strip_prefix(',').unwrap_or_default();
        if text.contains('\\') {
            serde_json::from_str(&format!("\"{text}\"")).ok()
        } else {
            Some(text.into())
        }
    }
}

impl<'a> Source<'a> for Quick<'a> {
    fn step(&self) -> &str {
        self.step
    }

    fn product(&self) -> Result<Sha256, StatementError> {
        quick_file("products", self.products)
    }

    fn material(&self) -> Result<Sha256, StatementError> {
        quick_file("materials", self.materials)
    }

    fn text(&mut self, name: &'static str) -> Result<Cow<'a, str>, StatementError> {
        self.next(name).ok_or_else(|| StatementError::new(name, "it is missing"))
    }

    fn coordinate(&mut self, name: &'static str) -> Result<ArtifactId, StatementError> {
        quick_coordinate(&self.text(name)?).ok_or_else(|| StatementError::new(name, "no such value"))
    }

    fn read<T: FromStr + Display>(name: &'static str, text: &str) -> Result<T, StatementError> {
        text.parse().map_err(|_| StatementError::new(name, "no such value"))
    }
}

/// The digest of the one that is in no directory.
fn quick_file(field: &'static str, files: &str) -> Result<Sha256, StatementError> {
    let read = |file: &str| {
        let (path, digest) = file.split_once("\":{\"sha256\":\"")?;
        if path.contains('/') { None } else { digest.get(..64)?.parse().ok() }
    };
    files.split("},").find_map(read).ok_or_else(|| StatementError::new(field, "there is no file"))
}

/// The coordinate that a purl names, if it is written as [`touchstone_domain::Purl`] writes it.
fn quick_coordinate(purl: &str) -> Option<ArtifactId> {
    let (kind, rest) = purl.strip_prefix("pkg:")?.split_once('/')?;
    let (package, rest) = rest.split_once('@')?;
    let (version, file) = rest.split_once("?file_name=")?;
    let plain = |text| percent_decode_str(text).decode_utf8().ok();
    Some(ArtifactId {
        ecosystem: Ecosystem::of_purl_type(kind).ok()?,
        package: PackageName::new(plain(package)?).ok()?,
        version: Version::new(plain(version)?).ok()?,
        file: FileName::new(plain(file)?).ok()?,
    })
}
