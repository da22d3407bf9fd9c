use OutcomeKind::{Fail, Inconclusive, Pass};
use touchstone_domain::{OutcomeKind, Sha256, Sha512};

use super::*;

const BYTES: &[u8] = b"bytes";
const SHA1: [u8; 20] = [1; 20];

fn computed() -> Computed {
    let digests = vec![Digest::Sha1(SHA1), Sha256::of(BYTES).into(), Sha512::of(BYTES).into()];
    Computed { size: 5, digests }
}

fn comparison(digest: impl Into<Digest>) -> Comparison {
    let digest = digest.into();
    let field = if digest.algorithm().is_strong() { ClaimField::NpmIntegrity } else { ClaimField::NpmShasum };
    Comparison { field, digest }
}

fn declared(comparisons: Vec<Comparison>) -> Declared {
    Declared { comparisons, ..Declared::default() }
}

fn malformed() -> Reason {
    Reason::ClaimMalformed { field: ClaimField::NpmIntegrity, detail: "nonsense".into() }
}

fn mismatch(field: ClaimField, algorithm: Algorithm) -> Reason {
    let digest = computed().digest(algorithm).expect("computed").to_hex();
    let other = "00".repeat(algorithm.size_bytes());
    Reason::DigestMismatch { field, algorithm, declared: other, computed: digest }
}

/// Everything that a claim can be, in every combination: the outcome follows from what is in it, never from the order.
#[test]
fn every_combination_of_claims_has_its_outcome() {
    type Add = fn(&mut Declared);
    let kinds: [(&str, Add); 7] = [
        ("strong", |d| d.comparisons.push(comparison(Sha512::of(BYTES)))),
        ("wrong strong", |d| d.comparisons.push(comparison(Sha256([0; 32])))),
        ("weak", |d| d.comparisons.push(comparison(Digest::Sha1(SHA1)))),
        ("wrong weak", |d| d.comparisons.push(comparison(Digest::Sha1([0; 20])))),
        ("malformed", |d| d.malformed.push(malformed())),
        ("size", |d| d.sizes.push(5)),
        ("wrong size", |d| d.sizes.push(6)),
    ];
    for mask in 0_u32..1 << kinds.len() {
        for accept_weak in [false, true] {
            let mut claims = Declared::default();
            let chosen: Vec<&str> = kinds
                .iter()
                .enumerate()
                .filter(|(i, _)| mask & (1 << i) != 0)
                .map(|(_, (name, add))| {
                    add(&mut claims);
                    *name
                })
                .collect();
            let has = |name| chosen.contains(&name);
            let code = claims.judge(&computed(), None, accept_weak).reason.code();
            let expected = if has("wrong size") {
                "size_mismatch"
            } else if has("wrong strong") || has("wrong weak") {
                "digest_mismatch"
            } else if has("malformed") {
                "claim_malformed"
            } else if has("strong") {
                "digests_match"
            } else if has("weak") {
                if accept_weak { "weak_accepted" } else { "weak_only" }
            } else {
                "no_claim"
            };
            assert_eq!(code, expected, "{chosen:?}");
            let kind = claims.judge(&computed(), None, accept_weak).kind;
            let expected = match code {
                "size_mismatch" | "digest_mismatch" => Fail,
                "digests_match" | "weak_accepted" => Pass,
                _ => Inconclusive,
            };
            assert_eq!(kind, expected, "{chosen:?}");
            claims.comparisons.reverse();
            assert_eq!(claims.judge(&computed(), None, accept_weak).kind, expected, "{chosen:?} reversed");
        }
    }
}

#[test]
fn reasons_carry_the_facts() {
    let judged = |claims: &Declared, accept_weak| claims.judge(&computed(), None, accept_weak);
    let both = declared(vec![comparison(Sha512::of(BYTES)), comparison(Sha256::of(BYTES))]);
    assert_eq!(judged(&both, false), Outcome::pass(Reason::DigestsMatch { claims: 2 }));
    let one_wrong = declared(vec![comparison(Sha512::of(BYTES)), comparison(Sha256([0; 32]))]);
    let reason = mismatch(ClaimField::NpmIntegrity, Algorithm::Sha256);
    assert_eq!(one_wrong.contradiction(&computed()), Some(reason.clone()));
    assert_eq!(judged(&one_wrong, false), Outcome::fail(reason));
    let wrong_weak = declared(vec![comparison(Sha512::of(BYTES)), comparison(Digest::Sha1([0; 20]))]);
    assert_eq!(judged(&wrong_weak, true), Outcome::fail(mismatch(ClaimField::NpmShasum, Algorithm::Sha1)));
    let size = Declared { sizes: vec![5, 6], ..both.clone() };
    assert_eq!(judged(&size, false), Outcome::fail(Reason::SizeMismatch { declared: 6, computed: 5 }));
    let weak = declared(vec![comparison(Digest::Sha1(SHA1))]);
    let algorithms = vec![Algorithm::Sha1];
    let published_at = Some(Timestamp::UNIX_EPOCH);
    assert_eq!(
        weak.judge(&computed(), published_at, false),
        Outcome::inconclusive(Reason::WeakOnly { algorithms: algorithms.clone(), published_at })
    );
    assert_eq!(judged(&weak, true), Outcome::pass(Reason::WeakAccepted { algorithms }));
    assert_eq!((both.has_strong(), weak.has_strong()), (true, false));
}

#[test]
fn what_was_not_computed_is_skipped_early_and_held_at_last() {
    let claims = declared(vec![comparison(Sha512::of(BYTES)), comparison(Digest::Sha384([0; 48]))]);
    assert_eq!(claims.contradiction(&computed()), None);
    let detail = "sha384 is declared and was not computed".into();
    let reason = Reason::ClaimMalformed { field: ClaimField::NpmIntegrity, detail };
    assert_eq!(claims.judge(&computed(), None, true), Outcome::inconclusive(reason));
    let mut with = computed();
    with.digests.push(Digest::Sha384([0; 48]));
    assert_eq!(claims.judge(&with, None, true), Outcome::pass(Reason::DigestsMatch { claims: 2 }));
}
