//! The keys of the public npm registry: those of its TUF target in 2026. A test compares them with the recorded target.

use crate::KeyUsage;

struct Embedded {
    id: &'static str,
    spki: &'static str,
    usages: [(KeyUsage, &'static str); 2],
    end: Option<&'static str>,
}

const KEYS: [Embedded; 2] = [
    Embedded {
        id: "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA",
        spki: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==",
        usages: [
            (KeyUsage::Signatures, "1999-01-01T00:00:00Z"),
            (KeyUsage::Attestations, "2022-12-01T00:00:00Z"),
        ],
        end: Some("2025-01-29T00:00:00Z"),
    },
    Embedded {
        id: "SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U",
        spki: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEY6Ya7W++7aUPzvMTrezH6Ycx3c+HOKYCcNGybJZSCJq/fd7Qa8uuAKtdIkUQtQiEKERhAmE5lMMJhP8OkDOa2g==",
        usages: [
            (KeyUsage::Signatures, "2025-01-13T00:00:00Z"),
            (KeyUsage::Attestations, "2025-01-13T00:00:00Z"),
        ],
        end: None,
    },
];

/// They in the shape of the TUF target.
pub(super) fn document() -> String {
    let entry = |key: &Embedded, usage, start| {
        serde_json::json!({
            "keyId": key.id,
            "keyUsage": usage,
            "publicKey": {
                "rawBytes": key.spki,
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": { "start": start, "end": key.end },
            },
        })
    };
    let entries = KEYS.iter().flat_map(|key| key.usages.map(|(usage, start)| entry(key, usage, start)));
    serde_json::json!({ "keys": entries.collect::<Vec<_>>() }).to_string()
}
