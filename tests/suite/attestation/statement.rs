//! Statements and their subjects (threats.md; ecosystems.md 14 A1 to A6).

use serde_json::{Value, json};
use touchstone_attestation::{
    ArtifactDigests, Problem, Refused, Signer, SubjectDigest, SubjectRule, VerifiedStatement,
};
use touchstone_domain::{Sha256, Sha512};
use touchstone_testkit::sigstore::pypi::PYPI_PUBLISH;

use super::{ARTIFACT, Edit, NPM, WHEEL_FILE, World};

impl World {
    /// Signs a statement after a change and judges it by a rule.
    fn states(
        &self,
        change: impl FnOnce(&mut Value),
        digest: SubjectDigest,
        exactly_one: bool,
    ) -> Result<VerifiedStatement, Refused> {
        let mut statement = self.statement.clone();
        change(&mut statement);
        let bundle = self.sigstore.attest(&self.identity, &statement).json();
        let verified = self.root.verify(&bundle, &ArtifactDigests::of(ARTIFACT), Signer::Certificate)?;
        let name = |name: &str| name == WHEEL_FILE;
        verified.into_statement(&SubjectRule { name: &name, digest, exactly_one })
    }

    /// One subject, by SHA-256.
    fn states_one(&self, change: impl FnOnce(&mut Value)) -> Result<VerifiedStatement, Refused> {
        self.states(change, SubjectDigest::Sha256, true)
    }
}

/// what a statement must have.
#[test]
fn an_incomplete_statement_is_refused() {
    let world = World::new();
    assert_eq!(world.states_one(|_| ()).unwrap().subject_name(), WHEEL_FILE);
    let cases: [(&str, Edit, Problem); 13] = [
        ("another type", |s| s["_type"] = "https://in-toto.io/Statement/v2".into(), Problem::StatementType),
        ("an empty type", |s| s["_type"] = "".into(), Problem::StatementType),
        ("no type", |s| super::remove(s, "_type"), Problem::StatementType),
        ("no predicate type", |s| super::remove(s, "predicateType"), Problem::PredicateType),
        ("an empty predicate type", |s| s["predicateType"] = "".into(), Problem::PredicateType),
        ("no subject", |s| super::remove(s, "subject"), Problem::SubjectCount),
        ("no subjects", |s| s["subject"] = json!([]), Problem::SubjectCount),
        ("a subject that is not in a list", |s| s["subject"] = s["subject"][0].clone(), Problem::Malformed),
        ("no digest", |s| super::remove(&mut s["subject"][0], "digest"), Problem::SubjectDigest),
        ("no digests", |s| s["subject"][0]["digest"] = json!({}), Problem::SubjectDigest),
        ("a digest that is no text", |s| s["subject"][0]["digest"]["sha256"] = json!(7), Problem::Malformed),
        ("no name", |s| super::remove(&mut s["subject"][0], "name"), Problem::SubjectName),
        ("a list", |s| *s = json!([s.clone()]), Problem::Malformed),
    ];
    for (what, change, problem) in cases {
        super::refused(what, world.states_one(change), problem);
    }
}

/// Both types of statements are read, and without a predicate.
#[test]
fn an_old_statement_is_accepted() {
    let world = World::new();
    world.states_one(|s| s["_type"] = "https://in-toto.io/Statement/v0.1".into()).unwrap();
    let verified = world.states_one(|s| super::remove(s, "predicate")).unwrap();
    assert_eq!(verified.predicate(), &Value::Null);
}

/// the predicate type is the signed one. Whether it is the wanted one, its caller decides.
#[test]
fn the_predicate_type_is_the_signed_one() {
    let world = World::new();
    assert_eq!(world.states_one(|_| ()).unwrap().predicate_type(), PYPI_PUBLISH);
    let other = "https://slsa.dev/provenance/v9";
    assert_eq!(world.states_one(|s| s["predicateType"] = other.into()).unwrap().predicate_type(), other);
}

/// A1, A2, A-32: another name.
#[test]
fn a_statement_about_another_name_is_refused() {
    let world = World::new();
    world.states_one(|_| ()).unwrap();
    for name in [
        "other-4.0.0-py3-none-any.whl",
        "sample-4.0.1-py3-none-any.whl",
        "SAMPLE-4.0.0-py3-none-any.whl",
        "",
        "../x",
    ] {
        super::refused(
            name,
            world.states_one(|s| s["subject"][0]["name"] = name.into()),
            Problem::SubjectName,
        );
    }
}

/// A3: the right name with another artifact's digest.
#[test]
fn a_statement_about_other_bytes_is_refused() {
    let world = World::new();
    world.states_one(|_| ()).unwrap();
    let result =
        world.states_one(|s| s["subject"][0]["digest"]["sha256"] = Sha256::of(b"other").to_string().into());
    super::refused("other bytes", result, Problem::ArtifactDigest);
}

