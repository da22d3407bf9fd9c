use serde_json::{Value, json};
use touchstone_domain::{ArtifactDbId, CheckSet, FileName, Gate, HoldSet, PackageName, Requirement, Version};

use super::*;
use crate::{
    Approval, Envelope, KeyProblem, LogEntry, StatementError,
    testing::{BYTES, at, id, resigned, revoked, ring, ring_with, signer},
};

const SERIAL: i64 = 41;

fn approval() -> Approval {
    let required = CheckSet::of(CheckKind::Hash).union(CheckSet::of(CheckKind::Attest));
    let gate = Gate {
        artifact: ArtifactDbId(7),
        sha256: Sha256::of(BYTES),
        chunk_root: ChunkList::of(BYTES).root(),
        epoch: 2,
        requirement: Requirement::new(required, CheckSet::EMPTY).expect("something is required"),
        ok: required,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    };
    let approver = |check: Option<CheckKind>, kind: KeyKind| Approver {
        check,
        key: signer(kind, 0).key_id(),
        envelope: Sha256::of(kind.as_str()),
    };
    Approval {
        environment: "test".to_owned(),
        gate,
        id: id(),
        sha512: Sha512::of(BYTES),
        size: BYTES.len() as u64,
        policy_epoch: 3,
        policy: Sha256::of("policy"),
        rests_on: vec![
            approver(None, KeyKind::Fetch),
            approver(Some(CheckKind::Hash), KeyKind::Hash),
            approver(Some(CheckKind::Attest), KeyKind::Attest),
        ],
    }
}

fn signed_by(signer: &dyn Signer) -> Vec<u8> {
    ServeRecord::sign(&approval(), SERIAL, at("2026-08-01T00:00:02.5Z"), signer).expect("signs")
}

fn signed() -> Vec<u8> {
    signed_by(&signer(KeyKind::Promote, 0))
}

fn record() -> Arc<ServeRecord> {
    Arc::new(ServeRecord::verify(&signed(), &ring()).expect("verifies"))
}

fn expected(id: &ArtifactId) -> Expected<'_> {
    Expected {
        environment: "test",
        id,
        sha256: Sha256::of(BYTES),
        sha512: Sha512::of(BYTES),
        size: BYTES.len() as u64,
        chunk_root: ChunkList::of(BYTES).root(),
        epoch: 2,
        serial: SERIAL,
    }
}

fn bind(expected: &Expected<'_>) -> Result<PromotedArtifact, RecordMismatch> {
    PromotedArtifact::bind(record(), expected, &ring(), &Revocations::default(), ChunkList::of(BYTES))
}

#[test]
fn a_serve_record_is_a_verification_summary() {
    let payload = Envelope::parse(&signed()).expect("an envelope").payload;
    let statement: Value = serde_json::from_slice(&payload).expect("JSON");
    let input = |kind: KeyKind| {
        let file = crate::link_file_name(kind.as_str(), signer(kind, 0).key_id());
        json!({"uri": file, "digest": {"sha256": Sha256::of(kind.as_str())}})
    };
    let on = |check: Value, kind: KeyKind| json!({"check": check, "key": signer(kind, 0).key_id(), "envelope": Sha256::of(kind.as_str())});
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": "left-pad-1.0.0.tgz",
            "digest": {"sha256": Sha256::of(BYTES), "sha512": Sha512::of(BYTES)},
        }],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": "touchstone/test"},
            "timeVerified": "2026-08-01T00:00:02.5Z",
            "resourceUri": "pkg:npm/%40scope/left-pad@1.0.0?file_name=left-pad-1.0.0.tgz",
            "policy": {"uri": "touchstone/test/policy/3", "digest": {"sha256": Sha256::of("policy")}},
            "inputAttestations": [input(KeyKind::Fetch), input(KeyKind::Hash), input(KeyKind::Attest)],
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED"],
            "slsaVersion": "1.0",
            "touchstone": {
                "environment": "test", "file": "left-pad-1.0.0.tgz", "size": 8,
                "chunk_root": ChunkList::of(BYTES).root(), "epoch": 2, "policy_epoch": 3, "serial": 41,
                "rests_on": [
                    on(Value::Null, KeyKind::Fetch), on("hash".into(), KeyKind::Hash), on("attest".into(), KeyKind::Attest),
                ],
            },
        },
    });
    assert_eq!(statement, expected);
}

