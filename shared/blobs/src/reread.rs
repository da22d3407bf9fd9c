//! The second reading, by the archive's inspection: each chunk is compared with the first reading before any of it is
//! handed on, so that nobody who can write to the disk shows one file to the hashers and another to the inspection.

use std::io::{self, Read, Seek, SeekFrom};

use tokio_util::sync::CancellationToken;
use touchstone_domain::{CHUNK_BYTES, ChunkList, Sha256};

use crate::digest::running;

/// Reads a file that was hashed before; an error when a chunk is no longer what it was. Blocks.
pub struct Reread<'a, F> {
    file: F,
    chunks: &'a ChunkList,
    stop: &'a CancellationToken,
    position: u64,
    /// The number of the chunk that `bytes` holds.
    loaded: Option<u64>,
    bytes: Vec<u8>,
}

impl<'a, F: Read + Seek> Reread<'a, F> {
    /// `chunks` is the list that the first reading made.
    pub fn new(file: F, chunks: &'a ChunkList, stop: &'a CancellationToken) -> Self {
        Self { file, chunks, stop, position: 0, loaded: None, bytes: Vec::with_capacity(CHUNK_BYTES) }
    }

    fn load(&mut self, index: u64, expected: Sha256) -> io::Result<()> {
        running(self.stop)?;
        self.loaded = None;
        self.bytes.clear();
        self.file.seek(SeekFrom::Start(index * CHUNK_BYTES as u64))?;
        self.file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut self.bytes)?;
        if Sha256::of(&self.bytes) != expected {
            return Err(io::Error::other(format!("chunk {index} changed while it was looked at")));
        }
        self.loaded = Some(index);
        Ok(())
    }
}

impl<F: Read + Seek> Read for Reread<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let index = self.position / CHUNK_BYTES as u64;
        let Some(expected) = self.chunks.digest(index).filter(|_| self.position < self.chunks.size()) else {
            return Ok(0);
        };
        if self.loaded != Some(index) {
            self.load(index, expected)?;
        }
        let start = usize::try_from(self.position % CHUNK_BYTES as u64).expect("below the size of a chunk");
        let mut rest = &self.bytes[start..];
        let count = rest.read(into)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<F> Seek for Reread<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.chunks.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a seek before the start"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn bytes() -> Vec<u8> {
        (0..2 * CHUNK_BYTES + 9).map(|n| u8::try_from(n % 251).expect("below 251")).collect()
    }

    #[test]
    fn it_reads_and_seeks_as_the_file_does() {
        let (bytes, stop) = (bytes(), CancellationToken::new());
        let chunks = ChunkList::of(&bytes);
        let mut reread = Reread::new(Cursor::new(&bytes), &chunks, &stop);
        let mut all = vec![];
        reread.read_to_end(&mut all).expect("unchanged");
        assert_eq!(all, bytes);
        let mut cursor = Cursor::new(&bytes);
        let size = bytes.len() as u64;
        for to in [
            SeekFrom::End(-20),
            SeekFrom::Start(CHUNK_BYTES as u64 - 3),
            SeekFrom::Current(-5),
            SeekFrom::End(4),
        ] {
            let (mut found, mut expected) = (vec![], vec![]);
            assert_eq!(reread.seek(to).expect("within"), cursor.seek(to).expect("within"));
            reread.by_ref().take(10).read_to_end(&mut found).expect("unchanged");
            cursor.by_ref().take(10).read_to_end(&mut expected).expect("in memory");
            assert_eq!(found, expected, "{to:?} of {size}");
        }
        assert_eq!(reread.seek(SeekFrom::Start(0)).expect("the start"), 0);
        assert_eq!(
            reread.seek(SeekFrom::Current(-1)).expect_err("before").kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_file_that_changed_since_is_not_read() {
        let (mut bytes, stop) = (bytes(), CancellationToken::new());
        let chunks = ChunkList::of(&bytes);
        bytes[CHUNK_BYTES + 1] ^= 1;
        let mut all = vec![];
        let found =
            Reread::new(Cursor::new(&bytes), &chunks, &stop).read_to_end(&mut all).expect_err("changed");
        assert_eq!(found.to_string(), "chunk 1 changed while it was looked at");
        assert_eq!(all.len(), CHUNK_BYTES);
        bytes.truncate(10);
        Reread::new(Cursor::new(&bytes), &chunks, &stop).read_to_end(&mut vec![]).expect_err("shortened");
    }
}
