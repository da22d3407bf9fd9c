//! Documents that a private sigstore minted: honest, and each with one thing changed (ecosystems.md 4.1.6, threats.md A).

use std::sync::Arc;

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_attestation::{RegistryKeys, TrustRoot};
use touchstone_domain::{Ecosystem, FileName, OutcomeKind, PackageName, Reason, Sha512, Version};
use touchstone_ecosystems::npm::attestation::dist;
use touchstone_testkit::sigstore::{Bundle, Identity, NpmDocument, Sigstore};

use super::*;

const PACKAGE: &str = "@org/name";
const VERSION: &str = "1.2.3";
const TARBALL: &[u8] = b"tarball";
const REPOSITORY: &str = "git+https://github.com/org/name.git";

struct World {
    sigstore: Sigstore,
    identity: Identity,
    id: ArtifactId,
    dist: Dist,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let sigstore = Sigstore::new();
        let trust = trust(&sigstore);
        let id = ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new(PACKAGE).expect("a name"),
            version: Version::new(VERSION).expect("a version"),
            file: FileName::new("name-1.2.3.tgz").expect("a name"),
        };
        let identity = Identity::github("org/name").git_ref("refs/tags/v1.2.3");
        Self { sigstore, identity, id, dist: entry(&json!({})), trust }
    }

    fn document(&self) -> NpmDocument<'_> {
        self.sigstore.npm(&self.identity, PACKAGE, VERSION, &Sha512::of(TARBALL))
    }

    fn by(&self, identity: &Identity) -> NpmDocument<'_> {
        self.sigstore.npm(identity, PACKAGE, VERSION, &Sha512::of(TARBALL))
    }

    fn judge(&self, document: NpmDocument<'_>) -> Result<Attested, Rejection> {
        self.judge_bytes(&document.json())
    }

    fn judge_bytes(&self, bytes: &[u8]) -> Result<Attested, Rejection> {
        let digests = ArtifactDigests::of(TARBALL);
        let release = Release { id: &self.id, digests, dist: &self.dist, repository: Some(REPOSITORY) };
        judge(bytes, Sha256::of(bytes), &release, &self.trust)
    }

    /// Asserts that it is refused, for this and nothing else.
    fn refused(&self, document: NpmDocument<'_>, expected: &str) {
        let found = self.judge(document);
        assert_eq!(problem(&found), Some(expected), "{found:?}");
        assert!(matches!(found, Err(Rejection::Refused { .. })), "{found:?}");
    }
}

fn trust(sigstore: &Sigstore) -> Trust {
    Trust {
        root: Arc::new(TrustRoot::from_json(&sigstore.trusted_root_json()).expect("a root")),
        keys: Arc::new(RegistryKeys::from_json(&sigstore.registry_keys_json()).expect("keys")),
        npm_registry: Some(sigstore.registry_url.clone()),
    }
}

