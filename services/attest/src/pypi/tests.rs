//! Provenance objects that a private sigstore minted: honest, and each with one thing changed (ecosystems.md 5.4).

use std::sync::Arc;

use serde_json::{Value, json};
use touchstone_attestation::{RegistryKeys, TrustRoot};
use touchstone_domain::OutcomeKind;
use touchstone_testkit::sigstore::{Bundle, Identity, Sigstore, pypi as minted};

use super::*;

const WHEEL: &str = "foo_bar-1.0-py3-none-any.whl";
const BYTES: &[u8] = b"wheel";

struct World {
    sigstore: Sigstore,
    identity: Identity,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let sigstore = Sigstore::new();
        let trust = Trust {
            root: Arc::new(TrustRoot::from_json(&sigstore.trusted_root_json()).expect("a root")),
            keys: Arc::new(RegistryKeys::from_json(&sigstore.registry_keys_json()).expect("keys")),
            npm_registry: None,
        };
        Self { sigstore, identity: Identity::github("org/foo-bar").git_ref("refs/tags/v1.0"), trust }
    }

    /// An attestation of the file, whose statement is changed before it is signed.
    fn attestation(&self, identity: &Identity, change: impl FnOnce(&mut Value)) -> Value {
        let mut statement = minted::publish_statement(WHEEL, &Sha256::of(BYTES));
        change(&mut statement);
        minted::attestation(&self.sigstore.attest(identity, &statement).value())
    }

    fn honest(&self) -> Value {
        self.attestation(&self.identity, |_| ())
    }

    fn judge(&self, attestations: &[Value]) -> Result<Attested, Rejection> {
        self.judge_object(&minted::provenance(&self.identity, attestations))
    }

    fn judge_object(&self, object: &Value) -> Result<Attested, Rejection> {
        self.judge_as(object, WHEEL, BYTES)
    }

    fn judge_as(&self, object: &Value, file: &str, bytes: &[u8]) -> Result<Attested, Rejection> {
        let package = PackageName::new("foo-bar").expect("a name");
        let file = FileName::new(file).expect("a name");
        let distribution =
            Distribution { package: &package, file: &file, digests: ArtifactDigests::of(bytes) };
        let document = object.to_string();
        judge(document.as_bytes(), Sha256::of(&document), &distribution, &self.trust)
    }

    fn refused(&self, attestations: &[Value], expected: &str) {
        assert_eq!(problem(&self.judge(attestations)), Some(expected));
    }
}

fn problem(found: &Result<Attested, Rejection>) -> Option<&'static str> {
    match found {
        Ok(_) => None,
        Err(
            Rejection::Refused { problem, .. }
            | Rejection::Unknown { problem, .. }
            | Rejection::Incomplete { problem, .. },
        ) => Some(problem),
    }
}

#[test]
fn an_honest_object_says_who_published() {
    let world = World::new();
    let attested = world.judge(&[world.honest()]).expect("honest");
    let [Observed { identity, rank }] = attested.observed.as_slice() else { panic!("{attested:?}") };
    assert_eq!(identity.repository.as_deref(), Some("https://github.com/org/foo-bar"));
    assert_eq!((*rank, attested.published_at), (TrustRank::TrustedPublisher, None));
    let [note] = attested.notes.as_slice() else { panic!("{attested:?}") };
    assert_eq!((note.predicate_type.as_str(), note.level.as_str()), (PUBLISH, "proof"));

    let slsa = world.attestation(&world.identity, |s| {
        s["predicateType"] = PROVENANCE_V1.into();
        s["predicate"] = json!({ "buildDefinition": {} });
    });
    let both = world.judge(&[world.honest(), slsa]).expect("one of each");
    assert_eq!((both.observed.len(), both.notes.len()), (1, 2), "the same signer once");
    let gitlab = World { identity: Identity::gitlab("org/foo-bar"), ..World::new() };
    gitlab.judge(&[gitlab.honest()]).expect("another forge");
}

