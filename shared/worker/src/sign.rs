//! Signing: a batch at a time, away from the threads that answer others, since a signer may be far away.
//!
//! *Invariant:* nothing is signed that would not count: the key ring is asked about the worker's own key before each batch.
//!
//! *Invariant:* a signer that does not sign is no verdict and no fault of the artifact: the message comes again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::time::Instant;
use touchstone_custody::{ENVELOPE_BYTES_MAX, SignError, Signer, VerdictStatement};

use crate::{
    Check, blocking,
    judge::Judged,
    run::Worker,
    trouble::{Trouble, put_off},
};

/// A signer that fails this often in a row is away, and is not asked for the rest of the batch.
const FAILURES_MAX: usize = 3;

/// Why there is no envelope.
enum Unsigned {
    /// The signer is away.
    Away(SignError),
    /// Nobody will ever sign this.
    Never(Trouble),
}

impl<C: Check> Worker<C> {
    /// Signs a batch; returns what is signed. The messages of everything else are given back.
    pub(crate) async fn sign(&self, batch: Vec<Judged>) -> Vec<(Judged, Vec<u8>)> {
        const AWAY: &str = "the signer does not sign";
        // It may have ended, or been revoked, while the check ran.
        if let Err(problem) = self.may_sign() {
            for judged in &batch {
                put_off(&judged.delivery, "the worker's own key does not count", &problem).await;
            }
            return vec![];
        }
        let signer = self.parts.signing.signer.clone();
        let (statements, rest): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|judged| (judged.statement, (judged.others, judged.delivery))).unzip();
        let began = Instant::now();
        let answers = match blocking(move || sign_each(&*signer, statements)).await {
            Ok(answers) => answers,
            Err(error) => {
                for (_, delivery) in &rest {
                    put_off(delivery, AWAY, &error).await;
                }
                return vec![];
            }
        };
        metrics::histogram!("touchstone_sign_seconds", "kind" => self.check.kind().as_str())
            .record(began.elapsed());
        let mut envelopes = Vec::with_capacity(answers.len());
        for ((statement, answer), (others, delivery)) in answers.into_iter().zip(rest) {
            let judged = Judged { statement, others, delivery };
            match answer {
                Ok(envelope) => envelopes.push((judged, envelope)),
                Err(Unsigned::Away(error)) => put_off(&judged.delivery, AWAY, &error).await,
                Err(Unsigned::Never(trouble)) => self.give_up(&judged, trouble).await,
            }
        }
        envelopes
    }
}

fn sign_each(
    signer: &dyn Signer,
    statements: Vec<VerdictStatement>,
) -> Vec<(VerdictStatement, Result<Vec<u8>, Unsigned>)> {
    let mut failures = 0;
    let mut answers = Vec::with_capacity(statements.len());
    for statement in statements {
        let answer = if failures < FAILURES_MAX {
            sign_one(signer, &statement)
        } else {
            let problem = format!("it failed {FAILURES_MAX} times in a row, and was not asked again");
            Err(Unsigned::Away(SignError::Failed(problem)))
        };
        match &answer {
            Err(Unsigned::Away(_)) => failures += 1,
            Ok(_) | Err(Unsigned::Never(_)) => failures = 0,
        }
        answers.push((statement, answer));
    }
    answers
}

fn sign_one(signer: &dyn Signer, statement: &VerdictStatement) -> Result<Vec<u8>, Unsigned> {
    match catch_unwind(AssertUnwindSafe(|| statement.sign(signer))) {
        Ok(Ok(envelope)) if envelope.len() > ENVELOPE_BYTES_MAX => {
            Err(Unsigned::Never(Trouble::poison(&SignError::Size(envelope.len()))))
        }
        Ok(Ok(envelope)) => Ok(envelope),
        Ok(Err(error @ (SignError::Size(_) | SignError::Statement(_)))) => {
            Err(Unsigned::Never(Trouble::poison(&error)))
        }
        Ok(Err(error @ (SignError::Failed(_) | SignError::Key(_)))) => Err(Unsigned::Away(error)),
        Err(panic) => Err(Unsigned::Never(Trouble::panic("signing", &*panic))),
    }
}

#[cfg(test)]
mod tests;
