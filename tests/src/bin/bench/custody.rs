//! What signing and judging cost by themselves, on one core and without servers.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use touchstone_custody::{Case, KeyKind, ServeRecord, Signing, StoredVerdict, VerdictStatement, judge_many};
use touchstone_domain::{
    ArtifactDbId, CheckKind, CheckSet, EnvelopeRef, Gate, HoldSet, Outcome, Policy, Reason, Sha256, SignedBy,
    Verdict,
};
use touchstone_store::NewArtifact;
use touchstone_testkit::custody::TestKeys;

use crate::{pipeline, say};

/// Artifacts that are signed and judged.
const NUMBER: usize = 2_000;
/// Artifacts that are judged together, as promote does.
const BATCH: usize = 256;

/// The time that one artifact with four checks costs.
pub(crate) struct Cost {
    /// Five envelopes: the fetch and four verdicts.
    sign: Duration,
    /// The five are verified, compared with their rows, and counted.
    judge: Duration,
    /// The serve record.
    record: Duration,
}

impl Cost {
    /// All of it.
    pub(crate) fn total(&self) -> Duration {
        self.sign + self.judge + self.record
    }
}

/// Measures, and prints.
pub(crate) fn signatures() -> Cost {
    let keys = TestKeys::new(0);
    let edge = keys.signing(KeyKind::Fetch);
    let checks = CheckKind::ALL.map(|check| (check, keys.signing(check.into())));
    let now = Timestamp::from_second(1_790_000_000).expect("a time");
    let began = Instant::now();
    let signed: Vec<(Case, Vec<Vec<u8>>)> = (0..NUMBER).map(|n| case(&edge, &checks, n, now)).collect();
    let sign = each(began);

    let ring = keys.ring().borrow().clone();
    let policy = Policy::default();
    let began = Instant::now();
    let mut approvals = Vec::with_capacity(NUMBER);
    for batch in signed.chunks(BATCH) {
        let envelopes: Vec<Vec<Option<&[u8]>>> = batch
            .iter()
            .map(|(_, envelopes)| envelopes.iter().map(|e| Some(e.as_slice())).collect())
            .collect();
        let cases: Vec<(&Case, &[Option<&[u8]>])> =
            batch.iter().zip(&envelopes).map(|((case, _), envelopes)| (case, &envelopes[..])).collect();
        let judged = judge_many(&cases, &ring, (&policy, 1), touchstone_testkit::custody::ENVIRONMENT, now);
        approvals.extend(judged.into_iter().map(|judged| judged.approval.expect("approved")));
    }
    let judge = each(began);

    let promote = keys.signing(KeyKind::Promote);
    let began = Instant::now();
    for (serial, approval) in (1..).zip(&approvals) {
        black_box(ServeRecord::sign(approval, serial, now, &*promote.signer).expect("signed"));
    }
    let cost = Cost { sign, judge, record: each(began) };
    let micros = |time: Duration| time.as_micros();
    let figure = format!(
        "{} µs: sign {}, judge {}, record {}",
        micros(cost.total()),
        micros(cost.sign),
        micros(cost.judge),
        micros(cost.record)
    );
    say("signatures of one artifact with 4 checks", &figure, "");
    cost
}

fn each(began: Instant) -> Duration {
    began.elapsed() / u32::try_from(NUMBER).expect("small")
}

/// An artifact that was fetched and approved by all checks, with the signed envelopes of its fetch and verdicts.
fn case(edge: &Signing, checks: &[(CheckKind, Signing)], n: usize, now: Timestamp) -> (Case, Vec<Vec<u8>>) {
    let new = pipeline::artifact(n, 1, edge.signer.key_id());
    let fetch = pipeline::fetch(&new, edge, now).sign(&*edge.signer).expect("signed");
    let gate = Gate {
        artifact: ArtifactDbId(i64::try_from(n).expect("small")),
        sha256: new.sha256,
        chunk_root: new.chunks.root(),
        epoch: 0,
        requirement: new.requirement,
        ok: CheckSet::EMPTY,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    };
    let mut envelopes = vec![fetch];
    let mut verdicts = Vec::new();
    for (check, signing) in checks {
        let statement = verdict(&new, &gate, *check, now);
        let envelope = statement.sign(&*signing.signer).expect("signed");
        let signed = SignedBy { key: signing.signer.key_id(), envelope: place(&envelope) };
        verdicts.push(StoredVerdict { row: 0, verdict: statement.verdict, signed: Some(signed) });
        envelopes.push(envelope);
    }
    let case = Case {
        gate,
        policy_epoch: 1,
        id: new.id,
        sha512: new.sha512,
        size: new.size,
        upstream_url: new.upstream_url,
        first_seen: now,
        fetches: vec![place(&envelopes[0])],
        verdicts,
    };
    (case, envelopes)
}

fn verdict(new: &NewArtifact, gate: &Gate, check: CheckKind, now: Timestamp) -> VerdictStatement {
    VerdictStatement {
        environment: touchstone_testkit::custody::ENVIRONMENT.into(),
        id: new.id.clone(),
        sha512: new.sha512,
        size: new.size,
        upstream_url: new.upstream_url.clone(),
        policy: Policy::default().digest(),
        verdict: Verdict {
            artifact: gate.artifact,
            sha256: gate.sha256,
            chunk_root: Some(gate.chunk_root),
            epoch: gate.epoch,
            check,
            check_revision: 1,
            policy_epoch: 1,
            outcome: Outcome::pass(Reason::Trivial),
            evidence: vec![],
            trust: vec![],
            service: check.as_str().into(),
            software: "bench".into(),
            decided_at: now,
        },
    }
}

fn place(envelope: &[u8]) -> EnvelopeRef {
    let size = u32::try_from(envelope.len()).expect("small");
    EnvelopeRef { sha256: Sha256::of(envelope), pack: Sha256::of(""), offset: 0, size }
}
