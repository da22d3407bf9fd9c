//! Counting verdicts: read, judge, sign, apply, tell.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

use futures::StreamExt;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use touchstone_bus::Rung;
use touchstone_custody::{Approval, Case, Judged, Withheld};
use touchstone_domain::{ArtifactDbId, CheckSet, GateDelta};
use touchstone_store::{StoreError, Wanted};

use crate::{
    Promote,
    course::{self, Course},
    judge::{CountError, judge},
    rejections::Denial,
    reopen::{Reopening, reopen},
    sign,
};

use queue::Queue;

mod queue;

/// The most artifacts that are counted in one transaction; each has a few deltas.
pub(crate) const BATCH_MAX: usize = 256;
/// How often artifacts are looked at once more, at the most: a few fetches are refused each time.
const ROUNDS_MAX: usize = 64;
/// How many artifacts wait here before doorbells do; those that are lost then, the sweeper finds.
const QUEUE_MAX: usize = 16_384;
/// How long to wait before listening again when NATS is away.
const LISTEN_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Hands the artifacts of each doorbell on to be counted.
pub(crate) async fn listen(promote: &Promote, sender: &mpsc::Sender<Vec<Rung>>) {
    let mut connected = promote.bus.clone();
    let bus = promote.stop.run_until_cancelled(connected.wait_for(Option::is_some)).await;
    let Some(bus) = bus.and_then(Result::ok).and_then(|bus| bus.clone()) else { return };
    while !promote.stop.is_cancelled() {
        match bus.recorded().await {
            Ok(recorded) => {
                let mut recorded = std::pin::pin!(recorded);
                while let Some(Some(rung)) = promote.stop.run_until_cancelled(recorded.next()).await {
                    if sender.send(rung).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen to verdicts; the sweeper finds them"),
        }
        promote.stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
    }
}

/// Counts whatever has been rung for, a few batches at a time; while all of them are under way, the next one grows.
pub(crate) async fn batches(promote: Arc<Promote>, mut receiver: mpsc::Receiver<Vec<Rung>>) {
    let mut counting = JoinSet::new();
    let mut batches = HashMap::new();
    let mut queue = Queue::default();
    let mut is_open = true;
    while is_open || queue.len() > 0 || !counting.is_empty() {
        while queue.len() < QUEUE_MAX
            && let Ok(rung) = receiver.try_recv()
        {
            queue.add(rung, Instant::now());
        }
        while counting.len() < promote.config.concurrency.max(1) {
            let batch = queue.take(BATCH_MAX, Instant::now());
            if batch.is_empty() {
                break;
            }
            let task = counting.spawn(count(Arc::clone(&promote), batch.clone()));
            batches.insert(task.id(), batch);
        }
        promote.waiting.store(queue.len(), Ordering::Relaxed);
        // while no batch can begin, its time may have come already
        let due = queue.due().filter(|_| counting.len() < promote.config.concurrency.max(1));
        tokio::select! {
            () = promote.stop.cancelled() => break,
            Some(ended) = counting.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                queue.done(&batches.remove(&id).unwrap_or_default());
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            rung = receiver.recv(), if is_open && queue.len() < QUEUE_MAX => match rung {
                Some(rung) => queue.add(rung, Instant::now()),
                None => is_open = false,
            },
        }
    }
    while counting.join_next().await.is_some() {}
}

async fn count(promote: Arc<Promote>, artifacts: Vec<ArtifactDbId>) {
    if let Err(error) = verdicts(&promote, &artifacts, Look::Decided).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot count verdicts; the sweeper will");
    }
}

/// Which artifacts are judged; each judgement verifies all signatures of an artifact anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Those that may be decided now, by what rows say: every required check has answered, or one has failed it. Bits of partial
    /// answers are left to the sweeper.
    Decided,
    /// All.
    All,
}

/// What came of the artifacts that were judged.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// The required checks that have to be asked again; none where nothing but a new fetch or another policy would help.
    pub(crate) missing: BTreeMap<ArtifactDbId, CheckSet>,
}

/// Judges these artifacts, applies what counts, and signs what is approved.
pub(crate) async fn verdicts(
    promote: &Promote,
    artifacts: &[ArtifactDbId],
    look: Look,
) -> Result<Counted, CountError> {
    let mut counted = Counted::default();
    for artifacts in artifacts.chunks(BATCH_MAX) {
        let mut again = round(promote, artifacts, look, &mut counted).await?;
        for _ in 0..ROUNDS_MAX {
            if again.is_empty() {
                break;
            }
            again = round(promote, &again, Look::All, &mut counted).await?;
        }
    }
    Ok(counted)
}

