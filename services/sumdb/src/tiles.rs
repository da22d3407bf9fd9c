//! Tiles of hashes: from memory, from Postgres, from the database, and authenticated each time.
//!
//! *Invariant:* whatever a tile comes from, all that is used of it is authenticated up to the signed head that is at hand.
//!
//! *Invariant:* memory and Postgres hold only tiles that were authenticated up to a head that was merged, and none of a head that
//! was forgotten is used or kept any more. When tiles from there fail all the same, the whole plan is fetched once, and what is
//! right takes the place of what was wrong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use moka::sync::Cache;
use tokio::sync::OnceCell;
use touchstone_runtime::Chain;
use touchstone_store::{Store, StoreError, SumdbTile, SumdbTree, TilesKept};
use touchstone_tlog::{AuthenticatedTiles, SignedHead, Tile, TileError, Wanted, authenticate, plan};
use touchstone_worker::blocking;

use crate::{
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
    /// The widest authenticated tile of each place, once Postgres has it.
    memory: Cache<Place, Bytes>,
    /// What is being fetched, so that whoever needs the same tile meanwhile waits for it. Not authenticated.
    fetching: Cache<Tile, Arc<OnceCell<Bytes>>>,
}

/// The lineage of the tree, the level and the index.
type Place = (u64, u8, u64);

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
        lineage: u64,
        wanted: &Wanted,
        sources: Sources,
    ) -> Result<AuthenticatedTiles, Stop> {
        let tiles = plan(head.head().size, wanted);
        match sources {
            Sources::Any => {
                let Gathered { tiles: gathered, all_fetched } = self.gather(lineage, &tiles).await?;
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

    /// Keeps tiles of a head that was merged, where the stored one was of this lineage. That they cannot be stored is no failure:
    /// they are a cache.
    pub(crate) async fn keep(&self, lineage: u64, tiles: &AuthenticatedTiles) {
        let place = |tile: Tile| (lineage, tile.level(), tile.index());
        let is_new = |(tile, hashes): &(Tile, &[u8])| {
            !self.memory.get(&place(*tile)).is_some_and(|kept| kept.starts_with(hashes))
        };
        let (names, new): (Vec<Tile>, Vec<SumdbTile>) = tiles
            .tiles()
            .filter(is_new)
            .map(|(tile, hashes)| {
                (tile, SumdbTile { level: tile.level(), index: tile.index(), hashes: hashes.to_vec() })
            })
            .unzip();
        if new.is_empty() {
            return;
        }
        match self.put(SumdbTree { lineage, size: tiles.head().size }, &new).await {
            Ok(TilesKept::Kept) => {}
            Ok(TilesKept::Outdated) => return,
            Ok(TilesKept::Contradicted(places)) => {
                tracing::error!(database = %self.database, ?places, "stored tiles are wrong again, just after they were repaired");
                return;
            }
            Err(error) => {
                tracing::warn!(database = %self.database, error = %Chain(&error), "tiles are not stored");
                return;
            }
        }
        for (tile, SumdbTile { hashes, .. }) in names.into_iter().zip(new) {
            self.memory.insert(place(tile), hashes.into());
            self.fetching.invalidate(&tile);
        }
    }

    /// Stores tiles. They lead to a head that is stored, so whatever is stored and contradicts them is wrong.
    async fn put(&self, tree: SumdbTree, tiles: &[SumdbTile]) -> Result<TilesKept, StoreError> {
        match self.store.put_sumdb_tiles(&self.database, tree, tiles).await? {
            TilesKept::Contradicted(places) => {
                tracing::error!(database = %self.database, ?places, "stored tiles do not lead to the signed head; they are replaced");
                self.store.repair_sumdb_tiles(&self.database, tree, tiles).await
            }
            kept @ (TilesKept::Kept | TilesKept::Outdated) => Ok(kept),
        }
    }

    /// Each tile from the nearest place that has it.
    async fn gather(&self, lineage: u64, tiles: &[Tile]) -> Result<Gathered, Stop> {
        let mut found: Vec<Option<Bytes>> =
            tiles.iter().map(|tile| self.remembered(lineage, *tile)).collect();
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
                None => self.fetch_together(lineage, *tile).await,
            }
        });
        let fetched = try_join_all(fetched).await?;
        let all_fetched = fetched.iter().all(|(_, fetched)| *fetched);
        let tiles = tiles.iter().zip(fetched).map(|(tile, (bytes, _))| (*tile, bytes.to_vec())).collect();
        Ok(Gathered { tiles, all_fetched })
    }

    fn remembered(&self, lineage: u64, tile: Tile) -> Option<Bytes> {
        let wider = self.memory.get(&(lineage, tile.level(), tile.index()))?;
        let bytes = (wider.len() >= tile.size_bytes()).then(|| wider.slice(..tile.size_bytes()))?;
        count("memory", 1);
        Some(bytes)
    }

    /// Fetches a tile, or waits for whoever does so already; says whether it was fetched for this call.
    async fn fetch_together(&self, lineage: u64, tile: Tile) -> Result<(Bytes, bool), Stop> {
        let cell = self.fetching.get_with(tile, Arc::default);
        // Whoever fetched it before this cell was made has kept it by now.
        if let Some(bytes) = self.remembered(lineage, tile) {
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

    /// Fetches a tile again when it is needed next.
    #[cfg(test)]
    pub(crate) fn forget_fetched(&self, tile: Tile) {
        self.fetching.invalidate(&tile);
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
