//! Identity continuity: whether a release was signed by whoever signed the releases before it. Pure and total.
//!
//! The ledger holds, per package and release line, the identity that was accepted last. The first one is accepted as it
//! comes; afterwards a release that lacks an attestation, or has one of another repository, workflow, kind of ref, trigger
//! or of a lower rank, is held. A release line without entries of its own answers to the nearest line below it, so that
//! a new major version is no way out; where there is none below, to the nearest above, of which only issuer, signer and repository bind.
//!
//! Old versions are asked for after new ones, and a publisher's workflow changes over time. So what is lower than the version
//! that it is compared with, and was listed to us before the line had any entry, needs only the same issuer, signer and
//! repository; it never becomes what others are compared with. What appears in a line later is compared closely.
//!
//! *Invariant:* numbers of repositories and owners decide before names: a renamed repository is the same, a registered-again
//! one is not.
//!
//! *Invariant:* nothing that only the upstream says loosens a comparison.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Identity, Version,
    identity::{Difference, IdentityField, TrustRank},
};

/// A release line: the major version, PyPI's epoch above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReleaseLine(pub i64);

/// A verified identity, and how much stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Who signed.
    pub identity: Identity,
    /// How much stands behind it.
    pub rank: TrustRank,
}

impl Observed {
    /// Whether both are the same but for the name of the ref: another tag is another release of the same publisher.
    pub fn is_alike(&self, other: &Self) -> bool {
        let nameless = |identity: &Identity| Identity { git_ref: None, ..identity.clone() };
        self.rank == other.rank
            && self.identity.ref_class() == other.identity.ref_class()
            && nameless(&self.identity) == nameless(&other.identity)
    }
}

/// What the ledger knows of one release line of a package; there is no such value for a line without entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineHistory {
    /// The line.
    pub line: ReleaseLine,
    /// What releases are compared with: what was accepted for this very artifact, else for its version, else last.
    pub latest: Observed,
    /// The version that it was accepted for.
    pub latest_version: Version,
    /// The versions with entries.
    pub versions: Vec<Version>,
    /// When the first entry was made, by Postgres' clock.
    pub since: Timestamp,
    /// What was accepted for this very artifact last, and why, if it was judged before.
    pub own: Option<(Observed, Basis)>,
}

/// Why an identity is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum Basis {
    /// Nothing was known of the package: this is what later releases are compared with.
    FirstUse,
    /// It is what it was.
    Continued {
        /// The version that it was compared with.
        since: Version,
    },
    /// The same repository by its number, under another name.
    Renamed {
        /// The version that it was compared with.
        since: Version,
        /// The name before.
        was: String,
    },
    /// A pin of the policy names it.
    Pinned,
    /// It is older than what is known of its line, was listed before that, and is of the same repository. Nothing is compared
    /// with it.
    Earlier {
        /// The version that it was compared with.
        since: Version,
    },
}

impl Basis {
    /// Whether later releases may be compared with what was accepted on it; the same expression as the generated column
    /// `identity.binding`.
    pub const fn binds(&self) -> bool {
        match self {
            Self::FirstUse | Self::Continued { .. } | Self::Renamed { .. } | Self::Pinned => true,
            Self::Earlier { .. } => false,
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstUse => f.write_str("the first of its package, pinned now"),
            Self::Continued { since } => write!(f, "the same as version {since}"),
            Self::Renamed { since, was } => {
                write!(f, "the same repository as version {since}, which was called {was}")
            }
            Self::Pinned => f.write_str("pinned by the policy"),
            Self::Earlier { since } => write!(f, "the same repository as version {since}, and older"),
        }
    }
}