#[test]
fn what_was_approved_is_what_is_read() {
    let (record, approval) = (record(), approval());
    assert_eq!((record.id(), record.sha256(), record.size()), (&approval.id, Sha256::of(BYTES), 8));
    assert_eq!((record.epoch(), record.serial(), record.policy()), (2, SERIAL, (3, Sha256::of("policy"))));
    assert_eq!(record.promoted_at(), at("2026-08-01T00:00:02.5Z"));
    assert_eq!((record.environment(), record.rests_on()), ("test", approval.rests_on.as_slice()));
    assert_eq!(record.key(), signer(KeyKind::Promote, 0).key_id());
    let id = id();
    let promoted = bind(&expected(&id)).expect("binds");
    assert_eq!((promoted.record(), promoted.chunks()), (&*record, &ChunkList::of(BYTES)));
}

#[test]
fn a_record_is_signed_by_promote() {
    let promote = signer(KeyKind::Promote, 0);
    for kind in KeyKind::ALL.into_iter().filter(|kind| *kind != KeyKind::Promote) {
        let key = signer(kind, 0).key_id();
        let problem = KeyProblem::Kind { key, expected: KeyKind::Promote, found: kind };
        assert_eq!(ServeRecord::verify(&signed_by(&signer(kind, 0)), &ring()), Err(problem.into()));
    }
    let stranger = signer(KeyKind::Promote, 1);
    let unknown = KeyProblem::Unknown(stranger.key_id());
    assert_eq!(ServeRecord::verify(&signed_by(&stranger), &ring()), Err(unknown.into()));
    let key = promote.key_id();
    let ended = ring_with(|entry| entry.not_after = Some(at("2026-08-01T00:00:02Z")));
    let window = KeyProblem::Window { key, at: at("2026-08-01T00:00:02.5Z") };
    assert_eq!(ServeRecord::verify(&signed(), &ended), Err(window.into()));
    let without = ring_with(|entry| entry.revoked = Some(revoked()));
    let problem = KeyProblem::Revoked { key, reason: "stolen".to_owned() };
    assert_eq!(ServeRecord::verify(&signed(), &without), Err(problem.into()));
    let mut changed = Envelope::parse(&signed()).expect("an envelope");
    changed.signature[0] ^= 1;
    let sig = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, changed.signature);
    let text = String::from_utf8(signed()).expect("text");
    let (head, _) = text.split_once("\"sig\":\"").expect("a signature");
    let changed = format!("{head}\"sig\":\"{sig}\"}}]}}");
    assert_eq!(ServeRecord::verify(changed.as_bytes(), &ring()), Err(Refused::Signature(key)));
    // a verdict is no serve record, whoever signed it
    let verdict = crate::testing::verdict(CheckKind::Hash).sign(&promote).expect("signs");
    assert!(matches!(
        ServeRecord::verify(&verdict, &ring()),
        Err(Refused::Statement(StatementError { field: "statement", .. }))
    ));
}

