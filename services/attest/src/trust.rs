//! Whose signatures count: certificate authorities and logs (sigstore), registry keys (npm), and how they change.
//!
//! Each document comes from the operator's file, else from a TUF repository, else with the program. TUF documents are
//! fetched from a configured mirror or imported from a directory, and stored in Postgres for every process. Follows the TUF
//! specification 1.0.34 through `sigstore-tuf`, over our own transport; what that client leaves open is closed in `document`.
//!
//! *Invariant:* the database is not a root of trust. What is stored is verified from the pinned TUF root at every load.
//!
//! *Invariant:* versions only go forward, whatever the clock says: a set is never replaced by an older one.
//!
//! *Invariant:* what was once taken from a TUF repository is not replaced by what came with the program, also when the database
//! has lost it.
//!
//! *Invariant:* what expired longer ago than the grace counts for nothing, and neither does anything in its place.
//!
//! What came with the program does not expire by itself: it is as old as the release, and `touchstone trust show` says so.

mod choice;
mod concern;
mod document;
mod keeper;
mod options;
mod renew;
mod report;
mod repository;
mod set;

pub use choice::{Origin, Standing, Trust, TrustUnavailable};
pub use concern::{Concern, ConcernLevel};
pub use keeper::{TrustKeeper, TrustParts};
pub use options::{TrustOptions, TrustOptionsError};
pub use renew::{RenewError, Renewed, import, refresh};
pub use report::{KeyReport, SourceReport, TrustReport, TufReport, report};
pub use set::{TufError, TufRole};
