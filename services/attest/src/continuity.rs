//! Whether a release was signed by whoever it should be: the policy's pin before the ledger. Pure.

use jiff::Timestamp;
use touchstone_domain::{
    Absence, Basis, Difference, Discontinuity, LineHistory, Observed, Outcome, Pin, Reason, ReleaseLine,
    Version, judge_absent, judge_attested,
};

/// Why a release that is attested is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// What may be a stranger's doing started the build, or it ran on a stranger's code.
    Foreign(Difference),
    /// Somebody else signed.
    Discontinued(Discontinuity),
}

impl Broken {
    /// The result of the check.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Foreign(difference) => Outcome::fail(Reason::ForeignBuild { difference }),
            Self::Discontinued(discontinuity) => discontinued(discontinuity),
        }
    }
}

/// The result of the check for a break.
pub(crate) fn discontinued(discontinuity: Discontinuity) -> Outcome {
    Outcome::inconclusive(Reason::Discontinued { discontinuity })
}

/// Judges verified identities, of which there is at least one. A pin outweighs the ledger, and only a pin excuses a foreign
/// build.
pub(crate) fn attested<'o>(
    pin: Option<&Pin>,
    history: &[LineHistory],
    line: ReleaseLine,
    observed: &'o [Observed],
    first_seen: Option<Timestamp>,
    lower: &dyn Fn(&Version) -> bool,
) -> Result<(&'o Observed, Basis), Broken> {
    let Some(pin) = pin else {
        return match observed.iter().find_map(foreign) {
            Some(difference) => Err(Broken::Foreign(difference)),
            None => judge_attested(history, line, observed, first_seen, lower).map_err(Broken::Discontinued),
        };
    };
    let mut first = None;
    for candidate in observed {
        match pin.check(&candidate.identity) {
            Ok(()) => return Ok((candidate, Basis::Pinned)),
            Err(difference) => first = first.or(Some(difference)),
        }
    }
    let unmet = || Discontinuity::PinUnmet;
    Err(Broken::Discontinued(first.map_or_else(unmet, |difference| Discontinuity::NotPinned { difference })))
}

fn foreign(observed: &Observed) -> Option<Difference> {
    let (field, found) = observed.identity.foreign()?;
    Some(Difference { field, expected: "one of the publisher's own".to_owned(), found: found.to_owned() })
}

/// Judges a release without any attestation.
pub(crate) fn absent(
    pin: Option<&Pin>,
    history: &[LineHistory],
    line: ReleaseLine,
    absence: Absence,
    lower: &dyn Fn(&Version) -> bool,
) -> Result<(), Discontinuity> {
    if pin.is_some() {
        return Err(Discontinuity::PinUnmet);
    }
    judge_absent(history, line, absence, lower)
}

#[cfg(test)]
mod tests;
