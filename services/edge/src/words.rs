//! What the people who are refused read. One function per situation, so that the same thing is always said the same way.

mod custody;

use std::time::Duration;

use jiff::Timestamp;
use touchstone_domain::{
    Admission, ArtifactId, ArtifactState, Ecosystem, HoldReason, OutcomeKind, PackageName, Reason, Refusal,
    RefusalKind, Sha256,
};
use touchstone_store::{ArtifactStatus, Finding, StoreError, SumdbStop, SumdbStopKind};
use touchstone_upstream::FetchError;

pub(crate) use custody::{cannot_sign, database_behind, log_stopped, record_missing, record_refused};

/// What the policy says before anything is looked up; `None` when it has no objection.
pub(crate) fn admission(ecosystem: Ecosystem, what: &str, admission: &Admission) -> Option<Refusal> {
    let elsewhere = match ecosystem {
        Ecosystem::Go => {
            "Set GOPRIVATE to a pattern that names it, so that the go command fetches it from its own server."
        }
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => {
            "Point the client at the internal registry for it."
        }
    };
    match admission {
        Admission::Admitted => None,
        Admission::Denied { reason } => Some(Refusal::new(
            RefusalKind::Denied,
            "Denied by mirror policy",
            format!(
                "{what} is on the deny list of this mirror: {reason}. Choose another version, or ask the operators."
            ),
        )),
        Admission::Internal => Some(Refusal::new(
            RefusalKind::Internal,
            "Internal name, never fetched from outside",
            format!(
                "{what} is an internal name of this organisation, so this mirror never asks a public registry for it. {elsewhere}"
            ),
        )),
    }
}

/// A package in a sentence.
pub(crate) fn package(ecosystem: Ecosystem, package: &PackageName) -> String {
    match ecosystem {
        // A package is another thing there.
        Ecosystem::Go => format!("Go module {package}"),
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => format!("{ecosystem} package {package}"),
    }
}

/// The checks have not answered within the hold.
pub(crate) fn pending(id: &ArtifactId) -> Refusal {
    match id.ecosystem {
        // It never tries again by itself.
        Ecosystem::Go => Refusal::new(
            RefusalKind::Pending,
            "Verification goes on, run the command again",
            format!(
                "{id} was fetched and is being verified, which goes on. Run the command again in a minute; \
                 `touchstone why` shows its state."
            ),
        ),
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => Refusal::new(
            RefusalKind::Pending,
            "Verification is running, try again shortly",
            format!(
                "{id} was fetched and is being verified. Try again in a few seconds; `touchstone why` shows its state."
            ),
        ),
    }
}

/// It waits for a checksum database that is stopped.
pub(crate) fn stopped(id: &ArtifactId, stop: &SumdbStop) -> Refusal {
    let SumdbStop { kind, at, .. } = stop;
    let (what, next) = match kind {
        SumdbStopKind::Fork => {
            ("two signed trees contradict each other", "Only the mirror's operators can end that: ask them.")
        }
        SumdbStopKind::Rollback => (
            "its latest tree is smaller than one that it signed before",
            "That ends when it has caught up; until then, ask the mirror's operators.",
        ),
        SumdbStopKind::Freeze => (
            "its latest tree does not grow",
            "That ends when it grows; until then, ask the mirror's operators.",
        ),
    };
    Refusal::new(
        RefusalKind::Pending,
        "Checksum database is stopped, ask the operators",
        format!(
            "{id} was fetched and cannot be decided now: the Go checksum database is stopped since {at:.0} ({kind}: {what}), \
             and nothing of Go that needs its answer is decided. {next} `touchstone trust show` has the details."
        ),
    )
}

/// The edge is told to stop, and the client would wait for longer than that takes.
pub(crate) fn stopping(id: &ArtifactId) -> Refusal {
    Refusal::new(
        RefusalKind::Pending,
        "Mirror is being stopped, run the command again",
        format!(
            "{id} is not decided yet, and this part of the mirror is being stopped or restarted. Run the command again in a minute; \
             `touchstone why` shows its state."
        ),
    )
}

