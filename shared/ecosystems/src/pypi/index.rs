//! A project's index: PEP 691 JSON, or PEP 503 HTML that was turned into it first.
//!
//! *Invariant:* a file is listed once, under this project's name, with a version that its name tells.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use touchstone_domain::{Claim, FileName, PackageName, Version};
use url::Url;

use super::{file::File, html, name, protocol, render};
use crate::{
    Amendments, Index, IndexEntry, IndexError, IndexForm, Located, Rendered,
    index::{expect_media_type, media_type, shortened},
    json::{self, Object},
};

/// How many files a project may have.
pub(super) const FILES_MAX: usize = 200_000;

/// A parsed index.
pub(super) struct Project {
    pub(super) package: PackageName,
    /// The JSON document.
    pub(super) document: Bytes,
    /// Where its `files` array is.
    pub(super) files: Range<usize>,
    pub(super) api_version: String,
    pub(super) status: Option<Status>,
    entries: Vec<IndexEntry>,
    /// The file objects, in the order of `entries`.
    objects: Vec<Bytes>,
    by_name: HashMap<FileName, usize>,
}

/// `project-status` (PEP 792).
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) status: String,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    meta: Object<Meta>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    files: &'a RawValue,
    project_status: Option<Object<Status>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: String,
}

/// Parses what the upstream sent.
pub(super) fn parse(
    package: &PackageName,
    content_type: &str,
    document: &Bytes,
) -> Result<Project, IndexError> {
    expect_media_type(
        content_type,
        &[protocol::JSON, "application/json", protocol::HTML_V1, protocol::HTML],
    )?;
    if media_type(content_type).to_ascii_lowercase().ends_with("json") {
        return Project::parse(package, document);
    }
    let project = Project::parse(package, &html::to_json(package, document)?)?;
    // the name is nowhere in an HTML index, so only its files tell it from some other page
    if project.entries.is_empty() && project.status.is_none() {
        return Err(malformed(format!("the page links to no distribution of {package}")));
    }
    Ok(project)
}

impl Project {
    fn parse(package: &PackageName, document: &Bytes) -> Result<Self, IndexError> {
        let text = utf8(document)?;
        if !json::is_shallow(document) {
            return Err(IndexError::Limit { problem: "nested too deeply".to_owned() });
        }
        let Object(top): Object<Document<'_>> =
            serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        if name::package(&top.name).as_ref() != Ok(package) {
            return Err(IndexError::OtherPackage {
                expected: package.to_string(),
                found: shortened(&top.name),
            });
        }
        if top.meta.0.api_version.strip_prefix("1.").is_none_or(|minor| minor.parse::<u16>().is_err()) {
            return Err(malformed(format!("api-version {:?} is not 1.x", top.meta.0.api_version)));
        }
        let listed: Listed<'_> =
            serde_json::from_str(top.files.get()).map_err(|e| malformed(format!("files: {e}")))?;
        if listed.overflow {
            return Err(IndexError::Limit { problem: format!("more than {FILES_MAX} files") });
        }
        let files = json::span(document, top.files.get()).expect("a borrowed value is in its document");
        let mut project = Self {
            package: package.clone(),
            files,
            api_version: top.meta.0.api_version,
            status: top.project_status.map(|status| status.0),
            entries: vec![],
            objects: vec![],
            by_name: HashMap::new(),
            document: document.clone(),
        };
        for (at, object) in listed.objects.into_iter().enumerate() {
            let file =
                File::parse(object.get().as_bytes()).map_err(|e| malformed(format!("files[{at}]: {e}")))?;
            project
                .add(&file, json::slice(document, object).expect("a borrowed value is in its document"))?;
        }
        if project.is_quarantined() {
            project.withdraw();
        }
        Ok(project)
    }

    /// Adds a file, unless its name is not of the grammar.
    fn add(&mut self, file: &File<'_>, object: Bytes) -> Result<(), IndexError> {
        let Ok(name) = FileName::new(file.filename.as_ref()) else { return Ok(()) };
        let Ok(distribution) = name::distribution(&self.package, &name) else { return Ok(()) };
        if self.by_name.insert(name.clone(), self.entries.len()).is_some() {
            return Err(malformed(format!("{name} is listed twice")));
        }
        let published_at = file.published_at();
        let attested = file.provenance.is_some();
        self.entries.push(IndexEntry { version: distribution.version, file: name, published_at, attested });
        self.objects.push(object);
        Ok(())
    }

    fn is_quarantined(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.status.eq_ignore_ascii_case("quarantined"))
    }

    /// A quarantined project offers no files, whatever its index lists.
    fn withdraw(&mut self) {
        self.entries.clear();
        self.objects.clear();
        self.by_name.clear();
    }

    /// The file objects, each with its entry.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&IndexEntry, &Bytes)> {
        self.entries.iter().zip(&self.objects)
    }

    /// A file that is listed under this version, or `None`.
    fn find(&self, version: &Version, name: &FileName) -> Option<(&IndexEntry, &Bytes)> {
        let at = *self.by_name.get(name)?;
        let entry = &self.entries[at];
        (entry.version == *version).then_some((entry, &self.objects[at]))
    }
}

impl Index for Project {
    fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    fn locate(&self, version: &Version, file: &FileName) -> Option<Located> {
        let sidecar = file.as_str().strip_suffix(name::SIDECAR);
        let distribution = sidecar.map_or_else(|| Ok(file.clone()), FileName::new).ok()?;
        let (entry, object) = self.find(version, &distribution)?;
        let parsed = File::parse(object).expect("it was parsed before");
        let (url, claims): (String, Vec<Claim>) = match sidecar {
            Some(_) => (parsed.sidecar_url(), parsed.sidecar_claims()),
            None => (parsed.url.value.clone(), parsed.claims()),
        };
        if claims.is_empty() && sidecar.is_some() {
            return None;
        }
        Some(Located { url, claims, published_at: entry.published_at, evidence: object.clone() })
    }

    fn render(&self, form: &IndexForm, public_url: &Url, amendments: &Amendments) -> Option<Rendered> {
        match form {
            IndexForm::PypiJson => Some(render::json(self, public_url, amendments)),
            IndexForm::PypiHtml => Some(render::html(self, protocol::HTML, public_url, amendments)),
            IndexForm::PypiHtmlV1 => Some(render::html(self, protocol::HTML_V1, public_url, amendments)),
            IndexForm::NpmFull
            | IndexForm::NpmAbbreviated
            | IndexForm::NpmManifest(_)
            | IndexForm::CargoSparse
            | IndexForm::GoList => None,
        }
    }
}

/// The objects of `files`, up to the limit.
struct Listed<'a> {
    objects: Vec<&'a RawValue>,
    overflow: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;

        impl<'de> Visitor<'de> for Objects {
            type Value = Listed<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<'de>, A::Error> {
                let mut objects = vec![];
                while objects.len() < FILES_MAX {
                    match seq.next_element::<&'de RawValue>()? {
                        Some(object) => objects.push(object),
                        None => return Ok(Listed { objects, overflow: false }),
                    }
                }
                let mut overflow = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    overflow = true;
                }
                Ok(Listed { objects, overflow })
            }
        }

        deserializer.deserialize_seq(Objects)
    }
}

pub(super) fn utf8(document: &Bytes) -> Result<&str, IndexError> {
    std::str::from_utf8(document).map_err(|e| malformed(e.to_string()))
}

/// Shortened, since parsers quote what they stumble over.
pub(super) fn malformed(problem: impl AsRef<str>) -> IndexError {
    IndexError::Malformed { problem: shortened(problem.as_ref()) }
}

#[cfg(test)]
mod tests;