#[test]
fn a_statement_with_anything_odd_is_refused_by_the_name_of_its_member() {
    let digests = format!("\"sha512\":\"{}\"", Sha512::of(BYTES));
    let subject = "{\"name\":\"left-pad-1.0.0.tgz\"";
    let second =
        format!("{subject},\"digest\":{{\"sha256\":\"{}\",{digests}}}}},{subject}", Sha256::of(BYTES));
    let fetch = format!(
        "{{\"check\":null,\"key\":\"{}\",\"envelope\":\"{}\"}},",
        signer(KeyKind::Fetch, 0).key_id(),
        Sha256::of("fetch")
    );
    let in_order = "after the fetch, each check must be there once";
    let other = "it is not what a serve record of such an artifact has";
    for (from, to, field, problem) in [
        ("PASSED", "FAILED", "verificationResult", other),
        ("touchstone/test\"}", "touchstone/production\"}", "verifier", other),
        ("\"environment\":\"test\"", "\"environment\":\"prod\"", "verifier", other),
        (
            "left-pad@1.0.0?file_name=left-pad-1.0.0.tgz",
            "left-pad@1.0.0",
            "resourceUri",
            "it does not name one file",
        ),
        ("file_name=left-pad-1.0.0", "file_name=left-pad-1.0.1", "subject", other),
        (subject, "{\"name\":\"other.tgz\"", "subject", other),
        (subject, second.as_str(), "subject", "there is not exactly one"),
        ("/policy/3\"", "/policy/4\"", "policy", other),
        ("\"policy_epoch\":3", "\"policy_epoch\":4", "policy", other),
        ("\"uri\":\"fetch.", "\"uri\":\"hash.", "inputAttestations", other),
        ("\"check\":\"attest\"", "\"check\":\"sumdb\"", "inputAttestations", other),
        ("\"check\":\"attest\"", "\"check\":\"hash\"", "rests_on", in_order),
        ("\"check\":\"hash\"", "\"check\":null", "rests_on", in_order),
        (fetch.as_str(), "", "rests_on", "it does not begin with a fetch"),
        ("SLSA_BUILD_LEVEL_UNEVALUATED", "SLSA_BUILD_LEVEL_3", "verifiedLevels", other),
        ("\"slsaVersion\":\"1.0\"", "\"slsaVersion\":\"1.1\"", "slsaVersion", other),
        ("verification_summary/v1\"", "verification_summary/v2\"", "predicateType", other),
        ("Statement/v1", "Statement/v0.1", "_type", other),
        ("\"file\":\"left", "\"file\":\"right", "touchstone", other),
        ("02.5Z", "02.50Z", "timeVerified", "no such value: \"2026-08-01T00:00:02.50Z\""),
        ("{\"_type\"", "{ \"_type\"", "statement", "it is written in another form"),
        (
            "{\"_type\"",
            "{\"more\":1,\"_type\"",
            "statement",
            "unknown field `more`, expected one of `_type`, `subject`, `predicateType`, `predicate` at line 1 column 7",
        ),
        (
            "\"serial\":41",
            "\"serial\":41,\"serial\":41",
            "statement",
            "duplicate field `serial` at line 1 column 1340",
        ),
    ] {
        let changed = resigned(&signed(), from, to, &signer(KeyKind::Promote, 0));
        let error = StatementError { field, problem: problem.to_owned() };
        assert_eq!(ServeRecord::verify(&changed, &ring()), Err(error.into()), "{to}");
    }
    for missing in [&format!(",{digests}"), "\"serial\":41,", "\"size\":8,"] {
        let changed = resigned(&signed(), missing, "", &signer(KeyKind::Promote, 0));
        let refused = ServeRecord::verify(&changed, &ring()).expect_err(missing);
        assert!(refused.to_string().contains("missing field"), "{refused}");
    }
}

