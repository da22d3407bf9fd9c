//! Links in the form that the `in-toto` crate gives them, and the texts in their `byproducts`.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display, str::FromStr};

use in_toto::{
    crypto::{HashAlgorithm, HashValue},
    models::{LinkMetadata, TargetDescription, VirtualTargetPath},
};
use serde::{Serialize, Serializer as _};
use touchstone_domain::{ArtifactId, FileName, OutcomeKind, Purl, Sha256};

use super::StatementError;
use crate::layout::ABSENT_DIR;

pub(super) use quick::Quick;

mod quick;

/// The longest text of each field that is not of a grammar of its own, in bytes.
const TEXT_BYTES_MAX: [(&str, usize); 4] =
    [("environment", 64), ("service", 64), ("software", 128), ("upstream_url", 8 * 1024)];
/// What stands for a value that there is none of.
const NONE: &str = "none";

/// What stock tools compare of a step.
pub(super) struct Link<'a> {
    /// Its name.
    pub(super) step: &'a str,
    /// The file that it made or looked at.
    pub(super) file: &'a FileName,
    /// The file's digest.
    pub(super) sha256: Sha256,
    /// What a check made of it; `fetch` made the file itself.
    pub(super) found: Option<Found<'a>>,
}

/// What stock tools see of a check.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) outcome: OutcomeKind,
    pub(super) evidence: &'a [Sha256],
    pub(super) trust: &'a [Sha256],
}

impl Link<'_> {
    fn products(&self) -> Paths<'_> {
        let path = match self.found.map(|found| found.outcome) {
            None | Some(OutcomeKind::Pass) => Cow::from(self.file.as_str()),
            Some(OutcomeKind::NotOffered) => format!("{ABSENT_DIR}/{}", self.file).into(),
            Some(OutcomeKind::Fail | OutcomeKind::Inconclusive) => return Paths::new(),
        };
        Paths::from([(path, Digests { sha256: self.sha256 })])
    }

    fn materials(&self) -> Paths<'_> {
        let Some(Found { outcome: _, evidence, trust }) = self.found else { return Paths::new() };
        let below = |directory: &str, sha256: &Sha256| {
            (format!("{directory}/{sha256}").into(), Digests { sha256: *sha256 })
        };
        let evidence = evidence.iter().map(|sha256| below("evidence", sha256));
        let trust = trust.iter().map(|sha256| below("trust", sha256));
        let file = (self.file.as_str().into(), Digests { sha256: self.sha256 });
        evidence.chain(trust).chain([file]).collect()
    }
}

/// Files by path.
type Paths<'a> = BTreeMap<Cow<'a, str>, Digests>;

#[derive(Serialize)]
struct Digests {
    sha256: Sha256,
}

/// A link that is being written, as the `in-toto` crate would; its models would copy every text several times.
///
/// Its fields are put in the order of their names.
pub(super) struct Writer(Vec<u8>);

/// What is around the parts of a link. The names of steps have nothing to escape.
const HEAD: &str = "{\"_type\":\"link\",\"name\":\"";
const BEFORE_MATERIALS: &str = "\",\"materials\":";
const BEFORE_PRODUCTS: &str = ",\"products\":";
const BEFORE_FIELDS: &str = ",\"environment\":{},\"byproducts\":{";
const TAIL: &str = "},\"command\":[]}";

impl Writer {
    pub(super) fn new(link: &Link<'_>) -> Self {
        const BYTES_USUAL: usize = 2048;
        let mut writer = Self(Vec::with_capacity(BYTES_USUAL));
        for part in [HEAD, link.step, BEFORE_MATERIALS] {
            writer.0.extend_from_slice(part.as_bytes());
        }
        writer.paths(&link.materials());
        writer.0.extend_from_slice(BEFORE_PRODUCTS.as_bytes());
        writer.paths(&link.products());
        writer.0.extend_from_slice(BEFORE_FIELDS.as_bytes());
        writer
    }

    fn paths(&mut self, paths: &Paths<'_>) {
        serde_json::to_writer(&mut self.0, paths).expect("digests by path are JSON");
    }

    pub(super) fn put(&mut self, name: &'static str, value: impl Display) {
        let separator: &[u8] = if self.0.ends_with(b"{") { b"\"" } else { b",\"" };
        for part in [separator, name.as_bytes(), b"\":"] {
            self.0.extend_from_slice(part);
        }
        serde_json::Serializer::new(&mut self.0).collect_str(&value).expect("a text is JSON");
    }

    pub(super) fn put_option(&mut self, name: &'static str, value: Option<impl Display>) {
        match value {
            Some(value) => self.put(name, value),
            None => self.put(name, NONE),
        }
    }

    pub(super) fn put_list(&mut self, name: &'static str, digests: &[Sha256]) {
        self.put(name, digests.iter().map(Sha256::to_string).collect::<Vec<_>>().join(" "));
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(TAIL.as_bytes());
        self.0
    }
}

/// Where a statement is read from, its fields in the order of their names.
pub(super) trait Source<'a> {
    /// The name of the step.
    fn step(&self) -> &str;

    /// The digest of the file that the step made.
    fn product(&self) -> Result<Sha256, StatementError>;

    /// The digest of the file that the step looked at.
    fn material(&self) -> Result<Sha256, StatementError>;

    /// Takes a text.
    fn text(&mut self, name: &'static str) -> Result<Cow<'a, str>, StatementError>;

    /// Reads a text that is taken. That it is written as it must be is for the source to see to.
    fn read<T: FromStr + Display>(name: &'static str, text: &str) -> Result<T, StatementError>;

    fn string(&mut self, name: &'static str) -> Result<String, StatementError> {
        self.text(name).map(Cow::into_owned)
    }

    fn value<T: FromStr + Display>(&mut self, name: &'static str) -> Result<T, StatementError> {
        Self::read(name, &self.text(name)?)
    }

    fn option<T: FromStr + Display>(&mut self, name: &'static str) -> Result<Option<T>, StatementError> {
        let text = self.text(name)?;
        if text == NONE { Ok(None) } else { Self::read(name, &text).map(Some) }
    }

    fn list(&mut self, name: &'static str) -> Result<Vec<Sha256>, StatementError> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(vec![]);
        }
        text.split(' ').map(|digest| Self::read(name, digest)).collect()
    }

    /// The coordinate that a purl names, which must be the whole name of one file.
    fn coordinate(&mut self, name: &'static str) -> Result<ArtifactId, StatementError> {
        whole(name, Self::read(name, &self.text(name)?)?)
    }
}

