//! The real clients through a whole mirror, against generated registries on loopback: they install, they install again when
//! the upstream is gone, and where something is refused they show why. `live` has the same conversations with the live
//! registries.

use touchstone_domain::Ecosystem;
use touchstone_store::RecallTarget;
use touchstone_testkit::{Fault, Package, Registry, TestMirror, crate_file, npm_package, sdist, wheel};
use touchstone_tests::clients::{Client, Packages, Project, Run};

use crate::faults::repeats::repeated;

#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Npm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pnpm_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Pnpm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Yarn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Pip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uv_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Uv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_installs_and_again_without_its_upstream() {
    installs_and_again_without_its_upstream(Client::Cargo).await;
}

/// From the index and from the lockfile; then the same with an empty cache and a registry that drops every connection.
async fn installs_and_again_without_its_upstream(client: Client) {
    let graph = Graph::of(client.ecosystem());
    let registry = registry_without_advisories().await;
    graph.packages.iter().cloned().for_each(|package| registry.publish(package));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let project = project(client, &graph.roots);

    for down in [false, true] {
        registry.set_down(down);
        let asked = registry.requests().len();
        for run in [project.install(&mirror.url()).await, project.install_locked(&mirror.url()).await] {
            assert!(run.succeeded(), "registry down: {down}; {run}");
            assert_eq!(run.installed, graph.installed, "registry down: {down}; {run}");
        }
        assert_eq!(
            registry.requests().len() == asked,
            down,
            "the first round asks the registry, the second cannot"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_pnpm_yarn_and_cargo_install_a_package_that_holds_a_file_twice() {
    let registry = registry_without_advisories().await;
    let npm = npm_package("again", "1.0.0", &[], 10);
    registry.publish(repeated(npm, "package/index.js", "package/./index.js", |_| {}));
    let krate = crate_file("again", "1.0.0", &[], 10);
    registry.publish(repeated(krate, "again-1.0.0/Cargo.toml", "again-1.0.0/Cargo.toml", |_| {}));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for client in [Client::Npm, Client::Pnpm, Client::Yarn, Client::Cargo] {
        let project = project(client, &[("again".to_owned(), exactly(client.ecosystem(), "1.0.0"))]);
        for run in [project.install(&mirror.url()).await, project.install_locked(&mirror.url()).await] {
            assert!(run.succeeded(), "{run}");
            assert_eq!(run.versions("again"), ["1.0.0"], "{run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Npm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pnpm_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Pnpm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yarn_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Yarn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Pip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uv_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Uv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_shows_why_and_ranges_avoid_what_is_refused() {
    shows_why_and_ranges_avoid_what_is_refused(Client::Cargo).await;
}

/// `changed` 1.1.0 holds the archive of another package; `tampered` 1.0.0 loses a bit on the way.
async fn shows_why_and_ranges_avoid_what_is_refused(client: Client) {
    let ecosystem = client.ecosystem();
    let registry = registry_without_advisories().await;
    let tampered = package(ecosystem, "tampered", "1.0.0", &[]);
    let mut changed = package(ecosystem, "changed", "1.1.0", &[]);
    changed.bytes = package(ecosystem, "another", "1.1.0", &[]).bytes;
    registry.publish(changed);
    registry.publish(package(ecosystem, "changed", "1.0.0", &[]));
    registry.publish(package(ecosystem, "changed", "0.9.0", &[]));
    registry.fault(&tampered.file, Fault::Tamper);
    registry.publish(tampered);
    let mirror = TestMirror::builder().registry(&registry).start().await;

    let pinned = project(client, &[("changed".to_owned(), exactly(ecosystem, "1.1.0"))]);
    refused(&pinned.install(&mirror.url()).await, rejected_words(client));
    refused(&pinned.install(&mirror.url()).await, hidden_words(client));

    let ranged = project(client, &[("changed".to_owned(), below_two(ecosystem).to_owned())]);
    let run = ranged.install(&mirror.url()).await;
    assert!(run.succeeded(), "{run}");
    assert_eq!(run.versions("changed"), ["1.0.0"], "{run}");
    let recalled = format!("pkg:{ecosystem}/changed@1.0.0").parse().expect("a purl");
    mirror.store.recall(&RecallTarget::Purl(recalled), "it phones home", "a test").await.expect("recalled");
    refused(&ranged.install_locked(&mirror.url()).await, recalled_words(client));

    let broken = project(client, &[("tampered".to_owned(), exactly(ecosystem, "1.0.0"))]);
    refused(&broken.install(&mirror.url()).await, tampered_words(client));
    registry.honest();
    let run = broken.install(&mirror.url()).await;
    assert!(run.succeeded(), "the same with honest bytes: {run}");
    assert_eq!(run.versions("tampered"), ["1.0.0"], "{run}");
}

/// npm asks what is known against the packages that it installs.
async fn registry_without_advisories() -> Registry {
    let registry = Registry::start().await;
    registry.document("npm/-/npm/v1/security/advisories/bulk", "application/json", "{}");
    registry
}

fn refused(run: &Run, words: &[&str]) {
    assert!(!run.succeeded(), "{run}");
    for words in words {
        assert!(run.words().contains(words), "does not say {words:?}: {run}");
    }
    assert_eq!(run.installed, Packages::new(), "{run}");
}

/// What a person reads when a check rejected the version that was asked for.
fn rejected_words(client: Client) -> &'static [&'static str] {
    match client {
        Client::Npm => &[
            "npm notice Rejected by the hash check: coordinate_mismatch",
            "403 Rejected by the hash check: coordinate_mismatch - GET",
            "the archive's name is \"another\", but \"changed\" was asked for",
        ],
        Client::Pnpm => &[
            "ERR_PNPM_FETCH_403",
            "changed-1.1.0.tgz: Rejected by the hash check: coordinate_mismatch - 403",
        ],
        Client::Yarn => &["Response Code: 403 (Rejected by the hash check: coordinate_mismatch)"],
        Client::Pip => &["403 Client Error: Rejected by the hash check: coordinate_mismatch for url"],
        Client::Uv => &[
            "403 Rejected by the hash check: coordinate_mismatch",
            "Server message: Rejected by the hash check: coordinate_mismatch, pkg:pypi/changed@1.1.0",
            "the archive's directory is \"another-1.1.0.dist-info\"",
        ],
        Client::Cargo => &[
            "got 403 body: Rejected by the hash check: coordinate_mismatch: pkg:cargo/changed@1.1.0 was rejected",
            "the archive's directory is \"another-1.1.0\", but \"changed-1.1.0\" was asked for",
        ],
        Client::Go => panic!("{OF_ITS_OWN}"),
    }
}

/// What the same person reads the next time, when the index knows it too: npm's clients find the version hidden, pip and uv
/// take a yanked version that is pinned and so come to the reason, cargo takes it from a lockfile only.
fn hidden_words(client: Client) -> &'static [&'static str] {
    match client {
        Client::Npm => &["ETARGET", "No matching version found for changed@1.1.0"],
        Client::Pnpm => &["ERR_PNPM_NO_MATCHING_VERSION"],
        Client::Yarn => &["No candidates found"],
        Client::Pip | Client::Uv => rejected_words(client),
        Client::Cargo => &["yanked"],
        Client::Go => panic!("{OF_ITS_OWN}"),
    }
}

/// What a person reads whose lockfile names a version that was recalled.
fn recalled_words(client: Client) -> &'static [&'static str] {
    match client {
        Client::Npm => &["403 Recalled by the mirror's operators", "it phones home"],
        // It looks every entry of the lockfile up in the index, where the version is hidden.
        Client::Pnpm => {
            &["changed@1.0.0 could not be checked against minimumReleaseAge (version not present"]
        }
        Client::Yarn => &["403 (Recalled by the mirror's operators)"],
        Client::Pip => &["403 Client Error: Recalled by the mirror's operators for url"],
        Client::Uv | Client::Cargo => &["Recalled by the mirror's operators", "it phones home"],
        Client::Go => panic!("{OF_ITS_OWN}"),
    }
}

/// What a person reads when the upstream's bytes contradict its own index.
fn tampered_words(client: Client) -> &'static [&'static str] {
    match client {
        Client::Npm => &[
            "502 Upstream sent wrong bytes: digest_mismatch - GET",
            "contradict its own metadata: npm.integrity declares",
        ],
        Client::Pnpm => {
            &["ERR_PNPM_FETCH_502", "tampered-1.0.0.tgz: Upstream sent wrong bytes: digest_mismatch - 502"]
        }
        Client::Yarn => &["Response Code: 502 (Upstream sent wrong bytes: digest_mismatch)"],
        Client::Pip => &["502 Server Error: Upstream sent wrong bytes: digest_mismatch for url"],
        Client::Uv => &[
            "502 Upstream sent wrong bytes: digest_mismatch",
            "contradict its own metadata: pypi.hash declares",
        ],
        Client::Cargo => &[
            "got 502 body: Upstream sent wrong bytes: digest_mismatch",
            "contradict its own metadata: cargo.cksum declares",
        ],
        Client::Go => panic!("{OF_ITS_OWN}"),
    }
}

fn project(client: Client, roots: &[(String, String)]) -> Project {
    let roots: Vec<_> =
        roots.iter().map(|(name, requirement)| (name.as_str(), requirement.as_str())).collect();
    Project::new(client, &roots)
}

/// How many packages there are in each layer: 25 together, and one more for npm.
const TOPS: usize = 4;
const MIDDLES: usize = 8;
const LEAVES: usize = 13;

/// Packages in three layers that share their dependencies; `leaf-0` also has a newer version, and one that is too new.
struct Graph {
    packages: Vec<Package>,
    roots: Vec<(String, String)>,
    installed: Packages,
}

impl Graph {
    fn of(ecosystem: Ecosystem) -> Self {
        let mut graph = Self { packages: vec![], roots: vec![], installed: Packages::new() };
        for index in 0..LEAVES {
            graph.publish(ecosystem, &format!("leaf-{index}"), &[]);
        }
        for index in 0..MIDDLES {
            let leaves = [index, index + 1, index + 5].map(|leaf| format!("leaf-{leaf}"));
            graph.publish(ecosystem, &format!("middle-{index}"), &leaves);
        }
        for index in 0..TOPS {
            let below =
                [format!("middle-{}", 2 * index), format!("middle-{}", 2 * index + 1), "leaf-0".to_owned()];
            let name = format!("top-{index}");
            graph.publish(ecosystem, &name, &below);
            graph.roots.push((name, below_two(ecosystem).to_owned()));
        }
        for version in ["1.1.0", "2.0.0"] {
            graph.packages.push(package(ecosystem, "leaf-0", version, &[]));
        }
        graph.installed.remove(&("leaf-0".to_owned(), "1.0.0".to_owned()));
        graph.installed.insert(("leaf-0".to_owned(), "1.1.0".to_owned()));
        match ecosystem {
            Ecosystem::Npm => {
                graph.publish(ecosystem, "@acme/scoped", &["leaf-12".to_owned()]);
                graph.roots.push(("@acme/scoped".to_owned(), below_two(ecosystem).to_owned()));
            }
            Ecosystem::Pypi => graph.packages.push(sdist("leaf-1", "1.0.0")),
            Ecosystem::Cargo => (),
            Ecosystem::Go => panic!("{OF_ITS_OWN}"),
        }
        graph
    }

    fn publish(&mut self, ecosystem: Ecosystem, name: &str, dependencies: &[String]) {
        self.packages.push(package(ecosystem, name, "1.0.0", dependencies));
        self.installed.insert((name.to_owned(), "1.0.0".to_owned()));
    }
}

fn package(ecosystem: Ecosystem, name: &str, version: &str, dependencies: &[String]) -> Package {
    let dependencies: Vec<_> =
        dependencies.iter().map(|name| (name.as_str(), below_two(ecosystem))).collect();
    match ecosystem {
        Ecosystem::Npm => npm_package(name, version, &dependencies, FILLER_BYTES),
        Ecosystem::Pypi => wheel(name, version, &dependencies, FILLER_BYTES),
        Ecosystem::Cargo => crate_file(name, version, &dependencies, FILLER_BYTES),
        Ecosystem::Go => panic!("{OF_ITS_OWN}"),
    }
}

/// Go knows no ranges, and asks about its neighbours.
const OF_ITS_OWN: &str = "go's conversations are in `go`";

/// Enough for a body that comes in several pieces.
const FILLER_BYTES: usize = 100_000;

/// From 1.0.0 up to, but not including, 2.0.0.
const fn below_two(ecosystem: Ecosystem) -> &'static str {
    match ecosystem {
        Ecosystem::Npm => "^1.0.0",
        Ecosystem::Pypi => ">=1.0.0,<2",
        Ecosystem::Cargo => "1",
        Ecosystem::Go => panic!("{}", OF_ITS_OWN),
    }
}

fn exactly(ecosystem: Ecosystem, version: &str) -> String {
    match ecosystem {
        Ecosystem::Npm => version.to_owned(),
        Ecosystem::Pypi => format!("=={version}"),
        Ecosystem::Cargo => format!("={version}"),
        Ecosystem::Go => panic!("{OF_ITS_OWN}"),
    }
}