/// Why a release is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "break", rename_all = "snake_case")]
pub enum Discontinuity {
    /// It has no attestation, and releases before it had.
    #[error("it has no attestation, and version {since} had one of {identity}")]
    Downgrade {
        /// The version that it is compared with.
        since: Version,
        /// Who signed that one.
        identity: Box<Identity>,
    },
    /// It has no attestation, and was once listed with one.
    #[error("it has no attestation, and was listed with one before")]
    Withdrawn,
    /// It has no attestation, and the policy pins who must sign.
    #[error("it has no attestation, and the policy pins who signs this package")]
    PinUnmet,
    /// Somebody else signed.
    #[error("{difference} (version {since})")]
    Changed {
        /// The version that it is compared with.
        since: Version,
        /// The difference.
        difference: Difference,
    },
    /// The policy pins another identity.
    #[error("the policy pins another identity: {difference}")]
    NotPinned {
        /// The difference.
        difference: Difference,
    },
}

/// What an unattested release has going for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Whether the upstream listed this version with an attestation when we first saw it.
    pub listed_with: bool,
    /// When the version was first listed to us, by our clock.
    pub first_seen: Option<Timestamp>,
}

/// The entry that a release is compared with, and how closely.
#[derive(Clone, Copy)]
struct Baseline<'a> {
    entry: &'a LineHistory,
    /// Whether workflow, ref, trigger, runner and rank bind as well.
    closely: bool,
}

fn baseline(history: &[LineHistory], line: ReleaseLine) -> Option<Baseline<'_>> {
    let below = history.iter().filter(|entry| entry.line <= line).max_by_key(|entry| entry.line);
    let above = history.iter().filter(|entry| entry.line > line).min_by_key(|entry| entry.line);
    below
        .map(|entry| Baseline { entry, closely: true })
        .or(above.map(|entry| Baseline { entry, closely: false }))
}

/// Judges a release with verified identities: one of them has to be the one before. Without a history the first is accepted,
/// and what was accepted for this very artifact is accepted again for the same reason. `first_seen` is when the version was
/// first listed to us, by our clock; `lower` says whether it is lower than another, by the ecosystem's order, and `false` when
/// they do not compare. Returns which identity it was, and why. The slice must not be empty.
pub fn judge_attested<'o>(
    history: &[LineHistory],
    line: ReleaseLine,
    observed: &'o [Observed],
    first_seen: Option<Timestamp>,
    lower: &dyn Fn(&Version) -> bool,
) -> Result<(&'o Observed, Basis), Discontinuity> {
    if let Some(settled) = settled(history, line, observed) {
        return Ok(settled);
    }
    let Some(Baseline { entry, closely }) = baseline(history, line) else {
        return observed.first().map(|first| (first, Basis::FirstUse)).ok_or(Discontinuity::Withdrawn);
    };
    let since = entry.latest_version.clone();
    let earlier = entry.line == line && listed_before(first_seen, entry) && lower(&since);
    let mut first_difference = None;
    for candidate in observed {
        match compare(&entry.latest, candidate, closely && !earlier) {
            Ok(_) if earlier => return Ok((candidate, Basis::Earlier { since })),
            Ok(None) => return Ok((candidate, Basis::Continued { since })),
            Ok(Some(was)) => return Ok((candidate, Basis::Renamed { since, was })),
            Err(difference) => first_difference = first_difference.or(Some(difference)),
        }
    }
    match first_difference {
        Some(difference) => Err(Discontinuity::Changed { since, difference }),
        None => Err(Discontinuity::Withdrawn),
    }
}

/// What was accepted for this very artifact before. A pin is asked again each time, so what only a pin accepted is a
/// baseline and no answer.
fn settled<'o>(
    history: &[LineHistory],
    line: ReleaseLine,
    observed: &'o [Observed],
) -> Option<(&'o Observed, Basis)> {
    let (accepted, basis) = history.iter().find(|entry| entry.line == line)?.own.as_ref()?;
    let again = observed.iter().find(|candidate| candidate.is_alike(accepted))?;
    match basis {
        Basis::FirstUse | Basis::Continued { .. } | Basis::Renamed { .. } | Basis::Earlier { .. } => {
            Some((again, basis.clone()))
        }
        Basis::Pinned => None,
    }
}

