//! The core metadata of a wheel is an artifact of its own, and nothing is attested about it.

use touchstone_domain::{Discontinuity, Reason, SignatureNote};
use touchstone_testkit::{sigstore::Identity, wheel};

use super::{World, get, get_file, publisher};

const REQUIRE: &str = "[attestations]\npypi = \"require\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_ratchet_it_is_served_and_the_ledger_is_not_asked() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let attested = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    let unattested = Reason::Unattested { registry_signature: SignatureNote::NotApplicable };
    let sidecar = |file: &str| format!("{file}.metadata");
    assert_eq!(get_file(&mirror, &attested, &sidecar(&attested.file)).await.served(), &unattested);
    assert_eq!(world.asked_for_attestations(), 0);
    get(&mirror, &attested).await.attested();
    let stripped = world.python(wheel("foo", "1.1", &[], 9), None);
    assert_eq!(get_file(&mirror, &stripped, &sidecar(&stripped.file)).await.served(), &unattested);
    let wheel = get(&mirror, &stripped).await;
    assert!(matches!(wheel.discontinued(), Discontinuity::Downgrade { .. }), "{}", wheel.outcome().reason);
}

/// pip asks for it before the wheel, and a project whose attestations are required must be installable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_attestations_are_required_those_of_the_wheel_decide() {
    let world = World::new().await;
    let mirror = world.mirror().policy(REQUIRE).start().await;
    let attested = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    let sidecar = get_file(&mirror, &attested, &format!("{}.metadata", attested.file)).await;
    sidecar.attested();
    let (ecosystem, package) = (sidecar.story.facts.id.ecosystem, sidecar.story.facts.id.package.clone());
    assert!(
        !mirror.store.has_identity(ecosystem, &package).await.expect("asked"),
        "only the wheel gets on the ledger"
    );
    get(&mirror, &attested).await.attested();
    assert_eq!(mirror.store.identities(ecosystem, &package, 9).await.expect("rows").len(), 1);

    let plain = world.python(wheel("plain", "1.0", &[], 9), None);
    for file in [plain.file.clone(), format!("{}.metadata", plain.file)] {
        let release = get_file(&mirror, &plain, &file).await;
        assert_eq!(release.held().code(), "unattested", "{file}");
    }
    let fork = world.python(wheel("foo", "1.1", &[], 9), Some(&Identity::github("fork/name")));
    for file in [format!("{}.metadata", fork.file), fork.file.clone()] {
        let release = get_file(&mirror, &fork, &file).await;
        assert!(matches!(release.discontinued(), Discontinuity::Changed { .. }), "{file}");
    }
    let other = world.python(wheel("foo", "1.2", &[], 9), None);
    let object = world.sigstore.pypi_provenance(&publisher(), &other.file, &attested.sha256());
    world.registry.attest(&other.file, object);
    let release = get_file(&mirror, &other, &format!("{}.metadata", other.file)).await;
    assert_eq!(release.refused(), "artifact_digest");
}