/// The upstream has not sent it within the hold.
pub(crate) fn fetching(id: &ArtifactId, hold: Duration) -> Refusal {
    let seconds = hold.as_secs();
    let (title, next) = match id.ecosystem {
        Ecosystem::Go => (
            "Still fetching from upstream, run the command again",
            "That goes on: run the command again in a minute.",
        ),
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => {
            ("Still fetching from upstream, try again shortly", "Try again shortly.")
        }
    };
    let detail = format!(
        "{id} is being fetched from the upstream registry, which takes longer than {seconds}s. {next}"
    );
    Refusal::new(RefusalKind::Pending, title, detail)
}

/// Decided, and not servable.
pub(crate) fn decided(id: &ArtifactId, status: &ArtifactStatus) -> Refusal {
    let state = status.state();
    let finding = deciding(state, &status.findings);
    let why = |fallback: &str| match finding {
        Some(Finding { check, outcome }) => format!("the {check} check found that {}", outcome.reason),
        None => fallback.to_owned(),
    };
    match state {
        ArtifactState::Rejected => Refusal::new(
            RefusalKind::Rejected,
            &title("Rejected", finding),
            format!(
                "{id} was rejected: {}. It will not be served; choose another version.",
                why("a check failed it")
            ),
        ),
        ArtifactState::Revoked => {
            let reason = status.recall.as_deref().unwrap_or("no reason was given");
            Refusal::new(
                RefusalKind::Revoked,
                "Recalled by the mirror's operators",
                format!("{id} was recalled: {reason}. Choose another version."),
            )
        }
        ArtifactState::Held if status.gate.hold.contains(HoldReason::Age) => {
            young(&id.to_string(), status.eligible_at)
        }
        ArtifactState::Held => Refusal::new(
            RefusalKind::Held { eligible_at: None },
            &title("Held", finding),
            format!(
                "{id} is held: {}. Choose another version; after a change of policy, an operator runs `touchstone recheck`.",
                why("not every required check approved it")
            ),
        ),
        ArtifactState::Fetched | ArtifactState::Verifying => pending(id),
        ArtifactState::Servable => unavailable("its serve record is not there"),
    }
}

/// Too young for the policy.
pub(crate) fn young(what: &str, eligible_at: Option<Timestamp>) -> Refusal {
    let when = eligible_at.map_or_else(|| "later".to_owned(), |at| at.to_string());
    Refusal::new(
        RefusalKind::Held { eligible_at },
        &format!("Held until {when}, minimum age"),
        format!(
            "{what} is younger than the mirror's policy allows. It may be served from {when}; choose an older version until then."
        ),
    )
}

fn title(state: &str, finding: Option<&Finding>) -> String {
    match finding {
        Some(Finding { check, outcome }) => {
            format!("{state} by the {check} check: {}", outcome.reason.code())
        }
        None => state.to_owned(),
    }
}

/// The finding that a state rests on.
fn deciding(state: ArtifactState, findings: &[Finding]) -> Option<&Finding> {
    let failed = |f: &&Finding| f.outcome.kind == OutcomeKind::Fail;
    match state {
        ArtifactState::Rejected => findings.iter().find(failed),
        ArtifactState::Fetched
        | ArtifactState::Verifying
        | ArtifactState::Servable
        | ArtifactState::Held
        | ArtifactState::Revoked => findings.first(),
    }
}

/// The upstream has no such thing.
pub(crate) fn unknown(what: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unknown,
        "Not found upstream",
        format!("{what} does not exist at the upstream registry. Check the spelling and the version."),
    )
}

/// A checksum database that clients have to ask themselves.
pub(crate) fn other_database(name: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unknown,
        "Not the checksum database of this mirror",
        format!(
            "this mirror does not pass {name} on. The go command asks it directly, or another one that GOSUMDB names."
        ),
    )
}

