//! Rows into domain types. A value that does not parse is an error, never a default; but for a reason, whose outcome is told all the same, and
//! an incident's detail.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio_postgres::{
    Row,
    types::{FromSql, Json},
};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, FileName, Gate, HoldSet, Outcome, OutcomeKind,
    PackageName, Reason, Requirement, Sha256, Sha512, Version,
};

use crate::{Finding, StoreError};

/// What is kept of an incident's detail that is too long, or that cannot be read.
pub(crate) const DETAIL_SHORT_BYTES: usize = 2048;

/// Reads columns by name.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'r>(pub &'r Row);

impl<'r> Columns<'r> {
    pub(crate) fn get<T: FromSql<'r>>(self, column: &str) -> Result<T, StoreError> {
        self.0.try_get(column).map_err(|e| {
            let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            StoreError::inconsistent(column, &cause)
        })
    }

    pub(crate) fn parse<T: FromStr<Err: Display>>(self, column: &str) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|e| StoreError::inconsistent(column, &e))
    }

    pub(crate) fn json<T: DeserializeOwned + 'r>(self, column: &str) -> Result<T, StoreError> {
        self.get::<Json<T>>(column).map(|json| json.0)
    }

    pub(crate) fn sha256(self, column: &str) -> Result<Sha256, StoreError> {
        Sha256::from_slice(self.get(column)?).map_err(|e| StoreError::inconsistent(column, &e))
    }

    pub(crate) fn sha256_opt(self, column: &str) -> Result<Option<Sha256>, StoreError> {
        let bytes: Option<&[u8]> = self.get(column)?;
        bytes.map(Sha256::from_slice).transpose().map_err(|e| StoreError::inconsistent(column, &e))
    }

    pub(crate) fn sha512(self, column: &str) -> Result<Sha512, StoreError> {
        Sha512::from_slice(self.get(column)?).map_err(|e| StoreError::inconsistent(column, &e))
    }

    /// Digests that are stored one after the other.
    pub(crate) fn sha256_list(self, column: &str) -> Result<Vec<Sha256>, StoreError> {
        let (digests, rest) = self.get::<&[u8]>(column)?.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(StoreError::inconsistent(column, "not a whole number of digests"));
        }
        Ok(digests.iter().copied().map(Sha256).collect())
    }

    /// A count or size.
    pub(crate) fn unsigned(self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.get::<i64>(column)?).map_err(|e| StoreError::inconsistent(column, &e))
    }

    pub(crate) fn artifact(self, column: &str) -> Result<ArtifactDbId, StoreError> {
        self.get(column).map(ArtifactDbId)
    }

    /// Where something is in the transparency log, if it is there.
    pub(crate) fn log_index(self) -> Result<Option<u64>, StoreError> {
        let index: Option<i64> = self.get("log_index")?;
        index.map(|n| u64::try_from(n).map_err(|e| StoreError::inconsistent("log_index", &e))).transpose()
    }

    /// `ecosystem`, `package`, `version` and `file`.
    pub(crate) fn id(self) -> Result<ArtifactId, StoreError> {
        Ok(ArtifactId {
            ecosystem: self.parse("ecosystem")?,
            package: self.package()?,
            version: self.version()?,
            file: self.file()?,
        })
    }

    pub(crate) fn package(self) -> Result<PackageName, StoreError> {
        PackageName::new(self.get::<&str>("package")?).map_err(|e| StoreError::inconsistent("package", &e))
    }

    pub(crate) fn version(self) -> Result<Version, StoreError> {
        Version::new(self.get::<&str>("version")?).map_err(|e| StoreError::inconsistent("version", &e))
    }

    pub(crate) fn file(self) -> Result<FileName, StoreError> {
        FileName::new(self.get::<&str>("file")?).map_err(|e| StoreError::inconsistent("file", &e))
    }

    /// Why a check came out as it did, as far as it can be read.
    pub(crate) fn reason(self, column: &str) -> Result<Reason, StoreError> {
        self.get::<Json<&RawValue>>(column).map(|json| Reason::from_json(json.0.get()))
    }

    /// The facts of an incident; their beginning, as text, if no value can be made of them.
    pub(crate) fn detail(self, column: &str) -> Result<serde_json::Value, StoreError> {
        let json = self.get::<Json<&RawValue>>(column)?.0.get();
        Ok(serde_json::from_str(json)
            .unwrap_or_else(|_| serde_json::json!({ "shortened": plain(json, DETAIL_SHORT_BYTES) })))
    }

    /// An aggregate of verdicts; null when there are none, or when they were not asked for.
    pub(crate) fn findings(self) -> Result<Vec<Finding>, StoreError> {
        let told: Option<Json<Vec<Told<'r>>>> = self.get("findings")?;
        Ok(told.map_or_else(Vec::new, |json| json.0.into_iter().map(Finding::from).collect()))
    }

    /// The columns of `gate`, with the artifact's `sha256` and `chunk_root`.
    pub(crate) fn gate(self) -> Result<Gate, StoreError> {
        let mask = |column| self.get(column).map(CheckSet::from_mask);
        let tolerated = mask("tolerated")?;
        let requirement = Requirement::new(mask("required")?, mask("veto")?)
            .and_then(|requirement| requirement.tolerating(tolerated));
        Ok(Gate {
            artifact: self.artifact("artifact_id")?,
            sha256: self.sha256("sha256")?,
            chunk_root: self.sha256("chunk_root")?,
            epoch: self.get("epoch")?,
            requirement: requirement
                .ok_or_else(|| StoreError::inconsistent("gate", "nothing is required to approve"))?,
            ok: mask("ok")?,
            deny: mask("deny")?,
            undecided: mask("undecided")?,
            hold: HoldSet::from_mask(self.get("hold")?),
        })
    }
}

/// A finding whose reason is read by itself.
#[derive(Deserialize)]
struct Told<'r> {
    check: CheckKind,
    kind: OutcomeKind,
    #[serde(borrow)]
    reason: &'r RawValue,
}

impl From<Told<'_>> for Finding {
    fn from(Told { check, kind, reason }: Told<'_>) -> Self {
        Self { check, outcome: Outcome { kind, reason: Reason::from_json(reason.get()) } }
    }
}

/// Tells of an artifact that is left out since its row makes no sense.
pub(crate) fn unreadable(row: &Row, error: &StoreError) {
    let columns = Columns(row);
    let id: Option<i64> = columns.get("artifact_id").or_else(|_| columns.get("id")).ok();
    tracing::error!(artifact = id, %error, "an artifact cannot be read, and is left out");
}

/// Text as Postgres takes it: no NUL, and at most `limit` bytes.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let text = text.replace('\0', "\u{fffd}");
    let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

/// JSON text as Postgres takes it: no NUL in any string.
pub(crate) fn plain_json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    if !text.contains("\\u0000") {
        return Ok(text);
    }
    let mut value: serde_json::Value = serde_json::from_str(&text)?;
    without_nul(&mut value);
    serde_json::to_string(&value)
}

fn without_nul(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(fields) => {
            let taken = std::mem::take(fields);
            fields.extend(taken.into_iter().map(|(name, mut value)| {
                without_nul(&mut value);
                (name.replace('\0', "\u{fffd}"), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The raw numbers, as array parameters take them.
pub(crate) fn numbers(artifacts: &[ArtifactDbId]) -> Vec<i64> {
    artifacts.iter().map(|artifact| artifact.0).collect()
}
