//! Attestations as Python package indexes serve them (PEP 740).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    JsonLimits, Problem, Refused,
    strict_json::{Object, Text, read, strict_text},
    wire::ENTRIES_MAX,
};

#[derive(Deserialize)]
struct Attestation<'a> {
    version: u64,
    #[serde(borrow)]
    verification_material: Object<Material<'a>>,
    #[serde(borrow)]
    envelope: Object<Envelope<'a>>,
}

#[derive(Deserialize)]
struct Material<'a> {
    #[serde(borrow)]
    certificate: Text<'a>,
    #[serde(borrow)]
    transparency_entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    statement: Text<'a>,
    #[serde(borrow)]
    signature: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    media_type: &'a str,
    verification_material: BundleMaterial<'a>,
    dsse_envelope: Dsse<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BundleMaterial<'a> {
    certificate: Certificate<'a>,
    tlog_entries: Vec<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate<'a> {
    raw_bytes: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dsse<'a> {
    payload_type: &'a str,
    payload: &'a str,
    signatures: [Signature<'a>; 1],
}

#[derive(Serialize)]
struct Signature<'a> {
    sig: &'a str,
}

/// The sigstore bundle (v0.3) that an attestation object is another form of. Every log entry is kept. Nothing is verified.
pub fn bundle_from_pep740(attestation: &[u8]) -> Result<Vec<u8>, Refused> {
    let attestation: Attestation<'_> =
        read(strict_text(attestation, JsonLimits::BUNDLE)?, "the attestation")?;
    if attestation.version != 1 {
        return Err(Refused::new(
            Problem::UnsupportedVersion,
            format!("attestation {}", attestation.version),
        ));
    }
    let Object(material) = attestation.verification_material;
    match material.transparency_entries.len() {
        0 => return Err(Refused::new(Problem::LogInclusion, "there is no log entry")),
        1..=ENTRIES_MAX => {}
        many => return Err(Refused::new(Problem::Limit, format!("{many} log entries"))),
    }
    let Object(envelope) = attestation.envelope;
    let bundle = Bundle {
        media_type: "application/vnd.dev.sigstore.bundle.v0.3+json",
        verification_material: BundleMaterial {
            certificate: Certificate { raw_bytes: &material.certificate.0 },
            tlog_entries: material.transparency_entries,
        },
        dsse_envelope: Dsse {
            payload_type: "application/vnd.in-toto+json",
            payload: &envelope.statement.0,
            signatures: [Signature { sig: &envelope.signature.0 }],
        },
    };
    serde_json::to_vec(&bundle).map_err(|e| Refused::new(Problem::Malformed, e.to_string()))
}

#[cfg(test)]
mod tests;
