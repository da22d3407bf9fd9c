//! One message: run the check, keep the message alive meanwhile, and turn the finding into a verdict.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use touchstone_bus::{ACK_WAIT, Delivery, Rung};
use touchstone_custody::VerdictStatement;
use touchstone_domain::{CheckSet, OutcomeKind, Sha256, Verdict};
use touchstone_store::Facts;

use crate::{
    Check, Finding, Job,
    run::Worker,
    trouble::{Trouble, give_back, settled},
};

/// The version that verdicts name.
const SOFTWARE: &str = concat!("touchstone/", env!("CARGO_PKG_VERSION"));

/// What is to be signed, and the message to acknowledge once it is recorded.
pub(crate) struct Judged {
    pub(crate) statement: VerdictStatement,
    /// The required checks that had not answered when this one began.
    pub(crate) others: CheckSet,
    pub(crate) delivery: Delivery,
}

impl Judged {
    /// The doorbell for it: a failure decides whatever others say.
    pub(crate) fn rung(&self) -> Rung {
        let Verdict { artifact, outcome, .. } = &self.statement.verdict;
        let others = if outcome.kind == OutcomeKind::Fail { CheckSet::EMPTY } else { self.others };
        Rung { artifact: *artifact, others }
    }
}

/// Runs the check on one artifact, and hands the verdict to the recorder, or gives the message back.
pub(crate) async fn judge<C: Check>(
    worker: Arc<Worker<C>>,
    facts: Facts,
    delivery: Delivery,
    judged: mpsc::Sender<Judged>,
) {
    let check = worker.check.kind();
    let began = Instant::now();
    let found = alive(&delivery, attempt(&worker, &facts)).await;
    let word = match &found {
        Ok((finding, _)) => finding.outcome.kind.as_str(),
        Err(trouble) => trouble.label,
    };
    metrics::counter!("touchstone_checks", "check" => check.as_str(), "outcome" => word).increment(1);
    metrics::histogram!("touchstone_check_seconds", "check" => check.as_str()).record(began.elapsed());
    match found {
        Ok((finding, policy)) => {
            tracing::debug!(
                artifact.id = %facts.artifact, check.kind = %check, verdict.outcome = %finding.outcome.kind,
                reason = finding.outcome.reason.code(), "a check answered"
            );
            let others = facts.required.minus(facts.answered).minus(CheckSet::of(check));
            let statement = worker.statement(facts, finding, policy);
            // The recorder outlives every job; if it is gone, the process is being torn down.
            judged.send(Judged { statement, others, delivery }).await.ok();
        }
        Err(trouble) => give_back(&worker.parts.store, check, &delivery, facts.epoch, trouble).await,
    }
}

/// One run of the check, within its time, whatever it does; and the digest of the policy that it judged by.
async fn attempt<C: Check>(worker: &Worker<C>, facts: &Facts) -> Result<(Finding, Sha256), Trouble> {
    let limit = worker.parts.options.check_timeout;
    let checking = async {
        let policy = worker.policies.of(&worker.parts.store, facts.policy_epoch).await?;
        let digest = policy.digest();
        let job = Job { facts: facts.clone(), blobs: worker.parts.blobs.clone(), policy };
        worker.check.check(&job).await.map(|finding| (finding, digest))
    };
    let running = AssertUnwindSafe(checking).catch_unwind();
    match timeout(limit, running).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(error))) => Err(Trouble::error(&error)),
        Ok(Err(panic)) => Err(Trouble::panic("the check", &*panic)),
        Err(_) => Err(Trouble::timeout(limit)),
    }
}

/// Tells the server, three times in each [`ACK_WAIT`], that the message is still being worked on.
async fn alive<T>(delivery: &Delivery, work: impl Future<Output = T>) -> T {
    let period = ACK_WAIT / 3;
    let mut beat = interval_at(Instant::now() + period, period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = beat.tick() => settled(delivery.progress().await),
        }
    }
}

impl<C: Check> Worker<C> {
    fn statement(&self, facts: Facts, finding: Finding, policy: Sha256) -> VerdictStatement {
        let verdict = Verdict {
            artifact: facts.artifact,
            sha256: facts.sha256,
            chunk_root: finding.chunk_root,
            epoch: facts.epoch,
            check: self.check.kind(),
            check_revision: self.check.revision(),
            policy_epoch: facts.policy_epoch,
            outcome: finding.outcome,
            evidence: finding.evidence,
            trust: finding.trust,
            service: self.check.kind().as_str().to_owned(),
            software: SOFTWARE.to_owned(),
            decided_at: self.parts.clock.now(),
        };
        VerdictStatement {
            environment: self.parts.signing.environment.to_string(),
            id: facts.id,
            sha512: facts.sha512,
            size: facts.size,
            upstream_url: facts.upstream_url,
            policy,
            verdict,
        }
    }
}
