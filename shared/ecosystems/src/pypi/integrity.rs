//! Declared digests: every entry of `hashes`, the size, and the digest of the core metadata.
//!
//! An algorithm that we do not know is let pass beside a strong one that we compare, and holds the file if there is none.

use touchstone_domain::{Algorithm, Claim, ClaimField, Digest, Reason};

use crate::{Comparison, Declared};

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512, Algorithm::Sha1, Algorithm::Md5];

/// Parses the claims about a file.
pub(super) fn declared(claims: &[Claim]) -> Declared {
    let mut declared = Declared::default();
    let mut unknown = vec![];
    for claim in claims {
        match claim.field {
            ClaimField::PypiHash => match digest(&claim.value) {
                Ok(digest) => declared.comparisons.push(Comparison { field: claim.field, digest }),
                Err(Problem::Unknown(detail)) => unknown.push(malformed(claim.field, detail)),
                Err(Problem::Malformed(detail)) => declared.malformed.push(malformed(claim.field, detail)),
            },
            ClaimField::Size => match size(&claim.value) {
                Some(size) => declared.sizes.push(size),
                None => declared.malformed.push(malformed(claim.field, "not a decimal number".to_owned())),
            },
            // about the METADATA inside, which `contents` compares
            ClaimField::PypiCoreMetadata => {
                let problem = core_metadata(&claim.value).err();
                declared.malformed.extend(problem.map(|detail| malformed(claim.field, detail)));
            }
            ClaimField::CargoCksum | ClaimField::NpmIntegrity | ClaimField::NpmShasum => {
                declared.malformed.push(malformed(claim.field, "not a field of this ecosystem".to_owned()));
            }
        }
    }
    if !declared.has_strong() {
        declared.malformed.append(&mut unknown);
    }
    declared
}

/// The algorithms of the claims that are computed only on demand.
pub(super) fn extra_algorithms(claims: &[Claim]) -> Vec<Algorithm> {
    let declared = declared(claims);
    let wanted = |a: &Algorithm| declared.comparisons.iter().any(|c| c.digest.algorithm() == *a);
    [Algorithm::Md5, Algorithm::Sha384].into_iter().filter(wanted).collect()
}

/// Reads the digest of a core metadata sidecar, which is a SHA-256.
pub(super) fn core_metadata(value: &str) -> Result<Digest, String> {
    match digest(value) {
        Ok(digest) if digest.algorithm() == Algorithm::Sha256 => Ok(digest),
        Ok(digest) => Err(format!("{} instead of sha256", digest.algorithm())),
        Err(Problem::Unknown(detail) | Problem::Malformed(detail)) => Err(detail),
    }
}

enum Problem {
    Unknown(String),
    Malformed(String),
}

/// Reads `algorithm=hex`.
fn digest(value: &str) -> Result<Digest, Problem> {
    let (word, hex) = value
        .split_once('=')
        .ok_or_else(|| Problem::Malformed("no `algorithm=` before the digest".to_owned()))?;
    let algorithm = ALGORITHMS
        .into_iter()
        .find(|a| a.as_str() == word)
        .ok_or_else(|| Problem::Unknown(format!("unknown algorithm {word:?}")))?;
    Digest::from_hex(algorithm, hex).map_err(|problem| Problem::Malformed(format!("{algorithm}: {problem}")))
}

fn size(value: &str) -> Option<u64> {
    let plain = value == "0" || !value.starts_with('0');
    (plain && value.bytes().all(|b| b.is_ascii_digit())).then(|| value.parse().ok())?
}

fn malformed(field: ClaimField, detail: String) -> Reason {
    Reason::ClaimMalformed { field, detail }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{Sha256, Sha512};

    use super::*;

    fn claims(values: &[(ClaimField, &str)]) -> Vec<Claim> {
        values.iter().map(|(field, value)| Claim { field: *field, value: (*value).to_owned() }).collect()
    }

    fn detail(values: &[(ClaimField, &str)]) -> String {
        match declared(&claims(values)).malformed.as_slice() {
            [Reason::ClaimMalformed { detail, .. }] => detail.clone(),
            other => panic!("{values:?}: {other:?}"),
        }
    }

    #[test]
    fn every_known_hash_and_size_is_compared() {
        let (sha256, sha512) = (Sha256::of("x"), Sha512::of("x"));
        let all = claims(&[
            (ClaimField::PypiHash, &format!("sha256={sha256}")),
            (ClaimField::PypiHash, &format!("sha512={sha512}")),
            (ClaimField::PypiHash, "md5=9dd4e461268c8034f5c8564e155c67a6"),
            (ClaimField::PypiHash, "blake2b_256=00"),
            (ClaimField::PypiCoreMetadata, &format!("sha256={sha256}")),
            (ClaimField::Size, "1"),
        ]);
        let declared = declared(&all);
        let digests: Vec<Digest> = declared.comparisons.iter().map(|c| c.digest).collect();
        assert_eq!(digests[..2], [Digest::from(sha256), Digest::from(sha512)]);
        assert_eq!(digests[2].algorithm(), Algorithm::Md5);
        assert_eq!((declared.sizes, declared.malformed), (vec![1], vec![]));
        assert_eq!(extra_algorithms(&all), [Algorithm::Md5]);
        assert_eq!(extra_algorithms(&all[..2]), []);
    }

    #[test]
    fn what_is_not_of_the_grammar_is_malformed() {
        let hex = Sha256::of("x").to_string();
        let upper = format!("sha256={}", hex.to_uppercase());
        for (value, expected) in [
            (hex.as_str(), "no `algorithm=` before the digest"),
            (upper.as_str(), "sha256: not lower-case hexadecimal"),
            (&format!("sha256= {hex}"), "sha256: not lower-case hexadecimal"),
            (&format!("sha256={}", &hex[..62]), "sha256: a sha256 digest has 32 bytes, not 31"),
            (&format!("sha256={hex}  x.whl"), "sha256: not lower-case hexadecimal"),
            (&format!("SHA256={hex}"), "unknown algorithm \"SHA256\""),
            ("blake2b_256=00", "unknown algorithm \"blake2b_256\""),
        ] {
            assert_eq!(detail(&[(ClaimField::PypiHash, value)]), expected);
        }
        // a malformed one is not excused by a good one beside it; an unknown one is
        let good = format!("sha256={hex}");
        assert_eq!(
            detail(&[(ClaimField::PypiHash, &good), (ClaimField::PypiHash, "md5=xy")]),
            "md5: not lower-case hexadecimal"
        );
        for bad in ["", "-1", "+1", "1.0", "1e3", " 1", "01", "99999999999999999999"] {
            assert_eq!(detail(&[(ClaimField::Size, bad)]), "not a decimal number", "{bad}");
        }
        assert_eq!(detail(&[(ClaimField::PypiCoreMetadata, &upper)]), "sha256: not lower-case hexadecimal");
        let md5 = "md5=9dd4e461268c8034f5c8564e155c67a6";
        assert_eq!(detail(&[(ClaimField::PypiCoreMetadata, md5)]), "md5 instead of sha256");
        assert_eq!(core_metadata(&good), Ok(Sha256::of("x").into()));
        assert_eq!(detail(&[(ClaimField::NpmShasum, "00")]), "not a field of this ecosystem");
    }
}
