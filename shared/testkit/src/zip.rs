//! The smallest ZIP writer that wheels need: stored entries, nothing optional.

use flate2::Crc;

/// Writes an archive of stored entries.
pub(crate) fn stored(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let offset = number(out.len());
        let header = header(name, content);
        out.extend(b"PK\x03\x04");
        out.extend(&header);
        out.extend(name.as_bytes());
        out.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        // comment length, disk, internal attributes, external attributes (regular file, 0644), offset
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
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
