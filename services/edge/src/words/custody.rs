//! What is said when signatures do not permit what the database says.

use touchstone_custody::KeyProblem;
use touchstone_domain::{ArtifactId, Refusal, RefusalKind};

/// The serve record does not permit what is on record, by the field that is named.
pub(crate) fn record_refused(id: &ArtifactId, field: &str, kind: RefusalKind, problem: &str) -> Refusal {
    let alarm = "Nothing is served without one; the incident is recorded. Tell the mirror's operators.";
    let (title, next) = if kind == RefusalKind::Revoked {
        ("Recalled by the mirror's operators".to_owned(), "Choose another version.")
    } else if kind == RefusalKind::Unavailable {
        let next =
            "It is verified again; try again in a minute, and tell the mirror's operators if it stays.";
        (format!("Serve record does not count ({field}), try again shortly"), next)
    } else {
        (format!("Serve record refused ({field}), tell the operators"), alarm)
    };
    let detail = format!(
        "the mirror's database says that {id} may be served, and no signed record permits that: {problem}. {next}"
    );
    Refusal::new(kind, &title, detail)
}

/// What this edge signs does not count, so that it fetches nothing.
pub(crate) fn cannot_sign(id: &ArtifactId, problem: &KeyProblem) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Mirror's fetch key does not count, tell the operators",
        format!(
            "{id} waits for a signed fetch, and what this part of the mirror signs does not count: {problem}. Nothing is fetched until \
             an operator runs `touchstone keys rotate fetch` and starts the edge again; what was promoted before is served."
        ),
    )
}

/// The serve record cannot be read.
pub(crate) fn record_missing(id: &ArtifactId, problem: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Serve record cannot be read, try again shortly",
        format!(
            "{id} was promoted, and the signed record of that cannot be read: {problem}. Nothing is served without it; \
             try again in a minute, and tell the mirror's operators if it stays."
        ),
    )
}

/// The database has fewer entries of the log than were published.
pub(crate) fn database_behind(has: u64, published: u64) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Mirror's database is too old, tell the operators",
        format!(
            "the mirror's database is older than the transparency log: it has {has} entries of it, and {published} were published. \
             A backup was restored, or rows were deleted. Nothing is served until an operator runs `touchstone log recover`."
        ),
    )
}

/// The transparency log is not followed.
pub(crate) fn log_stopped(problem: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Mirror is stopped by its transparency log",
        format!(
            "the mirror serves nothing now, since its transparency log cannot be relied on: {problem}. \
             Try again later, and tell the mirror's operators if it stays."
        ),
    )
}
