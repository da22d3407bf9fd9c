//! One step of inflating: the only place that calls the decompressor.

use std::io::BufRead;

use flate2::{Decompress, FlushDecompress, Status};
use touchstone_domain::ArchiveRule;

use super::refuse;
use crate::InspectError;

/// What one step gave.
pub(super) struct Step {
    /// How many bytes of the output were filled; 0 only at the end.
    pub(super) written: usize,
    /// Whether the deflate stream has ended. What follows in the input is not part of it.
    pub(super) ended: bool,
}

/// Fills some of `output`, taking from `input` only what belongs to the deflate stream.
pub(super) fn inflate(
    decompress: &mut Decompress,
    input: &mut dyn BufRead,
    output: &mut [u8],
) -> Result<Step, InspectError> {
    loop {
        let packed = input.fill_buf()?;
        let at_end = packed.is_empty();
        let (taken_before, written_before) = (decompress.total_in(), decompress.total_out());
        let status = decompress
            .decompress(packed, output, FlushDecompress::None)
            .map_err(|_| refuse(ArchiveRule::Compression, "the deflate stream is broken"))?;
        let taken = progress(taken_before, decompress.total_in());
        let written = progress(written_before, decompress.total_out());
        input.consume(taken);
        match status {
            Status::StreamEnd => return Ok(Step { written, ended: true }),
            Status::Ok | Status::BufError if written > 0 => return Ok(Step { written, ended: false }),
            Status::Ok | Status::BufError if at_end => {
                return Err(refuse(ArchiveRule::Truncated, "the deflate stream has no end"));
            }
            Status::Ok | Status::BufError if taken == 0 => {
                return Err(refuse(ArchiveRule::Compression, "the deflate stream stands still"));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn progress(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("bounded by a buffer's length")
}
