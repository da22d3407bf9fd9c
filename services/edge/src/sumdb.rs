//! The Go checksum database, passed through untouched: clients verify it themselves, and would catch us if we changed anything.
//!
//! *Invariant:* the name of a private or internal module never leaves (threats.md G-19).
//!
//! *Invariant:* what is answered is what the database said, byte for byte, or the beginning of a wider tile at the same place
//! (G-18).
//!
//! *Invariant:* no note is kept or passed on that the database's key has not signed as a tree, and no record that is about
//! another module or beyond its tree. Whether a tree has the records and the tiles is not verified here: tiles that a worker has
//! authenticated are preferred, others soon asked for anew, so that a wrong one does not stay.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use touchstone_domain::{Admission, Ecosystem, PackageName, Refusal, RefusalKind, Version};
use touchstone_ecosystems::{Rendered, SumdbRequest, SumdbTarget, go::sumdb_path};
use touchstone_tlog::{
    SignedHead, Tile, TileError,
    entries::{ENTRY_BYTES_MAX, parse_data_tile},
    note::{NOTE_BYTES_MAX, SignedNote, VerifierKey},
    sumdb::{LOOKUP_BYTES_MAX, LineError, RecordError, UnverifiedLookup},
    tile::{EntryTile, TilePath, WIDTH_FULL},
};
use url::Url;

use crate::{
    documents::{self, Absence, Renewal, Wanted},
    refusal, render,
    serve::Body,
    state::{Edge, SumdbEdge},
    words,
};

/// The largest data tile, in bytes.
const DATA_TILE_BYTES_MAX: usize = WIDTH_FULL as usize * (ENTRY_BYTES_MAX + 1);
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";
const A_MINUTE: &str = "public, max-age=60";
/// For tiles that nobody has authenticated.
const MINUTES: &str = "public, max-age=300";
const A_DAY: &str = "public, max-age=86400";
/// For tiles that were authenticated.
const IMMUTABLE: &str = "public, max-age=86400, immutable";

/// Answers a request to a checksum database. Only the configured one is stood in for; of others the go command then asks
/// themselves.
pub(crate) async fn respond(
    edge: &Arc<Edge>,
    request: &SumdbRequest,
    method: &Method,
) -> Result<Response<Body>, Refusal> {
    let configured = edge.config.sumdb.as_ref().filter(|database| database.key.name() == request.database);
    let database = configured.ok_or_else(|| words::other_database(&request.database))?;
    let refused = match answered(edge, database, &request.target).await {
        Ok((content_type, body, cache)) => {
            return Ok(render::plain(Rendered::of(content_type, body), method, cache));
        }
        Err(refused) => refused,
    };
    let path = sumdb_path(&request.target).path;
    if refused.kind == RefusalKind::Unknown && edge.absent.status(&address(edge, &path)?) == Some(410) {
        let mut response = refusal::response(Ecosystem::Go, &refused, &path);
        *response.status_mut() = StatusCode::GONE;
        return Ok(response);
    }
    Err(refused)
}

/// The content type, the body, and how long it may be cached.
type Answer = (&'static str, Bytes, &'static str);

async fn answered(edge: &Arc<Edge>, database: &SumdbEdge, target: &SumdbTarget) -> Result<Answer, Refusal> {
    let path = sumdb_path(target).path;
    match target {
        SumdbTarget::Supported => Ok((TEXT, Bytes::new(), A_MINUTE)),
        SumdbTarget::Latest => {
            let what = "the latest tree of the checksum database".to_owned();
            let key = database.key.clone();
            let sound = move |body: &Bytes| is_latest(&key, body).map_err(|e| in_full(&*e));
            let asked = Asked { path, what, max_age: database.latest_age_max, bytes_max: NOTE_BYTES_MAX };
            Ok((TEXT, passed(edge, asked, sound).await?, A_MINUTE))
        }
        SumdbTarget::Lookup { package, version } => {
            public(edge, package)?;
            let what = format!("the checksum database's record of {package}@{version}");
            let (key, package, version) = (database.key.clone(), package.clone(), version.clone());
            let sound =
                move |body: &Bytes| is_record(&key, &package, &version, body).map_err(|e| in_full(&*e));
            let asked = Asked { path, what, max_age: database.record_age_max, bytes_max: LOOKUP_BYTES_MAX };
            Ok((TEXT, passed(edge, asked, sound).await?, A_DAY))
        }
        SumdbTarget::Tile(path) => tile(edge, database, path).await,
    }
}

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Whether the database has signed the note as a tree.
fn is_latest(key: &VerifierKey, body: &[u8]) -> Result<(), Anything> {
    signed(key, SignedNote::parse(body)?).map(drop)
}

/// Whether it is what is asked about, and a number in a tree that the database has signed.
fn is_record(
    key: &VerifierKey,
    package: &PackageName,
    version: &Version,
    body: &[u8],
) -> Result<(), Anything> {
    let UnverifiedLookup { id, text, note } = UnverifiedLookup::parse(body)?;
    let size = signed(key, note)?.head().size;
    if id >= size {
        return Err(RecordError::BeyondTree { id, size }.into());
    }
    for version in [version.to_string(), format!("{version}/go.mod")] {
        let start = format!("{package} {version} h1:");
        if !text.lines().any(|line| line.starts_with(&start)) {
            return Err(LineError::OtherModule { id, module: package.to_string(), version }.into());
        }
    }
    Ok(())
}

fn signed(key: &VerifierKey, note: SignedNote) -> Result<SignedHead, Anything> {
    Ok(SignedHead::from_sumdb(note.verify(key)?)?)
}

