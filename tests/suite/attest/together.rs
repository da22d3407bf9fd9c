//! The ledger with several workers, and after a restart.

use touchstone_domain::{ArtifactState, IdentityField, PackageName};
use touchstone_runtime::SystemClock;
use touchstone_testkit::{Package, TestMirror, eventually, sigstore::Identity};

use super::{World, get, purl, story};

/// Asks until the package is on record; nobody is there to decide.
async fn pending(mirror: &TestMirror, package: &Package) {
    eventually("it is on record", || async {
        let reply = mirror.get(super::target(package).trim_start_matches('/')).await;
        assert_eq!(reply.status(), 503, "{}", package.file);
        (!mirror.states(&purl(package)).await.is_empty()).then_some(())
    })
    .await;
}

/// Two first versions by two publishers, judged at once: exactly one of them is the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_first_releases_at_once_exactly_one_is_the_first() {
    let world = World::new().await;
    let mirror = world.mirror().attest_workers(0).hold(std::time::Duration::from_millis(100)).start().await;
    let mut contests = vec![];
    for n in 0..10 {
        let name = format!("contested-{n}");
        let one = world.release(&name, "1.0.0", &Identity::github("one/name"));
        let two = world.release(&name, "1.0.1", &Identity::github("two/name"));
        for package in [&one, &two] {
            pending(&mirror, package).await;
        }
        contests.push([one, two]);
    }
    for _ in 0..4 {
        mirror.attest_worker(std::sync::Arc::new(SystemClock)).await;
    }
    let mut winners = vec![];
    for packages in &contests {
        let mut states = vec![];
        for package in packages {
            states.push(
                eventually("it is decided", || async {
                    let story = story(&mirror, package, &package.file).await;
                    (!story.state().is_pending()).then(|| story.state())
                })
                .await,
            );
        }
        let won = states.iter().position(|state| *state == ArtifactState::Servable).expect("one of them");
        assert_eq!(states[1 - won], ArtifactState::Held, "{}", packages[0].name);
        let name = PackageName::new(&*packages[0].name).expect("a name");
        let ledger = mirror.store.identities(packages[0].ecosystem, &name, 9).await.expect("rows");
        assert_eq!(ledger.len(), 1, "{name}");
        assert_eq!(ledger[0].version.as_str(), packages[won].version);
        winners.push(won);
    }
    // A restart: another process, the same database.
    let restarted = world.mirror().beside(&mirror).start().await;
    for (packages, won) in contests.iter().zip(winners).take(3) {
        for (at, repository) in ["one/name", "two/name"].into_iter().enumerate() {
            let version = format!("1.1.{at}");
            let release =
                get(&restarted, &world.release(&packages[0].name, &version, &Identity::github(repository)))
                    .await;
            if at == won {
                release.attested();
            } else {
                assert_eq!(release.changed(), IdentityField::RepositoryId);
            }
        }
    }
}

/// Judging the same again answers the same and adds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_judged_again_comes_out_the_same() {
    let world = World::new().await;
    let mirror = world.mirror().attest_workers(3).start().await;
    let first = world.release("name", "1.0.0", &Identity::github("one/name"));
    let other = world.release("name", "1.0.1", &Identity::github("two/name"));
    get(&mirror, &first).await.attested();
    assert_eq!(get(&mirror, &other).await.changed(), IdentityField::RepositoryId);
    let package = "pkg:npm/name".parse().expect("a purl");
    for epoch in 1..4 {
        let policy = touchstone_domain::Policy::default();
        mirror.store.recheck(&package, &policy, true).await.expect("begun");
        for (package, state) in [(&first, ArtifactState::Servable), (&other, ArtifactState::Held)] {
            eventually("it is decided again", || async {
                let story = story(&mirror, package, &package.file).await;
                (story.gate.epoch == epoch && story.state() == state).then_some(())
            })
            .await;
        }
    }
    let name = PackageName::new("name").expect("a name");
    assert_eq!(
        mirror.store.identities(first.ecosystem, &name, 9).await.expect("rows").len(),
        1,
        "{}",
        purl(&first)
    );
}
