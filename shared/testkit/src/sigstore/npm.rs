//! The attestation document of an npm release: provenance and publish attestation (ecosystems.md 4.1.4).

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_domain::Sha512;

use super::{Sigstore, bundle::Bundle, identity::Identity};

/// The predicate type of SLSA provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// The predicate type of publish attestations.
pub const PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";
/// The type of statements.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of statements that publish attestations still use.
pub const STATEMENT_OLD: &str = "https://in-toto.io/Statement/v0.1";

type Edit<'a> = Box<dyn FnOnce(&mut Value) + 'a>;
type Shape<'a> = Box<dyn FnOnce(Bundle<'a>) -> Bundle<'a> + 'a>;

/// An attestation document to be minted. Honest by default, and all seven equalities hold.
#[must_use]
pub struct NpmDocument<'a> {
    sigstore: &'a Sigstore,
    identity: Identity,
    signed_at: Timestamp,
    provenance: Value,
    publish: Value,
    shape_provenance: Option<Shape<'a>>,
    shape_publish: Option<Shape<'a>>,
    edit: Vec<Edit<'a>>,
}

impl<'a> NpmDocument<'a> {
    pub(super) fn new(
        sigstore: &'a Sigstore,
        identity: &Identity,
        name: &str,
        version: &str,
        sha512: &Sha512,
    ) -> Self {
        let subject = json!([{ "name": purl(name, version), "digest": { "sha512": hex::encode(sha512.0) } }]);
        Self {
            sigstore,
            identity: identity.clone(),
            signed_at: sigstore.now,
            provenance: json!({
                "_type": STATEMENT,
                "subject": subject,
                "predicateType": PROVENANCE,
                "predicate": slsa_provenance(identity),
            }),
            publish: json!({
                "_type": STATEMENT_OLD,
                "subject": subject,
                "predicateType": PUBLISH,
                "predicate": { "name": name, "version": version, "registry": sigstore.registry_url },
            }),
            shape_provenance: None,
            shape_publish: None,
            edit: vec![],
        }
    }

    /// Another time of publishing; provenance is signed two seconds earlier.
    pub fn signed_at(mut self, at: Timestamp) -> Self {
        self.signed_at = at;
        self
    }

    /// Changes the provenance statement before it is signed.
    pub fn provenance_statement(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.provenance);
        self
    }

    /// Changes the publish statement before it is signed.
    pub fn publish_statement(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.publish);
        self
    }

    /// Changes how the provenance bundle is minted.
    pub fn provenance(mut self, shape: impl FnOnce(Bundle<'a>) -> Bundle<'a> + 'a) -> Self {
        self.shape_provenance = Some(Box::new(shape));
        self
    }

    /// Changes how the publish bundle is minted.
    pub fn publish(mut self, shape: impl FnOnce(Bundle<'a>) -> Bundle<'a> + 'a) -> Self {
        self.shape_publish = Some(Box::new(shape));
        self
    }

    /// Changes the finished document.
    pub fn edit(mut self, change: impl FnOnce(&mut Value) + 'a) -> Self {
        self.edit.push(Box::new(change));
        self
    }

    /// The document.
    pub fn value(self) -> Value {
        let provenance = self
            .sigstore
            .attest(&self.identity, &self.provenance)
            .signed_at(self.signed_at - Span::new().seconds(2));
        let publish = self
            .sigstore
            .attest_by_registry(&self.sigstore.registry_key, &self.publish)
            .signed_at(self.signed_at);
        let shaped = |shape: Option<Shape<'a>>, bundle| match shape {
            Some(shape) => shape(bundle).value(),
            None => bundle.value(),
        };
        let mut document = json!({ "attestations": [
            { "predicateType": PUBLISH, "bundle": shaped(self.shape_publish, publish) },
            { "predicateType": PROVENANCE, "bundle": shaped(self.shape_provenance, provenance) },
        ] });
        for change in self.edit {
            change(&mut document);
        }
        document
    }

    /// The document's bytes.
    pub fn json(self) -> Vec<u8> {
        serde_json::to_vec(&self.value()).expect("json")
    }
}

/// `pkg:npm/%40scope/name@1.0.0`.
pub fn purl(name: &str, version: &str) -> String {
    format!("pkg:npm/{}@{version}", name.replacen('@', "%40", 1))
}

/// SLSA provenance of a GitHub workflow that agrees with the certificate of `identity` in every field.
pub fn slsa_provenance(identity: &Identity) -> Value {
    let claim = |n| identity.value(n).unwrap_or_default();
    let (repository, git_ref) = (claim(12), claim(14));
    json!({
        "buildDefinition": {
            "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
            "externalParameters": { "workflow": {
                "ref": git_ref,
                "repository": repository,
                "path": identity.workflow_path(),
            } },
            "internalParameters": { "github": {
                "event_name": claim(20),
                "repository_id": claim(15),
                "repository_owner_id": claim(17),
            } },
            "resolvedDependencies": [{
                "uri": format!("git+{repository}@{git_ref}"),
                "digest": { "gitCommit": claim(13) },
            }],
        },
        "runDetails": {
            "builder": { "id": format!("https://github.com/actions/runner/{}", claim(11)) },
            "metadata": { "invocationId": claim(21) },
        },
    })
}
