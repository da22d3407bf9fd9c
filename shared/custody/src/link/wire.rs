//! Links as the `in-toto` crate models them, and the texts in their `byproducts`.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use in_toto::{
    crypto::{HashAlgorithm, HashValue},
    models::{
        LinkMetadata, LinkMetadataBuilder, TargetDescription, VirtualTargetPath, byproducts::ByProducts,
    },
};
use touchstone_domain::{ArtifactId, FileName, OutcomeKind, Purl, Sha256};

use super::StatementError;
use crate::layout::ABSENT_DIR;

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

type Artifacts = BTreeMap<VirtualTargetPath, TargetDescription>;

impl Link<'_> {
    pub(super) fn to_payload(&self, Fields(fields): Fields) -> Vec<u8> {
        let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let link = LinkMetadataBuilder::new()
            .name(self.step.to_owned())
            .materials(self.materials())
            .products(self.products())
            .env(Some(BTreeMap::new()))
            .byproducts(ByProducts::new().set_other_fields(fields))
            .build()
            .expect("a link of any parts is built");
        serde_json::to_vec(&link).expect("a link is JSON")
    }

    fn products(&self) -> Artifacts {
        let path = match self.found.map(|found| found.outcome) {
            None | Some(OutcomeKind::Pass) => self.file.to_string(),
            Some(OutcomeKind::NotOffered) => format!("{ABSENT_DIR}/{}", self.file),
            Some(OutcomeKind::Fail | OutcomeKind::Inconclusive) => return Artifacts::new(),
        };
        Artifacts::from([artifact(&path, self.sha256)])
    }

    fn materials(&self) -> Artifacts {
        let Some(Found { outcome: _, evidence, trust }) = self.found else { return Artifacts::new() };
        let evidence = evidence.iter().map(|sha256| artifact(&format!("evidence/{sha256}"), *sha256));
        let trust = trust.iter().map(|sha256| artifact(&format!("trust/{sha256}"), *sha256));
        evidence.chain(trust).chain([artifact(self.file.as_str(), self.sha256)]).collect()
    }
}

fn artifact(path: &str, sha256: Sha256) -> (VirtualTargetPath, TargetDescription) {
    (path.into(), TargetDescription::from([(HashAlgorithm::Sha256, HashValue::new(sha256.0.to_vec()))]))
}

/// A link that was read.
pub(super) struct ReadLink(LinkMetadata);

/// Reads a link, and its `byproducts` apart.
pub(super) fn read(payload: &[u8]) -> Result<(Fields<String>, ReadLink), StatementError> {
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
    Ok((Fields(byproducts.other_fields().clone()), ReadLink(link)))
}

impl ReadLink {
    pub(super) fn step(&self) -> &str {
        &self.0.name
    }

    /// The digest of the file that the step made.
    pub(super) fn product(&self) -> Result<Sha256, StatementError> {
        the_file("products", &self.0.products)
    }

    /// The digest of the file that the step looked at.
    pub(super) fn material(&self) -> Result<Sha256, StatementError> {
        the_file("materials", &self.0.materials)
    }

    /// Whether materials and products are those that the statement makes.
    pub(super) fn must_be(&self, link: &Link<'_>) -> Result<(), StatementError> {
        if self.0.products != link.products() {
            return Err(StatementError::new("products", "they are not those of such a step"));
        }
        if self.0.materials != link.materials() {
            return Err(StatementError::new("materials", "they are not those that the fields name"));
        }
        Ok(())
    }
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

/// The texts of a link, by name.
pub(super) struct Fields<K = &'static str>(BTreeMap<K, String>);

impl Default for Fields {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl Fields {
    pub(super) fn put(&mut self, name: &'static str, value: impl Display) {
        self.0.insert(name, value.to_string());
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
}

impl Fields<String> {
    pub(super) fn text(&mut self, name: &'static str) -> Result<String, StatementError> {
        self.0.remove(name).ok_or_else(|| StatementError::new(name, "it is missing"))
    }

    pub(super) fn take<T: FromStr + Display>(&mut self, name: &'static str) -> Result<T, StatementError> {
        exact(name, &self.text(name)?)
    }

    pub(super) fn take_option<T: FromStr + Display>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, StatementError> {
        let text = self.text(name)?;
        if text == NONE { Ok(None) } else { exact(name, &text).map(Some) }
    }

    pub(super) fn take_list(&mut self, name: &'static str) -> Result<Vec<Sha256>, StatementError> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(vec![]);
        }
        text.split(' ').map(|digest| exact(name, digest)).collect()
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), StatementError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(StatementError::new("byproducts", format!("unknown {name:?}"))),
        }
    }
}

/// Reads a value from the one text that it is written as.
pub(crate) fn exact<T: FromStr + Display>(field: &'static str, text: &str) -> Result<T, StatementError> {
    let value = text.parse::<T>().ok().filter(|value| value.to_string() == text);
    value.ok_or_else(|| StatementError::new(field, format!("no such value: {text:?}")))
}

/// The coordinate that a purl names, which must be the whole name of one file.
pub(crate) fn coordinate(field: &'static str, purl: &str) -> Result<ArtifactId, StatementError> {
    let missing = || StatementError::new(field, "it does not name one file");
    let Purl { ecosystem, package, version, file } = exact(field, purl)?;
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