/// 5.4, A-32, A-33: genuine, and about another file.
#[test]
fn statements_about_another_file_are_refused() {
    let world = World::new();
    let named = |name: &str| world.attestation(&world.identity, |s| s["subject"][0]["name"] = name.into());
    for other in [
        "foo_bar-1.0.tar.gz",
        "foo_bar-1.0-py2-none-any.whl",
        "foo_bar-1.1-py3-none-any.whl",
        "foo-1.0-py3-none-any.whl",
    ] {
        world.refused(&[named(other)], "subject_name");
    }
    for same in ["Foo.Bar-1.0-py3-none-any.whl", "foo_bar-1.0.0-py3-none-any.whl"] {
        world.judge(&[named(same)]).expect(same);
    }
    let object = minted::provenance(&world.identity, &[world.honest()]);
    assert_eq!(problem(&world.judge_as(&object, "foo_bar-1.0.tar.gz", BYTES)), Some("subject_name"));
    assert_eq!(problem(&world.judge_as(&object, WHEEL, b"other")), Some("artifact_digest"));
    world.refused(
        &[world.attestation(&world.identity, |s| {
            let again = s["subject"][0].clone();
            s["subject"].as_array_mut().expect("a list").push(again);
        })],
        "subject_count",
    );
    let sdist = json!([{ "name": "foo_bar-1.0.zip", "digest": { "sha256": Sha256::of(BYTES).to_string() } }]);
    let zip = world.attestation(&world.identity, |s| s["subject"] = sdist);
    let object = minted::provenance(&world.identity, &[zip]);
    assert_eq!(problem(&world.judge_as(&object, "foo_bar-1.0.tar.gz", BYTES)), Some("subject_name"));
}

/// 5.4, A-31.
#[test]
fn only_known_kinds_count_and_each_once() {
    let world = World::new();
    world.refused(
        &[world.attestation(&world.identity, |s| s["predicateType"] = "https://x.example/v1".into())],
        "predicate_type",
    );
    world.refused(
        &[
            world.honest(),
            world.attestation(&world.identity, |s| s["predicateType"] = "https://x.example/v1".into()),
        ],
        "predicate_type",
    );
    world.refused(&[world.attestation(&world.identity, |s| s["predicate"] = json!({ "a": 1 }))], "predicate");
    world.judge(&[world.attestation(&world.identity, |s| s["predicate"] = json!({}))]).expect("empty");
    world.refused(&[world.honest(), world.honest()], "duplicate_predicate");

    let mut two = minted::provenance(&world.identity, &[world.honest()]);
    let other = Identity::github("org/other");
    let bundle = json!({ "publisher": minted::publisher(&other), "attestations": [world.attestation(&other, |_| ())] });
    two["attestation_bundles"].as_array_mut().expect("a list").push(bundle);
    assert_eq!(world.judge_object(&two).expect("of two publishers").observed.len(), 2);
}

/// 5.4: the index names one publisher, and another one signed.
#[test]
fn the_publisher_that_the_index_names_is_the_one_that_signed() {
    let world = World::new();
    let by = |identity: &Identity| world.attestation(identity, |_| ());
    for other in [
        Identity::github("fork/foo-bar"),
        Identity::github("org/foo-bar").workflow("other.yml"),
        Identity::gitlab("org/foo-bar"),
        Identity::github("org/foo-bar").issuer("https://token.actions.githubusercontent.com.evil.example"),
        Identity::github("org/foo-bar").claim(8, None),
        Identity::email("a@b.example", "https://accounts.example"),
    ] {
        world.refused(&[by(&other)], "publisher");
    }
    let with = |field: &str, value: &str| {
        let mut object = minted::provenance(&world.identity, &[world.honest()]);
        object["attestation_bundles"][0]["publisher"][field] = value.into();
        problem(&world.judge_object(&object))
    };
    assert_eq!(with("repository", "org/other"), Some("publisher"));
    assert_eq!(with("workflow", "other.yml"), Some("publisher"));
    assert_eq!(with("kind", "ActiveState"), Some("publisher"));
    assert_eq!(with("kind", "GitLab"), Some("malformed"), "that kind has other fields");

    let production = world.identity.clone().environment("production");
    let object =
        |identity: &Identity| minted::provenance(&production, &[world.attestation(identity, |_| ())]);
    world.judge_object(&object(&production)).expect("the same environment");
    let test = world.identity.clone().environment("test");
    assert_eq!(problem(&world.judge_object(&object(&test))), Some("publisher"));
}

