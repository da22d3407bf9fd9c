//! Sparse index files: a line of JSON for each version.
//!
//! *Invariant:* lines reach the client byte for byte; the only value that ever changes is `yanked`.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use touchstone_domain::{Claim, ClaimField, FileName, PackageName, Version};
use url::Url;

use super::name;
use crate::{
    Amendment, Amendments, Index, IndexEntry, IndexError, IndexForm, Located, Rendered,
    index::{media_type, shortened},
    json,
    splice::Edits,
};

/// More versions than any crate has.
const LINES_MAX: usize = 100_000;

/// A parsed index file.
#[derive(Debug)]
pub(super) struct SparseIndex {
    document: Bytes,
    package: PackageName,
    entries: Vec<IndexEntry>,
    /// The places of the same versions.
    lines: Vec<Line>,
    by_version: HashMap<Version, usize>,
    /// The lines that are left out, with their ends.
    left_out: Vec<Range<usize>>,
}

/// A version's places in its document.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// The object, without white space around it.
    object: Range<usize>,
    /// The value of `yanked`.
    yanked: Option<Range<usize>>,
    cksum: Option<String>,
}

/// The fields that are read. That one of them is there twice is an error.
#[derive(Deserialize)]
struct Fields<'a> {
    name: String,
    vers: String,
    #[serde(borrow)]
    cksum: Option<&'a RawValue>,
    #[serde(borrow)]
    yanked: Option<&'a RawValue>,
    #[serde(borrow)]
    pubtime: Option<&'a RawValue>,
}

impl SparseIndex {
    /// Reads a file about `package`. Lines of other crates, or outside the grammar, are left out; a line that is no object,
    /// or a version that is there twice, is an error.
    pub(super) fn parse(
        package: &PackageName,
        content_type: &str,
        document: &Bytes,
    ) -> Result<Self, IndexError> {
        let found = media_type(content_type);
        if found.to_ascii_lowercase().contains("html") {
            return Err(IndexError::MediaType { expected: "text/plain", found: shortened(found) });
        }
        json::check(document)?;
        let mut parsed = Self {
            document: document.clone(),
            package: package.clone(),
            entries: vec![],
            lines: vec![],
            by_version: HashMap::new(),
            left_out: vec![],
        };
        let mut start = 0;
        for (number, text) in document.split_inclusive(|b| *b == b'\n').enumerate() {
            let whole = start..start + text.len();
            start = whole.end;
            if number >= LINES_MAX {
                return Err(IndexError::Limit { problem: format!("more than {LINES_MAX} lines") });
            }
            let malformed = |problem: String| IndexError::Malformed {
                problem: format!("line {}: {problem}", number + 1),
            };
            let before = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let object = whole.start + before..whole.start + before + text.trim_ascii().len();
            match parse_line(document, object, package).map_err(malformed)? {
                Some((entry, line)) => parsed.add(entry, line)?,
                None => parsed.left_out.push(whole),
            }
        }
        Ok(parsed)
    }

    fn add(&mut self, entry: IndexEntry, line: Line) -> Result<(), IndexError> {
        if self.by_version.insert(entry.version.clone(), self.entries.len()).is_some() {
            let problem = format!("the version {} is there twice", entry.version);
            return Err(IndexError::Malformed { problem });
        }
        self.entries.push(entry);
        self.lines.push(line);
        Ok(())
    }
}

fn parse_line(
    document: &[u8],
    object: Range<usize>,
    package: &PackageName,
) -> Result<Option<(IndexEntry, Line)>, String> {
    let text = &document[object.clone()];
    if text.is_empty() {
        return Ok(None);
    }
    if !text.starts_with(b"{") {
        return Err("it is no JSON object".to_owned());
    }
    let fields: Fields<'_> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let same = name::package(&fields.name).is_ok_and(|name| name == *package);
    let Some(version) = name::version(&fields.vers).ok().filter(|_| same) else { return Ok(None) };
    let Ok(file) = name::file(&fields.name, &version) else { return Ok(None) };
    let published_at = fields.pubtime.and_then(|at| serde_json::from_str::<String>(at.get()).ok());
    let published_at = published_at.and_then(|at| at.parse::<Timestamp>().ok());
    // What is no string is passed on as it stands, and is malformed.
    let cksum = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    let line = Line {
        yanked: fields.yanked.and_then(|raw| json::span(document, raw.get())),
        cksum: fields.cksum.map(cksum),
        object,
    };
    Ok(Some((IndexEntry { version, file, published_at, attested: false }, line)))
}

impl Index for SparseIndex {
    fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    fn locate(&self, version: &Version, file: &FileName) -> Option<Located> {
        let i = *self.by_version.get(version)?;
        let (entry, line) = (self.entries.get(i).filter(|entry| entry.file == *file)?, self.lines.get(i)?);
        let claim = |value: &String| Claim { field: ClaimField::CargoCksum, value: value.clone() };
        Some(Located {
            url: String::new(),
            claims: line.cksum.iter().map(claim).collect(),
            published_at: entry.published_at,
            evidence: Bytes::copy_from_slice(&self.document[line.object.clone()]),
        })
    }

    fn render(&self, form: &IndexForm, _public_url: &Url, amendments: &Amendments) -> Option<Rendered> {
        match form {
            IndexForm::CargoSparse => {}
            IndexForm::GoList
            | IndexForm::NpmFull
            | IndexForm::NpmAbbreviated
            | IndexForm::NpmManifest(_)
            | IndexForm::PypiHtml
            | IndexForm::PypiHtmlV1
            | IndexForm::PypiJson => return None,
        }
        let mut edits = Edits::default();
        for whole in &self.left_out {
            edits.cut(whole.clone());
        }
        for (entry, line) in self.entries.iter().zip(&self.lines) {
            match amendments.get(&(entry.version.clone(), entry.file.clone())) {
                Some(Amendment::Restore { entry: old }) if self.is_line_of(old, entry) => {
                    edits.replace(line.object.clone(), old);
                }
                Some(Amendment::Refuse { .. } | Amendment::Restore { .. }) => yank(&mut edits, line),
                None => {}
            }
        }
        let body = edits.apply(&self.document, 0..self.document.len());
        Some(Rendered { content_type: "text/plain", body })
    }
}

impl SparseIndex {
    /// Whether bytes from the record are one line about that very file.
    fn is_line_of(&self, old: &[u8], entry: &IndexEntry) -> bool {
        let found = parse_line(old, 0..old.len(), &self.package);
        let same =
            |(found, _): (IndexEntry, Line)| found.version == entry.version && found.file == entry.file;
        !old.contains(&b'\n') && found.is_ok_and(|found| found.is_some_and(same))
    }
}

/// Lists a line as yanked. The line format has no place for a reason; the download says it.
fn yank(edits: &mut Edits, line: &Line) {
    match line.yanked.clone() {
        Some(value) => edits.replace(value, "true"),
        None => edits.replace(line.object.end - 1..line.object.end - 1, ",\"yanked\":true"),
    }
}

#[cfg(test)]
mod tests;
