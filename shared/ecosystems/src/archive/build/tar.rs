//! Tar files, block by block.

use super::gzip;

type Block = [u8; 512];

/// A tar file that grows.
#[derive(Clone, Default)]
pub(crate) struct TarFile {
    bytes: Vec<u8>,
}

impl TarFile {
    /// A sound file.
    pub(crate) fn file(self, name: &str, body: impl AsRef<[u8]>) -> Self {
        self.entry(header(name, b'0', body.as_ref().len() as u64), body)
    }

    /// A sound directory.
    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(header(name, b'5', 0), "")
    }

    /// A link, `b'1'` hard or `b'2'` symbolic.
    pub(crate) fn link(self, kind: u8, name: &str, target: &str) -> Self {
        let mut block = header(name, kind, 0);
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        self.entry(sealed(block), "")
    }

    /// A pax header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.entry(header("PaxHeader", b'x', body.len() as u64), body)
    }

    /// A GNU long name (`b'L'`) or target (`b'K'`) for the next entry.
    pub(crate) fn long(self, kind: u8, text: &str) -> Self {
        let body = format!("{text}\0");
        self.entry(header("././@LongLink", kind, body.len() as u64), body)
    }

    /// Any header and any body, padded to whole blocks.
    pub(crate) fn entry(mut self, block: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        self.bytes.extend(block.as_ref());
        self.bytes.extend(body.as_ref());
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Zeros at the end.
    pub(crate) fn zero_blocks(mut self, count: usize) -> Self {
        self.bytes.resize(self.bytes.len() + 512 * count, 0);
        self
    }

    /// The bytes as they are.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Ended as tar is, and packed.
    pub(crate) fn tgz(self) -> Vec<u8> {
        gzip(&self.zero_blocks(2).bytes)
    }
}

/// A sound ustar header.
pub(crate) fn header(name: &str, kind: u8, size: u64) -> Block {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sealed(block)
}

/// The block with the right checksum.
pub(crate) fn sealed(mut block: Block) -> Block {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A sound pax record.
pub(crate) fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..rest + 20)
        .find(|length| length - rest == length.to_string().len())
        .expect("20 digits are enough");
    format!("{length} {key}={value}\n").into_bytes()
}
