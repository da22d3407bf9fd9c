//! The go command alone against the same registry and database: it accepts what they say when they are honest, and refuses
//! what they send when they lie. Only then do the lies mean anything.

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Module, Registry};
use touchstone_tests::clients::{Exit, go::GoProject};

use super::{
    graph::Graph,
    lies::{self, Case, Subject},
    project,
};

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

/// What is served differs from what is on record; the database lies about it, and go does not take it.
async fn assert_refused(registry: &Registry, project: &GoProject, case: &Case, subject: &Subject) {
    project.empty_cache();
    let Module { path, version, .. } = &subject.changed;
    let run = project.go(&format!("mod download {path}@{version}")).await;
    assert!(matches!(run.exit, Exit::Code(1)), "{}: {}", case.name, run.output);
    assert!(run.output.contains(case.go_says), "{}: {}", case.name, run.output);
    assert_eq!(project.downloaded().len(), 0, "{}: {}", case.name, run.output);
    registry.sumdb().honest();
}

async fn refuses(cases: Vec<Case>) {
    let registry = Registry::start().await;
    registry.sumdb().fill(600);
    let project = project(&registry, registry.url(Ecosystem::Go));
    for (number, case) in cases.iter().enumerate() {
        let subject = case.begin(&registry, number);
        assert_refused(&registry, &project, case, &subject).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn go_refuses_lies_about_records() {
    refuses(lies::records()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_refuses_lies_about_numbers() {
    refuses(lies::numbers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_refuses_lies_about_notes() {
    refuses(lies::notes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_refuses_forged_tiles() {
    for (size, first) in [(60, 3), (600, 260), (140_000, 260)] {
        let registry = Registry::start().await;
        registry.sumdb().fill(first);
        let cases = lies::tiles(size, first);
        let subjects: Vec<Subject> =
            cases.iter().enumerate().map(|(number, case)| case.publish(&registry, number)).collect();
        registry.sumdb().fill(size);
        let project = project(&registry, registry.url(Ecosystem::Go));
        for (case, subject) in cases.iter().zip(&subjects) {
            case.lie(&registry, subject);
            assert_refused(&registry, &project, case, subject).await;
        }
    }
}