/// The error and its causes.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Refuses to ask for a module that is nobody else's business.
fn public(edge: &Edge, package: &PackageName) -> Result<(), Refusal> {
    let internal = match edge.policy.admit_package(Ecosystem::Go, package) {
        Admission::Internal => true,
        Admission::Admitted | Admission::Denied { .. } => false,
    };
    if internal || edge.policy.is_private_module(package) {
        return Err(words::private_module(package));
    }
    Ok(())
}

async fn tile(edge: &Arc<Edge>, database: &SumdbEdge, path: &str) -> Result<Answer, Refusal> {
    let tile = TilePath::parse_sumdb(path).map_err(|error| {
        Refusal::new(RefusalKind::Malformed, "No such tile", format!("{path:?} is refused: {error}"))
    })?;
    if let TilePath::Hashes(hashes) = &tile
        && let Some(bytes) = authenticated(edge, database, hashes).await?
    {
        return Ok((BINARY, bytes, IMMUTABLE));
    }
    let missing = match passed_tile(edge, database, tile).await {
        Err(missing) if missing.kind == RefusalKind::Unknown => missing,
        bytes => return Ok((BINARY, bytes?, MINUTES)),
    };
    // The tree has grown since, and the database keeps only what it has grown to.
    let Some(full) = full(&tile) else { return Err(missing) };
    match passed_tile(edge, database, full).await {
        Ok(bytes) => {
            let bytes = beginning(&tile, &bytes).map_err(|error| words::broken(path, error))?;
            Ok((BINARY, bytes, MINUTES))
        }
        Err(also) if also.kind == RefusalKind::Unknown => Err(missing),
        Err(failed) => Err(failed),
    }
}

/// The tile out of the widest one that a worker has authenticated.
async fn authenticated(edge: &Edge, database: &SumdbEdge, tile: &Tile) -> Result<Option<Bytes>, Refusal> {
    let place = [(tile.level(), tile.index())];
    let kept = edge.store.sumdb_tiles(&database.key.id(), &place).await.map_err(|e| words::store(&e))?;
    let bytes = kept.into_iter().next().map(|kept| Bytes::from(kept.hashes));
    Ok(bytes.filter(|bytes| bytes.len() >= tile.size_bytes()).map(|bytes| bytes.slice(..tile.size_bytes())))
}

/// The tile as the database has it.
async fn passed_tile(edge: &Arc<Edge>, database: &SumdbEdge, tile: TilePath) -> Result<Bytes, Refusal> {
    let path = tile.sumdb();
    let bytes_max = match &tile {
        TilePath::Hashes(hashes) => hashes.size_bytes(),
        TilePath::Entries(_) => DATA_TILE_BYTES_MAX,
    };
    let what = format!("{path} of the checksum database");
    let asked = Asked { path, what, max_age: database.tile_age_max, bytes_max };
    passed(edge, asked, move |body| is_tile(&tile, body).map_err(|e| e.to_string())).await
}

/// Whether the bytes are as many as the tile has.
fn is_tile(tile: &TilePath, bytes: &[u8]) -> Result<(), TileError> {
    match tile {
        TilePath::Hashes(hashes) if bytes.len() == hashes.size_bytes() => Ok(()),
        TilePath::Hashes(hashes) => Err(TileError::Length { tile: *hashes, found: bytes.len() }),
        TilePath::Entries(entries) => parse_data_tile(entries, bytes).map(drop),
    }
}

/// The full tile at the place of a partial one.
fn full(tile: &TilePath) -> Option<TilePath> {
    match tile {
        TilePath::Hashes(hashes) => (!hashes.is_full()).then(|| TilePath::Hashes(hashes.full())),
        TilePath::Entries(entries) => {
            let hashes = entries.hashes();
            let full = EntryTile::new(hashes.index(), WIDTH_FULL).ok();
            full.filter(|_| !hashes.is_full()).map(TilePath::Entries)
        }
    }
}

/// As much of a full tile as the partial one has.
fn beginning(tile: &TilePath, full: &Bytes) -> Result<Bytes, TileError> {
    match tile {
        TilePath::Hashes(hashes) => Ok(full.slice_ref(hashes.truncate(full)?)),
        TilePath::Entries(entries) => {
            let hashes = entries.hashes();
            let records = parse_data_tile(&EntryTile::new(hashes.index(), WIDTH_FULL)?, full)?;
            // An empty line is after each.
            let bytes: usize =
                records.iter().take(hashes.width().into()).map(|record| record.len() + 1).sum();
            Ok(full.slice(..bytes))
        }
    }
}

/// What is asked of the database.
struct Asked {
    /// Below its address.
    path: String,
    /// What people call it.
    what: String,
    max_age: Duration,
    bytes_max: usize,
}

/// What the database says, or has said, unless it is nothing of the kind.
async fn passed(
    edge: &Arc<Edge>,
    asked: Asked,
    sound: impl Fn(&Bytes) -> Result<(), String> + Send + Sync + 'static,
) -> Result<Bytes, Refusal> {
    let url = address(edge, &asked.path)?;
    let Asked { what, max_age, bytes_max, .. } = asked;
    let whose = what.clone();
    let wanted = Wanted {
        ecosystem: Ecosystem::Go,
        url,
        accept: "*/*",
        what,
        max_age,
        bytes_max: bytes_max as u64,
        absence: Absence::Remembered,
        renewal: Renewal::Replaced,
    };
    let sound = move |kept: &documents::Kept| sound(&kept.body).map_err(|e| words::broken(&whose, e));
    Ok(documents::shared(edge, wanted, sound).await?.body)
}

fn address(edge: &Edge, path: &str) -> Result<Url, Refusal> {
    edge.upstream(Ecosystem::Go)?.attestations_url(path).map_err(|error| words::fetch(path, &error))
}

#[cfg(test)]
mod tests;
