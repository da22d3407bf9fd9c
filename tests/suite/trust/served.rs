//! What becomes of artifacts when trust is away, or new. Everything of sigstore's is of today here, by the machine's clock.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use touchstone_attest::trust::{self, TrustKeeper};
use touchstone_domain::{ArtifactState, Reason};
use touchstone_runtime::{Clock as _, SystemClock};
use touchstone_store::Story;
use touchstone_testkit::{
    Package, Registry, TestMirror, TestMirrorBuilder, eventually, npm_package_from,
    sigstore::Sigstore,
    tuf::{Layout, TufRepository},
};

use super::{KEYS, Place, ROLE, ROOT};

/// A registry, whose releases are signed by this sigstore's registry key.
struct World {
    registry: Registry,
    sigstore: Sigstore,
    place: Place,
}

impl World {
    async fn new(repository: TufRepository, sigstore: Sigstore) -> Self {
        Self { registry: Registry::start().await, sigstore, place: Place::with(repository).await }
    }

    /// A mirror without attest workers yet.
    fn mirror(&self) -> TestMirrorBuilder {
        TestMirror::builder()
            .registry(&self.registry)
            .trust_options(self.place.options_with("grace = '1h'"))
            .attest_workers(0)
            .hold(Duration::from_millis(100))
    }

    fn release(&self, version: &str) -> Package {
        let package = npm_package_from("name", version, "https://github.com/org/name");
        self.registry.publish(package.clone());
        let signature = self.sigstore.registry_signature("name", version, &package.integrity());
        self.registry.sign(&package.file, vec![signature]);
        package
    }

    async fn import(&self, mirror: &TestMirror, at: Timestamp) {
        let directory = tempfile::tempdir().expect("a directory");
        self.place.repository.write(directory.path(), Layout::Folders);
        let options = self.place.options_with("grace = '1h'");
        trust::import(&options, &mirror.store, directory.path(), at).await.expect("an honest copy");
    }
}

/// So many hours from now, in whole seconds as TUF has them.
fn hours(hours: i64) -> Timestamp {
    let seconds = SystemClock.now().as_second() + hours * 3600;
    Timestamp::from_second(seconds).expect("a time")
}

/// A repository with what a sigstore trusts, whose timestamp expires in so many hours.
fn repository(sigstore: &Sigstore, until: i64) -> TufRepository {
    let mut repository = TufRepository::new(SystemClock.now());
    repository.delegate("targets", ROLE, &["registry.example/*"]);
    repository.target("targets", ROOT, &sigstore.trusted_root_json());
    repository.target(ROLE, KEYS, &sigstore.registry_keys_json());
    repository.timestamp.expires = hours(until);
    repository.publish();
    repository
}

/// Asks for a package, and waits until what is on record about it is so.
async fn until(mirror: &TestMirror, package: &Package, what: &str, so: impl Fn(&Story) -> bool) -> Story {
    eventually(what, || async {
        let purl = format!("pkg:npm/name@{}", package.version).parse().expect("a purl");
        let stories = mirror.store.stories(&purl, 9).await.expect("stories");
        stories.into_iter().next().filter(&so)
    })
    .await
}

async fn status(mirror: &TestMirror, package: &Package) -> u16 {
    mirror.get(&format!("npm/name/-/{}", package.file)).await.status().as_u16()
}

async fn worker(mirror: &TestMirror) -> TrustKeeper {
    mirror.attest_worker(Arc::new(SystemClock)).await
}

/// What `touchstone why` prints.
fn why(mirror: &TestMirror, package: &Package) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("[database]\nurl = '{}'\n", mirror.database_url);
    std::fs::write(directory.path().join("touchstone.toml"), text).expect("written");
    let mut command = std::process::Command::new(touchstone_testkit::touchstone_binary());
    command.current_dir(directory.path()).env_remove("TOUCHSTONE_CONFIG").env("RUST_LOG", "off");
    let output = command.args(["why", &format!("pkg:npm/name@{}", package.version)]).output();
    let output = output.expect("it runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_expired_trust_could_verify_waits_for_news_and_is_served_then() {
    let sigstore = Sigstore::new();
    let repository = repository(&sigstore, -2);
    let mut world = World::new(repository, sigstore).await;
    let mirror = world.mirror().start().await;
    // It was good when it came.
    world.import(&mirror, hours(-3)).await;
    let keeper = worker(&mirror).await;
    let package = world.release("1.0.0");
    assert_eq!(status(&mirror, &package).await, 503);
    let waiting = until(&mirror, &package, "it is tried", |story| !story.attempts.is_empty()).await;
    assert!(waiting.state().is_pending(), "{:?}", waiting.state());
    let detail = &waiting.attempts[0].attempt.detail;
    let expired = world.place.repository.timestamp.expires;
    let words = format!(
        "no trust root can be used: the TUF timestamp metadata expired at {expired}, and the grace of 3600s is over; \
         `touchstone trust refresh` or `import` renews it"
    );
    assert_eq!(*detail, words);
    let told = why(&mirror, &package).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&words), "{told}");
    let reported = mirror.store.trust_reported().await.expect("the database").expect("a report");
    assert!(!reported.status.usable);
    assert_eq!(status(&mirror, &package).await, 503);

    world.place.repository.timestamp.expires = hours(9);
    world.place.repository.advance();
    world.import(&mirror, SystemClock.now()).await;
    keeper.reload().await.expect("the database");
    let served = until(&mirror, &package, "it is judged", |story| !story.state().is_pending()).await;
    assert_eq!((served.state(), served.gate.epoch), (ArtifactState::Servable, 0));
    assert_eq!(status(&mirror, &package).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unknown_key_signed_is_judged_again_when_the_key_is_known() {
    // The registry has a new key, of which the repository does not know yet.
    let mut world = World::new(repository(&Sigstore::new(), 9), Sigstore::new()).await;
    let mirror = world.mirror().start().await;
    world.import(&mirror, SystemClock.now()).await;
    let keeper = worker(&mirror).await;
    let package = world.release("1.0.0");
    assert!([403, 503].contains(&status(&mirror, &package).await), "it is not served");
    let held = until(&mirror, &package, "it is judged", |story| !story.state().is_pending()).await;
    assert_eq!(held.state(), ArtifactState::Held);
    let attest = held.verdicts.iter().find(|recorded| recorded.verdict.service == "attest");
    let reason = &attest.expect("a verdict").verdict.outcome.reason;
    let Reason::RegistrySignatureRefused { .. } = reason else { panic!("{reason}") };
    assert_eq!(serde_json::to_value(reason).expect("JSON")["problem"], Value::from("unknown_key"));

    // News that has nothing to do with it changes the documents, and not the answer.
    world.place.repository.target(ROLE, KEYS, &Sigstore::new().registry_keys_json());
    world.place.repository.advance();
    world.import(&mirror, SystemClock.now()).await;
    keeper.reload().await.expect("the database");
    let again = until(&mirror, &package, "it is judged again", |story| {
        story.gate.epoch == 1 && !story.state().is_pending()
    })
    .await;
    assert_eq!(again.state(), ArtifactState::Held);

    world.place.repository.target(ROLE, KEYS, &world.sigstore.registry_keys_json());
    world.place.repository.advance();
    world.import(&mirror, SystemClock.now()).await;
    keeper.reload().await.expect("the database");
    let served = until(&mirror, &package, "it is judged by the new key", |story| {
        story.gate.epoch == 2 && !story.state().is_pending()
    })
    .await;
    assert_eq!(served.state(), ArtifactState::Servable);
    assert_eq!(status(&mirror, &package).await, 200);
}
