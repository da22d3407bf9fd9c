//! What a check is: the only part of a worker that differs from service to service.

use std::{error::Error, sync::Arc};

use touchstone_blobs::BlobStore;
use touchstone_domain::{CheckKind, Outcome, Policy, Sha256};
use touchstone_store::{Facts, StoreError};

/// One kind of check.
pub trait Check: Send + Sync + 'static {
    /// Its kind.
    fn kind(&self) -> CheckKind;

    /// The revision of its rules; a verdict of another revision is another verdict.
    fn revision(&self) -> i32;

    /// Looks at one artifact. Whatever computes or reads files belongs on the blocking pool. May be called twice for the
    /// same artifact, also at the same time; dropped when it takes too long.
    fn check(&self, job: &Job) -> impl Future<Output = Result<Finding, CheckError>> + Send;
}

/// What a check is given.
#[derive(Clone, Debug)]
pub struct Job {
    /// The artifact, as Postgres has it.
    pub facts: Facts,
    /// Where its bytes are.
    pub blobs: BlobStore,
    /// The policy that asks: the one of the gate, whatever policy file this process was started with.
    pub policy: Arc<Policy>,
}

/// What a check found; becomes a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The result.
    pub outcome: Outcome,
    /// The root of the chunk list of the bytes that were looked at, if the check computed it.
    pub chunk_root: Option<Sha256>,
    /// The digests of the evidence that was used.
    pub evidence: Vec<Sha256>,
    /// The digests of the trust material that was used.
    pub trust: Vec<Sha256>,
}

type Cause = Box<dyn Error + Send + Sync>;

/// Why a check could not answer. Never a verdict.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Trying again may help: the blob is missing, a service is away.
    #[error("{problem}")]
    Retry {
        /// What went wrong.
        problem: String,
        /// Its cause, if it has one.
        #[source]
        source: Option<Cause>,
    },
    /// Trying again will hardly help: something is not as it must be.
    #[error("{problem}")]
    Poison {
        /// What went wrong.
        problem: String,
        /// Its cause, if it has one.
        #[source]
        source: Option<Cause>,
    },
}

impl CheckError {
    /// A failure that may pass.
    pub fn retry(problem: impl Into<String>) -> Self {
        Self::Retry { problem: problem.into(), source: None }
    }

    /// A failure that may pass, with its cause.
    pub fn retry_because(problem: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Retry { problem: problem.into(), source: Some(source.into()) }
    }

    /// A failure that will hardly pass.
    pub fn poison(problem: impl Into<String>) -> Self {
        Self::Poison { problem: problem.into(), source: None }
    }
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        let problem = "Postgres does not say what it knows";
        if error.is_transient() {
            return Self::retry_because(problem, error);
        }
        Self::Poison { problem: problem.to_owned(), source: Some(error.into()) }
    }
}
