//! The JSON API, version 1.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, RawPathParams, State, rejection::JsonRejection, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use touchstone_chain::{Records, Sources, Wanted};
use touchstone_domain::{Purl, Sha256};
use touchstone_ecosystems::normal;
use touchstone_store::{DeadLetter, Incident, RecallTarget};

use crate::{
    auth::{Access, permit},
    problem::Problem,
    recall::{self, Recalled, SEALED_WITHIN, Sealed},
    server::Console,
    stopped::stop_json,
    story::Told,
};

/// Rows per answer.
const ROWS_MAX: i64 = 200;
/// How long a recall may take: it is answered before the request takes too long, so that people know what to do.
const RECALL_MAX: Duration = Duration::from_secs(25);

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

pub(crate) async fn artifacts(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    query: Result<Query<ByPurl>, QueryRejection>,
) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let Query(ByPurl { purl }) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let purl = parse_purl(&purl)?;
    Ok(Json(Told::read(&console.store, &purl, ROWS_MAX).await?.json()))
}

/// The records of what has these bytes. Envelopes go out as they were signed and stored.
#[derive(Serialize)]
pub(crate) struct Gathered {
    artifacts: Vec<Records>,
}

pub(crate) async fn records(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    path: RawPathParams,
) -> Result<Json<Gathered>, Problem> {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let digest = path.iter().find(|(name, _)| *name == "sha256").map(|(_, value)| value).unwrap_or_default();
    let sha256 = parse_digest(digest)?;
    let sources = Sources {
        store: console.store.clone(),
        records: console.records.clone(),
        ring: Arc::clone(&console.ring.borrow()),
        environment: console.environment.clone(),
    };
    let artifacts = sources.gather(&Wanted::Digest(sha256)).await?;
    if artifacts.is_empty() {
        let detail = format!("no artifact on record has the digest {sha256}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "No such artifact", detail));
    }
    Ok(Json(Gathered { artifacts }))
}

pub(crate) async fn summary(State(console): State<Arc<Console>>, headers: HeaderMap) -> Answer {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let counts = console.store.counts(console.attempts_max).await?;
    let stops = console.store.sumdb_stops().await?;
    let artifacts: Vec<Value> = counts
        .artifacts
        .iter()
        .map(|(ecosystem, state, number)| json!({ "ecosystem": ecosystem, "state": state, "number": number }))
        .collect();
    Ok(Json(json!({
        "artifacts": artifacts,
        "oldest_pending_seconds": counts.oldest_pending.as_ref().map(Duration::as_secs),
        "stuck": counts.stuck, "dead_letters": counts.dead_letters, "incidents": counts.incidents,
        "stopped": stops.iter().map(|(database, stop)| stop_json(database, stop)).collect::<Vec<_>>(),
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
    let (pins, waivers) = console.policy.exceptions();
    Ok(Json(json!({
        "sha256": console.policy.digest(), "document": console.policy.document(),
        "rules": rules, "deny": deny, "internal": internal, "pins": pins, "waivers": waivers,
    })))
}

pub(crate) async fn recalls(
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
        (None, Some(sha256)) => RecallTarget::Digest(parse_digest(&sha256)?),
        _ => return Err(Problem::bad_request("give either `purl` or `sha256`")),
    };
    let recalled = recall::recall(&console.store, &target, &reason, "console", Some(SEALED_WITHIN));
    let recalled = recall::within(RECALL_MAX, recalled).await?;
    Ok((StatusCode::CREATED, Json(recalled_json(&recalled))))
}

fn recalled_json(recalled: &Recalled) -> Value {
    let revoked: Vec<i64> = recalled.held.iter().map(|held| held.artifact.0).collect();
    let log_index = match recalled.sealed {
        Sealed::Entry(index) => Some(index),
        Sealed::NotWithin(_) | Sealed::NotAwaited => None,
    };
    json!({
        "revoked": revoked, "revoked_is_complete": recalled.untold.is_none(),
        "log_index": log_index, "log": recalled.sealed.to_string(),
    })
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

fn parse_digest(text: &str) -> Result<Sha256, Problem> {
    text.parse().map_err(|e| Problem::bad_request(format!("sha256: {e}")))
}

pub(crate) fn incident_json(incident: &Incident) -> Value {
    json!({
        "id": incident.id, "kind": incident.kind, "ecosystem": incident.ecosystem, "package": incident.package,
        "version": incident.version, "file": incident.file, "detail": incident.detail, "count": incident.count,
        "at": incident.at, "last_at": incident.last_at, "resolved_at": incident.resolved_at,
    })
}

pub(crate) fn dead_letter_json(row: &DeadLetter) -> Value {
    let letter = &row.letter;
    json!({
        "id": row.id, "stream": letter.stream, "consumer": letter.consumer, "stream_seq": letter.stream_seq,
        "deliveries": letter.deliveries, "check": letter.check, "artifact": letter.artifact, "detail": letter.detail,
        "at": row.at, "resolved_at": row.resolved_at,
    })
}

#[cfg(test)]
mod tests {
    use touchstone_domain::ArtifactDbId;
    use touchstone_store::{Held, StoreError};

    use super::*;

    #[test]
    fn a_recall_says_whether_it_names_all_that_is_held() {
        let json = |untold| {
            let held = vec![Held { artifact: ArtifactDbId(7), was_served: true }];
            let mut json = recalled_json(&Recalled { held, untold, before: None, sealed: Sealed::Entry(3) });
            json.as_object_mut().expect("an object").remove("log");
            json
        };
        let expected = |whole| json!({ "revoked": [7], "revoked_is_complete": whole, "log_index": 3 });
        assert_eq!(json(None), expected(true));
        assert_eq!(json(Some(StoreError::SchemaMissing)), expected(false));
    }
}