/// A link that was read as the `in-toto` crate reads it, and its `byproducts` apart.
pub(super) struct ReadLink {
    link: LinkMetadata,
    fields: BTreeMap<String, String>,
}

/// Reads a link.
pub(super) fn read(payload: &[u8]) -> Result<ReadLink, StatementError> {
    let link: LinkMetadata =
        serde_json::from_slice(payload).map_err(|e| StatementError::new("link", e.to_string()))?;
    if serde_json::to_vec(&link).ok().as_deref() != Some(payload) {
        return Err(StatementError::new("link", "it is written in another form"));
    }
    if link.env.as_ref().is_none_or(|env| !env.is_empty()) {
        return Err(StatementError::new("environment", "it is not empty"));
    }
    if !link.command.is_empty() {
        return Err(StatementError::new("command", "it is not empty"));
    }
    let byproducts = &link.byproducts;
    let (result, outputs) = (byproducts.return_value(), [byproducts.stdout(), byproducts.stderr()]);
    if result.is_some() || outputs.iter().any(|output| output.is_some()) {
        return Err(StatementError::new("byproducts", "there is the result of a command"));
    }
    let fields = byproducts.other_fields().clone();
    Ok(ReadLink { link, fields })
}

impl Source<'static> for ReadLink {
    fn step(&self) -> &str {
        &self.link.name
    }

    fn product(&self) -> Result<Sha256, StatementError> {
        the_file("products", &self.link.products)
    }

    fn material(&self) -> Result<Sha256, StatementError> {
        the_file("materials", &self.link.materials)
    }

    fn text(&mut self, name: &'static str) -> Result<Cow<'static, str>, StatementError> {
        self.fields.remove(name).map(Cow::from).ok_or_else(|| StatementError::new(name, "it is missing"))
    }

    fn read<T: FromStr + Display>(name: &'static str, text: &str) -> Result<T, StatementError> {
        exact(name, text)
    }
}

impl ReadLink {
    /// Whether nothing is left, and materials and products are those that the statement makes.
    pub(super) fn must_be(self, link: &Link<'_>) -> Result<(), StatementError> {
        if let Some(name) = self.fields.into_keys().next() {
            return Err(StatementError::new("byproducts", format!("unknown {name:?}")));
        }
        if self.link.products != modelled(link.products()) {
            return Err(StatementError::new("products", "they are not those of such a step"));
        }
        if self.link.materials != modelled(link.materials()) {
            return Err(StatementError::new("materials", "they are not those that the fields name"));
        }
        Ok(())
    }
}

type Artifacts = BTreeMap<VirtualTargetPath, TargetDescription>;

fn modelled(paths: Paths<'_>) -> Artifacts {
    let digests = |sha256: Sha256| {
        TargetDescription::from([(HashAlgorithm::Sha256, HashValue::new(sha256.0.to_vec()))])
    };
    paths.into_iter().map(|(path, Digests { sha256 })| ((&*path).into(), digests(sha256))).collect()
}

/// The digest of the one that is in no directory.
fn the_file(field: &'static str, artifacts: &Artifacts) -> Result<Sha256, StatementError> {
    let mut files = artifacts.iter().filter(|(path, _)| !path.value().contains('/'));
    let (Some((_, digests)), None) = (files.next(), files.next()) else {
        return Err(StatementError::new(field, "there is not exactly one file"));
    };
    let sha256 = digests.get(&HashAlgorithm::Sha256).and_then(|d| Sha256::from_slice(d.value()).ok());
    sha256.ok_or_else(|| StatementError::new(field, "the file has no SHA-256"))
}

/// Reads a value from the one text that it is written as.
pub(crate) fn exact<T: FromStr + Display>(field: &'static str, text: &str) -> Result<T, StatementError> {
    let value = text.parse::<T>().ok().filter(|value| value.to_string() == text);
    value.ok_or_else(|| StatementError::new(field, format!("no such value: {text:?}")))
}

/// The coordinate that a purl names, which must be the whole name of one file.
pub(crate) fn coordinate(field: &'static str, purl: &str) -> Result<ArtifactId, StatementError> {
    whole(field, exact(field, purl)?)
}

fn whole(field: &'static str, purl: Purl) -> Result<ArtifactId, StatementError> {
    let missing = || StatementError::new(field, "it does not name one file");
    let Purl { ecosystem, package, version, file } = purl;
    Ok(ArtifactId {
        ecosystem,
        package,
        version: version.ok_or_else(missing)?,
        file: file.ok_or_else(missing)?,
    })
}

/// Whether a text has the length that its field may have.
pub(super) fn bounded(field: &'static str, text: &str) -> Result<(), StatementError> {
    let limit = TEXT_BYTES_MAX.iter().find(|(name, _)| *name == field).map_or(0, |(_, limit)| *limit);
    if text.is_empty() || text.len() > limit {
        return Err(StatementError::new(field, format!("it has {} bytes, not 1 to {limit}", text.len())));
    }
    Ok(())
}
