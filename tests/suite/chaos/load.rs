//! Clients that want every package, whatever happens to the mirror, and what must hold when they have them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use touchstone_domain::ArtifactState;
use touchstone_store::{Counts, Store, StoreOptions};
use touchstone_testkit::{Package, Registry, eventually, npm_package};
use url::Url;

/// Clients at once.
const CLIENTS: usize = 16;
/// Every so many packages one is poisoned: its archive is that of another package.
const POISON_EVERY: usize = 25;

/// Packages, and clients that ask for each until it is answered for good.
pub(super) struct Load {
    packages: Arc<Vec<Package>>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<()>,
    url: Url,
}

fn poisoned(n: usize) -> bool {
    n % POISON_EVERY == POISON_EVERY - 1
}

fn package(n: usize) -> Package {
    if poisoned(n) {
        let inside = npm_package("innocent", "1.0.0", &[], 1000);
        return Package { name: format!("poison-{n}"), file: format!("poison-{n}-1.0.0.tgz"), ..inside };
    }
    // A few are larger than a chunk.
    npm_package(&format!("load-{n}"), "1.0.0", &[], if n.is_multiple_of(10) { 300_000 } else { 1000 })
}

impl Load {
    /// Publishes the packages, and lets the clients begin.
    pub(super) fn start(registry: &Registry, url: &Url, number: usize) -> Self {
        let packages: Arc<Vec<Package>> = Arc::new((0..number).map(package).collect());
        for package in packages.iter() {
            registry.publish(package.clone());
        }
        let answered = Arc::new(AtomicUsize::new(0));
        let queue = Arc::new(Mutex::new(0..number));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (packages, answered, queue) =
                (Arc::clone(&packages), Arc::clone(&answered), Arc::clone(&queue));
            let url = url.clone();
            clients.spawn(async move {
                loop {
                    let next = queue.lock().expect("not poisoned").next();
                    let Some(n) = next else { return };
                    settle(&url, &packages[n], poisoned(n)).await;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { packages, answered, clients, url: url.clone() }
    }

    /// Waits until so many packages are answered.
    pub(super) async fn answered(&self, number: usize) {
        eventually("the load goes on", || async {
            (self.answered.load(Ordering::SeqCst) >= number).then_some(())
        })
        .await;
    }

    /// Waits for the clients, then looks at everything: each package is served or refused as it should be, once more;
    /// nothing is pending or stuck; each was promoted once.
    pub(super) async fn finish(mut self, database: &str) {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("every package was answered, and rightly");
        }
        let options =
            StoreOptions { url: database.to_owned(), pool_size: 2, application_name: "test".into() };
        let store = Store::connect(options).await.expect("connected");
        for (n, package) in self.packages.iter().enumerate() {
            settle(&self.url, package, poisoned(n)).await;
            let purl = format!("pkg:npm/{}@1.0.0", package.name).parse().expect("a purl");
            let stories = store.stories(&purl, 9).await.expect("stories");
            let [told] = &stories[..] else { panic!("{}: {} rows", package.name, stories.len()) };
            let (state, promotions) =
                if poisoned(n) { (ArtifactState::Rejected, 0) } else { (ArtifactState::Servable, 1) };
            assert_eq!((told.state(), told.promotions.len()), (state, promotions), "{}", package.name);
            assert_eq!(told.facts.sha256, package.sha256(), "{}", package.name);
            let mut is = ArtifactState::Fetched.as_str();
            for step in told.log.iter().rev() {
                assert_eq!(step.was, is, "{}: the log is one chain", package.name);
                is = &step.state;
            }
            assert_eq!(is, state.as_str(), "{}", package.name);
        }
        assert_settled(&store.counts(8).await.expect("counts"), self.packages.len());
        let incidents: Vec<String> = store
            .latest_incidents(9)
            .await
            .expect("incidents")
            .into_iter()
            .map(|incident| incident.kind)
            .collect();
        assert_eq!(incidents, Vec::<String>::new());
    }
}

fn assert_settled(counts: &Counts, number: usize) {
    let total: u64 = counts.artifacts.iter().map(|(_, _, n)| n).sum();
    assert_eq!(total, number as u64, "{counts:?}");
    assert!(counts.artifacts.iter().all(|(_, state, _)| !state.is_pending()), "{counts:?}");
    assert_eq!((counts.oldest_pending, counts.stuck), (None, 0), "{counts:?}");
}

/// Asks until the answer is final. Whatever comes before it is a refusal to be tried again, or a connection that broke;
/// a whole body with status 200 is right or the test fails.
async fn settle(url: &Url, package: &Package, poisoned: bool) {
    let client =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build().expect("a client");
    let address = url.join(&format!("npm/{}/-/{}", package.name, package.file)).expect("a path");
    eventually(&format!("a final answer about {}", package.name), || async {
        let response = client.get(address.clone()).send().await.ok()?;
        let status = response.status().as_u16();
        let code = response.headers().get("x-touchstone-code").cloned();
        let body = response.bytes().await.ok()?;
        match (status, poisoned) {
            (200, false) => assert!(body == package.bytes, "{}: other bytes were served", package.name),
            (403, true) => assert_eq!(code.expect("a code"), "rejected"),
            (502 | 503, _) => return None,
            _ => panic!("{}: {status} {code:?} {}", package.name, String::from_utf8_lossy(&body)),
        }
        Some(())
    })
    .await;
}
