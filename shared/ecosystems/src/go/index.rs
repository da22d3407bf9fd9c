//! `@v/list`: the versions of a module, one a line, in no order.
//!
//! *Invariant:* what a client reads is written anew from parsed versions; no text of the upstream's is passed on.

use std::collections::HashSet;

use bytes::Bytes;
use touchstone_domain::{FileName, PackageName, Version};
use url::Url;

use super::name::{self, FileKind};
use crate::{
    Amendment, Amendments, Index, IndexEntry, IndexError, IndexForm, Located, Rendered,
    index::expect_media_type,
};

/// The media types of a list; servers of plain files know no other for a file without extension.
const MEDIA_TYPES: [&str; 3] = ["text/plain", "application/octet-stream", ""];
/// More versions than any module has; toolchains are some thousands.
const LINES_MAX: usize = 100_000;

/// The parsed list.
#[derive(Debug)]
pub(super) struct VersionList {
    entries: Vec<IndexEntry>,
}

impl VersionList {
    /// Parses the list. What is no canonical version that the module can have, or names an untagged commit, is left out; so is
    /// all but the first of a version that is there twice, and whatever stands behind a version.
    pub(super) fn parse(
        package: &PackageName,
        content_type: &str,
        document: &[u8],
    ) -> Result<Self, IndexError> {
        expect_media_type(content_type, &MEDIA_TYPES)?;
        if document.trim_ascii_start().starts_with(b"<") {
            return Err(IndexError::Malformed { problem: "it is a page, not a list of versions".to_owned() });
        }
        let mut entries = vec![];
        let mut seen = HashSet::new();
        for (number, line) in document.split(|b| *b == b'\n').enumerate() {
            if number > LINES_MAX {
                return Err(IndexError::Limit { problem: format!("more than {LINES_MAX} lines") });
            }
            let Some(entry) = parse_line(package, line) else { continue };
            if seen.insert(entry.version.clone()) {
                entries.push(entry);
            }
        }
        Ok(Self { entries })
    }
}

fn parse_line(package: &PackageName, line: &[u8]) -> Option<IndexEntry> {
    let text = str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
    let version = name::version_of(package, text).ok().filter(|version| !name::is_pseudo(version))?;
    let file = name::file(&version, FileKind::Zip).ok()?;
    Some(IndexEntry { version, file, published_at: None, attested: false })
}

impl Index for VersionList {
    /// The zip of each version; its `go.mod` is not listed.
    fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Nothing: a list says nothing of a file.
    fn locate(&self, _version: &Version, _file: &FileName) -> Option<Located> {
        None
    }

    /// Versions of which a file is refused are left out. An empty list is an answer: the module has no tagged version.
    fn render(&self, form: &IndexForm, _public_url: &Url, amendments: &Amendments) -> Option<Rendered> {
        match form {
            IndexForm::GoList => {}
            IndexForm::NpmFull
            | IndexForm::NpmAbbreviated
            | IndexForm::NpmManifest(_)
            | IndexForm::PypiHtml
            | IndexForm::PypiHtmlV1
            | IndexForm::PypiJson
            | IndexForm::CargoSparse => return None,
        }
        let refused: HashSet<&Version> = amendments
            .iter()
            .filter(|(_, amendment)| matches!(amendment, Amendment::Refuse { .. }))
            .map(|((version, _), _)| version)
            .collect();
        let mut list = String::new();
        for entry in self.entries.iter().filter(|entry| !refused.contains(&entry.version)) {
            list.push_str(entry.version.as_str());
            list.push('\n');
        }
        Some(Rendered::of("text/plain; charset=utf-8", Bytes::from(list)))
    }
}

#[cfg(test)]
mod tests;
