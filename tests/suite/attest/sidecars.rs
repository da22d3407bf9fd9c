//! The core metadata of a wheel is an artifact of its own (PEP 658), and nothing is attested about it. It must be what the wheel
//! holds, whichever of them comes first; and where attestations are required, clients are not told of it.

use serde_json::Value;
use touchstone_domain::{
    Algorithm, ArtifactState, ClaimField, Discontinuity, Outcome, Policy, Purl, Reason, Sha256, SignatureNote,
};
use touchstone_testkit::{Package, TestMirror, eventually, sigstore::Identity, wheel};
use touchstone_tests::clients::{Client, Project};

use super::{Release, World, get, get_file, list, publisher, purl, target};
use crate::protocol::raw::ask;

const REQUIRE: &str = "[attestations]\npypi = \"require\"\n";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

const UNATTESTED: Reason = Reason::Unattested { registry_signature: SignatureNote::NotApplicable };

fn sidecar(package: &Package) -> String {
    format!("{}.metadata", package.file)
}

fn metadata(package: &Package) -> &[u8] {
    package.metadata.as_deref().expect("a wheel has metadata")
}

/// The same wheel, beside which the registry puts metadata with another dependency.
fn forged(honest: &Package) -> Package {
    let other = wheel(&honest.name, &honest.version, &[("evil", "")], 9);
    Package { metadata: other.metadata, ..honest.clone() }
}

/// What is said of a sidecar and a wheel that differ.
fn differs(declared: &Package, wheel: &Package) -> Reason {
    Reason::DigestMismatch {
        field: ClaimField::PypiCoreMetadata,
        algorithm: Algorithm::Sha256,
        declared: Sha256::of(metadata(declared)).to_string(),
        computed: Sha256::of(metadata(wheel)).to_string(),
    }
}

/// Asserts that the hash check rejects it for this.
#[track_caller]
fn assert_rejected(release: &Release, expected: Reason) {
    assert_eq!(
        release.reply.line,
        "HTTP/1.1 403 Rejected by the hash check: digest_mismatch",
        "{}",
        release.reply.text()
    );
    let (story, epoch) = (&release.story, release.story.gate.epoch);
    let verdicts = story.verdicts.iter().map(|recorded| &recorded.verdict);
    let found: Vec<&Outcome> =
        verdicts.filter(|v| v.service == "hash" && v.epoch == epoch).map(|v| &v.outcome).collect();
    assert_eq!(found, [&Outcome::fail(expected)]);
    assert_eq!(story.state(), ArtifactState::Rejected);
}

