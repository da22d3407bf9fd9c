//! Postgres: the only crate that says SQL.
//!
//! A file per aggregate; each statement stands beside the function that runs it, and its first line names it, so that the
//! server's own views show who asked. Postgres is the authority: everything here may be called twice, by many at once,
//! and may die half-way.
//!
//! *Invariant:* one READ COMMITTED transaction per call, all of it or none, unless the call says otherwise.
//!
//! *Invariant:* nothing here decides. Bits come from `domain::count`, promotions from `domain::decide`, and the generated
//! column `gate.servable` has the last word.
//!
//! *Invariant:* times come from the server's clock, but for those that others declare.

mod artifact;
mod blob_store;
mod case;
mod chain;
mod counts;
mod dead_letter;
mod dispatch;
mod document;
mod error;
mod evidence;
mod gate;
mod incident;
mod ingest;
mod layout;
mod ledger;
mod log;
mod migrate;
mod package;
mod policy;
mod pool;
mod promotion;
mod recall;
mod recheck;
mod role;
mod row;
mod serve;
mod sighting;
mod signed;
mod story;
mod sumdb;
#[cfg(test)]
mod testing;
mod trust;
mod verdict;

pub use artifact::{ARTIFACTS_MAX, ArtifactStatus, Facts, Finding};
pub use case::Wanted;
pub use chain::Chain;
pub use counts::Counts;
pub use dead_letter::{Attempt, AttemptClass, DeadLetter, NewDeadLetter};
pub use dispatch::Due;
pub use document::{CachedDocument, NewDocument};
pub use error::StoreError;
pub use evidence::EVIDENCE_MAX;
pub use gate::{Applied, Change, DELTAS_MAX};
pub use incident::{Incident, IncidentKind, NewIncident};
pub use ingest::{INGEST_MAX, Ingested, NewArtifact};
pub use layout::{LAYOUTS_MAX, NewLayout, StoredLayout};
pub use ledger::{Accepted, LINE_VERSIONS_MAX, LedgerEntry, LedgerSubject};
pub use log::{
    AuditedLeaf, KnownSeal, LOG_ROWS_MAX, LOG_SOURCE_RESTORED, LogCursor, LogLeader, LogLeaf, LogRow,
    LogSeal, LogSource, LogTip, NewLogLeaf, REJECTIONS_MAX, Raised, RecordInput,
};
pub use migrate::{Login, MigrationReport};
pub use package::PackageArtifact;
pub use pool::{Store, StoreOptions};
pub use promotion::NewPromotion;
pub use recall::{Held, RecallTarget, RecordedRecall};
pub use recheck::{Accepting, RecordInForce};
pub use role::{DatabaseRole, UnknownDatabaseRole};
pub use serve::ServedRow;
pub use sighting::{Seen, VERSIONS_MAX};
pub use story::{Promotion, RecallOfIt, RecordedAttempt, RecordedVerdict, Story, Transition};
pub use sumdb::{
    Advanced, NewSumdbStop, SUMDB_NAME_MAX, SUMDB_NOTE_MAX, SUMDB_TILES_MAX, SumdbHead, SumdbPoll,
    SumdbState, SumdbStop, SumdbStopKind, SumdbTile, SumdbTree, TilesKept,
};
pub use trust::{
    StoredAt, TRUST_BYTES_MAX, TUF_FILES_MAX, TrustHistoryEntry, TrustKind, TrustRecord, TrustReported,
    TrustStatus, TufFiles,
};
pub use verdict::{Recorded, RefusedVerdict, SignedVerdict, VERDICTS_MAX, VerdictRefusal};
