//! What the database is asked, and what its answers are worth before anybody reads them.
//!
//! *Invariant:* only 404 and 410 say that something is not there. Whatever else goes wrong is tried again.

use bytes::Bytes;
use serde_json::json;
use touchstone_domain::{PackageName, Version};
use touchstone_ecosystems::{SumdbTarget, go::sumdb_path};
use touchstone_store::{IncidentKind, NewIncident, Store};
use touchstone_tlog::{
    Tile, TileError,
    note::NOTE_BYTES_MAX,
    sumdb::LOOKUP_BYTES_MAX,
    tile::{SUMDB_LATEST, TilePath},
};
use touchstone_upstream::{FetchError, Framing, MetadataDocument, Mirror};
use touchstone_worker::CheckError;
use url::Url;

use crate::stop::{Problem, Stop};

/// More than any tile has, so that one of the wrong length is called that.
const TILE_BYTES_MAX: u64 = 64 * 1024;

/// Asks one database.
pub(crate) struct Client {
    mirror: Mirror,
    store: Store,
    /// The id of its key.
    database: String,
}

/// An answer, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Where it came from.
    pub(crate) url: Url,
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// How its end was told: perhaps it ended early.
    pub(crate) framing: Framing,
}

impl Client {
    pub(crate) fn new(mirror: Mirror, store: Store, database: String) -> Self {
        Self { mirror, store, database }
    }

    /// The latest signed head.
    pub(crate) async fn latest(&self) -> Result<Reply, Stop> {
        match self.ask(SUMDB_LATEST, NOTE_BYTES_MAX as u64, "note_size").await? {
            Some(reply) => Ok(reply),
            None => Err(missing("latest head")),
        }
    }

    /// What it has on record about a version.
    pub(crate) async fn lookup(&self, module: &PackageName, version: &Version) -> Result<Reply, Stop> {
        let path = sumdb_path(&SumdbTarget::Lookup { package: module.clone(), version: version.clone() });
        match self.reply(&path.path, LOOKUP_BYTES_MAX as u64, "lookup_size").await? {
            Ok(reply) => Ok(reply),
            Err(status) => Err(Stop::Absent(status)),
        }
    }

    /// The hashes of a tile, not authenticated. Where a partial tile is gone, it is cut out of the full one.
    pub(crate) async fn tile(&self, tile: Tile) -> Result<Bytes, Stop> {
        if let Some(bytes) = self.tile_as_named(tile).await? {
            return Ok(bytes);
        }
        let full = if tile.is_full() { None } else { self.tile_as_named(tile.full()).await? };
        match full {
            Some(bytes) if bytes.len() == tile.full().size_bytes() => Ok(bytes.slice(..tile.size_bytes())),
            Some(bytes) => {
                Err(Problem::from(TileError::Length { tile: tile.full(), found: bytes.len() }).into())
            }
            None => Err(missing(&tile.to_string())),
        }
    }

    async fn tile_as_named(&self, tile: Tile) -> Result<Option<Bytes>, Stop> {
        let path = TilePath::Hashes(tile).sumdb();
        let Some(reply) = self.ask(&path, TILE_BYTES_MAX, "tile_length").await? else { return Ok(None) };
        if reply.bytes.len() < tile.size_bytes() && reply.framing == Framing::Closing {
            return Err(ended_early(reply.bytes.len()));
        }
        Ok(Some(reply.bytes))
    }

    /// An answer, or `None` where it says that there is none.
    async fn ask(&self, path: &str, bytes_max: u64, too_large: &'static str) -> Result<Option<Reply>, Stop> {
        Ok(self.reply(path, bytes_max, too_large).await?.ok())
    }

    /// An answer, or the status that says that there is none. One that is too large is refused.
    async fn reply(
        &self,
        path: &str,
        bytes_max: u64,
        too_large: &'static str,
    ) -> Result<Result<Reply, u16>, Stop> {
        match self.mirror.reply(path, bytes_max).await {
            Ok(document) => Ok(Ok(usable(document)?)),
            Err(FetchError::NotFound { status, .. }) => Ok(Err(status)),
            Err(error @ FetchError::TooLarge { .. }) => {
                Err(Problem::new(too_large, &error.to_string()).into())
            }
            Err(error) => {
                self.tell_of_egress(&error).await;
                Err(unavailable(error))
            }
        }
    }

    /// A database that sends us elsewhere is worth a look.
    async fn tell_of_egress(&self, error: &FetchError) {
        let FetchError::Egress(_) = error else { return };
        let facts = json!({ "found_by": "sumdb", "problem": error.to_string() });
        let incident = NewIncident::about_sumdb(IncidentKind::EgressRefused, &self.database, facts);
        if let Err(error) = self.store.record_incident(&incident).await {
            tracing::error!(database = %self.database, %error, "an incident is not recorded");
        }
    }
}

/// A web page is what something in between says when it cannot answer.
fn usable(document: MetadataDocument) -> Result<Reply, CheckError> {
    let kind = document.content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/html") {
        return Err(CheckError::retry("the checksum database is not available: the answer is a web page"));
    }
    Ok(Reply { url: document.url, bytes: document.body, framing: document.framing })
}

/// Nothing is proved by what the database does not have, but for a version.
fn missing(what: &str) -> Stop {
    CheckError::retry(format!("the checksum database is not available: it does not have {what}")).into()
}

/// An answer of which only the end of the connection told the end.
pub(crate) fn ended_early(got: usize) -> Stop {
    let problem = format!(
        "the checksum database is not available: the answer, of no announced length, ended early, after {got} bytes"
    );
    CheckError::retry(problem).into()
}

fn unavailable(error: FetchError) -> Stop {
    let error = match error {
        FetchError::Request { .. } => CheckError::poison(error.to_string()),
        FetchError::Status { status: 401 | 403, .. } => CheckError::retry_because(
            "the checksum database is not available: it asks for credentials, and none are ever sent to it; `upstream.go.sumdb_url` \
             must be an address that needs none",
            error,
        ),
        FetchError::Status { .. }
        | FetchError::Egress(_)
        | FetchError::Unreachable { .. }
        | FetchError::Timeout { .. }
        | FetchError::Truncated { .. }
        | FetchError::Encoding { .. }
        | FetchError::Malformed { .. }
        | FetchError::Redirects { .. }
        | FetchError::NotAnArtifact { .. }
        | FetchError::Empty { .. }
        | FetchError::BreakerOpen { .. }
        | FetchError::NotFound { .. }
        | FetchError::TooLarge { .. } => {
            CheckError::retry_because("the checksum database is not available", error)
        }
    };
    error.into()
}
