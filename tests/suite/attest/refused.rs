//! What does not verify, or is not about this release, is rejected (threats.md, 4.1.6). A few through the whole
//! mirror; the rest beside the code.

use jiff::Span;
use serde_json::json;
use touchstone_domain::{OutcomeKind, Reason, Sha256, Sha512, SignatureNote};
use touchstone_testkit::{
    Package,
    sigstore::{Identity, NpmDocument, Sigstore, npm::slsa_provenance},
};

use super::{World, get, publisher};

type Change = for<'a> fn(&'a World, &Package) -> NpmDocument<'a>;

/// Each with one lie in it.
const LIES: [(&str, Change, &str); 7] = [
    (
        "evil-issuer",
        |world, package| {
            let evil = "https://token.actions.githubusercontent.com.evil.example";
            world.document(package, &publisher().claim(8, Some(evil)))
        },
        "issuer",
    ),
    (
        "other-workflow",
        |world, package| {
            let honest = slsa_provenance(&publisher());
            let other = publisher().workflow("other.yml");
            world.document(package, &other).provenance_statement(|s| s["predicate"] = honest)
        },
        "workflow_path",
    ),
    (
        "swapped-kinds",
        |world, package| {
            world.document(package, &publisher()).edit(|d| {
                let kinds = [0, 1].map(|at| d["attestations"][at]["predicateType"].clone());
                d["attestations"][0]["predicateType"] = kinds[1].clone();
                d["attestations"][1]["predicateType"] = kinds[0].clone();
            })
        },
        "signer_kind",
    ),
    (
        "unknown-version",
        |world, package| {
            let unknown = "https://slsa.dev/provenance/v2";
            world
                .document(package, &publisher())
                .edit(|d| d["attestations"][1]["predicateType"] = unknown.into())
        },
        "predicate_type",
    ),
    (
        "broken",
        |world, package| {
            world.document(package, &publisher()).provenance(|bundle| bundle.signature(|s| s[20] ^= 1))
        },
        "signature",
    ),
    (
        "other-registry",
        |world, package| {
            world
                .document(package, &publisher())
                .publish_statement(|s| s["predicate"]["registry"] = "https://other.example".into())
        },
        "publish_registry",
    ),
    (
        "other-repository",
        |world, package| world.document(package, &Identity::github("org/elsewhere")),
        "repository_manifest",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_lie_are_rejected_and_kept() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for (name, document, expected) in LIES {
        let package = world.publish(name, "1.0.0", "org/name");
        world.registry.attest(&package.file, document(&world, &package).json());
        let release = get(&mirror, &package).await;
        assert_eq!(release.refused(), expected, "{name}: {}", release.outcome().reason);
        assert_eq!(release.story.facts.evidence.len(), 2, "{name}: what was refused is kept");
        assert_eq!(release.verdict().evidence.len(), 2, "{name}");
    }
    assert_eq!(mirror.incidents().await, ["attestation_refused"; 7]);

    // The document of another version, with that version's honest signatures.
    let (older, newer) =
        (world.release("name", "1.0.0", &publisher()), world.publish("name", "1.0.1", "org/name"));
    world.registry.attest(&newer.file, world.document(&older, &publisher()).json());
    assert_eq!(get(&mirror, &newer).await.refused(), "artifact_digest");
}

/// 4.1.6: the publish attestation is by the key that ended, and the log took it after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_attestation_by_a_key_that_had_ended_is_rejected() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for (name, before_the_end, expected) in [("late", false, Some("key_time")), ("in-time", true, None)] {
        let package = world.publish(name, "1.0.0", "org/name");
        let end =
            world.sigstore.registry_key_old.attestations.and_then(|window| window.end).expect("it ended");
        let at = if before_the_end { end - Span::new().minutes(5) } else { world.sigstore.now };
        let mut publish = None;
        world
            .document(&package, &publisher())
            .publish_statement(|statement| publish = Some(statement.clone()))
            .json();
        let publish = publish.expect("a statement");
        let bundle = world
            .sigstore
            .attest_by_registry(&world.sigstore.registry_key_old, &publish)
            .signed_at(at)
            .value();
        let document = world
            .document(&package, &publisher())
            .signed_at(at)
            .edit(|d| d["attestations"][0]["bundle"] = bundle);
        world.registry.attest(&package.file, document.json());
        let release = get(&mirror, &package).await;
        match expected {
            Some(problem) => assert_eq!(release.refused(), problem),
            None => drop(release.attested().clone()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_signature_that_does_not_verify_is_rejected() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for (name, problem) in [("unknown", "unknown_key"), ("other", "signature")] {
        let package = world.publish(name, "1.0.0", "org/name");
        let signature = match name {
            "unknown" => json!({ "keyid": "SHA256:x", "sig": "MEUC" }),
            _ => world.sigstore.registry_signature(name, "1.0.1", &package.integrity()),
        };
        world.registry.sign(&package.file, vec![signature]);
        let release = get(&mirror, &package).await;
        // Other keys than ours may know it.
        let reason = if name == "unknown" { release.held() } else { release.rejected() };
        let Reason::RegistrySignatureRefused { problem: found, .. } = reason else { panic!("{reason}") };
        assert_eq!(found, problem);
        assert_eq!(release.verdict().trust, [Sha256::of(world.sigstore.registry_keys_json())]);
    }
    let unsigned = world.publish("unsigned", "1.0.0", "org/name");
    world.registry.sign(&unsigned.file, vec![]);
    let registry_signature = SignatureNote::Absent;
    assert_eq!(get(&mirror, &unsigned).await.served(), &Reason::Unattested { registry_signature });
}

/// Nothing is known against it, and nobody known vouches for it: it is held, by the trust that it names, and no waiver helps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_known_signed_is_held_whatever_is_waived() {
    let world = World::new().await;
    let stranger = Sigstore::at(world.sigstore.now);
    let (signed, attested) =
        (world.publish("signed", "1.0.0", "org/name"), world.publish("attested", "1.0.0", "org/name"));
    let signature = stranger.registry_signature("signed", "1.0.0", &signed.integrity());
    world.registry.sign(&signed.file, vec![signature]);
    let document = stranger.npm(&publisher(), "attested", "1.0.0", &Sha512::of(&attested.bytes));
    world.registry.attest(&attested.file, document.json());
    let wheel = touchstone_testkit::wheel("foo-bar", "1.0", &[], 9);
    let object = stranger.pypi_provenance(&publisher(), &wheel.file, &wheel.sha256());
    world.registry.attest(&wheel.file, object);
    world.registry.publish(wheel.clone());

    let waiver = |package: &Package| {
        let sha256 = package.sha256();
        format!("[[waiver]]\nsha256 = \"{sha256}\"\nreason = \"please\"\nexpires = \"2099-01-01\"\n")
    };
    let waivers = [&signed, &attested, &wheel].map(waiver).concat();
    let (keys, root) =
        (Sha256::of(world.sigstore.registry_keys_json()), Sha256::of(world.sigstore.trusted_root_json()));
    for policy in ["", "[attestations]\nnpm = \"require\"\npypi = \"require\"\n"] {
        let mirror = world.mirror().policy(&format!("{policy}{waivers}")).start().await;
        for (package, code, expected, trust) in [
            (&signed, "registry_signature_refused", "unknown_key", &[keys][..]),
            (&attested, "attestation_refused", "unknown_log", &[keys, root]),
            (&wheel, "attestation_refused", "unknown_log", &[root]),
        ] {
            let release = get(&mirror, package).await;
            let (Reason::AttestationRefused { problem, .. }
            | Reason::RegistrySignatureRefused { problem, .. }) = release.held()
            else {
                panic!("{}", release.outcome().reason)
            };
            assert_eq!((release.outcome().reason.code(), problem.as_str()), (code, expected));
            assert_eq!(release.outcome().kind, OutcomeKind::Inconclusive);
            assert_eq!(release.verdict().trust, trust, "{}", package.name);
        }
        assert_eq!(mirror.incidents().await, ["attestation_refused"; 3]);
    }
}

/// The old key may be in anybody's hands since it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_by_a_key_that_ended_counts_for_what_was_there() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let by_old_key = |name: &str, version: &str| {
        let package = world.publish(name, version, "org/name");
        let signature = world.sigstore.registry_key_old.sign(name, version, &package.integrity());
        world.registry.sign(&package.file, vec![signature]);
        package
    };
    // First contact: it says that it is from before, and nothing contradicts it.
    let registry_signature = SignatureNote::WeakTime;
    let first = get(&mirror, &by_old_key("name", "1.0.0")).await;
    assert_eq!(first.served(), &Reason::Unattested { registry_signature });
    // It newly appears in a package that we know, and says the same.
    let newly = get(&mirror, &by_old_key("name", "1.0.1")).await;
    let Reason::RegistrySignatureRefused { problem, .. } = newly.rejected() else {
        panic!("{}", newly.outcome().reason)
    };
    assert_eq!(problem, "key_expired");
    // It says itself that it is from after the end.
    let late = by_old_key("late", "1.0.0").published(&world.sigstore.now.to_string());
    world.registry.publish(late.clone());
    let late = get(&mirror, &late).await;
    let Reason::RegistrySignatureRefused { problem, .. } = late.rejected() else {
        panic!("{}", late.outcome().reason)
    };
    assert_eq!(problem, "key_expired");
}
