//! What a scraper asks for: the metrics of this process, and the pipeline as Postgres knows it.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::IntoResponse,
};
use touchstone_store::{Counts, SumdbState, SumdbStop, SumdbStopKind, TrustReported};

use crate::{
    auth::{Access, permit},
    problem::Problem,
    server::Console,
};

/// Attest processes report every half minute, or after a refresh of five minutes at most.
const TRUST_REPORT_AGE_MAX: Duration = Duration::from_mins(10);

pub(crate) async fn metrics(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    permit(console.token.as_ref(), &headers, Access::Read)?;
    let store = &console.store;
    let mut text = (console.metrics)();
    let counts = store.counts(console.attempts_max).await;
    let _infallible = writeln!(text, "touchstone_database_up {}", u8::from(counts.is_ok()));
    if let Ok(counts) = counts {
        text.push_str(&count_gauges(&counts));
    }
    if let Ok(oldest) = store.oldest_unsealed().await {
        let seconds = oldest.unwrap_or_default().as_secs();
        let _infallible = writeln!(text, "touchstone_oldest_unsealed_seconds {seconds}");
    }
    if let Ok(Some(reported)) = store.trust_reported().await {
        text.push_str(&trust_gauges(&reported));
    }
    if let (Ok(databases), Ok(stops)) = (store.sumdb_status().await, store.sumdb_stops().await) {
        text.push_str(&sumdb_gauges(&databases, &stops));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn count_gauges(counts: &Counts) -> String {
    let mut text = String::new();
    for (ecosystem, state, number) in &counts.artifacts {
        let state = state.as_str();
        let _infallible =
            writeln!(text, "touchstone_artifacts{{ecosystem=\"{ecosystem}\",state=\"{state}\"}} {number}");
    }
    let oldest = counts.oldest_pending.unwrap_or_default().as_secs();
    let _infallible = writeln!(
        text,
        "touchstone_oldest_pending_seconds {oldest}\ntouchstone_stuck_artifacts {}\n\
         touchstone_open_dead_letters {}\ntouchstone_open_incidents {}",
        counts.stuck, counts.dead_letters, counts.incidents
    );
    text
}

/// Whether attestations can be verified, as an attest process said last: nothing can when none has said so for long.
fn trust_gauges(reported: &TrustReported) -> String {
    let usable = reported.status.usable && reported.age < TRUST_REPORT_AGE_MAX;
    let mut lines = vec![format!("touchstone_trust_usable {}", u8::from(usable))];
    if let Some(expires) = reported.status.expires_at {
        let seconds = expires.as_second();
        lines.push(format!("touchstone_trust_expires_timestamp_seconds{{source=\"tuf\"}} {seconds}"));
    }
    if let Some(age) = reported.confirmed_age {
        lines.push(format!("touchstone_trust_age_seconds{{source=\"tuf\"}} {}", age.as_secs()));
    }
    if let Some(refreshed) = reported.status.refreshed {
        lines.push(format!("touchstone_trust_refreshed {}", u8::from(refreshed)));
    }
    lines.join("\n") + "\n"
}

/// How each checksum database stands that was ever asked.
fn sumdb_gauges(databases: &[(String, SumdbState)], stops: &[(String, SumdbStop)]) -> String {
    let mut text = String::new();
    for (database, state) in databases {
        let label = format!("database=\"{}\"", escaped(database));
        if let Some(head) = &state.head {
            let _infallible = writeln!(text, "touchstone_sumdb_tree_size{{{label}}} {}", head.size);
        }
        if let Some(poll) = &state.poll {
            let seconds = poll.now.duration_since(poll.polled_at).as_secs().max(0);
            let _infallible = writeln!(
                text,
                "touchstone_sumdb_latest_size{{{label}}} {}\ntouchstone_sumdb_polled_seconds{{{label}}} {seconds}",
                poll.latest_size
            );
        }
        for kind in SumdbStopKind::ALL {
            let stopped = stops.iter().any(|(of, stop)| of == database && stop.kind == kind);
            let _infallible =
                writeln!(text, "touchstone_sumdb_stopped{{{label},kind=\"{kind}\"}} {}", u8::from(stopped));
        }
    }
    text
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use touchstone_domain::Sha256;
    use touchstone_store::{SumdbHead, SumdbPoll, TrustStatus};

    use super::*;

    #[test]
    fn trust_is_usable_while_somebody_says_so() {
        let status = TrustStatus {
            usable: true,
            expires_at: "2026-12-01T00:00:00.5Z".parse().ok(),
            confirmed_at: "2026-11-22T12:00:00Z".parse().ok(),
            refreshed: Some(true),
        };
        let (age, confirmed_age) = (Duration::from_secs(599), Some(Duration::from_millis(61_900)));
        let said = TrustReported { status, age, confirmed_age };
        let rest = "touchstone_trust_expires_timestamp_seconds{source=\"tuf\"} 1796083200\n\
                    touchstone_trust_age_seconds{source=\"tuf\"} 61\n\
                    touchstone_trust_refreshed 1\n";
        assert_eq!(trust_gauges(&said), format!("touchstone_trust_usable 1\n{rest}"));
        let silent = TrustReported { age: TRUST_REPORT_AGE_MAX, ..said.clone() };
        assert_eq!(trust_gauges(&silent), format!("touchstone_trust_usable 0\n{rest}"));
        let refused = TrustStatus { usable: false, expires_at: None, confirmed_at: None, refreshed: None };
        let refused = TrustReported { status: refused, confirmed_age: None, ..said };
        assert_eq!(trust_gauges(&refused), "touchstone_trust_usable 0\n");
        let waiting = TrustStatus { usable: true, refreshed: Some(false), ..refused.status };
        let waiting = TrustReported { status: waiting, ..refused };
        assert_eq!(trust_gauges(&waiting), "touchstone_trust_usable 1\ntouchstone_trust_refreshed 0\n");
    }

    #[test]
    fn a_checksum_database_tells_its_sizes_its_last_poll_and_each_kind_of_stop() {
        let time = |text: &str| text.parse::<Timestamp>().expect(text);
        let head = |size| SumdbHead { size, root: Sha256::of("tree"), note: b"note".to_vec() };
        let poll = SumdbPoll {
            latest_size: 8,
            polled_at: time("2026-11-22T12:00:00Z"),
            grown_at: time("2026-11-22T12:00:00Z"),
            behind_since: None,
            now: time("2026-11-22T12:01:01.9Z"),
        };
        let stop = SumdbStop {
            kind: SumdbStopKind::Rollback,
            ours: head(9),
            theirs: head(8),
            detail: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        let state =
            SumdbState { head: Some(head(9)), stop: Some(stop.clone()), poll: Some(poll), lineage: 0 };
        let databases = [("sum.example+1".to_owned(), state), ("a\"\\b\n".to_owned(), SumdbState::default())];
        let told = sumdb_gauges(&databases, &[("sum.example+1".to_owned(), stop)]);
        let expected = r#"touchstone_sumdb_tree_size{database="sum.example+1"} 9
touchstone_sumdb_latest_size{database="sum.example+1"} 8
touchstone_sumdb_polled_seconds{database="sum.example+1"} 61
touchstone_sumdb_stopped{database="sum.example+1",kind="fork"} 0
touchstone_sumdb_stopped{database="sum.example+1",kind="rollback"} 1
touchstone_sumdb_stopped{database="sum.example+1",kind="freeze"} 0
touchstone_sumdb_stopped{database="a\"\\b\n",kind="fork"} 0
touchstone_sumdb_stopped{database="a\"\\b\n",kind="rollback"} 0
touchstone_sumdb_stopped{database="a\"\\b\n",kind="freeze"} 0
"#;
        assert_eq!(told, expected);
        assert_eq!(sumdb_gauges(&[], &[]), "");
    }
}