/// The digest of the sidecar that the mirror offers.
async fn offered(mirror: &TestMirror, package: &Package) -> Value {
    let path = format!("/pypi/simple/{}/", package.name);
    let index = ask(mirror, "GET", &path, &[("Accept", JSON)]).await;
    let index: Value = serde_json::from_slice(&index.body).expect("JSON");
    let file = &index["files"][0];
    assert_eq!(file["core-metadata"], file["data-dist-info-metadata"]);
    file["core-metadata"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_ratchet_it_is_served_and_the_ledger_is_not_asked() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let attested = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    let release = get_file(&mirror, &attested, &sidecar(&attested)).await;
    assert_eq!(release.served(), &UNATTESTED);
    assert_eq!(world.asked_for_attestations(), 0);
    get(&mirror, &attested).await.attested();
    let stripped = world.python(wheel("foo", "1.1", &[], 9), None);
    assert_eq!(get_file(&mirror, &stripped, &sidecar(&stripped)).await.served(), &UNATTESTED);
    let wheel = get(&mirror, &stripped).await;
    assert!(matches!(wheel.discontinued(), Discontinuity::Downgrade { .. }), "{}", wheel.outcome().reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_wheel_only_what_the_wheel_holds_is_served() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let honest = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    get(&mirror, &honest).await.attested();
    let release = get_file(&mirror, &honest, &sidecar(&honest)).await;
    assert_eq!(release.served(), &UNATTESTED);
    assert!(release.reply.body == metadata(&honest));
    assert_eq!(mirror.incidents().await, Vec::<String>::new());

    let honest = world.python(wheel("foo", "1.1", &[], 9), Some(&publisher()));
    get(&mirror, &honest).await.attested();
    let forged = world.python(forged(&honest), Some(&publisher()));
    assert_rejected(&get_file(&mirror, &forged, &sidecar(&forged)).await, differs(&forged, &honest));
    assert_eq!(mirror.incidents().await, ["second_digest"]);
    let wheel = get(&mirror, &honest).await;
    wheel.attested();
    assert!(wheel.reply.body == honest.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_no_longer_offered() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let honest = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    get(&mirror, &honest).await.attested();
    let forged = world.python(forged(&honest), Some(&publisher()));
    assert_eq!(offered(&mirror, &forged).await["sha256"], Sha256::of(metadata(&forged)).to_string());
    assert_rejected(&get_file(&mirror, &forged, &sidecar(&forged)).await, differs(&forged, &honest));
    assert_eq!(offered(&mirror, &forged).await, false);
}

/// What was there first stays, and the wheel is refused; a recheck of both judges the sidecar by the wheel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_its_wheel_a_forged_one_keeps_the_wheel_out_until_both_are_rechecked() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let honest = wheel("foo", "1.0", &[], 9);
    let forged = world.python(forged(&honest), Some(&publisher()));
    assert_eq!(get_file(&mirror, &forged, &sidecar(&forged)).await.served(), &UNATTESTED);
    // The index is honest again, so that nothing but the sidecar on record contradicts the wheel.
    let honest = world.python(honest, Some(&publisher()));
    assert_rejected(&get(&mirror, &honest).await, differs(&forged, &honest));
    assert_eq!(get_file(&mirror, &forged, &sidecar(&forged)).await.served(), &UNATTESTED);
    assert_eq!(offered(&mirror, &honest).await, false, "the wheel that is listed now has other metadata");

    let both: Purl = purl(&honest).parse().expect("a purl");
    mirror.store.recheck(&both, &Policy::default(), true).await.expect("rechecked");
    eventually("both are decided", || async {
        let states = mirror.states(&purl(&honest)).await;
        states.values().all(|state| !state.is_pending()).then_some(())
    })
    .await;
    assert_rejected(&get_file(&mirror, &forged, &sidecar(&forged)).await, differs(&forged, &honest));
    get(&mirror, &honest).await.attested();
}

/// An index that declares the forged metadata for good is contradicted by the wheel itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wheel_that_is_declared_with_forged_metadata_is_refused() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let honest = wheel("foo", "1.0", &[], 9);
    let forged = world.python(forged(&honest), Some(&publisher()));
    assert_rejected(&get(&mirror, &forged).await, differs(&forged, &honest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_same_time_never_both_are_served() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for minor in 0..4 {
        let honest = wheel("foo", &format!("1.{minor}"), &[], 9);
        let forged = world.python(forged(&honest), Some(&publisher()));
        // The mirror takes this entry for the sidecar, and the next for the wheel.
        list(&mirror, &forged).await;
        let first = target(&forged).replace(&forged.file, &sidecar(&forged));
        let second = target(&honest);
        let (sidecar, wheel) = tokio::join!(ask(&mirror, "GET", &first, &[]), async {
            eventually("the registry is asked for the sidecar", || async {
                (world.registry.asked_for(&sidecar(&honest)) > 0).then_some(())
            })
            .await;
            world.python(honest.clone(), Some(&publisher()));
            list(&mirror, &honest).await;
            ask(&mirror, "GET", &second, &[]).await
        });
        let statuses = [sidecar.status(), wheel.status()];
        assert!([[200, 403], [403, 200]].contains(&statuses), "{statuses:?}: {}", wheel.text());
    }
}

/// Nothing attests a sidecar, so clients are led to the attested files themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_attestations_are_required_it_is_held_and_not_offered() {
    let world = World::new().await;
    let mirror = world.mirror().policy(REQUIRE).start().await;
    let attested = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    for wheel_is_known in [false, true] {
        assert_eq!(offered(&mirror, &attested).await, false, "the wheel is known: {wheel_is_known}");
        for accept in ["application/vnd.pypi.simple.v1+html", "text/html"] {
            let page = ask(&mirror, "GET", "/pypi/simple/foo/", &[("Accept", accept)]).await.text();
            assert!(page.contains(&format!("{}</a>", attested.file)), "{page}");
            assert!(!page.contains("-metadata"), "{page}");
        }
        if !wheel_is_known {
            get(&mirror, &attested).await.attested();
        }
    }
    assert_eq!(world.registry.asked_for(".metadata"), 0);
    assert_eq!(get_file(&mirror, &attested, &sidecar(&attested)).await.held(), &UNATTESTED);
    let id = &get(&mirror, &attested).await.story.facts.id;
    assert_eq!(mirror.store.identities(id.ecosystem, &id.package, 9).await.expect("rows").len(), 1);

    let plain = world.python(wheel("plain", "1.0", &[], 9), None);
    for file in [plain.file.clone(), sidecar(&plain)] {
        assert_eq!(get_file(&mirror, &plain, &file).await.held(), &UNATTESTED, "{file}");
    }
    let fork = world.python(wheel("foo", "1.1", &[], 9), Some(&Identity::github("fork/name")));
    assert!(matches!(get(&mirror, &fork).await.discontinued(), Discontinuity::Changed { .. }));
    assert_eq!(get_file(&mirror, &fork, &sidecar(&fork)).await.held(), &UNATTESTED);

    let elsewhere = world.mirror().start().await;
    assert_eq!(offered(&elsewhere, &plain).await["sha256"], Sha256::of(metadata(&plain)).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_attestations_are_required_pip_installs_what_is_attested() {
    let world = World::new().await;
    let mirror = world.mirror().policy(REQUIRE).start().await;
    world.python(wheel("foo", "1.0", &[("bar", ">=1")], 9), Some(&publisher()));
    world.python(wheel("bar", "1.0", &[], 9), Some(&publisher()));
    let run = Project::new(Client::Pip, &[("foo", "==1.0")]).install(&mirror.url()).await;
    assert!(run.succeeded(), "{run}");
    assert_eq!((run.versions("foo"), run.versions("bar")), (vec!["1.0"], vec!["1.0"]), "{run}");
    assert_eq!(world.registry.asked_for(".metadata"), 0);

    world.python(wheel("plain", "1.0", &[], 9), None);
    let run = Project::new(Client::Pip, &[("plain", "==1.0")]).install(&mirror.url()).await;
    assert!(!run.succeeded() && run.words().contains("Held by the attest check: unattested"), "{run}");
}
