//! The subjects and streams, in one place.

use touchstone_domain::{CheckKind, Ecosystem};

/// The stream of live events: limits retention, so that it can be replayed.
pub const LIVE_STREAM: &str = "LIVE";
/// The stream of advisories about messages that nobody could handle.
pub const ADVISORY_STREAM: &str = "ADVISORY";

/// Where JetStream takes requests.
pub(crate) const API: &str = "$JS.API";
/// Where JetStream takes acknowledgements.
pub(crate) const ACK: &str = "$JS.ACK";
/// Every `artifact-fetched` event.
pub(crate) const FETCHED_ALL: &str = "touchstone.v1.artifact-fetched.>";
/// Every targeted re-dispatch.
pub(crate) const RECHECK_ALL: &str = "touchstone.v1.recheck.>";
/// Every decision.
pub(crate) const DECISION_ALL: &str = "touchstone.v1.decision.>";
/// Verdicts were recorded; core NATS only.
pub(crate) const RECORDED: &str = "touchstone.v1.verdict-recorded";
/// Advisories: a message of LIVE was delivered `max_deliver` times.
pub(crate) const MAX_DELIVERIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.LIVE.*";
/// Advisories: a consumer gave up on a message of LIVE.
pub(crate) const TERMINATED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.LIVE.*";

/// Where a fetched artifact is announced.
pub(crate) fn fetched(ecosystem: Ecosystem) -> String {
    format!("touchstone.v1.artifact-fetched.{ecosystem}")
}

/// What one check is told of: the ecosystems that it has something to say about, and no others.
pub(crate) fn heard_by(check: CheckKind) -> Vec<String> {
    let applies = |ecosystem: &Ecosystem| check.applies_to(*ecosystem);
    let fetched = if Ecosystem::ALL.iter().all(applies) {
        vec![FETCHED_ALL.to_owned()]
    } else {
        Ecosystem::ALL.into_iter().filter(applies).map(fetched).collect()
    };
    // Never empty: a consumer without a filter would hear everything.
    fetched.into_iter().chain([recheck_all(check)]).collect()
}

/// Where one check is asked to look again.
pub(crate) fn recheck(check: CheckKind, ecosystem: Ecosystem) -> String {
    format!("touchstone.v1.recheck.{check}.{ecosystem}")
}

/// Every re-dispatch of one check.
pub(crate) fn recheck_all(check: CheckKind) -> String {
    format!("touchstone.v1.recheck.{check}.>")
}

/// Where decisions are announced.
pub(crate) fn decision(ecosystem: Ecosystem) -> String {
    format!("touchstone.v1.decision.{ecosystem}")
}
