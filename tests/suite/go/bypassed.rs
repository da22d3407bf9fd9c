//! The go command alone against the same registry and database: it accepts what they say when they are honest, and refuses
//! what they send when they lie. Only then do the lies mean anything.

use touchstone_domain::Ecosystem;
use touchstone_testkit::Registry;

use super::{graph::Graph, lies, project};

#[tokio::test(flavor = "multi_thread")]
async fn go_builds_from_the_registry_itself() {
    let registry = Registry::start().await;
    let graph = Graph::new();
    graph.publish(&registry);
    let project = project(&registry, registry.url(Ecosystem::Go));
    project.write("main.go", &graph.program());
    project.go(&format!("get {}", graph.roots())).await.succeeded();
    project.go("build -o built .").await.succeeded();
    assert_eq!(project.downloaded(), graph.all());
    assert!(registry.asked_for("/sumdb/sumdb.example/supported") > 0);
}
