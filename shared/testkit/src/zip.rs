//! The smallest ZIP writer that wheels and modules need: stored entries, nothing optional.

use flate2::Crc;

/// The mode of a regular file.
pub(crate) const REGULAR: u32 = 0o100_644;

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipEntry {
    /// The name, as it stands in the archive.
    pub name: String,
    /// The content.
    pub content: Vec<u8>,
    /// The Unix mode, with the kind of file.
    pub mode: u32,
}

impl ZipEntry {
    /// A regular file.
    pub fn file(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into(), mode: REGULAR }
    }

    /// A symbolic link.
    pub fn symlink(name: impl Into<String>, target: &str) -> Self {
        Self { name: name.into(), content: target.into(), mode: 0o120_777 }
    }
}

/// Writes an archive of stored entries.
pub(crate) fn stored(entries: &[ZipEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for ZipEntry { name, content, mode } in entries {
        let offset = number(out.len());
        let header = header(name, content);
        out.extend(b"PK\x03\x04");
        out.extend(&header);
        out.extend(name.as_bytes());
        out.extend(content);
        // made by: Unix, so that the mode counts
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&header);
        // comment length, disk, internal attributes, external attributes, offset
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, size) = (number(out.len()), number(directory.len()));
    let count = u16::try_from(entries.len()).expect("few entries");
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// What local and central headers share: version needed, flags, method, time, date, CRC, sizes, name and extra length.
fn header(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content);
    let mut header = vec![0x14, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    header.extend(crc.sum().to_le_bytes());
    header.extend(number(content.len()).to_le_bytes());
    header.extend(number(content.len()).to_le_bytes());
    header.extend(u16::try_from(name.len()).expect("short name").to_le_bytes());
    header.extend([0; 2]);
    header
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a small archive")
}
