//! What is on record of a purl, as design.md section 8 says: what the API answers, and what `touchstone why` prints.

mod signed;

use std::collections::HashMap;

use serde_json::{Value, json};
use touchstone_custody::KeyKind;
use touchstone_domain::{CheckKind, Gate, OutcomeKind, Purl, Sha256, Verdict};
use touchstone_store::{
    LedgerEntry, Promotion, RecallOfIt, RecordedVerdict, Store, StoreError, Story, SumdbStop, Transition,
};

pub use signed::{Standing, refused, short_key};

use crate::{
    api::{dead_letter_json, incident_json},
    fix::{Fix, fixes, unblock},
    stopped::{stop_json, why_stopped},
};

/// The most entries of a package's ledger that are told.
const IDENTITIES_MAX: i64 = 50;

/// The stories of what a purl names, and who signed its package.
#[derive(Debug, Default)]
pub struct Told {
    /// The artifacts, the latest first.
    pub stories: Vec<Story>,
    /// The ledger of identities of the package, the latest first.
    pub identities: Vec<LedgerEntry>,
    /// The checksum databases that are stopped, if the package's ecosystem has any; the earliest first.
    pub stops: Vec<(String, SumdbStop)>,
    /// The kinds of which a key that is signed with does not count, if something waits.
    pub blocked: Vec<KeyKind>,
    /// The digests of the policies that the stories name, by their numbers.
    pub policies: HashMap<i32, Sha256>,
}

/// What a check has to do with the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It must approve.
    Required,
    /// It must approve, or find that nothing is offered to it.
    Tolerated,
    /// It only tells.
    Optional,
}

impl Asked {
    /// What a gate asks of a check.
    pub fn of(gate: &Gate, check: CheckKind) -> Self {
        let requirement = gate.requirement;
        if requirement.tolerated().contains(check) {
            Self::Tolerated
        } else if requirement.required().contains(check) {
            Self::Required
        } else {
            Self::Optional
        }
    }

    /// The words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Tolerated => "required, absence tolerated",
            Self::Optional => "optional",
        }
    }

    /// The word for programs: a check is required or it is not.
    const fn requirement(self) -> &'static str {
        match self {
            Self::Required | Self::Tolerated => "required",
            Self::Optional => "optional",
        }
    }
}

impl Told {
    /// Reads at most `limit` stories of what the purl names.
    pub async fn read(store: &Store, purl: &Purl, limit: i64) -> Result<Self, StoreError> {
        let stories = store.stories(purl, limit).await?;
        let identities = store.identities(purl.ecosystem, &purl.package, IDENTITIES_MAX).await?;
        let stops =
            if CheckKind::Sumdb.applies_to(purl.ecosystem) { store.sumdb_stops().await? } else { vec![] };
        let waits = stories.iter().any(|story| story.state().is_pending());
        let blocked = if waits { store.signing_blocked().await? } else { vec![] };
        let promoted = stories.iter().filter_map(promotion).map(|promotion| promotion.policy_epoch);
        let epochs: Vec<i32> = stories.iter().map(|story| story.facts.policy_epoch).chain(promoted).collect();
        let policies = store.policy_digests(&epochs).await?;
        Ok(Self { stories, identities, stops, blocked, policies })
    }

    /// The gravest stop that one of the stories waits for.
    pub fn waits_for(&self, story: &Story) -> Option<&(String, SumdbStop)> {
        let waits = story.state().is_pending() && story.gate.missing().contains(CheckKind::Sumdb);
        self.stops.iter().filter(|_| waits).min_by_key(|(_, stop)| stop.kind)
    }

    /// The kinds of keys that one of the stories waits for, since one in use does not count.
    pub fn needs_keys(&self, story: &Story) -> Vec<KeyKind> {
        if !story.state().is_pending() {
            return vec![];
        }
        let awaited = awaited(story);
        let is_needed = |kind: &&KeyKind| {
            **kind == KeyKind::Promote || awaited.iter().any(|check| KeyKind::from(*check) == **kind)
        };
        self.blocked.iter().filter(is_needed).copied().collect()
    }

    /// What an operator can do about one of the stories.
    pub fn fixes(&self, story: &Story) -> Vec<Fix> {
        let unblocked = self.needs_keys(story).into_iter().map(unblock);
        unblocked.chain(fixes(story, &self.identities)).collect()
    }

    /// The answer to `GET /api/v1/artifacts`, which `touchstone why --json` prints too.
    pub fn json(&self) -> Value {
        json!({
            "artifacts": self.stories.iter().map(|story| self.story_json(story)).collect::<Vec<_>>(),
            "identities": self.identities.iter().map(identity_json).collect::<Vec<_>>(),
            "stopped": self.stops.iter().map(|(database, stop)| stop_json(database, stop)).collect::<Vec<_>>(),
        })
    }

