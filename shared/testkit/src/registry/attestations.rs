//! What the registry says of who published a file: attestation documents, signatures, keys. All of it is opaque here; the
//! private sigstore mints it ([`crate::sigstore`]).

use std::net::SocketAddr;

use serde_json::{Value, json};
use touchstone_domain::Ecosystem;

use super::{Fault, Registry, Shared, documents::normal, lock};
use crate::Package;

const NPM_ATTESTATIONS: &str = "npm/-/npm/v1/attestations/";
const NPM_KEYS: &str = "npm/-/npm/v1/keys";
const JSON: &str = "application/json";
const PROVENANCE: &str = "application/vnd.pypi.integrity.v1+json";

/// What is said of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    /// npm's attestation document, or PyPI's provenance object.
    attestations: Option<Vec<u8>>,
    /// `dist.signatures`.
    signatures: Vec<Value>,
    /// More members of an npm version's manifest.
    manifest: Vec<(String, Value)>,
}

impl Registry {
    /// Serves a document of attestations for a file, by its file name, and says in the metadata that there is one.
    pub fn attest(&self, file: &str, document: impl Into<Vec<u8>>) {
        self.publication(file, |publication| publication.attestations = Some(document.into()));
    }

    /// Takes the attestations of a file away, as if there never were any.
    pub fn strip(&self, file: &str) {
        self.publication(file, |publication| publication.attestations = None);
    }

    /// Sets `dist.signatures` of an npm version, by the name of its tarball.
    pub fn sign(&self, file: &str, signatures: Vec<Value>) {
        self.publication(file, |publication| publication.signatures = signatures);
    }

    /// Sets one more member of an npm version's manifest, `_npmUser` for instance.
    pub fn describe(&self, file: &str, member: &str, value: Value) {
        self.publication(file, |publication| publication.manifest.push((member.to_owned(), value)));
    }

    /// Serves npm's public keys.
    pub fn publish_keys(&self, document: impl Into<Vec<u8>>) {
        self.document(NPM_KEYS, JSON, document);
    }

    /// Makes the attestations of a file go wrong: a status, a redirect, a web page, other bytes or none, silence.
    pub fn fault_attestations(&self, file: &str, fault: Fault) {
        self.fault(&fault_key(file), fault);
    }

    fn publication(&self, file: &str, change: impl FnOnce(&mut Publication)) {
        change(lock(&self.shared.publications).entry(file.to_owned()).or_default());
    }
}

/// The document of attestations at a path.
pub(super) fn document(shared: &Shared, path: &str) -> Option<(String, Vec<u8>)> {
    let (file, content_type) = match path.strip_prefix(NPM_ATTESTATIONS) {
        Some(_) => (npm_file(shared, path)?, JSON),
        None => (pypi_file(path)?.to_owned(), PROVENANCE),
    };
    let document = lock(&shared.publications).get(&file)?.attestations.clone()?;
    Some((content_type.to_owned(), document))
}

/// What goes wrong with the document at a path.
pub(super) fn fault(shared: &Shared, path: &str) -> Option<Fault> {
    let file = npm_file(shared, path).or_else(|| pypi_file(path).map(str::to_owned));
    let faults = lock(&shared.faults);
    faults.get(path).or_else(|| faults.get(&fault_key(&file?))).cloned()
}

fn fault_key(file: &str) -> String {
    format!("attestations of {file}")
}

/// The tarball that a path of attestations is about.
fn npm_file(shared: &Shared, path: &str) -> Option<String> {
    let (name, version) = path.strip_prefix(NPM_ATTESTATIONS)?.rsplit_once('@')?;
    let packages = lock(&shared.packages);
    let is = |p: &&Package| p.ecosystem == Ecosystem::Npm && p.name == name && p.version == version;
    packages.iter().find(is).map(|package| package.file.clone())
}

/// The distribution that a path of provenance is about.
fn pypi_file(path: &str) -> Option<&str> {
    path.strip_prefix("pypi/integrity/")?.strip_suffix("/provenance")?.rsplit('/').next()
}

/// Adds to an npm version's manifest what is said of it.
pub(super) fn describe(shared: &Shared, package: &Package, address: SocketAddr, manifest: &mut Value) {
    let publications = lock(&shared.publications);
    let Some(publication) = publications.get(&package.file) else { return };
    if !publication.signatures.is_empty() {
        manifest["dist"]["signatures"] = Value::from(publication.signatures.clone());
    }
    if publication.attestations.is_some() {
        let name = package.name.replace('/', "%2f");
        let url = format!("http://{address}/{NPM_ATTESTATIONS}{name}@{}", package.version);
        manifest["dist"]["attestations"] =
            json!({ "url": url, "provenance": { "predicateType": "https://slsa.dev/provenance/v1" } });
    }
    for (member, value) in &publication.manifest {
        manifest[member.as_str()] = value.clone();
    }
}

/// Where the provenance object of a distribution is, if there is one.
pub(super) fn provenance_url(shared: &Shared, package: &Package, address: SocketAddr) -> Option<String> {
    let publications = lock(&shared.publications);
    publications.get(&package.file)?.attestations.as_ref()?;
    let (name, version, file) = (normal(&package.name), &package.version, &package.file);
    Some(format!("http://{address}/pypi/integrity/{name}/{version}/{file}/provenance"))
}
