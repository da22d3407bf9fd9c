//! Tiles of hashes: from memory, from Postgres, from the database, and authenticated each time.
//!
//! *Invariant:* whatever a tile comes from, all that is used of it is authenticated up to the signed head that is at hand.
//!
//! *Invariant:* memory and Postgres hold only tiles that were authenticated up to a head that was merged. When tiles from there
//! fail all the same, the whole plan is fetched once: what is wrong in them holds nothing up for ever.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use moka::sync::Cache;
use tokio::sync::OnceCell;
use touchstone_runtime::Chain;
use touchstone_store::{Store, SumdbTile};
use touchstone_tlog::{AuthenticatedTiles, SignedHead, Tile, TileError, Wanted, authenticate, plan};

use crate::{
    blocking::blocking,
    client::Client,
    stop::{Problem, Stop},
};

/// How many tiles are kept in memory, of at most 8 KiB each.
const TILES_MAX: u64 = 4096;
/// How many tiles may be on their way at once, and how long one is shared at most.
const FETCHING_MAX: u64 = 1024;
const FETCHING_TIME: Duration = Duration::from_secs(10);

/// The tiles of one database.
pub(crate) struct Tiles {
    client: Arc<Client>,
    store: Store,
    database: String,
    /// The widest authenticated tile of each place: level and index.
    memory: Cache<(u8, u64), Bytes>,
    /// What is being fetched, so that whoever needs the same tile meanwhile waits for it. Not authenticated.
    fetching: Cache<Tile, Arc<OnceCell<Bytes>>>,
}

/// Where tiles and replies may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// From wherever they are.
    Any,
    /// From the database itself: what is kept is not looked at.
    Upstream,
}

/// The tiles of a plan, and whether all of them were fetched for it.
struct Gathered {
    tiles: Vec<(Tile, Vec<u8>)>,
    all_fetched: bool,
}

impl Tiles {
    pub(crate) fn new(client: Arc<Client>, store: Store, database: String) -> Self {
        let fetching = Cache::builder().max_capacity(FETCHING_MAX).time_to_live(FETCHING_TIME).build();
        Self { client, store, database, memory: Cache::new(TILES_MAX), fetching }
    }

    /// The tiles that prove what is wanted of the head's tree, authenticated. They are not kept yet ([`Self::keep`]).
    pub(crate) async fn authenticated(
        &self,
        head: &Arc<SignedHead>,
        wanted: &Wanted,
        sources: Sources,
    ) -> Result<AuthenticatedTiles, Stop> {
        let tiles = plan(head.head().size, wanted);
        match sources {
            Sources::Any => {
                let Gathered { tiles: gathered, all_fetched } = self.gather(&tiles).await?;
                match checked(head, gathered).await? {
                    Ok(authenticated) => return Ok(authenticated),
                    Err(error) if all_fetched => return Err(Problem::from(error).into()),
                    Err(error) => {
                        tracing::warn!(database = %self.database, %error, "kept tiles do not prove a signed head; all are fetched anew");
                        for tile in &tiles {
                            self.fetching.invalidate(tile);
                        }
                    }
                }
            }
            Sources::Upstream => {}
        }
        let fetched = try_join_all(tiles.iter().map(|tile| self.fetch(*tile))).await?;
        let fetched = tiles.into_iter().zip(fetched).map(|(tile, bytes)| (tile, bytes.to_vec())).collect();
        Ok(checked(head, fetched).await?.map_err(Problem::from)?)
    }

    /// Keeps tiles of a head that was merged. That they cannot be stored is no failure: they are a cache.
    pub(crate) async fn keep(&self, tiles: &AuthenticatedTiles) {
        let mut new = vec![];
        for (tile, hashes) in tiles.tiles() {
            let place = (tile.level(), tile.index());
            if self.memory.get(&place).is_some_and(|kept| kept.starts_with(hashes)) {
                continue;
            }
            self.memory.insert(place, Bytes::copy_from_slice(hashes));
            self.fetching.invalidate(&tile);
            new.push(SumdbTile { level: place.0, index: place.1, hashes: hashes.to_vec() });
        }
        let Err(error) = self.store.put_sumdb_tiles(&self.database, &new).await else { return };
        tracing::warn!(database = %self.database, error = %Chain(&error), "tiles are not stored");
        if error.is_transient() {
            return;
        }
        // One that contradicts what is stored must not keep the others out.
        for tile in new {
            if let Err(error) = self.store.put_sumdb_tiles(&self.database, std::slice::from_ref(&tile)).await
            {
                let SumdbTile { level, index, .. } = tile;
                tracing::error!(database = %self.database, level, index, error = %Chain(&error), "a tile is not stored");
            }
        }
    }

    /// Each tile from the nearest place that has it.
    async fn gather(&self, tiles: &[Tile]) -> Result<Gathered, Stop> {
        let mut found: Vec<Option<Bytes>> = tiles.iter().map(|tile| self.remembered(*tile)).collect();
        let places: Vec<(u8, u64)> = tiles
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(tile, _)| (tile.level(), tile.index()))
            .collect();
        if !places.is_empty() {
            let stored = self.store.sumdb_tiles(&self.database, &places).await?;
            for (tile, found) in tiles.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
                let place =
                    |stored: &&SumdbTile| (stored.level, stored.index) == (tile.level(), tile.index());
                let kept = stored.iter().find(place).and_then(|stored| tile.truncate(&stored.hashes).ok());
                *found = kept.map(Bytes::copy_from_slice);
                count("store", u64::from(found.is_some()));
            }
        }
        let fetched = tiles.iter().zip(found).map(|(tile, found)| async move {
            match found {
                Some(bytes) => Ok((bytes, false)),
                None => self.fetch_together(*tile).await,
            }
        });
        let fetched = try_join_all(fetched).await?;
        let all_fetched = fetched.iter().all(|(_, fetched)| *fetched);
        let tiles = tiles.iter().zip(fetched).map(|(tile, (bytes, _))| (*tile, bytes.to_vec())).collect();
        Ok(Gathered { tiles, all_fetched })
    }

    fn remembered(&self, tile: Tile) -> Option<Bytes> {
        let wider = self.memory.get(&(tile.level(), tile.index()))?;
        let bytes = (wider.len() >= tile.size_bytes()).then(|| wider.slice(..tile.size_bytes()))?;
        count("memory", 1);
        Some(bytes)
    }

    /// Fetches a tile, or waits for whoever does so already; says whether it was fetched for this call.
    async fn fetch_together(&self, tile: Tile) -> Result<(Bytes, bool), Stop> {
        let cell = self.fetching.get_with(tile, Arc::default);
        // Whoever fetched it before this cell was made has kept it by now.
        if let Some(bytes) = self.remembered(tile) {
            return Ok((bytes, false));
        }
        let mut fetched = false;
        let fetching = async {
            fetched = true;
            self.fetch(tile).await
        };
        let bytes = cell.get_or_try_init(|| fetching).await?.clone();
        Ok((bytes, fetched))
    }

    async fn fetch(&self, tile: Tile) -> Result<Bytes, Stop> {
        count("upstream", 1);
        self.client.tile(tile).await
    }
}

/// Authenticates away from the threads that answer others.
async fn checked(
    head: &Arc<SignedHead>,
    tiles: Vec<(Tile, Vec<u8>)>,
) -> Result<Result<AuthenticatedTiles, TileError>, Stop> {
    let head = Arc::clone(head);
    Ok(blocking(move || authenticate(&head, &tiles)).await?)
}

fn count(source: &'static str, tiles: u64) {
    metrics::counter!("touchstone_sumdb_tiles", "source" => source).increment(tiles);
}
