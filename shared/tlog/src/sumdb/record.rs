//! Records that the signed tree has, and their lines.
//!
//! *Invariant:* only [`Record::authenticate`] makes a [`Record`], and only its text is read for digests (CVE-2026-56864).

use touchstone_domain::Sha256;

use super::{H1, H1Error};
use crate::{AuthenticatedTiles, TileError, leaf_hash};

/// Why a text is not the record of that number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The tree has no such record.
    #[error("record {id} is beyond the signed tree, which has size {size}")]
    BeyondTree {
        /// The number.
        id: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The tree has another record of this number.
    #[error("the text has the hash {computed}, and record {id} of the signed tree {signed}")]
    Mismatch {
        /// The number.
        id: u64,
        /// The hash in the tree.
        signed: Sha256,
        /// The hash of the text.
        computed: Sha256,
    },
    /// The tiles do not say.
    #[error("the tiles do not have record {id}")]
    Tile {
        /// The number.
        id: u64,
        /// Why not.
        #[source]
        source: TileError,
    },
}

impl RecordError {
    /// The stable code; that of the tiles where they are at fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BeyondTree { .. } => "record_beyond_tree",
            Self::Mismatch { .. } => "record_mismatch",
            Self::Tile { source, .. } => source.code(),
        }
    }
}

/// Why a record says nothing about a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A line is not `module version h1:digest`, or says a second time what another says.
    #[error("a line of record {id} is malformed")]
    Malformed {
        /// The number of the record.
        id: u64,
        /// What is wrong with its digest, if that is it.
        #[source]
        source: Option<H1Error>,
    },
    /// It has no line for this zip, or for this `go.mod`: it is the record of something else.
    #[error("record {id} has no line for {module} {version}")]
    OtherModule {
        /// The number of the record.
        id: u64,
        /// The module.
        module: String,
        /// The version, with `/go.mod` if that is missing.
        version: String,
    },
}

impl LineError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "line_malformed",
            Self::OtherModule { .. } => "other_module",
        }
    }
}

/// The digests of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of the zip.
    pub zip: H1,
    /// Of the `go.mod`.
    pub go_mod: H1,
}

/// A record that is in a signed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    id: u64,
    text: String,
}

impl Record {
    /// Compares a text with the leaf that the signed tree has at this number.
    pub fn authenticate(text: &str, id: u64, tiles: &AuthenticatedTiles) -> Result<Self, RecordError> {
        let size = tiles.head().size;
        if id >= size {
            return Err(RecordError::BeyondTree { id, size });
        }
        let signed = tiles.leaf(id).map_err(|source| RecordError::Tile { id, source })?;
        let computed = leaf_hash(text.as_bytes());
        if signed != computed {
            return Err(RecordError::Mismatch { id, signed, computed });
        }
        Ok(Self { id, text: text.to_owned() })
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says of a version. The module and the version are compared as they are, byte for byte and without escapes.
    pub fn sums(&self, module: &str, version: &str) -> Result<Sums, LineError> {
        let malformed = |source| LineError::Malformed { id: self.id, source };
        let go_mod_version = format!("{version}/go.mod");
        let [mut zip, mut go_mod] = [None, None];
        let lines = self.text.strip_suffix('\n').ok_or_else(|| malformed(None))?;
        for line in lines.split('\n') {
            let fields: Vec<_> = line.splitn(4, ' ').collect();
            let [line_module, line_version, digest] = fields[..] else { return Err(malformed(None)) };
            let sum = match (line_module == module, line_version) {
                (true, found) if found == version => &mut zip,
                (true, found) if found == go_mod_version => &mut go_mod,
                (true | false, _) => continue,
            };
            let digest = digest.parse().map_err(|source| malformed(Some(source)))?;
            if sum.replace(digest).is_some() {
                return Err(malformed(None));
            }
        }
        let other =
            |version: String| LineError::OtherModule { id: self.id, module: module.to_owned(), version };
        let zip = zip.ok_or_else(|| other(version.to_owned()))?;
        Ok(Sums { zip, go_mod: go_mod.ok_or_else(|| other(go_mod_version))? })
    }
}

/// The text of the record that says this of a version.
pub fn record_text(module: &str, version: &str, sums: &Sums) -> String {
    format!("{module} {version} {}\n{module} {version}/go.mod {}\n", sums.zip, sums.go_mod)
}
