use serde_json::json;

use super::*;
use crate::{IdentityField, Sha256, Version};

#[test]
fn a_reason_of_another_version_is_read_as_unreadable_and_known_ones_as_they_are() {
    let read = |value: serde_json::Value| serde_json::from_value::<Reason>(value).expect("never an error");
    let size = Reason::SizeMismatch { declared: 1, computed: 2 };
    let unreadable = |code: &str| Reason::Unreadable { code: code.into() };
    for (written, expected) in [
        (json!({"code": "size_mismatch", "declared": 1, "computed": 2}), size.clone()),
        (json!({"code": "size_mismatch", "declared": "one"}), unreadable("size_mismatch")),
        (json!({"code": "of_a_newer_version", "planet": "mars"}), unreadable("of_a_newer_version")),
        (json!({}), unreadable("")),
        (json!("text"), unreadable("")),
    ] {
        assert_eq!(read(written), expected);
    }
    for reason in [size, Reason::Trivial, unreadable("x")] {
        assert_eq!(read(serde_json::to_value(&reason).expect("JSON")), reason);
    }
}

#[test]
fn a_reason_of_which_no_value_can_be_made_is_read_as_unreadable() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let huge = format!("1{}", "0".repeat(400));
    for (json, code) in [
        (deep.clone(), ""),
        (huge.clone(), ""),
        (format!(r#"{{"more": {deep}, "code": "size_mismatch"}}"#), "size_mismatch"),
        (format!(r#"{{"code": "size_mismatch", "declared": {huge}, "computed": 2}}"#), "size_mismatch"),
        (r#"{"code": 1e400}"#.to_owned(), ""),
        ("no JSON".to_owned(), ""),
    ] {
        assert_eq!(Reason::from_json(&json), Reason::Unreadable { code: code.to_owned() }, "{json}");
    }
    let size = Reason::SizeMismatch { declared: 1, computed: 2 };
    let known = r#"{"code": "size_mismatch", "declared": 1, "computed": 2}"#;
    assert_eq!(Reason::from_json(known), size);
}

fn identity() -> Identity {
    Identity {
        issuer: "https://issuer.example".into(),
        signer: "release@acme.example".into(),
        repository: None,
        repository_id: None,
        owner_id: None,
        workflow: None,
        git_ref: None,
        trigger: None,
        runner: None,
    }
}

fn difference() -> Difference {
    Difference { field: IdentityField::Trigger, expected: "push".into(), found: "pull_request".into() }
}

/// A reason, its code and its words.
type Case = (Reason, &'static str, String);

fn time() -> Timestamp {
    "2027-01-31T00:00:00Z".parse().expect("a time")
}

/// The reasons of the hash check.
fn of_hash() -> Vec<Case> {
    let [text, declared, computed] = ["x", "aa", "bb"].map(str::to_owned);
    let weak = vec![Algorithm::Md5, Algorithm::Sha1];
    let at = time();
    vec![
        (
            Reason::DigestsMatch { claims: 2 },
            "digests_match",
            "the bytes match 2 declared strong digest(s)".to_owned(),
        ),
        (
            Reason::DigestMismatch {
                field: ClaimField::NpmIntegrity,
                algorithm: Algorithm::Sha512,
                declared,
                computed,
            },
            "digest_mismatch",
            format!("{} declares sha512 aa, but the bytes have bb", ClaimField::NpmIntegrity),
        ),
        (
            Reason::SizeMismatch { declared: 1, computed: 2 },
            "size_mismatch",
            "the declared size is 1 bytes, but the file has 2".to_owned(),
        ),
        (Reason::NoClaim, "no_claim", "the upstream declares no digest for it".to_owned()),
        (
            Reason::WeakOnly { algorithms: weak.clone(), published_at: Some(at) },
            "weak_only",
            "only weak digests are declared (md5, sha1); published 2027-01-31T00:00:00Z".to_owned(),
        ),
        (
            Reason::WeakAccepted { algorithms: weak },
            "weak_accepted",
            "only weak digests are declared (md5, sha1); the policy accepts them for its age".to_owned(),
        ),
        (
            Reason::ClaimMalformed { field: ClaimField::NpmShasum, detail: text.clone() },
            "claim_malformed",
            format!("{} is malformed: x", ClaimField::NpmShasum),
        ),
        (
            Reason::CoordinateMismatch { part: "name".into(), expected: "a".into(), found: "b".into() },
            "coordinate_mismatch",
            "the archive's name is \"b\", but \"a\" was asked for".to_owned(),
        ),
        (
            Reason::ArchiveRejected { rule: ArchiveRule::EntryType, detail: text.clone() },
            "archive_rejected",
            "the archive is refused (entry_type): x".to_owned(),
        ),
    ]
}

/// The reasons of an attest check that found nothing wrong.
fn of_attest() -> Vec<Case> {
    let at = time();
    let note = AttestationNote {
        predicate_type: "https://slsa.dev/provenance/v1".into(),
        document: Sha256::of("document"),
        level: "proof".into(),
        signed_at: at,
        log_entries: vec!["log@7".into()],
    };
    let attested = |continuity, registry_signature| Reason::Attested {
        identity: Box::new(identity()),
        rank: TrustRank::TrustedPublisher,
        continuity,
        attestations: vec![note.clone(), note.clone()],
        registry_signature,
    };
    let signed =
        "2 attestation(s) verified: release@acme.example (https://issuer.example), trusted_publisher";
    let unattested = |registry_signature| Reason::Unattested { registry_signature };
    let mut all = vec![];
    for (continuity, words) in
        [(Basis::FirstUse, "the first of its package, pinned now"), (Basis::Pinned, "pinned by the policy")]
    {
        for (signature, after) in [
            (SignatureNote::NotApplicable, ""),
            (SignatureNote::Absent, "; registry signature absent"),
            (SignatureNote::Verified, "; registry signature verified"),
            (SignatureNote::WeakTime, "; registry signature verified, by a key that has expired since"),
        ] {
            all.push((
                attested(continuity.clone(), signature),
                "attested",
                format!("{signed}; {words}{after}"),
            ));
            all.push((unattested(signature), "unattested", format!("it has no attestation{after}")));
        }
    }
    all
}

/// The reasons of an attest check that found something wrong, and those of no check.
fn of_trouble() -> Vec<Case> {
    let [text, since] = ["x", "1.0.0"].map(str::to_owned);
    let at = time();
    let waived = Reason::Discontinued { discontinuity: Discontinuity::Withdrawn };
    vec![
        (Reason::AttestationsOff, "attestations_off", "the policy does not look at attestations here".to_owned()),
        (
            Reason::AttestationRefused { document: "slsa".into(), problem: "sct".into(), detail: text.clone() },
            "attestation_refused",
            "the attestation slsa is refused (sct): x".to_owned(),
        ),
        (
            Reason::RegistrySignatureRefused { problem: "unknown_key".into(), detail: text.clone() },
            "registry_signature_refused",
            "the registry's signature is refused (unknown_key): x".to_owned(),
        ),
        (
            Reason::AttestationIncomplete { problem: "no_publish".into(), detail: text },
            "attestation_incomplete",
            "the attestations are incomplete (no_publish): x".to_owned(),
        ),
        (
            Reason::ForeignBuild { difference: difference() },
            "foreign_build",
            "the build is not the publisher's own: the trigger is \"pull_request\"; pin the identity to allow it"
                .to_owned(),
        ),
        (
            Reason::Discontinued {
                discontinuity: Discontinuity::Changed {
                    since: Version::new(since).expect("a version"),
                    difference: difference(),
                },
            },
            "discontinued",
            "the trigger is \"pull_request\", and was \"push\" (version 1.0.0)".to_owned(),
        ),
        (
            Reason::Waived { reason: "known".into(), expires: at, finding: Box::new(waived) },
            "waived",
            "waived until 2027-01-31T00:00:00Z (known); else: it has no attestation, and was listed with one before"
                .to_owned(),
        ),
        (Reason::Trivial, "trivial", "nothing was looked at".to_owned()),
        (
            Reason::Unreadable { code: "new".into() },
            "unreadable",
            "another version of touchstone gave the reason \"new\", which this one cannot read".to_owned(),
        ),
    ]
}

#[test]
fn every_reason_is_read_back_as_it_was_and_has_its_code_and_words() {
    let mut codes = std::collections::BTreeSet::new();
    for (reason, code, words) in [of_hash(), of_attest(), of_trouble()].concat() {
        assert_eq!((reason.code(), reason.to_string()), (code, words));
        let written = serde_json::to_value(&reason).expect("JSON");
        assert_eq!(written["code"], code);
        assert_eq!(serde_json::from_value::<Reason>(written).expect("never an error"), reason);
        codes.insert(code);
    }
    assert_eq!(codes.len(), 20, "one of each kind");
}

#[test]
fn a_waiver_of_what_cannot_be_read_is_still_a_waiver() {
    let written = json!({
        "code": "waived", "reason": "known", "expires": "2027-01-31T00:00:00Z", "finding": {"code": "of_a_newer_version"},
    });
    let expires = "2027-01-31T00:00:00Z".parse().expect("a time");
    let finding = Box::new(Reason::Unreadable { code: "of_a_newer_version".into() });
    let read: Reason = serde_json::from_value(written).expect("never an error");
    assert_eq!(read, Reason::Waived { reason: "known".into(), expires, finding });
}