fn entry(more: &Value) -> Dist {
    let mut entry =
        json!({ "dist": { "attestations": {} }, "repository": { "type": "git", "url": REPOSITORY } });
    for (key, value) in more.as_object().expect("members") {
        entry[key] = value.clone();
    }
    dist(entry.to_string().as_bytes()).expect("an entry")
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

fn attestation(document: &mut Value, at: usize) -> &mut Value {
    &mut document["attestations"][at]
}

#[test]
fn an_honest_document_says_who_built_it_and_when_it_was_published() {
    let world = World::new();
    let bytes = world.document().json();
    let attested = world.judge_bytes(&bytes).expect("honest");
    let [Observed { identity, rank }] = attested.observed.as_slice() else { panic!("{attested:?}") };
    assert_eq!(identity.repository.as_deref(), Some("https://github.com/org/name"));
    assert_eq!(identity.workflow.as_deref(), Some(".github/workflows/release.yml"));
    assert_eq!(*rank, TrustRank::Provenance);
    let kinds: Vec<(&str, &str)> =
        attested.notes.iter().map(|note| (note.predicate_type.as_str(), note.level.as_str())).collect();
    assert_eq!(kinds, [(PROVENANCE_V1, "proof"), (PUBLISH, "proof")]);
    assert!(
        attested.notes.iter().all(|note| note.document == Sha256::of(&bytes) && note.log_entries.len() == 1)
    );
    assert_eq!(attested.published_at, Some(attested.notes[1].signed_at));
    assert!(attested.notes[0].signed_at < attested.notes[1].signed_at);
}

#[test]
fn the_registry_says_how_much_stands_behind_it() {
    let mut world = World::new();
    for (user, rank) in [
        (json!({ "trustedPublisher": { "id": "github" } }), TrustRank::TrustedPublisher),
        (json!({ "trustedPublisher": {}, "approver": "somebody" }), TrustRank::StagedPublish),
    ] {
        world.dist = entry(&json!({ "_npmUser": user }));
        assert_eq!(world.judge(world.document()).expect("honest").observed[0].rank, rank);
    }
}

/// Equality 3: the registry copies the field.
#[test]
fn the_metadata_names_the_repository_that_the_tarball_names() {
    let mut world = World::new();
    for other in [json!(null), json!({}), json!(7), json!({ "url": ["x"] }), json!("org/other")] {
        world.dist = entry(&json!({ "repository": other }));
        world.refused(world.document(), "repository_metadata");
    }
    world.dist = entry(&json!({ "repository": "org/name" }));
    world.judge(world.document()).expect("the same");
}

/// 4.1.6, A-32, A-33, A-34: genuine, and about something else.
#[test]
fn statements_about_something_else_are_refused() {
    let world = World::new();
    let of = |name: &str, version: &str, bytes: &[u8]| {
        world.sigstore.npm(&world.identity, name, version, &Sha512::of(bytes))
    };
    world.refused(of("@org/other", VERSION, TARBALL), "subject_name");
    world.refused(of("@Org/name", VERSION, TARBALL), "subject_name");
    world.refused(of(PACKAGE, "1.2.2", TARBALL), "subject_name");
    world.refused(of(PACKAGE, VERSION, b"other"), "artifact_digest");

    let two = |statement: &mut Value| {
        let again = statement["subject"][0].clone();
        statement["subject"].as_array_mut().expect("a list").push(again);
    };
    world.refused(world.document().provenance_statement(two), "subject_count");
    world.refused(world.document().publish_statement(two), "subject_count");
    let sha256 = json!({ "sha256": Sha256::of(TARBALL).to_string() });
    world.refused(
        world.document().provenance_statement(|s| s["subject"][0]["digest"] = sha256.clone()),
        "subject_digest",
    );
    world.refused(
        world.document().publish_statement(|s| s["subject"][0]["digest"] = sha256.clone()),
        "subject_digest",
    );
}

/// the first of the seven equalities, both kinds in each other's place, and kinds that are not known.
#[test]
fn a_predicate_counts_as_what_it_is_and_for_nothing_else() {
    let world = World::new();
    let renamed = |at: usize, kind: &'static str| {
        world.document().edit(move |d| attestation(d, at)["predicateType"] = kind.into())
    };
    world.refused(renamed(1, PROVENANCE_V0_2), "predicate_type");
    let swapped = world.document().edit(|d| {
        let kinds = [0, 1].map(|at| attestation(d, at)["predicateType"].clone());
        attestation(d, 0)["predicateType"] = kinds[1].clone();
        attestation(d, 1)["predicateType"] = kinds[0].clone();
    });
    world.refused(swapped, "signer_kind");
    let announced = "https://slsa.dev/provenance/v2";
    world.refused(renamed(1, announced), "predicate_type");
    world.refused(
        world.document().provenance_statement(|s| s["predicateType"] = announced.into()),
        "predicate_type",
    );
    let unknown = world
        .document()
        .provenance_statement(|s| s["predicateType"] = announced.into())
        .edit(|d| attestation(d, 1)["predicateType"] = announced.into());
    let detail = "the registry attests that it published it, and nothing says how it was built";
    assert_eq!(world.judge(unknown), Err(Rejection::Incomplete { problem: "provenance_missing", detail }));
    let publish = world.document().publish_statement(|s| s["predicateType"] = PROVENANCE_V1.into());
    world.refused(publish, "predicate_type");
}

#[test]
fn what_stands_beside_the_evidence_counts_for_nothing_and_verifies_all_the_same() {
    let world = World::new();
    let extra = |kind: &str, shape: fn(Bundle<'_>) -> Bundle<'_>| {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": {},
            "subject": [{ "name": "pkg:npm/%40org/name@1.2.3", "digest": { "sha512": hex(TARBALL) } }],
        });
        let stranger = Identity::github("somebody/else");
        let by_certificate = shape(world.sigstore.attest(&stranger, &statement)).value();
        let by_registry =
            shape(world.sigstore.attest_by_registry(&world.sigstore.registry_key, &statement)).value();
        [by_certificate, by_registry].map(|bundle| {
            let entry = json!({ "predicateType": kind, "bundle": bundle });
            world.document().edit(move |d| d["attestations"].as_array_mut().expect("a list").push(entry))
        })
    };
    let kind = "https://review.example/v1";
    let honest = world.judge(world.document()).expect("honest");
    for document in extra(kind, |bundle| bundle) {
        let attested = world.judge(document).expect("it verifies");
        assert_eq!((attested.observed, attested.notes.len()), (honest.observed.clone(), 2));
    }
    for document in extra(kind, |bundle| bundle.signature(|signature| signature[20] ^= 1)) {
        world.refused(document, "signature");
    }
    for document in extra(PUBLISH, |bundle| bundle).into_iter().chain(extra(PROVENANCE_V1, |bundle| bundle)) {
        world.refused(document, "duplicate_predicate");
    }
}

