//! Packages that hold a file twice, as real ones do: `package/./index.js` beside `package/index.js`, or `Cargo.toml` again.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use touchstone_testkit::Package;

const BLOCK_BYTES: usize = 512;

/// The package with this file once more at the end of its tarball, under `name`, after `change` to its header and body.
pub(crate) fn repeated(
    mut package: Package,
    file: &str,
    name: &str,
    change: impl FnOnce(&mut [u8]),
) -> Package {
    let mut tar = vec![];
    GzDecoder::new(&package.bytes[..]).read_to_end(&mut tar).expect("gzip");
    let blocks = tar.chunks(BLOCK_BYTES);
    let header = format!("{file}\0");
    let at = blocks.clone().position(|block| block.starts_with(header.as_bytes())).expect("such a file");
    let end = blocks.len() - blocks.rev().take_while(|block| block.iter().all(|byte| *byte == 0)).count();
    // Its body is shorter than a block.
    let mut again = tar[at * BLOCK_BYTES..(at + 2) * BLOCK_BYTES].to_vec();
    again[..100].fill(0);
    again[..name.len()].copy_from_slice(name.as_bytes());
    change(&mut again);
    again[148..156].fill(b' ');
    let sum: u32 = again[..BLOCK_BYTES].iter().map(|byte| u32::from(*byte)).sum();
    again[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.truncate(end * BLOCK_BYTES);
    tar.extend(again);
    tar.extend([0; 2 * BLOCK_BYTES]);
    let mut packed = GzEncoder::new(vec![], Compression::fast());
    packed.write_all(&tar).expect("in memory");
    package.bytes = packed.finish().expect("in memory");
    package
}
