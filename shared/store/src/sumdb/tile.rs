//! Tiles of hashes that were authenticated up to a signed head: the widest at each place.

use super::{SUMDB_NAME_MAX, number};
use crate::{Store, StoreError, error::within, row::Columns};

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

    /// Keeps authenticated tiles, at most [`SUMDB_TILES_MAX`]. Where a wider one is kept, it stays. A wider one that does not begin
    /// with the hashes of the one that is kept is an error, and nothing is kept of the call.
    pub async fn put_sumdb_tiles(&self, database: &str, tiles: &[SumdbTile]) -> Result<(), StoreError> {
        const PUT: &str = r"-- sumdb.put_tiles
INSERT INTO sumdb_tile AS kept (database, level, index, hashes)
SELECT DISTINCT ON (level, index) $1, level, index, hashes
FROM unnest($2::smallint[], $3::bigint[], $4::bytea[]) AS t (level, index, hashes)
ORDER BY level, index, octet_length(hashes) DESC
ON CONFLICT (database, level, index) DO UPDATE SET hashes = excluded.hashes
    WHERE octet_length(excluded.hashes) > octet_length(kept.hashes)";
        within("bytes of a checksum database's name", database.len(), SUMDB_NAME_MAX)?;
        within("tiles", tiles.len(), SUMDB_TILES_MAX)?;
        if tiles.is_empty() {
            return Ok(());
        }
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
        self.query(PUT, &[&database, &levels, &indexes, &hashes]).await.map(drop)
    }
}
