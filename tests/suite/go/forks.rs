//! Forks: modules under a path of their own whose `go.mod` keeps the name of what they are a fork of, for `replace` directives
//! (R-15; ecosystems.md 7.6).

use touchstone_domain::{ArtifactState, OutcomeKind, Reason};
use touchstone_store::{RecordedVerdict, Story};
use touchstone_testkit::{Module, Registry, TestMirror};
use touchstone_tests::clients::go::{self, GoProject};

use super::{get, project, purl, story};

const ORIGINAL: &str = "example.com/original";
const FORK: &str = "code.example/Team/fork";
const VERSION: &str = "v1.2.3";
const POLICY: &str = "[go]\nforks = [\"code.example/Team\"]\n";

/// A fork that the go command takes instead of the original.
fn fork() -> Module {
    let source = "package original\n\n// Name says which module this is.\nconst Name = \"the fork\"\n";
    Module::new(FORK, VERSION)
        .with_go_mod(&format!("module {ORIGINAL}\n\ngo 1.21\n"))
        .file("module.go", source)
}

/// A registry with a fork, a mirror of it under this policy, and a program that requires the original through the fork.
async fn world(policy: &str) -> (Registry, TestMirror, GoProject) {
    let registry = Registry::start().await;
    registry.publish_module(fork());
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    let project = project(&registry, mirror.url().join("go").expect("a path"));
    let replaced = format!("\nreplace {ORIGINAL} => {FORK} {VERSION}\n");
    project.write("go.mod", &(go::go_mod(&[(ORIGINAL, "v1.0.0")]) + &replaced));
    project.write(
        "main.go",
        &format!(
            "package main\n\nimport original \"{ORIGINAL}\"\n\nfunc main() {{ println(original.Name) }}\n"
        ),
    );
    (registry, mirror, project)
}

/// What the hash check found.
fn hash_reason(story: &Story) -> (OutcomeKind, Reason) {
    let of_hash = |recorded: &&RecordedVerdict| recorded.verdict.service == "hash";
    let recorded = story.verdicts.iter().find(of_hash).expect("the hash check answered");
    let outcome = &recorded.verdict.outcome;
    (outcome.kind, outcome.reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_no_policy_names_is_refused() {
    for policy in
        ["", "[go]\nforks = [\"example.com\", \"code.example/team\", \"code.example/Team/fork/v2\"]\n"]
    {
        let (_registry, mirror, project) = world(policy).await;
        let run = project.go("mod tidy").await;
        run.failed("403 Rejected by the hash check: coordinate_mismatch");
        for extension in ["mod", "zip"] {
            let asked = get(&mirror, &fork(), extension).await;
            let line = "HTTP/1.1 403 Rejected by the hash check: coordinate_mismatch";
            assert_eq!(asked.reply.line, line, "{}", asked.reply.text());
            assert_eq!(asked.story.state(), ArtifactState::Rejected);
            let expected = Reason::CoordinateMismatch {
                part: "module".to_owned(),
                expected: FORK.to_owned(),
                found: ORIGINAL.to_owned(),
            };
            assert_eq!(hash_reason(&asked.story), (OutcomeKind::Fail, expected), "{extension}");
        }
        assert!(project.downloaded().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_the_policy_names_builds_through_replace() {
    let (_registry, mirror, project) = world(POLICY).await;
    project.go("mod tidy").await.succeeded();
    let run = project.go("run .").await;
    assert!(run.succeeded().contains("the fork"), "{}", run.output);
    assert_eq!(project.downloaded(), [(FORK.to_owned(), VERSION.to_owned())].into());
    let sums = project.read("go.sum").expect("written");
    for line in [fork().zip_h1(), fork().mod_h1()] {
        assert!(sums.contains(&line), "{sums}");
    }
    for extension in ["mod", "zip"] {
        let story = story(&mirror, &fork(), extension).await;
        assert_eq!(hash_reason(&story), (OutcomeKind::Pass, Reason::Undeclared), "{extension}");
    }
    let states = mirror.states(&purl(&fork())).await;
    assert!(
        states.len() == 2 && states.values().all(|state| *state == ArtifactState::Servable),
        "{states:?}"
    );

    // Under its own path it is none: go itself says so.
    let direct = project.go(&format!("get {FORK}@{VERSION}")).await;
    direct.failed("module declares its path as: example.com/original");
}
