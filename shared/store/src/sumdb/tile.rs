//! Tiles of hashes that were authenticated up to a signed head: the widest at each place.
//!
//! *Invariant:* tiles are kept under the head that they lead to, or a larger one of the same tree. When that head is forgotten, so
//! are they, and none comes after.

use tokio_postgres::Row;

use super::{SUMDB_NAME_MAX, number};
use crate::{
    Store, StoreError,
    error::within,
    pool::{Params, query_in},
    row::Columns,
};

/// The most tiles per call.
pub const SUMDB_TILES_MAX: usize = 1024;
/// A hash, in bytes.
const HASH_BYTES: usize = 32;
/// The most hashes of a tile.
const WIDTH_MAX: usize = 256;

/// An authenticated tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbTile {
    /// Its level; 0 has the hashes of records.
    pub level: u8,
    /// Its number within the level.
    pub index: u64,
    /// Its hashes, 1 to 256 of 32 bytes, one after the other.
    pub hashes: Vec<u8>,
}

/// What tiles were authenticated in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumdbTree {
    /// Which of the database's trees: the [`SumdbState::lineage`](super::SumdbState) from before they were looked at.
    pub lineage: u64,
    /// The size of its head.
    pub size: u64,
}

/// What became of tiles to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TilesKept {
    /// They are kept, or wider ones with the same hashes.
    Kept,
    /// Nothing was done: the head that they lead to was forgotten.
    Outdated,
    /// What is kept at these places, levels and numbers, contradicts them. The others are kept.
    Contradicted(Vec<(u8, u64)>),
}

impl Store {
    /// The tiles at these places, at most [`SUMDB_TILES_MAX`], in the order of levels and numbers; those that are not kept are
    /// left out.
    pub async fn sumdb_tiles(
        &self,
        database: &str,
        tiles: &[(u8, u64)],
    ) -> Result<Vec<SumdbTile>, StoreError> {
        const TILES: &str = r"-- sumdb.tiles
SELECT tile.level, tile.index, hashes
FROM (SELECT DISTINCT level, index FROM unnest($2::smallint[], $3::bigint[]) AS a (level, index)) AS asked
JOIN sumdb_tile AS tile ON tile.database = $1 AND tile.level = asked.level AND tile.index = asked.index
ORDER BY tile.level, tile.index";
        within("tiles", tiles.len(), SUMDB_TILES_MAX)?;
        let levels: Vec<i16> = tiles.iter().map(|(level, _)| i16::from(*level)).collect();
        let indexes: Vec<i64> =
            tiles.iter().map(|(_, index)| number("tile", *index)).collect::<Result<_, _>>()?;
        let rows = self.query(TILES, &[&database, &levels, &indexes]).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns(row);
                let level: i16 = columns.get("level")?;
                Ok(SumdbTile {
                    level: u8::try_from(level).map_err(|e| StoreError::inconsistent("level", &e))?,
                    index: columns.unsigned("index")?,
                    hashes: columns.get("hashes")?,
                })
            })
            .collect()
    }

    /// Keeps authenticated tiles, at most [`SUMDB_TILES_MAX`]. Where a wider one is kept, it stays. Nothing is kept unless the head of
    /// the database is that of the same tree, and at least as large. What is kept and contradicts a tile stays as well, and is told:
    /// see [`Self::repair_sumdb_tiles`].
    pub async fn put_sumdb_tiles(
        &self,
        database: &str,
        tree: SumdbTree,
        tiles: &[SumdbTile],
    ) -> Result<TilesKept, StoreError> {
        let Given { levels, indexes, hashes, size, lineage } = given(database, tree, tiles)?;
        self.query(PUT, &[&database, &levels, &indexes, &hashes, &size, &lineage])
            .await
            .and_then(|rows| kept(&rows))
    }

    /// The same, but what is kept and contradicts a tile is forgotten before.
    pub async fn repair_sumdb_tiles(
        &self,
        database: &str,
        tree: SumdbTree,
        tiles: &[SumdbTile],
    ) -> Result<TilesKept, StoreError> {
        const FORGET: &str = r"-- sumdb.forget_wrong_tiles
WITH head AS MATERIALIZED (
    SELECT 1 FROM sumdb_head
    WHERE database = $1 AND size >= $5 AND $6 = (
        SELECT count(*) FROM sumdb_stop JOIN sumdb_resume ON sumdb_resume.stop_id = sumdb_stop.id
        WHERE sumdb_stop.database = $1 AND discarded_size IS NOT NULL)
    FOR KEY SHARE OF sumdb_head
)
DELETE FROM sumdb_tile AS kept
USING head, unnest($2::smallint[], $3::bigint[], $4::bytea[]) AS given (level, index, hashes)
WHERE kept.database = $1 AND kept.level = given.level AND kept.index = given.index
  AND substring(kept.hashes FOR octet_length(given.hashes)) <> substring(given.hashes FOR octet_length(kept.hashes))";
        let given = given(database, tree, tiles)?;
        self.transaction("sumdb.repair_tiles", &(database, given), |(database, given), transaction| {
            Box::pin(async move {
                let Given { levels, indexes, hashes, size, lineage } = given;
                let params: Params<'_> = &[database, levels, indexes, hashes, size, lineage];
                query_in(transaction, FORGET, params).await?;
                kept(&query_in(transaction, PUT, params).await?)
            })
        })
        .await
    }
}

