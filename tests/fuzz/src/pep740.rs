//! PEP 740: attestations of the Python index, and the provenance objects that list them.

use serde_json::Value;
use touchstone_attestation::bundle_from_pep740;
use touchstone_ecosystems::pypi::attestation::provenance;

use crate::{
    attested::{self, read},
    json::has_duplicate_key,
};

/// An attestation, alone or in a provenance object, becomes a bundle of the same parts; one that verifies says nothing but
/// what was signed. An object that is read has one reading. Whether something verifies.
pub fn check(data: &[u8]) -> bool {
    let alone = attestation(data);
    let Ok(listed) = provenance(data) else { return alone };
    assert!(!has_duplicate_key(data), "a key twice");
    let read = read(data);
    let bundles = read["attestation_bundles"].as_array().expect("bundles");
    let list = |bundle: &Value| bundle["attestations"].as_array().expect("attestations").clone();
    let said: Vec<Value> = bundles.iter().flat_map(list).collect();
    assert_eq!(listed.len(), said.len());
    let mut verified = 0;
    for (found, said) in listed.iter().zip(&said) {
        assert!(data.windows(found.attestation.len()).any(|part| part == found.attestation), "bytes changed");
        assert_eq!(attested::read(&found.attestation), *said);
        verified += usize::from(attestation(&found.attestation));
    }
    alone || verified > 0
}

fn attestation(data: &[u8]) -> bool {
    let Ok(bundle) = bundle_from_pep740(data) else { return false };
    assert!(!has_duplicate_key(data), "a key twice");
    let (said, made) = (read(data), read(&bundle));
    let (envelope, material) = (&made["dsseEnvelope"], &made["verificationMaterial"]);
    for (said, made) in [
        (&said["envelope"]["statement"], &envelope["payload"]),
        (&said["envelope"]["signature"], &envelope["signatures"][0]["sig"]),
        (&said["verification_material"]["certificate"], &material["certificate"]["rawBytes"]),
        (&said["verification_material"]["transparency_entries"], &material["tlogEntries"]),
    ] {
        assert_eq!(said, made);
    }
    attested::check(&bundle)
}