/// The field that differs, what is expected of it, and what the record says.
fn difference(expected: &Expected<'_>) -> (&'static str, String, String) {
    match bind(expected) {
        Err(RecordMismatch::Field { field, expected, found }) => (field, expected, found),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_for_anything_else_is_refused_by_the_name_of_the_field() {
    let id = id();
    let honest = expected(&id);
    let foreign = Expected { environment: "production", ..honest };
    assert_eq!(difference(&foreign), ("environment", "production".to_owned(), "test".to_owned()));
    for other in [
        ArtifactId { package: PackageName::new("left-pad").expect("name"), ..id.clone() },
        ArtifactId { version: Version::new("1.0.1").expect("version"), ..id.clone() },
        ArtifactId { file: FileName::new("left-pad.tgz").expect("file"), ..id.clone() },
    ] {
        let purls = (artifact_purl(&other).to_string(), artifact_purl(&id).to_string());
        assert_eq!(difference(&Expected { id: &other, ..expected(&id) }), ("purl", purls.0, purls.1));
    }
    let (sha256, sha512) = (Sha256::of(b"other"), Sha512::of(b"other"));
    for (changed, field) in [
        (Expected { sha256, ..expected(&id) }, "sha256"),
        (Expected { sha512, ..expected(&id) }, "sha512"),
        (Expected { size: 9, ..expected(&id) }, "size"),
        (Expected { chunk_root: sha256, ..expected(&id) }, "chunk_root"),
        (Expected { epoch: 3, ..expected(&id) }, "epoch"),
        (Expected { epoch: 1, ..expected(&id) }, "epoch"),
        (Expected { serial: SERIAL + 1, ..expected(&id) }, "serial"),
        // the first of several
        (Expected { serial: 1, sha512, size: 9, ..expected(&id) }, "sha512"),
    ] {
        assert_eq!(difference(&changed).0, field);
    }
    let older = bind(&Expected { epoch: 3, ..expected(&id) }).expect_err("older");
    assert_eq!(older.to_string(), "the serve record says epoch 2, and 3 is expected");
}

#[test]
fn a_record_that_rests_on_a_revoked_key_is_refused() {
    let id = id();
    let none = Revocations::default();
    for kind in [KeyKind::Promote, KeyKind::Fetch, KeyKind::Hash, KeyKind::Attest] {
        let key = signer(kind, 0).key_id();
        let without = ring_with(|entry| entry.revoked = (entry.kind == kind).then(revoked));
        let bound = PromotedArtifact::bind(record(), &expected(&id), &without, &none, ChunkList::of(BYTES));
        let reason = "stolen".to_owned();
        assert_eq!(bound.expect_err("revoked"), RecordMismatch::Key { key, reason });
        let mut entries = ring().entries().to_vec();
        entries.retain(|entry| entry.kind != kind);
        let without = KeyRing::new(entries).expect("a ring");
        let bound = PromotedArtifact::bind(record(), &expected(&id), &without, &none, ChunkList::of(BYTES));
        let reason = "it is not in the key ring".to_owned();
        assert_eq!(bound.expect_err("absent"), RecordMismatch::Key { key, reason });
    }
    // what it does not rest on may be revoked
    let without = ring_with(|entry| entry.revoked = (entry.kind == KeyKind::Sumdb).then(revoked));
    assert!(PromotedArtifact::bind(record(), &expected(&id), &without, &none, ChunkList::of(BYTES)).is_ok());
}

#[test]
fn what_the_log_revoked_is_refused() {
    let id = id();
    let bound = |entry: LogEntry| {
        let mut revocations = Revocations::default();
        revocations.add(&entry);
        PromotedArtifact::bind(record(), &expected(&id), &ring(), &revocations, ChunkList::of(BYTES))
            .map(drop)
    };
    let recalled = |sha256| LogEntry::Recalled {
        purl: None,
        sha256: Some(sha256),
        reason: "malware".to_owned(),
        actor: "ops".to_owned(),
        at: at("2026-09-01T00:00:00Z"),
    };
    let reason = "malware".to_owned();
    assert_eq!(bound(recalled(Sha256::of(BYTES))), Err(Revocation::Recalled { reason }.into()));
    assert_eq!(bound(recalled(Sha256::of(b"other"))), Ok(()));
    let ended = |epoch| LogEntry::Ended {
        purl: artifact_purl(&id).to_string(),
        sha256: Sha256::of(BYTES),
        epoch,
        state: "rejected".to_owned(),
        cause: "hash".to_owned(),
        at: at("2026-09-01T00:00:00Z"),
    };
    let state = "rejected".to_owned();
    assert_eq!(bound(ended(2)), Err(Revocation::Ended { epoch: 2, state }.into()));
    assert_eq!(bound(ended(1)), Ok(()));
}

#[test]
fn the_chunk_list_is_the_promoted_one() {
    let id = id();
    let other = ChunkList::of(b"right-pa");
    let root = ChunkError::Root { expected: ChunkList::of(BYTES).root(), found: other.root() };
    let bound = PromotedArtifact::bind(record(), &expected(&id), &ring(), &Revocations::default(), other);
    assert_eq!(bound.expect_err("another list"), RecordMismatch::Chunks(root));
}
