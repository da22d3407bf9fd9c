//! Statements and subject rules, on generated statements: no signature is asked for here.

use std::fmt::Write as _;

use serde_json::json;
use sigstore_verify::types::{DsseSignature, KeyId, PayloadBytes};

use super::*;

const TYPE: &str = "https://in-toto.io/Statement/v1";

fn ours() -> ArtifactDigests {
    ArtifactDigests::of("our bytes")
}

fn other() -> ArtifactDigests {
    ArtifactDigests::of("other bytes")
}

fn facts() -> Facts {
    Facts {
        signed_at: vec![Timestamp::UNIX_EPOCH],
        level: EvidenceLevel::Proof,
        log_entries: Vec::new(),
        certificate: None,
        key_id: None,
    }
}

fn parse_text(payload_type: &str, text: impl Into<Vec<u8>>) -> Result<Statement, Refused> {
    let signature = DsseSignature::new(Vec::new().into(), KeyId::default());
    Statement::parse(&DsseEnvelope::new(payload_type, PayloadBytes::new(text.into()), signature))
}

fn parse_value(statement: &Value) -> Result<Statement, Refused> {
    parse_text(PAYLOAD_TYPE, statement.to_string())
}

fn sha256(name: &str, digests: ArtifactDigests) -> Value {
    json!({ "name": name, "digest": { "sha256": digests.sha256.to_string() } })
}

fn both(name: &str, sha256: ArtifactDigests, sha512: ArtifactDigests) -> Value {
    json!({ "name": name, "digest": { "sha256": sha256.sha256.to_string(), "sha512": sha512.sha512.to_string() } })
}

fn about(subjects: &Value) -> Value {
    json!({ "_type": TYPE, "subject": subjects, "predicateType": "https://example.test/p", "predicate": { "a": 1 } })
}

fn applied(subjects: &Value, digest: SubjectDigest, exactly_one: bool) -> Result<VerifiedStatement, Problem> {
    let statement = parse_value(&about(subjects)).map_err(|refused| refused.problem)?;
    let rule = SubjectRule { name: &|name| name == "ours", digest, exactly_one };
    statement.apply(&rule, &ours(), facts()).map_err(|refused| refused.problem)
}

fn refusal(subjects: &Value, digest: SubjectDigest, exactly_one: bool) -> Option<Problem> {
    applied(subjects, digest, exactly_one).err()
}

fn problem(statement: &Value) -> Option<Problem> {
    parse_value(statement).err().map(|refused| refused.problem)
}

#[test]
fn what_is_read_is_what_was_said() {
    let read = applied(&json!([sha256("ours", ours())]), SubjectDigest::Sha256, true).expect("a statement");
    assert_eq!(read.predicate_type(), "https://example.test/p");
    assert_eq!(read.subject_name(), "ours");
    assert_eq!(read.predicate(), &json!({ "a": 1 }));
    let mut silent = about(&json!([sha256("ours", ours())]));
    for nothing in [Some(Value::Null), None] {
        match nothing {
            Some(null) => silent["predicate"] = null,
            None => drop(silent.as_object_mut().expect("an object").remove("predicate")),
        }
        let rule = SubjectRule { name: &|_| true, digest: SubjectDigest::Sha256, exactly_one: true };
        let read = parse_value(&silent).expect("a statement").apply(&rule, &ours(), facts()).expect("ours");
        assert_eq!(read.predicate(), &Value::Null);
    }
}

#[test]
fn name_and_digest_stand_in_the_same_subject() {
    let by = SubjectDigest::Sha256;
    assert_eq!(refusal(&json!([sha256("ours", ours())]), by, true), None);
    assert_eq!(refusal(&json!([sha256("theirs", ours())]), by, true), Some(Problem::SubjectName));
    assert_eq!(refusal(&json!([sha256("ours", other())]), by, true), Some(Problem::SubjectDigest));
    let split = json!([sha256("ours", other()), sha256("theirs", ours())]);
    assert_eq!(refusal(&split, by, false), Some(Problem::SubjectDigest));
    assert_eq!(refusal(&split, by, true), Some(Problem::SubjectCount));
    let second = json!([sha256("theirs", other()), sha256("ours", ours())]);
    assert_eq!(refusal(&second, by, false), None);
    assert_eq!(refusal(&second, by, true), Some(Problem::SubjectCount));
    let nameless = json!([{ "digest": { "sha256": ours().sha256.to_string() } }]);
    assert_eq!(refusal(&nameless, by, true), Some(Problem::SubjectName));
}

