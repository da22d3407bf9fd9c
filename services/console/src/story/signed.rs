//! Who signed what, and whether it counted.

use serde_json::{Value, json};
use touchstone_domain::{CheckKind, KeyId};
use touchstone_store::{Promotion, RecordedVerdict, Story};

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Promote has verified and counted it.
    Counted,
    /// Promote has yet to look at it, or it is of another epoch.
    Waiting,
    /// It counts for nothing.
    Refused,
}

impl Standing {
    /// What became of one of a story's verdicts.
    pub fn of(story: &Story, recorded: &RecordedVerdict) -> Self {
        let (gate, verdict) = (&story.gate, &recorded.verdict);
        let answered = gate.ok.union(gate.deny).union(gate.undecided);
        if recorded.refused.is_some() {
            Self::Refused
        } else if verdict.epoch == gate.epoch && answered.contains(verdict.check) {
            Self::Counted
        } else {
            Self::Waiting
        }
    }
}

/// The answers of a check in the gate's epoch that count for nothing, the latest first.
pub fn refused(story: &Story, check: CheckKind) -> impl Iterator<Item = &RecordedVerdict> {
    let of_epoch =
        move |v: &&RecordedVerdict| v.verdict.check == check && v.verdict.epoch == story.gate.epoch;
    story.verdicts.iter().filter(of_epoch).filter(|v| v.refused.is_some())
}

/// The digits that people know a key by.
pub fn short_key(key: KeyId) -> String {
    let mut digits = key.to_string();
    digits.truncate(8);
    digits
}

pub(super) fn refused_json(recorded: &RecordedVerdict) -> Value {
    let (code, reason) = recorded.refused.clone().unzip();
    json!({
        "outcome": recorded.verdict.outcome.kind, "key": recorded.signed.map(|signed| signed.key), "code": code,
        "reason": reason, "at": recorded.recorded_at,
    })
}

pub(super) fn fetches_json(story: &Story) -> Vec<Value> {
    let fetches = story.fetches.iter();
    fetches
        .map(|(signed, at)| json!({ "key": signed.key, "envelope": signed.envelope.sha256, "at": at }))
        .collect()
}

/// The serve record; nothing for a promotion from before they were signed.
pub(super) fn record_json(promotion: &Promotion) -> Option<Value> {
    let signed = promotion.signed?;
    Some(json!({
        "sha256": signed.envelope.sha256, "key": signed.key, "serial": promotion.serial,
        "policy_epoch": promotion.policy_epoch, "log_index": promotion.log_index,
    }))
}
