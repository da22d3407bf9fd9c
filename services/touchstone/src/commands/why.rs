//! `touchstone why`: an artifact's story on one screen.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use touchstone_console::story_json;
use touchstone_domain::{ArtifactState, CheckKind, Purl};
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;
use touchstone_store::{RecordedVerdict, Story};

/// How many artifacts of a purl are told of.
const STORIES_MAX: i64 = 50;

/// Prints the stories; exit code 2 when something is refused, 1 when nothing is known.
pub(crate) async fn run(config: &Config, purl: &str, json: bool) -> Result<ExitCode> {
    let purl = normal(purl.parse()?)?;
    let store = super::store(config).await?;
    let stories = store.stories(&purl, STORIES_MAX).await?;
    if json {
        let artifacts: Vec<_> = stories.iter().map(story_json).collect();
        super::say(&format!("{:#}\n", serde_json::json!({ "artifacts": artifacts })));
    } else {
        for story in &stories {
            super::say(&tell(story));
        }
        for incident in store.incidents_about(&purl, STORIES_MAX).await?.iter().filter(|_| stories.is_empty())
        {
            super::say(&format!(
                "incident {}: {} ({} times, last {})\n",
                incident.kind, incident.detail, incident.count, incident.last_at
            ));
        }
    }
    if stories.is_empty() {
        eprintln!("{purl} is not on record: nobody has asked this mirror for it, or its fetch failed");
        return Ok(ExitCode::FAILURE);
    }
    let refused = |story: &Story| !story.state().is_pending() && !story.state().is_servable();
    Ok(if stories.iter().any(refused) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// One artifact, in lines.
fn tell(story: &Story) -> String {
    let (facts, gate) = (&story.facts, &story.gate);
    let mut out = String::new();
    let mut line = |label: &str, text: String| {
        let _infallible = writeln!(out, "  {label:<11} {text}");
    };
    line("state", format!("{}: {}", story.state().as_str(), next_step(story)));
    line("sha256", facts.sha256.to_string());
    line("size", format!("{} bytes", facts.size));
    line("fetched", format!("{} from {}", story.fetched_at, facts.upstream_url));
    if let Some(published) = facts.published_at {
        line("published", format!("{published}, by the upstream's word"));
    }
    for claim in &facts.claims {
        line("claim", format!("{} = {}", claim.field, claim.value));
    }
    for evidence in &facts.evidence {
        line(
            "evidence",
            format!(
                "{} sha256:{} ({} bytes) from {}",
                evidence.kind, evidence.sha256, evidence.size, evidence.url
            ),
        );
    }
    for check in CheckKind::ALL.into_iter().filter(|check| gate.requirement.required().contains(*check)) {
        line(&format!("{check} check"), answer(story, check));
    }
    for attempt in &story.attempts {
        line(
            "attempt",
            format!(
                "{} could not answer: {} ({})",
                attempt.attempt.check, attempt.attempt.detail, attempt.at
            ),
        );
    }
    for promotion in &story.promotions {
        line(
            "promoted",
            format!(
                "number {} under policy {}, {}",
                promotion.serial, promotion.policy_epoch, promotion.promoted_at
            ),
        );
    }
    for incident in &story.incidents {
        line(
            "incident",
            format!(
                "{}: {} ({} times, last {})",
                incident.kind, incident.detail, incident.count, incident.last_at
            ),
        );
    }
    for letter in &story.dead_letters {
        line("dead letter", letter.letter.detail.clone());
    }
    line("policy", format!("number {}, epoch {}", facts.policy_epoch, gate.epoch));
    format!("{}\n{out}", facts.id)
}

/// What a required check said.
fn answer(story: &Story, check: CheckKind) -> String {
    let verdict =
        story.verdicts.iter().find(|v| v.verdict.check == check && v.verdict.epoch == story.gate.epoch);
    let Some(RecordedVerdict { verdict, recorded_at }) = verdict else {
        return format!("no answer yet; asked {} time(s) again", story.dispatches);
    };
    let (outcome, service, software) = (&verdict.outcome, &verdict.service, &verdict.software);
    format!("{}: {} ({service} {software}, {recorded_at})", outcome.kind, outcome.reason)
}

/// What a state means for the person who asks.
fn next_step(story: &Story) -> String {
    match story.state() {
        ArtifactState::Servable => "it is served".to_owned(),
        ArtifactState::Fetched | ArtifactState::Verifying => {
            format!("waiting for {}; try again in a few seconds", story.gate.missing())
        }
        ArtifactState::Held => match story.eligible_at {
            Some(at) if story.gate.hold.contains(touchstone_domain::HoldReason::Age) => {
                format!("too young until {at}")
            }
            Some(_) | None => format!(
                "a required check did not approve it; change the policy, restart, and run `touchstone recheck {}`",
                Purl::from(&story.facts.id)
            ),
        },
        ArtifactState::Rejected => "it will not be served; choose another version".to_owned(),
        ArtifactState::Revoked => {
            format!("recalled: {}", story.recalls.first().map_or("no reason is on record", String::as_str))
        }
    }
}