#[test]
fn both_kinds_must_be_there() {
    let world = World::new();
    let without = |at: usize| {
        world.document().edit(move |d| drop(d["attestations"].as_array_mut().expect("a list").remove(at)))
    };
    assert_eq!(problem(&world.judge(without(0))), Some("publish_missing"));
    assert_eq!(problem(&world.judge(without(1))), Some("provenance_missing"));
    for at in [0, 1] {
        let incomplete = world.judge(without(at)).expect_err("incomplete").outcome();
        assert_eq!(
            (incomplete.kind.as_str(), incomplete.reason.code()),
            ("inconclusive", "attestation_incomplete")
        );
    }
    world.refused(world.document().edit(|d| d["attestations"] = json!([])), "malformed");
    world.refused(world.document().edit(|d| *d = json!({})), "malformed");
}

#[test]
fn what_is_no_document_is_refused() {
    let world = World::new();
    let good = String::from_utf8(world.document().json()).expect("text");
    let twice = good.replacen("\"attestations\":", "\"attestations\":[],\"attestations\":", 1);
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (bytes, expected) in [
        (twice.as_bytes(), "duplicate_key"),
        (&good.as_bytes()[..good.len() - 1], "malformed"),
        (b"\xff".as_slice(), "malformed"),
        (deep.as_bytes(), "limit"),
    ] {
        assert_eq!(problem(&world.judge_bytes(bytes)), Some(expected));
    }
    let many = world.document().edit(|d| {
        let entry = attestation(d, 0).clone();
        d["attestations"] = Value::from(vec![entry; 1_000]);
    });
    world.refused(many, "limit");
}

/// 4.1.6: signatures that are broken, by keys and authorities that are not trusted, or from outside their time.
#[test]
fn bundles_that_do_not_verify_are_refused() {
    let world = World::new();
    world.refused(world.document().provenance(broken), "signature");
    world.refused(world.document().publish(broken), "signature");

    // 4.1.6: signed by the old key, and logged after it ended.
    let old = |at: Timestamp| {
        let publish = json!({
            "_type": "https://in-toto.io/Statement/v0.1", "predicateType": PUBLISH,
            "subject": [{ "name": "pkg:npm/%40org/name@1.2.3", "digest": { "sha512": hex(TARBALL) } }],
            "predicate": { "name": PACKAGE, "version": VERSION, "registry": world.sigstore.registry_url },
        });
        let bundle = world
            .sigstore
            .attest_by_registry(&world.sigstore.registry_key_old, &publish)
            .signed_at(at)
            .value();
        world.document().signed_at(at).edit(move |d| attestation(d, 0)["bundle"] = bundle)
    };
    world.refused(old(world.sigstore.now), "key_time");
    let end = world.sigstore.registry_key_old.attestations.and_then(|window| window.end).expect("it ended");
    world.judge(old(end - Span::new().minutes(5))).expect("logged while the key was in use");
}