/// A module that no checksum database may hear of.
pub(crate) fn private_module(package: &PackageName) -> Refusal {
    Refusal::new(
        RefusalKind::Internal,
        "Private module, in no checksum database",
        format!(
            "{package} is private to this organisation, so this mirror never asks a checksum database about it. Set GONOSUMDB \
             to a pattern that names it, or GOPRIVATE if the go command is to fetch it without the mirror."
        ),
    )
}

/// The path names another digest than the one that is on record or declared.
pub(crate) fn pinned(id: &ArtifactId, pinned: Sha256, found: Sha256) -> Refusal {
    tracing::warn!(artifact.id = %id, %pinned, %found, "a path names another digest");
    Refusal::new(
        RefusalKind::Diverged,
        "Another digest than this version has",
        format!(
            "{id} has the digest sha256:{found}, and sha256:{pinned} was asked for. \
             One version has one digest. Check the lockfile, and tell the operators."
        ),
    )
}

/// Other bytes are on record than those that the upstream offers.
pub(crate) fn diverged(id: &ArtifactId, on_record: Sha256) -> Refusal {
    Refusal::new(
        RefusalKind::Diverged,
        "Second digest for a known version",
        format!(
            "{id} exists with the digest sha256:{on_record}, and the upstream offers other bytes. \
             One version has one digest; the incident is recorded. Check the lockfile, and tell the operators."
        ),
    )
}

/// The upstream's bytes contradict its own metadata.
pub(crate) fn contradicted(id: &ArtifactId, reason: &Reason) -> Refusal {
    Refusal::new(
        RefusalKind::UpstreamBroken,
        &format!("Upstream sent wrong bytes: {}", reason.code()),
        format!(
            "the upstream's bytes for {id} contradict its own metadata: {reason}. Nothing was stored; the incident is recorded. \
             Try again later, and tell the operators if it stays."
        ),
    )
}

/// The upstream's answer cannot be used.
pub(crate) fn broken(what: &str, problem: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        RefusalKind::UpstreamBroken,
        "Upstream answered wrongly",
        format!(
            "{what} cannot be fetched: {problem}. Try again later; `touchstone doctor` checks the upstreams."
        ),
    )
}

/// A fetch failed.
pub(crate) fn fetch(what: &str, error: &FetchError) -> Refusal {
    match error {
        FetchError::NotFound { .. } => unknown(what),
        error if error.is_transient() => {
            let (title, problem) = transient(error);
            Refusal::new(
                RefusalKind::UpstreamUnreachable,
                title,
                format!(
                    "{what} is not in the mirror yet, and the upstream registry {problem}: {error}. Try again later."
                ),
            )
        }
        error => broken(what, error),
    }
}

/// What is true of an upstream that may do better later: the title, and what it did.
const fn transient(error: &FetchError) -> (&'static str, &'static str) {
    match error {
        FetchError::Truncated { .. } => ("Upstream broke off its answer", "broke off its answer"),
        FetchError::Timeout { .. } => ("Upstream took too long", "was too slow"),
        FetchError::Status { .. } => ("Upstream answered with an error", "cannot answer now"),
        FetchError::NotFound { .. }
        | FetchError::Egress(_)
        | FetchError::Unreachable { .. }
        | FetchError::TooLarge { .. }
        | FetchError::Encoding { .. }
        | FetchError::Malformed { .. }
        | FetchError::Redirects { .. }
        | FetchError::NotAnArtifact { .. }
        | FetchError::Empty { .. }
        | FetchError::BreakerOpen { .. }
        | FetchError::Request { .. } => ("Upstream cannot be reached", "did not answer"),
    }
}

/// Touchstone itself cannot decide now.
pub(crate) fn unavailable(problem: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Mirror cannot decide now, try again shortly",
        format!(
            "the mirror cannot decide now: {problem}. Nothing is served undecided; try again in a few seconds."
        ),
    )
}

/// The database did not answer; the cause goes to the log, not to the client.
pub(crate) fn store(error: &StoreError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "the database did not answer");
    unavailable("its database did not answer")
}
