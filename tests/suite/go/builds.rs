//! `go` through the mirror alone, with the database on.

use touchstone_domain::{ArtifactState, Ecosystem};
use touchstone_store::RecallTarget;
use touchstone_testkit::{Module, Registry, TestMirror};
use touchstone_tests::clients::go::{self, GoProject};

use super::{graph::Graph, project, purl};

/// A registry with this published, and a mirror of it.
async fn world(modules: &[Module]) -> (Registry, TestMirror, GoProject) {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    for module in modules {
        registry.publish_module(module.clone());
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let project = project(&registry, mirror.url().join("go").expect("a path"));
    (registry, mirror, project)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_many_modules_builds_and_again_without_upstreams() {
    let graph = Graph::new();
    let (registry, mirror, project) = world(&[]).await;
    graph.publish(&registry);
    assert!(graph.all().len() >= 30);
    project.write("main.go", &graph.program());
    project.go(&format!("get {}", graph.roots())).await.succeeded();
    project.go("build -o built .").await.succeeded();
    assert_eq!(project.downloaded(), graph.all());
    let sums = project.read("go.sum").expect("written");
    for module in graph.modules() {
        let line = format!("{} {} {}\n", module.path, module.version, module.zip_h1());
        assert!(sums.contains(&line), "{line}");
        let states = mirror.states(&purl(module)).await;
        let both = ["zip", "mod"].map(|extension| format!("{}.{extension}", module.version));
        assert!(both.iter().all(|file| states.get(file) == Some(&ArtifactState::Servable)), "{states:?}");
    }

    registry.set_down(true);
    let asked = registry.requests().len();
    for with_sums in [true, false] {
        project.empty_cache();
        if !with_sums {
            project.remove("go.sum");
            project.go("mod download all").await.succeeded();
            project.go("mod tidy").await.succeeded();
        }
        project.go("build -mod=readonly -o built .").await.succeeded();
        assert_eq!(project.downloaded(), graph.all(), "with go.sum: {with_sums}");
        assert_eq!(project.read("go.sum").expect("written").lines().count(), sums.lines().count());
    }
    assert_eq!(registry.requests().len(), asked, "nothing reached it");
}

const PATH: &str = "example.com/Branches/m";
const PSEUDO: &str = "v1.1.1-0.20240102030405-0123456789ab";
const LATER: &str = "v1.1.1-0.20240203040506-abcdef012345";

#[tokio::test(flavor = "multi_thread")]
async fn branches_and_latest_are_what_they_are_now() {
    let versions = ["v1.0.0", "v1.1.0", PSEUDO, LATER].map(|version| Module::new(PATH, version));
    let (registry, _mirror, project) = world(&versions).await;
    let get = async |query: &str, expected: &str| {
        project.go(&format!("get {PATH}@{query}")).await.succeeded();
        let go_mod = project.read("go.mod").expect("there");
        assert!(go_mod.contains(&format!("require {PATH} {expected}")), "{query}: {go_mod}");
    };
    get("latest", "v1.1.0").await;
    registry.tag_module(PATH, "master", PSEUDO);
    get("master", PSEUDO).await;
    registry.tag_module(PATH, "master", LATER);
    get("master", LATER).await;
    get("v1.0.0", "v1.0.0").await;
    registry.publish_module(Module::new(PATH, "v1.2.0"));
    get("latest", "v1.2.0").await;
    let said = project.go(&format!("get {PATH}@nowhere")).await;
    said.failed("does not exist at the upstream registry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_no_version_that_is_refused() {
    let versions = ["v1.0.0", "v1.1.0", "v1.2.0"].map(|version| Module::new(PATH, version));
    let (registry, mirror, project) = world(&versions[..2]).await;
    // The newest one is in no database.
    registry.serve_module(versions[2].clone());
    project.write("main.go", &go::program([PATH].into_iter()));
    let refused = project.go(&format!("get {PATH}@v1.2.0")).await;
    refused.failed("Rejected by the sumdb check: sumdb_absent");
    assert!(refused.output.contains("403"), "{}", refused.output);

    let listed = project.go(&format!("list -m -versions {PATH}")).await;
    assert!(listed.succeeded().contains(&format!("{PATH} v1.0.0 v1.1.0\n")), "{}", listed.output);
    project.go(&format!("get {PATH}@latest")).await.succeeded();
    project.go(&format!("get {PATH}@<v2")).await.succeeded();
    assert!(project.read("go.mod").expect("there").contains("v1.1.0"));

    // What was promoted, and is recalled: the person reads why, and the next one is chosen.
    let target = RecallTarget::Purl(purl(&versions[1]).parse().expect("a purl"));
    mirror.store.recall(&target, "it phones home", "a test").await.expect("recalled");
    project.empty_cache();
    let recalled = project.go("build -o built .").await;
    recalled.failed("it phones home");
    project.write("go.mod", &go::go_mod(&[]));
    project.remove("go.sum");
    project.go(&format!("get {PATH}@latest")).await.succeeded();
    assert!(project.read("go.mod").expect("there").contains("v1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_comes_through_the_mirror_and_runs() {
    let platform = format!("linux-{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let toolchain = Module::toolchain("go1.99.0", &platform);
    let (registry, mirror, project) = world(std::slice::from_ref(&toolchain)).await;
    let project = project.with("GOTOOLCHAIN", "go1.99.0");
    for down in [false, true] {
        registry.set_down(down);
        project.empty_cache();
        let run = project.go("version").await;
        assert!(run.succeeded().contains("go1.99.0 of the registry: version"), "{}", run.output);
    }
    let states = mirror.states(&purl(&toolchain)).await;
    assert_eq!(states.get(&format!("{}.zip", toolchain.version)), Some(&ArtifactState::Servable));

    // G-17: no pattern exempts it, here or in go.
    let unrecorded = Module::toolchain("go1.98.0", &platform);
    registry.set_down(false);
    registry.serve_module(unrecorded.clone());
    let policy = "[sumdb]\nprivate = [\"golang.org\", \"golang.org/*\"]\n";
    let private = TestMirror::builder().registry(&registry).policy(policy).start().await;
    let project = GoProject::new(private.url().join("go").expect("a path"), &registry.sumdb().key());
    let project = project.with("GOTOOLCHAIN", "go1.98.0").with("GONOSUMDB", "golang.org/*");
    project.go("version").await.failed("Rejected by the sumdb check: sumdb_absent");
    let project = GoProject::new(registry.url(Ecosystem::Go), &registry.sumdb().key());
    let project = project.with("GOTOOLCHAIN", "go1.98.0").with("GONOSUMDB", "golang.org/*");
    project.go("version").await.failed("404");
}
