//! Archives for tests, which can lie in every field.
use touchstone_domain::{ArchiveRule, Reason};

use crate::InspectError;

/// The rule that a refusal names.
#[track_caller]
pub(crate) fn rule(result: Result<impl Sized, InspectError>) -> ArchiveRule {
    match result {
        Err(InspectError::Refused(Reason::ArchiveRejected { rule, .. })) => rule,
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("accepted"),
    }
}
