//! The JSON API, version 1.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State, rejection::JsonRejection, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Value, json};
use touchstone_domain::{CheckKind, Gate, OutcomeKind, Purl, Sha256, Verdict};
use touchstone_ecosystems::normal;
use touchstone_store::{DeadLetter, Incident, RecallTarget, RecordedVerdict, Story};

use crate::{
    auth::{Access, permit},
    problem::Problem,
    server::Console,
};

/// Rows per answer.
const ROWS_MAX: i64 = 200;

type Answer = Result<Json<Value>, Problem>;

#[derive(Deserialize)]
pub(crate) struct ByPurl {
    purl: String,
}

/// A body that asks for a recall.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recall {
    purl: Option<String>,
    sha256: Option<String>,
    reason: String,
}

pub(crate) async fn healthz() -> &'static str {
    "ok"
}

pub(crate) async fn readyz(State(console): State<Arc<Console>>) -> Result<&'static str, Problem> {
    console.store.ping().await?;
    Ok("ready")
}

pub(crate) async fn metrics(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    use std::fmt::Write as _;

    permit(console.token.as_ref(), &headers, Access::Read)?;
    let mut text = (console.metrics)();
    let counts = console.store.counts(console.attempts_max).await;
    let _infallible = writeln!(text, "touchstone_database_up {}", u8::from(counts.is_ok()));
    if let Ok(counts) = counts {
        for (ecosystem, state, number) in &counts.artifacts {
            let state = state.as_str();
            let _infallible = writeln!(
                text,
                "touchstone_artifacts{{ecosystem=\"{ecosystem}\",state=\"{state}\"}} {number}"
            );
        }
        let oldest = counts.oldest_pending.unwrap_or_default().as_secs();
        let _infallible = writeln!(
            text,
            "touchstone_oldest_pending_seconds {oldest}\ntouchstone_stuck_artifacts {}\n\
             touchstone_open_dead_letters {}\ntouchstone_open_incidents {}",
            counts.stuck, counts.dead_letters, counts.incidents
        );
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

pub(crate) async fn artifacts(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    query: Result<Query<ByPurl>, QueryRejection>,
) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let Query(ByPurl { purl }) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let purl = parse_purl(&purl)?;
    let stories = console.store.stories(&purl, ROWS_MAX).await?;
    Ok(Json(json!({ "artifacts": stories.iter().map(story_json).collect::<Vec<_>>() })))
}

pub(crate) async fn summary(State(console): State<Arc<Console>>, headers: HeaderMap) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let counts = console.store.counts(console.attempts_max).await?;
    let artifacts: Vec<Value> = counts
        .artifacts
        .iter()
        .map(|(ecosystem, state, number)| json!({ "ecosystem": ecosystem, "state": state, "number": number }))
        .collect();
    Ok(Json(json!({
        "artifacts": artifacts,
        "oldest_pending_seconds": counts.oldest_pending.as_ref().map(Duration::as_secs),
        "stuck": counts.stuck, "dead_letters": counts.dead_letters, "incidents": counts.incidents,
    })))
}

pub(crate) async fn incidents(State(console): State<Arc<Console>>, headers: HeaderMap) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let incidents = console.store.incidents(ROWS_MAX).await?;
    Ok(Json(json!({ "incidents": incidents.iter().map(incident_json).collect::<Vec<_>>() })))
}

pub(crate) async fn dead_letters(State(console): State<Arc<Console>>, headers: HeaderMap) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let letters = console.store.dead_letters(ROWS_MAX).await?;
    Ok(Json(json!({ "dead_letters": letters.iter().map(dead_letter_json).collect::<Vec<_>>() })))
}

pub(crate) async fn policy(State(console): State<Arc<Console>>, headers: HeaderMap) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let (rules, deny, internal) = console.policy.counts();
    Ok(Json(json!({
        "sha256": console.policy.digest(), "document": console.policy.document(),
        "rules": rules, "deny": deny, "internal": internal,
    })))
}

pub(crate) async fn recall(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    body: Result<Json<Recall>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    permit(console.token.as_ref(), &headers, Access::Change)?;
    let Json(Recall { purl, sha256, reason }) = body.map_err(|e| Problem::bad_request(e.body_text()))?;
    if reason.trim().is_empty() || reason.len() > 1_000 {
        return Err(Problem::bad_request(
            "give a reason of at most 1000 bytes; the people who are refused will read it",
        ));
    }
    let target = match (purl, sha256) {
        (Some(purl), None) => RecallTarget::Purl(parse_purl(&purl)?),
        (None, Some(sha256)) => {
            let digest: Sha256 = sha256.parse().map_err(|e| Problem::bad_request(format!("sha256: {e}")))?;
            RecallTarget::Digest(digest)
        }
        _ => return Err(Problem::bad_request("give either `purl` or `sha256`")),
    };
    let changes = console.store.recall(&target, &reason, "console").await?;
    let revoked: Vec<i64> = changes.iter().map(|change| change.artifact.0).collect();
    Ok((StatusCode::CREATED, Json(json!({ "revoked": revoked }))))
}

pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

pub(crate) async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such path", "/api/v1/openapi.json lists the paths")
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "No such method",
        "/api/v1/openapi.json lists the methods of each path",
    )
}

fn parse_purl(text: &str) -> Result<Purl, Problem> {
    let purl: Purl =
        text.parse().map_err(|e: touchstone_domain::PurlError| Problem::bad_request(e.to_string()))?;
    normal(purl).map_err(|e| Problem::bad_request(e.to_string()))
}

