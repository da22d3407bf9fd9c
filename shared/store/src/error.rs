//! What can go wrong between us and Postgres.

use deadpool_postgres::PoolError;
use tokio_postgres::error::{Severity, SqlState};

/// The oldest major version of the server that the statements are written for.
pub(crate) const SERVER_MAJOR_MIN: u32 = 15;

/// Why a store operation failed. The effects of a failed operation are none, or all when only the reply was lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is no `postgres://` URL.
    #[error("the database address is not valid")]
    Address(#[source] tokio_postgres::Error),
    /// No connection could be had.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<PoolError>),
    /// A statement failed.
    #[error("the statement {statement} failed")]
    Statement {
        /// The name in the statement's first line.
        statement: &'static str,
        /// The server's words.
        #[source]
        source: Box<tokio_postgres::Error>,
    },
    /// The server went away while it committed: what was asked for may have happened, or not.
    #[error("whether the transaction {transaction} was committed is not known")]
    Unconfirmed {
        /// The name of the transaction.
        transaction: &'static str,
        /// The server's words, or why there are none.
        #[source]
        source: Box<tokio_postgres::Error>,
    },
    /// The server is too old.
    #[error("the server is PostgreSQL {found}; at least {SERVER_MAJOR_MIN} is needed")]
    ServerVersion {
        /// What it says of itself.
        found: String,
    },
    /// The schema is absent, or older than this version.
    #[error("the schema is not there, or is of an older version; run `touchstone migrate`")]
    SchemaMissing,
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated")]
    Migration(#[source] Box<refinery::Error>),
    /// More was given, or found, than an operation takes.
    #[error("{found} {what} are over the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much is taken.
        limit: usize,
    },
    /// The database is not the one whose transparency log was compared: an older backup, or another log. Nothing was written.
    #[error(
        "the database lacks the checkpoint of {size} entries of the transparency log that this process knows"
    )]
    OtherLog {
        /// The size of the checkpoint.
        size: u64,
    },
    /// A value that contradicts itself or cannot be stored.
    #[error("{what} cannot be stored: {problem}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A stored value that this version cannot make sense of. Nothing may be decided by it.
    #[error("the stored {what} is inconsistent: {problem}")]
    Inconsistent {
        /// Which value.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later: the server is away, busy or restarting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unconfirmed { .. } => true,
            Self::Statement { source, .. } => {
                source.is_closed() || source.code().is_none_or(is_transient_code)
            }
            Self::Address(_)
            | Self::ServerVersion { .. }
            | Self::SchemaMissing
            | Self::Migration(_)
            | Self::Limit { .. }
            | Self::OtherLog { .. }
            | Self::Invalid { .. }
            | Self::Inconsistent { .. } => false,
        }
    }

    /// Whether the transaction lost against another one and is to be run again at once.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Statement { source, .. } => source.code().is_some_and(|code| {
                *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
            }),
            _ => false,
        }
    }

    pub(crate) fn inconsistent(what: impl Into<String>, problem: &(impl std::fmt::Display + ?Sized)) -> Self {
        Self::Inconsistent { what: what.into(), problem: problem.to_string() }
    }

    /// Why a commit failed. Only an error says that it was undone: whatever ended the session, or the server, may have come after the
    /// commit, and so may what a pooler says in between.
    pub(crate) fn commit(transaction: &'static str, source: tokio_postgres::Error) -> Self {
        let source = Box::new(source);
        let is_undone = source.as_db_error().is_some_and(|error| {
            error.parsed_severity() == Some(Severity::Error)
                && !error.code().code().starts_with("08")
                && *error.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        });
        if is_undone {
            Self::Statement { statement: transaction, source }
        } else {
            Self::Unconfirmed { transaction, source }
        }
    }

    pub(crate) fn statement(sql: &'static str, source: tokio_postgres::Error) -> Self {
        Self::Statement { statement: statement_name(sql), source: Box::new(source) }
    }
}

/// Class 08 connection, 40 rollback, 53 resources, 57 operator intervention, 58 system error; 55P03 lock not available.
fn is_transient_code(code: &SqlState) -> bool {
    ["08", "40", "53", "57", "58"].contains(&&code.code()[..2]) || *code == SqlState::LOCK_NOT_AVAILABLE
}

/// The name in the first line of a statement: `-- gate.apply`.
pub(crate) fn statement_name(sql: &'static str) -> &'static str {
    sql.lines().next().unwrap_or_default().trim_start_matches("-- ")
}

/// Refuses more than `limit` of something.
pub(crate) fn within(what: &'static str, found: usize, limit: usize) -> Result<(), StoreError> {
    if found <= limit { Ok(()) } else { Err(StoreError::Limit { what, found, limit }) }
}
