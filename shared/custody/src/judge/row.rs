//! Whether rows say what was signed, field by field.

use std::fmt::{self, Display};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use touchstone_domain::{KeyId, Reason, Sha256};

use super::{Case, NotSigned, StoredVerdict};
use crate::{FetchStatement, Signed, VerdictStatement};

/// The longest value in a refusal, in characters.
const SHOWN_MAX: usize = 200;
/// Postgres keeps microseconds.
const TIME_EXACT: SignedDuration = SignedDuration::from_micros(1);

/// Compares a verdict with its row, and with the artifact that the row belongs to.
pub(super) fn verdict(
    case: &Case,
    stored: &StoredVerdict,
    key: KeyId,
    signed: &Signed<VerdictStatement>,
    environment: &str,
) -> Result<(), NotSigned> {
    let statement = signed.statement();
    let (said, row) = (&statement.verdict, &stored.verdict);
    same("environment", statement.environment.as_str(), environment)?;
    same("purl", &statement.id, &case.id)?;
    same("sha256", &said.sha256, &row.sha256)?;
    same("sha512", &statement.sha512, &case.sha512)?;
    same("size", &statement.size, &case.size)?;
    same("chunk_root", &Maybe(said.chunk_root), &Maybe(row.chunk_root))?;
    same("upstream_url", &statement.upstream_url, &case.upstream_url)?;
    same("artifact", &said.artifact, &row.artifact)?;
    same("epoch", &said.epoch, &row.epoch)?;
    same("check", &said.check, &row.check)?;
    same("revision", &said.check_revision, &row.check_revision)?;
    same("policy_epoch", &said.policy_epoch, &row.policy_epoch)?;
    same("outcome", &said.outcome.kind, &row.outcome.kind)?;
    same_reason(&said.outcome.reason, &row.outcome.reason)?;
    same("evidence", &List(&said.evidence), &List(&row.evidence))?;
    same("trust", &List(&said.trust), &List(&row.trust))?;
    same("service", &said.service, &row.service)?;
    same("software", &said.software, &row.software)?;
    same_time("decided_at", said.decided_at, row.decided_at)?;
    same("key", &signed.key(), &key)
}

/// Compares a fetch with the artifact.
pub(super) fn fetch(case: &Case, statement: &FetchStatement, environment: &str) -> Result<(), NotSigned> {
    same("environment", statement.environment.as_str(), environment)?;
    same("purl", &statement.id, &case.id)?;
    same("sha256", &statement.sha256, &case.gate.sha256)?;
    same("sha512", &statement.sha512, &case.sha512)?;
    same("size", &statement.size, &case.size)?;
    same("chunk_root", &statement.chunk_root, &case.gate.chunk_root)
}

fn same<T: PartialEq + Display + ?Sized>(field: &'static str, signed: &T, row: &T) -> Result<(), NotSigned> {
    if signed == row { Ok(()) } else { Err(differs(field, signed, row)) }
}

/// Rows keep reasons as `jsonb`, which has no NUL: the store replaces it.
fn same_reason(signed: &Reason, row: &Reason) -> Result<(), NotSigned> {
    if signed == row || (plain(signed).is_some() && plain(signed) == plain(row)) {
        return Ok(());
    }
    Err(differs("reason", signed, row))
}

fn same_time(field: &'static str, signed: Timestamp, row: Timestamp) -> Result<(), NotSigned> {
    if signed.duration_since(row).abs() < TIME_EXACT { Ok(()) } else { Err(differs(field, &signed, &row)) }
}

fn differs<T: Display + ?Sized>(field: &'static str, signed: &T, row: &T) -> NotSigned {
    let shown = |value: &T| value.to_string().chars().take(SHOWN_MAX).collect();
    NotSigned::Field { field, expected: shown(signed), found: shown(row) }
}

fn plain(reason: &Reason) -> Option<Value> {
    let mut value = serde_json::to_value(reason).ok()?;
    without_nul(&mut value);
    Some(value)
}

fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(fields) => fields.values_mut().for_each(without_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[derive(PartialEq)]
struct Maybe(Option<Sha256>);

impl Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(digest) => digest.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[derive(PartialEq)]
struct List<'a>(&'a [Sha256]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} digests", self.0.len())?;
        self.0.iter().try_for_each(|digest| write!(f, " {digest}"))
    }
}