/// the honest bundle of the version before, with that version's bytes, offered as this one.
#[test]
fn an_older_release_offered_as_this_one_is_refused() {
    let world = World::new();
    let bundle = world.publish().json();
    super::accepted(world.judge_publish(&bundle));
    let verified =
        world.root.verify(&bundle, &ArtifactDigests::of(ARTIFACT), Signer::RegistryKey(&world.keys)).unwrap();
    let next = touchstone_testkit::sigstore::npm::purl(NPM.0, "1.0.1");
    let name = |name: &str| name == next;
    let rule = SubjectRule { name: &name, digest: SubjectDigest::Sha512, exactly_one: true };
    super::refused("the next version", verified.into_statement(&rule), Problem::SubjectName);
    let newer = ArtifactDigests::of(b"the next version's bytes");
    let result = world.root.verify(&bundle, &newer, Signer::RegistryKey(&world.keys));
    super::refused("the next version's bytes", result, Problem::ArtifactDigest);
}

/// A4, A5, A-32: where there may be one subject only, two are refused; elsewhere name and digest must be in the same one.
#[test]
fn name_and_digest_are_of_one_subject() {
    let world = World::new();
    let other = || json!({ "name": "other.whl", "digest": { "sha256": Sha256::of(b"other").to_string() } });
    let push = |s: &mut Value| s["subject"].as_array_mut().unwrap().push(other());
    let insert = |s: &mut Value| s["subject"].as_array_mut().unwrap().insert(0, other());
    let many = |change: &dyn Fn(&mut Value)| world.states(change, SubjectDigest::Sha256, false);
    world.states_one(|_| ()).unwrap();
    super::refused("two", world.states_one(push), Problem::SubjectCount);
    super::refused("ours last", world.states_one(insert), Problem::SubjectCount);
    many(&push).unwrap();
    many(&insert).unwrap();
    let crossed = |s: &mut Value| {
        push(s);
        let ours = s["subject"][0]["digest"].take();
        s["subject"][0]["digest"] = s["subject"][1]["digest"].take();
        s["subject"][1]["digest"] = ours;
    };
    super::refused("crossed", many(&crossed), Problem::SubjectDigest);
}

/// A6, A-33: the digest is of the ecosystem's algorithm, under its own name, in lower-case hexadecimal.
#[test]
fn a_digest_under_another_algorithm_is_refused() {
    let world = World::new();
    let (sha256, sha512) = (Sha256::of(ARTIFACT).to_string(), Sha512::of(ARTIFACT).to_string());
    let digests = |digests: Value, by| world.states(move |s| s["subject"][0]["digest"] = digests, by, true);
    let by_256 = |value| digests(value, SubjectDigest::Sha256);
    let by_512 = |value| digests(value, SubjectDigest::Sha512);
    by_256(json!({ "sha256": sha256 })).unwrap();
    by_512(json!({ "sha512": sha512 })).unwrap();
    by_256(json!({ "sha256": sha256, "sha512": sha512, "gitCommit": "00" })).unwrap();
    super::refused("SHA-512 only", by_256(json!({ "sha512": sha512 })), Problem::SubjectDigest);
    super::refused("SHA-256 only", by_512(json!({ "sha256": sha256 })), Problem::SubjectDigest);
    super::refused("weak only", by_256(json!({ "md5": "00", "sha1": "00" })), Problem::SubjectDigest);
    super::refused("a commit only", by_256(json!({ "gitCommit": sha256 })), Problem::SubjectDigest);
    super::refused("another name", by_256(json!({ "SHA256": sha256 })), Problem::SubjectDigest);
    super::refused("under sha512", by_256(json!({ "sha512": sha256 })), Problem::SubjectDigest);
    super::refused("upper case", by_256(json!({ "sha256": sha256.to_uppercase() })), Problem::SubjectDigest);
    super::refused("too short", by_256(json!({ "sha256": &sha256[..62] })), Problem::SubjectDigest);
    let wrong = json!({ "sha256": sha256, "sha512": Sha512::of(b"other").to_string() });
    super::refused("a wrong one beside it", by_256(wrong), Problem::SubjectDigest);
}

/// A bundle that signs bytes states nothing.
#[test]
fn a_signature_of_bytes_is_no_statement() {
    let world = World::new();
    let bundle = world.sigstore.sign_artifact(&world.identity, ARTIFACT).json();
    let verified = super::accepted(world.judge_bytes(&bundle));
    let rule = SubjectRule { name: &|_| true, digest: SubjectDigest::Sha256, exactly_one: false };
    super::refused("no statement", verified.into_statement(&rule), Problem::PayloadType);
    let other = world.root.verify(&bundle, &ArtifactDigests::of(b"other"), Signer::Certificate);
    super::refused("other bytes", other, Problem::ArtifactDigest);
}
