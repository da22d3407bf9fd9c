//! One fetch per artifact, however many ask; many artifacts at once, however many workers share the checking.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use tokio::{sync::Semaphore, task::JoinSet};
use touchstone_domain::{ArtifactState, CheckKind};
use touchstone_runtime::ManualClock;
use touchstone_testkit::{Fault, Package, Registry, TestMirror, eventually, npm_package, wheel};

const CALLERS: usize = 200;
/// What may be asked for at once by one test.
const CLIENTS_MAX: usize = 32;

fn npm_path(package: &Package) -> String {
    format!("npm/{}/-/{}", package.name, package.file)
}

/// Asks for a path, and gives the status and the whole body.
async fn answer(request: reqwest::RequestBuilder) -> (u16, Vec<u8>) {
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("a whole body").to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_for_one_cold_artifact_cost_the_upstream_one_request() {
    let registry = Registry::start().await;
    let (npm, wheel) = (npm_package("left-pad", "1.3.0", &[], 90_000), wheel("sample", "4.0.0", &[], 90_000));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (package, path) in
        [(&npm, npm_path(&npm)), (&wheel, format!("pypi/files/{}/sample/{}", wheel.sha256(), wheel.file))]
    {
        registry.publish(package.clone());
        let gate = Arc::new(Semaphore::new(0));
        registry.fault(&package.file, Fault::Hold(Arc::clone(&gate)));
        let mut callers: JoinSet<_> = (0..CALLERS).map(|_| answer(mirror.request(&path))).collect();
        eventually("the upstream is asked", || async {
            (registry.asked_for(&package.file) > 0).then_some(())
        })
        .await;
        // Enough for every request that should not be made.
        gate.add_permits(CALLERS);
        let mut served = 0;
        while let Some(called) = callers.join_next().await {
            let (status, body) = called.expect("no panic");
            assert_eq!(status, 200, "{path}");
            assert!(body == package.bytes, "{path}: other bytes");
            served += 1;
        }
        assert_eq!((served, registry.asked_for(&package.file)), (CALLERS, 1), "{path}");
    }
    let story =
        mirror.store.stories(&"pkg:npm/left-pad@1.3.0".parse().expect("a purl"), 9).await.expect("one");
    assert_eq!((story[0].verdicts.len(), story[0].promotions.len()), (2, 1), "one of each check");
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}

/// The one who started the fetch goes away; those who joined it, and those who come later, are served by the same one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_caller_may_leave() {
    let registry = Registry::start().await;
    let (shared, abandoned) =
        (npm_package("shared", "1.0.0", &[], 9), npm_package("abandoned", "1.0.0", &[], 9));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (package, others) in [(&shared, 5), (&abandoned, 0)] {
        registry.publish(package.clone());
        let gate = Arc::new(Semaphore::new(0));
        registry.fault(&package.file, Fault::Hold(Arc::clone(&gate)));
        let mut first = JoinSet::from_iter([answer(mirror.request(&npm_path(package)))]);
        eventually("the upstream is asked", || async {
            (registry.asked_for(&package.file) > 0).then_some(())
        })
        .await;
        let mut callers: JoinSet<_> =
            (0..others).map(|_| answer(mirror.request(&npm_path(package)))).collect();
        first.shutdown().await;
        gate.add_permits(CALLERS);
        while let Some(called) = callers.join_next().await {
            assert_eq!(called.expect("no panic"), (200, package.bytes.clone()), "{}", package.name);
        }
        let purl = format!("pkg:npm/{}@1.0.0", package.name);
        eventually("it is promoted, whoever is left", || async {
            (mirror.states(&purl).await.get(&package.file) == Some(&ArtifactState::Servable)).then_some(())
        })
        .await;
        assert_eq!(answer(mirror.request(&npm_path(package))).await, (200, package.bytes.clone()));
        assert_eq!(registry.asked_for(&package.file), 1, "{}", package.name);
    }
}

/// The workers date their verdicts by different clocks, so that it can be seen who did what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_cold_artifacts_are_shared_by_two_workers_and_promoted_once_each() {
    let registry = Registry::start().await;
    let packages: Vec<Package> =
        (0..500).map(|n| npm_package(&format!("many-{n}"), "1.0.0", &[], 200)).collect();
    let mirror = TestMirror::builder().registry(&registry).hash_workers(0).start().await;
    for year in ["2021", "2022"] {
        let start = format!("{year}-01-01T00:00:00Z").parse().expect("a time");
        mirror.hash_worker(Arc::new(ManualClock::new(start))).await;
    }
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut callers = JoinSet::new();
    for package in &packages {
        registry.publish(package.clone());
    }
    for package in packages.clone() {
        let (request, room) = (mirror.request(&npm_path(&package)), Arc::clone(&room));
        callers.spawn(async move {
            let _turn = room.acquire().await.expect("open");
            let (status, body) = answer(request).await;
            assert_eq!(status, 200, "{}", package.name);
            assert!(body == package.bytes, "{}: other bytes", package.name);
        });
    }
    while let Some(called) = callers.join_next().await {
        called.expect("served");
    }
    let mut by_worker: BTreeMap<String, usize> = BTreeMap::new();
    let mut serials = HashSet::new();
    for package in &packages {
        assert_eq!(registry.asked_for(&package.file), 1, "{}", package.name);
        let purl = format!("pkg:npm/{}@1.0.0", package.name).parse().expect("a purl");
        let stories = mirror.store.stories(&purl, 9).await.expect("stories");
        let story = stories.first().expect("on record");
        assert_eq!((stories.len(), story.state()), (1, ArtifactState::Servable), "{}", package.name);
        assert_eq!((story.verdicts.len(), story.promotions.len()), (2, 1), "{}", package.name);
        serials.insert(story.promotions[0].serial);
        let hash =
            story.verdicts.iter().find(|found| found.verdict.check == CheckKind::Hash).expect("a verdict");
        *by_worker.entry(hash.verdict.decided_at.to_string()[..4].to_owned()).or_default() += 1;
    }
    assert_eq!(serials.len(), packages.len(), "every promotion is another one");
    let shares: Vec<usize> = by_worker.values().copied().collect();
    assert_eq!(by_worker.keys().collect::<Vec<_>>(), ["2021", "2022"]);
    assert!(shares.iter().all(|share| *share >= 50), "both work: {by_worker:?}");
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}
