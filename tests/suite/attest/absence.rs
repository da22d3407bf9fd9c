//! An attestation that is missing (threats.md A-39; ecosystems.md 4.1.6, 5.4).

use touchstone_domain::{Discontinuity, Reason, SignatureNote};
use touchstone_testkit::{sdist, wheel};

use super::{Release, World, get, list, publisher};

/// The version that a downgrade is compared with.
#[track_caller]
fn downgraded(release: &Release) -> String {
    let Discontinuity::Downgrade { since, identity } = release.discontinued() else {
        panic!("{}", release.outcome().reason)
    };
    assert_eq!(identity.repository.as_deref(), Some("https://github.com/org/name"));
    since.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_without_holds_in_its_line_and_above_and_passes_below() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let (oldest, below) =
        (world.publish("name", "1.0.0", "org/name"), world.publish("name", "2.0.0", "org/name"));
    list(&mirror, &oldest).await;
    get(&mirror, &world.release("name", "2.1.0", &publisher())).await.attested();

    let stripped = get(&mirror, &world.publish("name", "2.1.1", "org/name")).await;
    assert_eq!(downgraded(&stripped), "2.1.0");
    let next = get(&mirror, &world.publish("name", "3.0.0", "org/name")).await;
    assert_eq!(downgraded(&next), "2.1.0", "a new major version is no way out");
    assert_eq!(mirror.incidents().await, ["continuity_broken"; 2]);

    let registry_signature = SignatureNote::Verified;
    for old in [&oldest, &below] {
        assert_eq!(
            get(&mirror, old).await.served(),
            &Reason::Unattested { registry_signature },
            "{}",
            old.version
        );
    }
    let newly = world.publish("name", "1.0.1", "org/name");
    get(&mirror, &newly).await.served();
    let backdated = world.publish("name", "2.0.9", "org/name").published("2011-01-01T00:00:00Z");
    assert_eq!(downgraded(&get(&mirror, &backdated).await), "2.1.0", "it was not listed before");
    get(&mirror, &world.release("name", "2.1.2", &publisher())).await.attested();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_listed_with_attestations_may_not_come_without() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let package = world.release("name", "1.0.0", &publisher());
    list(&mirror, &package).await;
    world.registry.strip(&package.file);
    let withdrawn = get(&mirror, &package).await;
    assert_eq!(withdrawn.discontinued(), &Discontinuity::Withdrawn);
    assert_eq!(mirror.incidents().await, ["continuity_broken"]);
}

/// 5.4: a file of the same version, and a version by token after trusted publishing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_file_without_holds_after_one_with() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let attested = world.python(wheel("foo", "1.0", &[], 9), Some(&publisher()));
    get(&mirror, &attested).await.attested();
    // Everything that was listed of that version had one.
    let sdist = world.python(sdist("foo", "1.0"), None);
    assert_eq!(get(&mirror, &sdist).await.discontinued(), &Discontinuity::Withdrawn);
    for package in [wheel("foo", "1.1", &[], 9), wheel("foo", "2.0", &[], 9)] {
        let package = world.python(package, None);
        assert_eq!(downgraded(&get(&mirror, &package).await), "1.0", "{}", package.file);
    }
}
