//! `cksum`: what a sparse index line declares about a crate.

use touchstone_domain::{Algorithm, Claim, ClaimField, Digest, Reason};

use crate::{Comparison, Declared};

/// Parses Cargo's claims. A field of another ecosystem is malformed, not ignored.
pub(super) fn declared(claims: &[Claim]) -> Declared {
    let mut declared = Declared::default();
    for claim in claims {
        let digest = match claim.field {
            ClaimField::CargoCksum => {
                Digest::from_hex(Algorithm::Sha256, &claim.value).map_err(|e| e.to_string())
            }
            ClaimField::NpmIntegrity
            | ClaimField::NpmShasum
            | ClaimField::PypiHash
            | ClaimField::PypiCoreMetadata
            | ClaimField::Size => Err("cargo has no such field".to_owned()),
        };
        match digest {
            Ok(digest) => declared.comparisons.push(Comparison { field: claim.field, digest }),
            Err(detail) => declared.malformed.push(Reason::ClaimMalformed { field: claim.field, detail }),
        }
    }
    declared
}

#[cfg(test)]
mod tests {
    use touchstone_domain::Sha256;

    use super::*;

    #[test]
    fn a_cksum_is_lower_case_sha256() {
        let good = Sha256::of(b"x").to_string();
        let of = |field, value: &str| declared(&[Claim { field, value: value.to_owned() }]);
        let digest = Sha256::of(b"x").into();
        assert_eq!(
            of(ClaimField::CargoCksum, &good).comparisons,
            [Comparison { field: ClaimField::CargoCksum, digest }]
        );
        for (value, detail) in [
            (good.to_uppercase(), "not lower-case hexadecimal"),
            (format!("sha256:{good}"), "not lower-case hexadecimal"),
            (format!("{good} "), "not lower-case hexadecimal"),
            (good[2..].to_owned(), "a sha256 digest has 32 bytes, not 31"),
            (String::new(), "a sha256 digest has 32 bytes, not 0"),
        ] {
            let reason = Reason::ClaimMalformed { field: ClaimField::CargoCksum, detail: detail.to_owned() };
            assert_eq!(of(ClaimField::CargoCksum, &value).malformed, [reason], "{value:?}");
        }
        assert_eq!(of(ClaimField::PypiHash, &good).malformed.len(), 1);
    }
}