    fn story_json(&self, story: &Story) -> Value {
        let (facts, gate) = (&story.facts, &story.gate);
        let checks: Vec<Value> =
            CheckKind::ALL.into_iter().filter_map(|check| check_json(story, check)).collect();
        let promotion = promotion(story);
        let stopped = || self.waits_for(story).map(|(database, stop)| why_stopped(database, stop));
        let reason = story
            .recalls
            .first()
            .map(|recall| recall.reason.clone())
            .or_else(|| deciding(gate, &story.verdicts))
            .or_else(stopped);
        let fixes: Vec<Value> =
            self.fixes(story).iter().map(|fix| json!({ "what": fix.what, "policy": fix.policy })).collect();
        json!({
            "purl": facts.id.to_string(), "file": facts.id.file, "sha256": facts.sha256, "sha512": facts.sha512,
            "size": facts.size, "state": story.state(), "reason": reason, "fixes": fixes,
            "first_seen": story.fetched_at, "eligible_at": story.eligible_at,
            "promoted_at": promotion.map(|p| p.promoted_at), "policy_epoch": facts.policy_epoch,
            "policy_sha256": self.policies.get(&facts.policy_epoch), "epoch": gate.epoch,
            "fetches": signed::fetches_json(story), "record": promotion.and_then(signed::record_json),
            "records": promotion.and_then(|p| p.signed).map(|_| records_path(facts.sha256)),
            "recalls": story.recalls.iter().map(recall_json).collect::<Vec<_>>(),
            "upstream_url": facts.upstream_url, "claims": facts.claims, "evidence": facts.evidence, "checks": checks,
            "incidents": story.incidents.iter().map(incident_json).collect::<Vec<_>>(),
            "dead_letters": story.dead_letters.iter().map(dead_letter_json).collect::<Vec<_>>(),
        })
    }
}

/// What a check last answered in the gate's epoch; an answer that was refused only where there is no other.
pub fn answer(story: &Story, check: CheckKind) -> Option<&RecordedVerdict> {
    let mut answers =
        story.verdicts.iter().filter(|v| v.verdict.check == check && v.verdict.epoch == story.gate.epoch);
    answers.clone().find(|v| v.refused.is_none()).or_else(|| answers.next())
}

/// The promotion that permits serving, if it is in force.
pub fn promotion(story: &Story) -> Option<&Promotion> {
    story.promotions.iter().find(|promotion| promotion.epoch == story.gate.epoch)
}

/// The required checks that a pending artifact has no answer of yet that may count; if there is none, it waits for promote.
pub fn awaited(story: &Story) -> Vec<CheckKind> {
    let answered = |check: &CheckKind| answer(story, *check).is_some_and(|found| found.refused.is_none());
    story.gate.missing().iter().filter(|check| !answered(check)).collect()
}

/// The latest entry of an artifact's history that says that it was recalled.
pub fn revocation(story: &Story) -> Option<&Transition> {
    story.log.iter().find(|entry| entry.cause == "recall")
}

fn recall_json(recall: &RecallOfIt) -> Value {
    json!({ "reason": recall.reason, "actor": recall.actor, "at": recall.at })
}

/// Where the API has an artifact's records.
fn records_path(sha256: Sha256) -> String {
    format!("/api/v1/artifacts/{sha256}/records")
}

/// Why the gate is where it is: the verdict of its epoch that denies, or else one that does not decide.
fn deciding(gate: &Gate, verdicts: &[RecordedVerdict]) -> Option<String> {
    let counted = || verdicts.iter().filter(|v| v.refused.is_none()).map(|v| &v.verdict);
    let of_epoch = || counted().filter(|v| v.epoch == gate.epoch);
    let veto = gate.requirement.veto();
    let denies =
        |v: &&Verdict| gate.deny.intersection(veto).contains(v.check) && v.outcome.kind == OutcomeKind::Fail;
    let leaves_open = |v: &&Verdict| {
        let open = matches!(v.outcome.kind, OutcomeKind::NotOffered | OutcomeKind::Inconclusive);
        gate.undecided.intersection(veto).contains(v.check) && open
    };
    let found = of_epoch().find(denies).or_else(|| of_epoch().find(leaves_open));
    found.map(|v| v.outcome.reason.to_string())
}

fn check_json(story: &Story, check: CheckKind) -> Option<Value> {
    let asked = Asked::of(&story.gate, check);
    let found = answer(story, check);
    if asked == Asked::Optional && found.is_none() {
        return None;
    }
    let verdict = found.map(|found| &found.verdict);
    let evidence = |digest: &Sha256| match story.facts.evidence.iter().find(|e| e.sha256 == *digest) {
        Some(kept) => json!(kept),
        None => json!({ "sha256": digest }),
    };
    Some(json!({
        "kind": check, "requirement": asked.requirement(), "absence_tolerated": asked == Asked::Tolerated,
        "outcome": verdict.map(|v| v.outcome.kind),
        "reason": verdict.map(|v| v.outcome.reason.to_string()),
        "code": verdict.map(|v| v.outcome.reason.code()),
        "detail": verdict.map(|v| &v.outcome.reason),
        "evidence": verdict.map(|v| v.evidence.iter().map(evidence).collect::<Vec<_>>()),
        "trust": verdict.map(|v| &v.trust),
        "verifier": verdict.map(|v| format!("{} {}", v.service, v.software)),
        "at": found.map(|found| found.recorded_at),
        "key": found.and_then(|found| found.signed).map(|signed| signed.key),
        "envelope": found.and_then(|found| found.signed).map(|signed| signed.envelope.sha256),
        "counted": found.map(|found| Standing::of(story, found) == Standing::Counted),
        "refused": refused(story, check).map(signed::refused_json).collect::<Vec<_>>(),
    }))
}

fn identity_json(entry: &LedgerEntry) -> Value {
    json!({
        "line": entry.line, "version": entry.version, "file": entry.file, "identity": entry.observed.identity,
        "rank": entry.observed.rank, "basis": entry.basis, "words": entry.basis.to_string(),
        "binding": entry.basis.binds(), "since": entry.at,
    })
}

#[cfg(test)]
mod tests;
