//! `dist.integrity` and `dist.shasum`: what npm declares about a tarball.
//!
//! `ssri` reads the values, one at a time. Its checker is not used: it takes the strongest algorithm and accepts any of its
//! values, where every value must match here; and what it lets through (empty strings, options, missing padding, a checksum
//! that is no digest) is refused here before or after it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::{Algorithm, Claim, ClaimField, Digest, Reason};

use crate::{Comparison, Declared};

/// More values in one SRI string than this are refused.
const VALUES_MAX: usize = 16;

/// Parses npm's claims. A field of another ecosystem is malformed, not ignored.
pub(super) fn declared(claims: &[Claim]) -> Declared {
    let mut declared = Declared::default();
    for claim in claims {
        let digests = match claim.field {
            ClaimField::NpmIntegrity => integrity(&claim.value),
            ClaimField::NpmShasum => {
                Digest::from_hex(Algorithm::Sha1, &claim.value).map(|d| vec![d]).map_err(|e| e.to_string())
            }
            ClaimField::CargoCksum
            | ClaimField::PypiHash
            | ClaimField::PypiCoreMetadata
            | ClaimField::Size => Err("npm has no such field".to_owned()),
        };
        match digests {
            Ok(digests) => {
                let comparison = |digest| Comparison { field: claim.field, digest };
                declared.comparisons.extend(digests.into_iter().map(comparison));
            }
            Err(detail) => declared.malformed.push(Reason::ClaimMalformed { field: claim.field, detail }),
        }
    }
    declared
}

/// The declared algorithms that are not computed for every artifact.
pub(super) fn extra_algorithms(claims: &[Claim]) -> Vec<Algorithm> {
    let declared = declared(claims);
    let sha384 = declared.comparisons.iter().any(|c| c.digest.algorithm() == Algorithm::Sha384);
    if sha384 { vec![Algorithm::Sha384] } else { vec![] }
}

fn integrity(text: &str) -> Result<Vec<Digest>, String> {
    let mut digests = vec![];
    for value in text.split(' ') {
        if digests.len() == VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
        digests.push(sri(value)?);
    }
    Ok(digests)
}

fn sri(value: &str) -> Result<Digest, String> {
    let Some((word, encoded)) = value.split_once('-') else {
        return Err("a value is not algorithm-base64".to_owned());
    };
    let shown: String = word.chars().take(20).collect();
    let parsed: ssri::Integrity = value.parse().map_err(|_| format!("unknown algorithm {shown:?}"))?;
    let [hash] = parsed.hashes.as_slice() else {
        return Err("a value is not algorithm-base64".to_owned());
    };
    let algorithm = match hash.algorithm {
        ssri::Algorithm::Sha1 => Algorithm::Sha1,
        ssri::Algorithm::Sha256 => Algorithm::Sha256,
        ssri::Algorithm::Sha384 => Algorithm::Sha384,
        ssri::Algorithm::Sha512 => Algorithm::Sha512,
        _no_digest => return Err(format!("unknown algorithm {shown:?}")),
    };
    // What stands in the document counts, not what a lenient reader made of it: it skips white space, for one.
    if word != algorithm.as_str() {
        return Err(format!("unknown algorithm {shown:?}"));
    }
    let bytes =
        STANDARD.decode(encoded).map_err(|_| format!("the {algorithm} value is not padded base64"))?;
    Digest::from_bytes(algorithm, &bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{Sha256, Sha512};

    use super::*;

    fn claim(field: ClaimField, value: &str) -> Vec<Claim> {
        vec![Claim { field, value: value.to_owned() }]
    }

    fn details(claims: &[Claim]) -> Vec<String> {
        let reasons = declared(claims).malformed;
        reasons.into_iter().map(|reason| reason.to_string()).collect()
    }

    #[test]
    fn every_value_of_an_sri_string_is_compared() {
        let strong = Sha512::of(b"x");
        let other = Sha256::of(b"x");
        let value = format!("sha512-{} sha256-{}", strong.to_base64(), other.to_base64());
        let declared = declared(&claim(ClaimField::NpmIntegrity, &value));
        let digests: Vec<Digest> = declared.comparisons.iter().map(|c| c.digest).collect();
        assert_eq!((digests, declared.malformed), (vec![strong.into(), other.into()], vec![]));
    }

    #[test]
    fn whatever_is_not_plain_sri_is_malformed() {
        let good = format!("sha512-{}", Sha512::of(b"x").to_base64());
        let unpadded = good.trim_end_matches('=').to_owned();
        for (value, expected) in [
            (String::new(), "a value is not algorithm-base64"),
            (" ".into(), "a value is not algorithm-base64"),
            (format!(" {good}"), "a value is not algorithm-base64"),
            (format!("{good}  {good}"), "a value is not algorithm-base64"),
            (format!("\r{good}"), "unknown algorithm \"\\rsha512\""),
            (format!("{good} \t\n{good}"), "unknown algorithm \"\\t\\nsha512\""),
            (format!("{good}\n"), "the sha512 value is not padded base64"),
            (format!("{good}?x"), "the sha512 value is not padded base64"),
            (unpadded, "the sha512 value is not padded base64"),
            (format!("{good} SHA512-AAAA"), "unknown algorithm \"SHA512\""),
            (format!("{good} xxh3-AAAA"), "unknown algorithm \"xxh3\""),
            (good.replace("sha512", "sha256"), "a sha256 digest has 32 bytes, not 64"),
            (vec![good.as_str(); 17].join(" "), "more than 16 values"),
        ] {
            let claims = claim(ClaimField::NpmIntegrity, &value);
            assert_eq!(details(&claims), [format!("npm.integrity is malformed: {expected}")], "{value:?}");
        }
        assert_eq!(details(&claim(ClaimField::NpmIntegrity, &good)), [""; 0]);
    }

    #[test]
    fn a_shasum_is_lower_case_sha1() {
        let good = "11f6ad8ec52a2984abaafd7c3b516503785c2072";
        let declared = declared(&claim(ClaimField::NpmShasum, good));
        assert_eq!(declared.comparisons.len(), 1);
        assert!(!declared.has_strong());
        for bad in [good.to_uppercase(), good[2..].to_owned(), format!("sha1:{good}"), format!("{good} ")] {
            assert_eq!(details(&claim(ClaimField::NpmShasum, &bad)).len(), 1, "{bad}");
        }
        assert_eq!(details(&claim(ClaimField::CargoCksum, good)).len(), 1);
    }

    #[test]
    fn unusual_algorithms_are_asked_for() {
        let sha384 = format!("sha384-{}", STANDARD.encode([0; 48]));
        assert_eq!(extra_algorithms(&claim(ClaimField::NpmIntegrity, &sha384)), [Algorithm::Sha384]);
        let sha512 = format!("sha512-{}", STANDARD.encode([0; 64]));
        assert_eq!(extra_algorithms(&claim(ClaimField::NpmIntegrity, &sha512)), []);
    }
}