/// Nothing is known against these, and nobody known vouches for them.
#[test]
fn what_is_by_an_authority_that_is_not_known_is_held_and_not_rejected() {
    let mut world = World::new();
    let honest = world.trust.clone();
    let with_root = |change: fn(&mut Value)| {
        let mut root = world.sigstore.trusted_root();
        change(&mut root);
        let root = TrustRoot::from_json(root.to_string().as_bytes()).expect("a root");
        Trust { root: Arc::new(root), ..honest.clone() }
    };
    let stranger = trust(&Sigstore::at(world.sigstore.now));
    let cases = [
        (with_root(|root| root["tlogs"] = json!([])), PROVENANCE_V1, "unknown_log"),
        (with_root(|root| root["ctlogs"] = json!([])), PROVENANCE_V1, "unknown_certificate_log"),
        (with_root(|root| root["certificateAuthorities"] = json!([])), PROVENANCE_V1, "unknown_authority"),
        (Trust { keys: Arc::clone(&stranger.keys), ..honest.clone() }, PUBLISH, "unknown_key"),
        (stranger, PROVENANCE_V1, "unknown_log"),
    ];
    for (trust, kind, expected) in cases {
        world.trust = trust;
        let held = world.judge(world.document()).expect_err("not known");
        assert!(matches!(&held, Rejection::Unknown { .. }), "{expected}: {held:?}");
        let outcome = held.outcome();
        let Reason::AttestationRefused { document, problem, .. } = &outcome.reason else {
            panic!("{outcome:?}")
        };
        assert_eq!((outcome.kind, &**document, &**problem), (OutcomeKind::Inconclusive, kind, expected));
    }
    world.trust = honest;
    world.judge(world.document()).expect("honest");
    let broken = world.judge(world.document().provenance(broken)).expect_err("broken").outcome();
    assert_eq!(broken.kind, OutcomeKind::Fail);
}

fn broken(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle.signature(|signature| signature[20] ^= 1)
}

fn hex(bytes: &[u8]) -> String {
    Sha512::of(bytes).to_string()
}

/// 4.1.6: the certificate is another one than the provenance says. The signature is right each time.
#[test]
fn the_certificate_must_say_what_the_provenance_says() {
    let world = World::new();
    let lying = |n: u32, value: &str| {
        let liar = world.identity.clone().claim(n, Some(value));
        // The provenance is the honest one.
        let honest = touchstone_testkit::sigstore::npm::slsa_provenance(&world.identity);
        world.by(&liar).provenance_statement(move |s| s["predicate"] = honest)
    };
    for (n, value, expected) in [
        (8, "https://token.actions.githubusercontent.com.evil.example", "issuer"),
        (12, "https://github.com/org/name-evil", "repository_manifest"),
        (14, "refs/heads/x", "workflow_ref"),
        (18, "https://github.com/org/name/.github/workflows/other.yml@refs/tags/v1.2.3", "workflow_path"),
        (13, "beef", "source_commit"),
        (15, "1", "source_repository_id"),
        (17, "1", "source_owner_id"),
        (20, "pull_request_target", "build_trigger"),
        (21, "https://github.com/org/name/actions/runs/1/attempts/1", "build_invocation"),
        (11, "self-hosted", "build_runner"),
    ] {
        world.refused(lying(n, value), expected);
    }
    world.refused(world.by(&world.identity.clone().claim(8, None)), "issuer");
    let person = Identity::email("a@b.example", "https://accounts.example");
    let honest = touchstone_testkit::sigstore::npm::slsa_provenance(&world.identity);
    world.refused(world.by(&person).provenance_statement(move |s| s["predicate"] = honest), "issuer");
    let other_type =
        |s: &mut Value| s["predicate"]["buildDefinition"]["buildType"] = "https://x.example".into();
    world.refused(world.document().provenance_statement(other_type), "build_type");
}

/// Equality 6.
#[test]
fn the_publish_attestation_is_of_this_version_this_registry_and_this_hour() {
    let mut world = World::new();
    for (field, value, expected) in [
        ("name", "@org/other", "publish_name"),
        ("version", "1.2.2", "publish_version"),
        ("registry", "https://other.example", "publish_registry"),
    ] {
        world.refused(world.document().publish_statement(|s| s["predicate"][field] = value.into()), expected);
    }
    let now = world.sigstore.now;
    let built = |hours: i64| now - Span::new().hours(hours).seconds(1);
    let at = |time: Timestamp| world.document().provenance(move |bundle| bundle.signed_at(time));
    world.refused(at(built(1)), "publish_time");
    let earlier = now - Span::new().minutes(10);
    world.refused(at(now).signed_at(earlier), "publish_time");
    world.judge(at(earlier).signed_at(earlier)).expect("in the same second");
    world.dist = entry(&json!({ "_npmUser": { "approver": "somebody" } }));
    let staged = world.document().provenance(move |bundle| bundle.signed_at(built(24)));
    world.judge(staged).expect("it waited for somebody");
}

/// The registry is not configured: then it is whichever signs with the keys.
#[test]
fn an_unset_registry_is_any_over_https() {
    let mut world = World::new();
    world.trust.npm_registry = None;
    let by = |url: &'static str| {
        world.document().publish_statement(move |s| s["predicate"]["registry"] = url.into())
    };
    world.judge(by("https://other.example")).expect("any");
    world.refused(by("http://other.example"), "publish_registry");
}
