//! Attestations and provenance objects of the Python index (PEP 740).

use serde_json::{Value, json};
use touchstone_domain::Sha256;

use super::{
    Sigstore,
    bundle::Bundle,
    identity::{Forge, Identity},
    npm::STATEMENT,
};

/// The predicate type of publish attestations on the Python index.
pub const PYPI_PUBLISH: &str = "https://docs.pypi.org/attestations/publish/v1";

/// The statement of a publish attestation over one file.
pub fn publish_statement(file: &str, sha256: &Sha256) -> Value {
    json!({
        "_type": STATEMENT,
        "subject": [{ "name": file, "digest": { "sha256": sha256.to_string() } }],
        "predicateType": PYPI_PUBLISH,
        "predicate": null,
    })
}

/// A bundle of version 0.3 as a PEP 740 attestation.
pub fn attestation(bundle: &Value) -> Value {
    let envelope = &bundle["dsseEnvelope"];
    json!({
        "version": 1,
        "verification_material": {
            "certificate": bundle["verificationMaterial"]["certificate"]["rawBytes"],
            "transparency_entries": bundle["verificationMaterial"]["tlogEntries"],
        },
        "envelope": {
            "statement": envelope["payload"],
            "signature": envelope["signatures"][0]["sig"],
        },
    })
}

/// A provenance object whose publisher is `identity`.
pub fn provenance(identity: &Identity, attestations: &[Value]) -> Value {
    json!({
        "version": 1,
        "attestation_bundles": [{ "publisher": publisher(identity), "attestations": attestations }],
    })
}

/// The publisher as the index names it.
pub fn publisher(identity: &Identity) -> Value {
    let environment = identity.value(23);
    match identity.forge() {
        Forge::GitHub => json!({
            "kind": "GitHub",
            "claims": null,
            "repository": identity.repository(),
            "workflow": identity.workflow_file(),
            "environment": environment,
        }),
        Forge::GitLab => json!({
            "kind": "GitLab",
            "claims": null,
            "repository": identity.repository(),
            "workflow_filepath": identity.workflow_path(),
            "environment": environment,
        }),
    }
}

/// A publish attestation to be minted over one file.
pub(super) fn publish<'a>(
    sigstore: &'a Sigstore,
    identity: &Identity,
    file: &str,
    sha256: &Sha256,
) -> Bundle<'a> {
    sigstore.attest(identity, &publish_statement(file, sha256))
}