/// Whether a version was listed to us before its line had any entry.
fn listed_before(first_seen: Option<Timestamp>, entry: &LineHistory) -> bool {
    first_seen.is_some_and(|seen| seen <= entry.since)
}

/// Judges a release without any attestation. `lower` says whether its version is lower than another, by the ecosystem's
/// order; `false` when they do not compare.
pub fn judge_absent(
    history: &[LineHistory],
    line: ReleaseLine,
    absence: Absence,
    lower: &dyn Fn(&Version) -> bool,
) -> Result<(), Discontinuity> {
    if absence.listed_with {
        return Err(Discontinuity::Withdrawn);
    }
    let Some(Baseline { entry, closely: true }) = baseline(history, line) else {
        // Lines below the first attested one never had any.
        return Ok(());
    };
    // Older than every attested version of its line, and listed before the first of them came in: from the time before.
    if entry.line == line && listed_before(absence.first_seen, entry) && entry.versions.iter().all(lower) {
        return Ok(());
    }
    Err(Discontinuity::Downgrade {
        since: entry.latest_version.clone(),
        identity: Box::new(entry.latest.identity.clone()),
    })
}

/// `Ok` when both are the same; with the old name, when the repository was renamed.
fn compare(was: &Observed, now: &Observed, closely: bool) -> Result<Option<String>, Difference> {
    use IdentityField as Field;
    let (old, new) = (&was.identity, &now.identity);
    same(Field::Issuer, Some(&old.issuer), Some(&new.issuer))?;
    let named_alike = same_name(old.repository.as_deref(), new.repository.as_deref());
    if old.repository_id.is_some() {
        same(Field::RepositoryId, old.repository_id.as_deref(), new.repository_id.as_deref())?;
    } else if !named_alike {
        return Err(difference(Field::Repository, old.repository.as_deref(), new.repository.as_deref()));
    }
    if old.owner_id.is_some() {
        same(Field::OwnerId, old.owner_id.as_deref(), new.owner_id.as_deref())?;
    }
    let renamed = old.repository.clone().filter(|_| !named_alike);
    // The signer repeats the name of the repository, unless the workflow is another repository's.
    if old.repository.is_none() || old.calls_elsewhere() || new.calls_elsewhere() {
        same(Field::Signer, Some(&old.signer), Some(&new.signer))?;
    }
    if closely {
        same(Field::Workflow, old.workflow.as_deref(), new.workflow.as_deref())?;
        let class = |identity: &Identity| identity.ref_class().map(crate::RefClass::as_str);
        same(Field::RefClass, class(old), class(new))?;
        same(Field::Trigger, old.trigger.as_deref(), new.trigger.as_deref())?;
        same(Field::Runner, old.runner.as_deref(), new.runner.as_deref())?;
        if now.rank < was.rank {
            return Err(difference(Field::Rank, Some(was.rank.as_str()), Some(now.rank.as_str())));
        }
    }
    Ok(renamed)
}

impl Identity {
    /// Whether the workflow that signed is another repository's.
    fn calls_elsewhere(&self) -> bool {
        let Some(repository) = &self.repository else { return false };
        let signer = self.signer.to_ascii_lowercase();
        !signer.starts_with(&format!("{}/", repository.to_ascii_lowercase()))
    }
}

fn same(field: IdentityField, was: Option<&str>, now: Option<&str>) -> Result<(), Difference> {
    if was == now { Ok(()) } else { Err(difference(field, was, now)) }
}

/// Forges compare names without case.
fn same_name(was: Option<&str>, now: Option<&str>) -> bool {
    match (was, now) {
        (Some(was), Some(now)) => was.eq_ignore_ascii_case(now),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

pub(crate) fn difference(field: IdentityField, was: Option<&str>, now: Option<&str>) -> Difference {
    let word = |value: Option<&str>| value.unwrap_or("none").to_owned();
    Difference { field, expected: word(was), found: word(now) }
}

#[cfg(test)]
mod tests;
