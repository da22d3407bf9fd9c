//! Go: modules through a whole mirror, decided by a checksum database that lies in every way of group G of the threat
//! model. The real `go` builds through it; and where the mirror is left out, `go` itself refuses what the same registry sends.

mod absent;
mod archives;
mod builds;
mod bypassed;
mod database;
mod forks;
mod graph;
mod heads;
mod lies;
mod paths;
mod refused;

use touchstone_domain::{ArtifactState, Outcome, OutcomeKind, Reason, Verdict};
use touchstone_store::Story;
use touchstone_testkit::{Module, Registry, TestMirror, eventually};
use touchstone_tests::clients::go::GoProject;
use url::Url;

use crate::protocol::raw::{Reply, ask};

/// A project whose go command asks this proxy, and believes the registry's database.
fn project(registry: &Registry, proxy: Url) -> GoProject {
    GoProject::new(proxy, &registry.sumdb().key())
}

/// How a file of a module came out.
struct Asked {
    reply: Reply,
    story: Story,
}

/// Asks for a `zip` or `mod`, and for all that is on record about it.
async fn get(mirror: &TestMirror, module: &Module, extension: &str) -> Asked {
    let reply = ask(mirror, "GET", &target(module, extension), &[]).await;
    Asked { reply, story: story(mirror, module, extension).await }
}

fn target(module: &Module, extension: &str) -> String {
    format!("/{}", module.at(extension))
}

fn purl(module: &Module) -> String {
    format!("pkg:golang/{}@{}", module.path, module.version.replace('+', "%2B"))
}

async fn story(mirror: &TestMirror, module: &Module, extension: &str) -> Story {
    let purl = purl(module).parse().expect("a purl");
    let file = format!("{}.{extension}", module.version);
    eventually("it is on record", || async {
        let stories = mirror.store.stories(&purl, 16).await.expect("stories");
        stories.into_iter().find(|story| story.facts.id.file.as_str() == file)
    })
    .await
}

/// The sumdb check's verdict of the present epoch.
fn sumdb_verdict(story: &Story) -> Option<&Verdict> {
    let sumdb = |verdict: &&Verdict| verdict.service == "sumdb" && verdict.epoch == story.gate.epoch;
    story.verdicts.iter().map(|recorded| &recorded.verdict).find(sumdb)
}

/// Asserts that a file of a module is rejected, and by this check among others perhaps; returns what that one found.
async fn rejected_by(check: &str, mirror: &TestMirror, module: &Module, extension: &str) -> Reason {
    let reply = ask(mirror, "GET", &target(module, extension), &[]).await;
    assert_eq!((reply.status(), reply.header("x-touchstone-code")), (403, "rejected"), "{}", reply.text());
    let failed = eventually("the check has failed it", || async {
        let story = story(mirror, module, extension).await;
        assert_eq!(story.state(), ArtifactState::Rejected);
        let mut verdicts = story.verdicts.into_iter().map(|recorded| recorded.verdict);
        verdicts.find(|verdict| verdict.service == check && verdict.outcome.kind == OutcomeKind::Fail)
    });
    failed.await.outcome.reason
}

impl Asked {
    fn outcome(&self) -> &Outcome {
        &sumdb_verdict(&self.story).expect("the sumdb check answered").outcome
    }

    /// Asserts that it is served, and returns what the sumdb check found.
    #[track_caller]
    fn served(&self) -> &Reason {
        assert_eq!(self.reply.line, "HTTP/1.1 200 OK", "{}", self.reply.text());
        assert_eq!(self.story.state(), ArtifactState::Servable);
        &self.outcome().reason
    }

    /// Asserts that the sumdb check rejects it, that the client is told so, and that nothing of it was sent; returns why.
    #[track_caller]
    fn rejected(&self) -> &Reason {
        let Outcome { kind, reason } = self.outcome();
        assert_eq!(*kind, OutcomeKind::Fail, "{reason}");
        let line = format!("HTTP/1.1 403 Rejected by the sumdb check: {}", reason.code());
        assert_eq!(self.reply.line, line, "{}", self.reply.text());
        assert!(self.reply.header("content-type").starts_with("text/plain"), "{}", self.reply.text());
        assert_eq!(self.story.state(), ArtifactState::Rejected);
        reason
    }
}
