//! What the leaves of a tree hold, many at once: the data tiles of the Go checksum database, and the entry bundles of C2SP
//! tlog-tiles. Nothing in them is verified: each entry must be compared with its leaf.

#[cfg(test)]
mod tests;

use crate::{TileError, note::plain_text, tile::EntryTile};

/// The longest entry, in bytes: what the length before it can say.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// The entries of a C2SP bundle, each after its length in two bytes. UNVERIFIED.
pub fn parse_bundle<'a>(tile: &EntryTile, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
    let mut entries = vec![];
    let mut rest = bytes;
    for _ in 0..tile.hashes().width() {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(TileError::Entries)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(TileError::Entries)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::Entries) }
}

/// Writes a C2SP bundle, or none if an entry is longer than [`ENTRY_BYTES_MAX`].
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, TileError> {
    let mut bytes = vec![];
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::Entries)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// The records of a data tile of the Go checksum database, each with an empty line after it. UNVERIFIED.
pub fn parse_data_tile<'a>(tile: &EntryTile, bytes: &'a [u8]) -> Result<Vec<&'a str>, TileError> {
    let width = usize::from(tile.hashes().width());
    if bytes.len() > width * (ENTRY_BYTES_MAX + 1) {
        return Err(TileError::Entries);
    }
    let text = plain_text(bytes).ok_or(TileError::Entries)?;
    let mut records = vec![];
    let mut rest = text;
    for _ in 0..width {
        let end = rest.find("\n\n").ok_or(TileError::Entries)?;
        records.push(&rest[..=end]);
        rest = &rest[end + 2..];
    }
    // An empty record would be another empty line.
    let empty = records.iter().any(|record| record.starts_with('\n'));
    if rest.is_empty() && !empty { Ok(records) } else { Err(TileError::Entries) }
}

/// Writes a data tile, or none if a text is no record.
pub fn data_tile<'a>(records: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, TileError> {
    let mut bytes = vec![];
    for record in records {
        let lines = record.ends_with('\n') && !record.starts_with('\n') && !record.contains("\n\n");
        if !lines || record.len() > ENTRY_BYTES_MAX || plain_text(record.as_bytes()).is_none() {
            return Err(TileError::Entries);
        }
        bytes.extend(record.as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}
