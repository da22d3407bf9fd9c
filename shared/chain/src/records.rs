//! What is handed out of one artifact.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use touchstone_domain::{ArtifactId, FileName, Purl, Sha256};

/// The name of the layout's file.
pub const LAYOUT_FILE: &str = "root.layout";

/// The records of one artifact. Envelopes are the very bytes that were signed and stored.
#[derive(Clone, Debug, Serialize)]
pub struct Records {
    /// The artifact.
    pub purl: String,
    /// Its file.
    pub file: FileName,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The installation that says so.
    pub environment: String,
    /// The epoch of its gate.
    pub epoch: i32,
    /// The number of the promotion.
    pub serial: Option<i64>,
    /// The layout's envelope.
    pub layout: Option<Box<RawValue>>,
    /// The envelopes of the steps, by the names that in-toto looks for.
    pub links: BTreeMap<String, Box<RawValue>>,
    /// The envelope of the serve record, by the name of its file.
    pub vsa: BTreeMap<String, Box<RawValue>>,
    /// The keys that signed, as PEM, by the name of their files.
    pub keys: BTreeMap<String, String>,
    /// Which of the keys signed the layout.
    pub layout_key: Option<String>,
    /// Which of the keys signed the serve record.
    pub record_key: Option<String>,
    /// Where the promotion is in the transparency log.
    pub log: Option<LogPlace>,
    /// What is not here, and why; nothing if the chain is whole.
    pub missing: Vec<String>,
}

/// A leaf of the transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LogPlace {
    /// Its number, from zero.
    pub index: u64,
}

impl Records {
    /// Nothing yet.
    pub(crate) fn of(id: &ArtifactId, sha256: Sha256, epoch: i32, environment: &str) -> Self {
        let purl = Purl { file: Some(id.file.clone()), ..Purl::from(id) };
        Self {
            purl: purl.to_string(),
            file: id.file.clone(),
            sha256,
            environment: environment.to_owned(),
            epoch,
            serial: None,
            layout: None,
            links: BTreeMap::new(),
            vsa: BTreeMap::new(),
            keys: BTreeMap::new(),
            layout_key: None,
            record_key: None,
            log: None,
            missing: vec![],
        }
    }
}