/// The lock on the head keeps a resume waiting that forgets it, and not a new head: what is put is forgotten with the head, or is
/// not put. `substring` is as long as the shorter one, so that a narrower tile and a wider one are compared as far as both go.
const PUT: &str = r"-- sumdb.put_tiles
WITH head AS MATERIALIZED (
    SELECT 1 FROM sumdb_head
    WHERE database = $1 AND size >= $5 AND $6 = (
        SELECT count(*) FROM sumdb_stop JOIN sumdb_resume ON sumdb_resume.stop_id = sumdb_stop.id
        WHERE sumdb_stop.database = $1 AND discarded_size IS NOT NULL)
    FOR KEY SHARE OF sumdb_head
), given AS MATERIALIZED (
    SELECT DISTINCT ON (level, index) level, index, hashes
    FROM unnest($2::smallint[], $3::bigint[], $4::bytea[]) AS t (level, index, hashes)
    ORDER BY level, index, octet_length(hashes) DESC
), contradicted AS MATERIALIZED (
    SELECT given.level, given.index
    FROM given JOIN sumdb_tile AS kept ON kept.database = $1 AND kept.level = given.level AND kept.index = given.index
    WHERE substring(kept.hashes FOR octet_length(given.hashes)) <> substring(given.hashes FOR octet_length(kept.hashes))
), put AS (
    INSERT INTO sumdb_tile AS kept (database, level, index, hashes)
    SELECT $1, level, index, hashes FROM given, head ORDER BY level, index
    ON CONFLICT (database, level, index) DO UPDATE SET hashes = excluded.hashes
    WHERE octet_length(excluded.hashes) > octet_length(kept.hashes)
      AND substring(excluded.hashes FOR octet_length(kept.hashes)) = kept.hashes
)
SELECT level, index FROM head LEFT JOIN contradicted ON true ORDER BY level, index";

/// Tiles as columns.
struct Given<'t> {
    levels: Vec<i16>,
    indexes: Vec<i64>,
    hashes: Vec<&'t [u8]>,
    size: i64,
    lineage: i64,
}

fn given<'t>(database: &str, tree: SumdbTree, tiles: &'t [SumdbTile]) -> Result<Given<'t>, StoreError> {
    within("bytes of a checksum database's name", database.len(), SUMDB_NAME_MAX)?;
    within("tiles", tiles.len(), SUMDB_TILES_MAX)?;
    let (mut levels, mut indexes, mut hashes) = (vec![], vec![], vec![]);
    for tile in tiles {
        let width = tile.hashes.len() / HASH_BYTES;
        if tile.hashes.len() % HASH_BYTES != 0 || !(1..=WIDTH_MAX).contains(&width) {
            let problem = format!("{} bytes are not 1 to 256 hashes", tile.hashes.len());
            return Err(StoreError::Invalid { what: "tile", problem });
        }
        levels.push(i16::from(tile.level));
        indexes.push(number("tile", tile.index)?);
        hashes.push(tile.hashes.as_slice());
    }
    let (size, lineage) = (number("tree size", tree.size)?, number("lineage", tree.lineage)?);
    Ok(Given { levels, indexes, hashes, size, lineage })
}

/// No row if there is no such head; else one for each place, or one without a place.
fn kept(rows: &[Row]) -> Result<TilesKept, StoreError> {
    let mut places = vec![];
    for row in rows {
        let columns = Columns(row);
        if let Some(level) = columns.get::<Option<i16>>("level")? {
            let level = u8::try_from(level).map_err(|e| StoreError::inconsistent("level", &e))?;
            places.push((level, columns.unsigned("index")?));
        }
    }
    Ok(match (rows.is_empty(), places.is_empty()) {
        (true, _) => TilesKept::Outdated,
        (false, true) => TilesKept::Kept,
        (false, false) => TilesKept::Contradicted(places),
    })
}

#[cfg(test)]
mod tests;