/// One artifact as design.md section 8 says; also what `touchstone why --json` prints.
pub fn story_json(story: &Story) -> Value {
    let (facts, gate) = (&story.facts, &story.gate);
    let checks: Vec<Value> =
        CheckKind::ALL.into_iter().filter_map(|check| check_json(story, check)).collect();
    let promotion = story.promotions.iter().find(|promotion| promotion.epoch == gate.epoch);
    let reason = story.recalls.first().cloned().or_else(|| deciding(gate, &story.verdicts));
    json!({
        "purl": facts.id.to_string(), "file": facts.id.file, "sha256": facts.sha256, "sha512": facts.sha512, "size": facts.size,
        "state": story.state(), "reason": reason, "first_seen": story.fetched_at, "eligible_at": story.eligible_at,
        "promoted_at": promotion.map(|p| p.promoted_at), "policy_epoch": facts.policy_epoch,
        "upstream_url": facts.upstream_url, "claims": facts.claims, "evidence": facts.evidence, "checks": checks,
        "incidents": story.incidents.iter().map(incident_json).collect::<Vec<_>>(),
        "dead_letters": story.dead_letters.iter().map(dead_letter_json).collect::<Vec<_>>(),
    })
}

/// Why the gate is where it is: the verdict of its epoch that denies, or else one that does not decide.
fn deciding(gate: &Gate, verdicts: &[RecordedVerdict]) -> Option<String> {
    let of_epoch = || verdicts.iter().map(|v| &v.verdict).filter(|v| v.epoch == gate.epoch);
    let denies = |v: &&Verdict| gate.deny.contains(v.check) && v.outcome.kind == OutcomeKind::Fail;
    let leaves_open = |v: &&Verdict| {
        let open = matches!(v.outcome.kind, OutcomeKind::NotOffered | OutcomeKind::Inconclusive);
        gate.undecided.contains(v.check) && open
    };
    let found = of_epoch().find(denies).or_else(|| of_epoch().find(leaves_open));
    found.map(|v| v.outcome.reason.to_string())
}

fn check_json(story: &Story, check: CheckKind) -> Option<Value> {
    let required = story.gate.requirement.required().contains(check);
    let of_check = |v: &&RecordedVerdict| v.verdict.check == check && v.verdict.epoch == story.gate.epoch;
    let verdict = story.verdicts.iter().find(of_check);
    if !required && verdict.is_none() {
        return None;
    }
    Some(json!({
        "kind": check, "requirement": if required { "required" } else { "observed" },
        "outcome": verdict.map(|v| v.verdict.outcome.kind),
        "reason": verdict.map(|v| v.verdict.outcome.reason.to_string()),
        "code": verdict.map(|v| v.verdict.outcome.reason.code()),
        "verifier": verdict.map(|v| format!("{} {}", v.verdict.service, v.verdict.software)),
        "at": verdict.map(|v| v.recorded_at),
    }))
}

fn incident_json(incident: &Incident) -> Value {
    json!({
        "id": incident.id, "kind": incident.kind, "ecosystem": incident.ecosystem, "package": incident.package,
        "version": incident.version, "file": incident.file, "detail": incident.detail, "count": incident.count,
        "at": incident.at, "last_at": incident.last_at, "resolved_at": incident.resolved_at,
    })
}

fn dead_letter_json(row: &DeadLetter) -> Value {
    let letter = &row.letter;
    json!({
        "id": row.id, "stream": letter.stream, "consumer": letter.consumer, "stream_seq": letter.stream_seq,
        "deliveries": letter.deliveries, "check": letter.check, "artifact": letter.artifact, "detail": letter.detail,
        "at": row.at, "resolved_at": row.resolved_at,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use touchstone_domain::{
        Algorithm, ArtifactDbId, CheckSet, ClaimField, HoldSet, Outcome, Reason, Requirement,
    };

    use super::*;

    fn gate(deny: CheckSet, undecided: CheckSet) -> Gate {
        let requirement = Requirement::new(CheckSet::of(CheckKind::Hash), CheckSet::EMPTY).expect("a check");
        let (artifact, digest) = (ArtifactDbId(1), Sha256::of(b"bytes"));
        let (ok, hold) = (CheckSet::EMPTY, HoldSet::EMPTY);
        Gate {
            artifact,
            sha256: digest,
            chunk_root: digest,
            epoch: 1,
            requirement,
            ok,
            deny,
            undecided,
            hold,
        }
    }

    fn verdict(epoch: i32, outcome: Outcome) -> RecordedVerdict {
        let verdict = Verdict {
            artifact: ArtifactDbId(1),
            sha256: Sha256::of(b"bytes"),
            chunk_root: None,
            epoch,
            check: CheckKind::Hash,
            check_revision: 1,
            policy_epoch: 1,
            outcome,
            evidence: vec![],
            service: "hash".into(),
            software: "0.1.0".into(),
            decided_at: Timestamp::UNIX_EPOCH,
        };
        RecordedVerdict { verdict, recorded_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_reason_is_that_of_the_verdict_that_denied_in_this_epoch() {
        let mismatch = |declared: &str| Reason::DigestMismatch {
            field: ClaimField::NpmIntegrity,
            algorithm: Algorithm::Sha512,
            declared: declared.into(),
            computed: "cc".into(),
        };
        let pass = Outcome::pass(Reason::DigestsMatch { claims: 1 });
        // The latest first.
        let verdicts = [
            verdict(1, pass.clone()),
            verdict(0, Outcome::fail(mismatch("aa"))),
            verdict(1, Outcome::fail(mismatch("bb"))),
        ];
        let hash = CheckSet::of(CheckKind::Hash);
        let none = CheckSet::EMPTY;
        assert_eq!(deciding(&gate(hash, none), &verdicts), Some(mismatch("bb").to_string()));
        assert_eq!(deciding(&gate(hash, none), &verdicts[..2]), None);
        assert_eq!(deciding(&gate(none, none), &verdicts), None);
    }
}