/// One transaction's worth. Returns the artifacts that are to be looked at once more: those that others have added bits to meanwhile,
/// so that all of them together approve what none of them has judged as a whole; and those whose latest fetches were refused just now,
/// so that what somebody put before an honest one does not hide it.
async fn round(
    promote: &Promote,
    artifacts: &[ArtifactDbId],
    look: Look,
    counted: &mut Counted,
) -> Result<Vec<ArtifactDbId>, CountError> {
    if promote.is_halted() {
        return Ok(vec![]);
    }
    let wanted = match look {
        Look::Decided => Wanted::Decided,
        Look::All => Wanted::All,
    };
    let mut cases = promote.store.cases(artifacts, wanted).await?;
    cases.retain(|case| course::is_worth_judging(case, look));
    if cases.is_empty() {
        return Ok(vec![]);
    }
    let mut plan = Plan::default();
    for (case, judged) in judge(promote, cases).await? {
        plan.add(promote, &case, judged, counted);
    }
    plan.carry_out(promote).await
}

/// What follows from judgements, for all artifacts of a batch together.
#[derive(Default)]
struct Plan {
    deltas: Vec<GateDelta>,
    /// Those of the artifacts that the deltas reject, whatever their rows say that they were before.
    denials: Vec<Denial>,
    approvals: Vec<Approval>,
    reopenings: Vec<Reopening>,
    /// Artifacts whose bits may be refused, and that need no second look.
    withheld: BTreeSet<ArtifactDbId>,
    /// Artifacts of which no fetch counts that was looked at, and that may have others.
    refused: Vec<ArtifactDbId>,
}

impl Plan {
    fn add(&mut self, promote: &Promote, case: &Case, judged: Judged, counted: &mut Counted) {
        let artifact = case.gate.artifact;
        let course = course::of(case, &judged, promote.policy_epoch);
        if !judged.refused_fetches.is_empty() && matches!(judged.approval, Err(Withheld::Fetch(_))) {
            self.refused.push(artifact);
        }
        let news: Vec<GateDelta> =
            judged.deltas.into_iter().filter(|delta| course::adds(&case.gate, delta)).collect();
        // the row may be another one when they are added
        let own = promote.policy.requirement(case.id.ecosystem, &case.id.package);
        let veto = case.gate.requirement.veto().union(own.veto());
        if news.iter().any(|delta| !delta.deny().intersection(veto).is_empty()) {
            let (sha256, epoch) = (case.gate.sha256, case.gate.epoch);
            self.denials.push(Denial { artifact, id: case.id.clone(), sha256, epoch });
        }
        match course {
            Course::Promote(approval) => {
                counted.missing.insert(artifact, CheckSet::EMPTY);
                self.deltas.extend(news);
                self.approvals.push(*approval);
            }
            Course::Count => {
                counted.missing.insert(artifact, judged.missing);
                if judged.approval.is_err() {
                    self.withheld.insert(artifact);
                }
                self.deltas.extend(news);
            }
            Course::Wait(reason) => {
                tracing::warn!(
                    artifact = %artifact, artifact.id = %case.id, error = &reason as &dyn std::error::Error,
                    "every required check approved, and it is not promoted"
                );
                counted.missing.insert(artifact, CheckSet::EMPTY);
                self.deltas.extend(news.into_iter().filter(|delta| delta.ok().is_empty()));
            }
            Course::Reopen(why) => {
                counted.missing.insert(artifact, CheckSet::EMPTY);
                self.reopenings.push(Reopening::of(case, why));
            }
        }
    }

    async fn carry_out(mut self, promote: &Promote) -> Result<Vec<ArtifactDbId>, CountError> {
        reopen(promote, &self.reopenings).await?;
        if promote.may_sign().is_err() {
            self.approvals.clear();
            self.deltas.retain(|delta| delta.ok().is_empty());
        }
        let promotions = sign::promotions(promote, self.approvals).await?;
        if (self.deltas.is_empty() && promotions.is_empty()) || promote.is_halted() {
            return Ok(self.refused);
        }
        metrics::histogram!("touchstone_gate_batch")
            .record(u32::try_from(self.deltas.len()).unwrap_or(u32::MAX));
        let expected = promote.rejections.expect(&self.denials);
        let applied = match promote.store.apply(&self.deltas, &promotions, promote.known_seal()).await {
            Ok(applied) => applied,
            Err(error @ StoreError::Unconfirmed { .. }) => return Err(error.into()),
            Err(error) => {
                promote.rejections.withdraw(&expected);
                return Err(error.into());
            }
        };
        promote.rejections.settle(&expected, &applied.changes);
        promote.tell(&applied.changes).await;
        let mut again = applied.unapproved;
        again.retain(|artifact| !self.withheld.contains(artifact));
        again.extend(self.refused);
        Ok(again)
    }
}