/// Nothing is known against it, and nobody known vouches for it.
#[test]
fn what_is_by_an_authority_that_is_not_known_is_held_and_not_rejected() {
    let world = World::new();
    for (list, expected) in [
        ("tlogs", "unknown_log"),
        ("ctlogs", "unknown_certificate_log"),
        ("certificateAuthorities", "unknown_authority"),
    ] {
        let mut root = world.sigstore.trusted_root();
        root[list] = json!([]);
        let root = TrustRoot::from_json(root.to_string().as_bytes()).expect("a root");
        let trust = Trust { root: Arc::new(root), ..world.trust.clone() };
        let other = World { trust, identity: world.identity.clone(), sigstore: Sigstore::new() };
        let held = other.judge(&[world.honest()]).expect_err("not known");
        assert_eq!(held.clone().outcome().kind, OutcomeKind::Inconclusive, "{list}");
        assert_eq!(problem(&Err(held)), Some(expected));
    }
    world.judge(&[world.honest()]).expect("honest");
}

/// 5.4: forms that are none.
#[test]
fn what_is_no_provenance_object_is_refused() {
    let world = World::new();
    let edited = |change: fn(&mut Value)| {
        let mut object = minted::provenance(&world.identity, &[world.honest()]);
        change(&mut object);
        problem(&world.judge_object(&object))
    };
    assert_eq!(edited(|_| ()), None);
    for change in [
        (|o: &mut Value| o["version"] = 2.into()) as fn(&mut Value),
        |o| o["attestation_bundles"] = json!([]),
        |o| o["attestation_bundles"][0]["attestations"] = json!([]),
        |o| *o = json!({}),
        |o| o["attestation_bundles"][0]["publisher"] = json!({ "kind": "GitHub", "claims": null }),
    ] {
        assert_eq!(edited(change), Some("malformed"));
    }
    let edited = |pointer: &str, value: Value| {
        let mut object = minted::provenance(&world.identity, &[world.honest()]);
        *object.pointer_mut(&format!("/attestation_bundles/0/attestations/0{pointer}")).expect("there") =
            value;
        problem(&world.judge_object(&object))
    };
    for (pointer, value, expected) in [
        ("/version", json!(2), "unsupported_version"),
        ("/verification_material/transparency_entries", json!([]), "log_inclusion"),
        ("/envelope/signature", json!("AAAA"), "signature"),
        ("/envelope/statement", json!("e30="), "statement_type"),
        ("", json!({}), "malformed"),
    ] {
        assert_eq!(edited(pointer, value), Some(expected), "{pointer}");
    }
    let broken = |bundle: Bundle<'_>| bundle.signature(|signature| signature[20] ^= 1).value();
    let bundle = broken(world.sigstore.pypi_bundle(&world.identity, WHEEL, &Sha256::of(BYTES)));
    world.refused(&[minted::attestation(&bundle)], "signature");
    world.refused(&[world.honest(), minted::attestation(&bundle)], "signature");
}

#[test]
fn an_entry_of_the_index_says_whether_there_is_provenance() {
    let attested = |text: &Value| Entry::parse(text.to_string().as_bytes()).expect("an object").is_attested();
    assert!(attested(&json!({ "provenance": "https://x.example/", "hashes": {} })));
    assert!(!attested(&json!({})) && !attested(&json!({ "provenance": null })));
    Entry::parse(b"[").expect_err("no object");
}