#[test]
fn the_ecosystem_chooses_the_algorithm_and_every_other_must_agree() {
    let (by256, by512) = (SubjectDigest::Sha256, SubjectDigest::Sha512);
    assert_eq!(refusal(&json!([sha256("ours", ours())]), by512, true), Some(Problem::SubjectDigest));
    for by in [by256, by512] {
        assert_eq!(refusal(&json!([both("ours", ours(), ours())]), by, true), None);
        assert_eq!(refusal(&json!([both("ours", other(), ours())]), by, true), Some(Problem::SubjectDigest));
        assert_eq!(refusal(&json!([both("ours", ours(), other())]), by, true), Some(Problem::SubjectDigest));
    }
    let mut extra = sha256("ours", ours());
    extra["digest"]["gitCommit"] = "abc".into();
    assert_eq!(refusal(&json!([extra]), by256, true), None);
    // The right digits under the name of another algorithm.
    let hex = ours().sha512.to_string();
    let mislabelled = |label: &str| json!([{ "name": "ours", "digest": { label: hex } }]);
    assert_eq!(refusal(&mislabelled("sha512"), by512, true), None);
    for label in ["sha256", "sha384", "sha3_512", "SHA512", "md5", "gitCommit"] {
        assert_eq!(refusal(&mislabelled(label), by512, true), Some(Problem::SubjectDigest), "{label}");
    }
}

#[test]
fn digests_are_lower_case_hexadecimal_of_the_right_length() {
    let good = ours().sha256.to_string();
    let digest = |text: String| problem(&about(&json!([{ "name": "ours", "digest": { "sha256": text } }])));
    assert_eq!(digest(good.clone()), None);
    for bad in
        [good.to_uppercase(), good[2..].to_owned(), format!("{good}00"), format!("0x{good}"), String::new()]
    {
        assert_eq!(digest(bad.clone()), Some(Problem::SubjectDigest), "{bad}");
    }
    let without = |digest: &Value| problem(&about(&json!([{ "name": "ours", "digest": digest }])));
    assert_eq!(without(&json!({})), Some(Problem::SubjectDigest));
    assert_eq!(without(&Value::Null), Some(Problem::SubjectDigest));
    assert_eq!(without(&json!({ "sha256": 1 })), Some(Problem::Malformed));
    // A bad digest is refused in whichever subject it stands.
    let mixed = json!([sha256("ours", ours()), { "name": "theirs", "digest": { "sha512": "zz" } }]);
    assert_eq!(refusal(&mixed, SubjectDigest::Sha256, false), Some(Problem::SubjectDigest));
}

#[test]
fn only_known_statements_are_read() {
    let with = |field: &str, value: Value| {
        let mut statement = about(&json!([sha256("ours", ours())]));
        statement[field] = value;
        problem(&statement)
    };
    assert_eq!(with("_type", "https://in-toto.io/Statement/v0.1".into()), None);
    for unknown in ["https://in-toto.io/Statement/v2", "https://in-toto.io/Statement/v1/", ""] {
        assert_eq!(with("_type", unknown.into()), Some(Problem::StatementType), "{unknown}");
    }
    assert_eq!(with("_type", Value::Null), Some(Problem::StatementType));
    assert_eq!(with("predicateType", "".into()), Some(Problem::PredicateType));
    assert_eq!(with("predicateType", Value::Null), Some(Problem::PredicateType));
    assert_eq!(with("predicateType", "x".repeat(1025).into()), Some(Problem::Limit));
    assert_eq!(with("subject", json!([])), Some(Problem::SubjectCount));
    assert_eq!(with("subject", Value::Null), Some(Problem::SubjectCount));
    assert_eq!(with("subject", json!({})), Some(Problem::Malformed));
    let subject = sha256("ours", ours());
    assert_eq!(with("subject", json!([["ours", subject["digest"]]])), Some(Problem::Malformed));
    let text = about(&json!([sha256("ours", ours())])).to_string();
    let problem = |payload_type: &str, text: &str| parse_text(payload_type, text).err().map(|r| r.problem);
    assert_eq!(problem(PAYLOAD_TYPE, &text), None);
    for other in [
        "application/vnd.in-toto+json; charset=utf-8",
        "application/json",
        "APPLICATION/VND.IN-TOTO+JSON",
        "",
    ] {
        assert_eq!(problem(other, &text), Some(Problem::PayloadType), "{other}");
    }
    let twice = text.replacen('{', "{\"predicateType\":\"x\",", 1);
    assert_eq!(problem(PAYLOAD_TYPE, &twice), Some(Problem::DuplicateKey));
    assert_eq!(problem(PAYLOAD_TYPE, &format!("{text}{text}")), Some(Problem::Malformed));
}

#[test]
fn many_subjects_are_a_limit() {
    let many = |count: usize| {
        let subjects: Vec<_> = (0..count).map(|_| sha256("ours", ours())).collect();
        problem(&about(&subjects.into()))
    };
    assert_eq!(many(1024), None);
    assert_eq!(many(1025), Some(Problem::Limit));
    let mut text = format!("{{\"_type\":\"{TYPE}\",\"subject\":[{{}}");
    for _ in 0..100_000 {
        text.write_str(",{}").expect("memory");
    }
    let refused = parse_text(PAYLOAD_TYPE, text + "]}").expect_err("too many");
    assert_eq!(refused.problem, Problem::Limit);
}
