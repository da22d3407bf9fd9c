//! ZIP files, header by header.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// One entry: what the local header says, what the directory says, and the bytes between.
#[derive(Clone)]
pub(crate) struct ZipEntry {
    pub(crate) local: ZipHeader,
    pub(crate) central: ZipHeader,
    /// Packed.
    pub(crate) body: Vec<u8>,
    /// What follows the body: a data descriptor, or what should not be there.
    pub(crate) behind: Vec<u8>,
    /// Where the directory says that the local header is, instead of where it is.
    pub(crate) offset: Option<u32>,
    pub(crate) attributes: u32,
    pub(crate) comment: Vec<u8>,
}

/// The fields that a local header and a directory entry share.
#[derive(Clone)]
pub(crate) struct ZipHeader {
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) packed: u32,
    pub(crate) size: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) extra: Vec<u8>,
}

impl ZipEntry {
    /// A sound, deflated file, or a directory if the name ends with a slash.
    pub(crate) fn new(name: &str, body: impl AsRef<[u8]>) -> Self {
        let mut encoder = DeflateEncoder::new(vec![], Compression::best());
        encoder.write_all(body.as_ref()).expect("a vector takes everything");
        let packed = encoder.finish().expect("a vector takes everything");
        let method = if name.ends_with('/') { 0 } else { 8 };
        Self::packed(name, method, body.as_ref(), if method == 0 { vec![] } else { packed })
    }

    /// A sound, stored file.
    pub(crate) fn stored(name: &str, body: &str) -> Self {
        Self::packed(name, 0, body.as_bytes(), body.into())
    }

    fn packed(name: &str, method: u16, body: &[u8], packed: Vec<u8>) -> Self {
        let mut crc = Crc::new();
        crc.update(body);
        let header = ZipHeader {
            flags: 0,
            method,
            crc: crc.sum(),
            packed: u32::try_from(packed.len()).expect("small"),
            size: u32::try_from(body.len()).expect("small"),
            name: name.into(),
            extra: vec![],
        };
        let mode: u32 = if name.ends_with('/') { 0o040_755 } else { 0o100_644 };
        Self {
            local: header.clone(),
            central: header,
            body: packed,
            behind: vec![],
            offset: None,
            attributes: mode << 16,
            comment: vec![],
        }
    }

    /// The same with something changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with something changed in both headers.
    pub(crate) fn both(mut self, change: impl Fn(&mut ZipHeader)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    /// The same, its CRC and sizes behind the body.
    pub(crate) fn described(self) -> Self {
        self.both(|header| header.flags |= 1 << 3).with(|entry| {
            let ZipHeader { crc, packed, size, .. } = entry.central;
            (entry.local.crc, entry.local.packed, entry.local.size) = (0, 0, 0);
            entry.behind = b"PK\x07\x08"
                .iter()
                .copied()
                .chain([crc, packed, size].map(u32::to_le_bytes).concat())
                .collect();
        })
    }
}

/// What the end record says, where it should not be the truth.
#[derive(Clone, Default)]
pub(crate) struct ZipEnd {
    pub(crate) entries: Option<u16>,
    pub(crate) entries_here: Option<u16>,
    pub(crate) disk: u16,
    pub(crate) directory_bytes: Option<u32>,
    pub(crate) directory_offset: Option<u32>,
    pub(crate) comment: Vec<u8>,
    pub(crate) comment_bytes: Option<u16>,
    /// Before the directory.
    pub(crate) gap: Vec<u8>,
    /// Between the directory and the end record; a ZIP64 record and locator, for instance.
    pub(crate) before: Vec<u8>,
}

/// A ZIP file of these entries.
pub(crate) fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    zip_with(entries, &ZipEnd::default())
}

/// The same with another end record.
pub(crate) fn zip_with(entries: &[ZipEntry], end: &ZipEnd) -> Vec<u8> {
    let mut file = vec![];
    let mut directory = vec![];
    for entry in entries {
        let offset = entry.offset.unwrap_or_else(|| length(&file));
        file.extend(b"PK\x03\x04\x14\0");
        shared(&mut file, &entry.local);
        file.extend(
            [&entry.local.name, &entry.local.extra, &entry.body, &entry.behind].into_iter().flatten(),
        );
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        shared(&mut directory, &entry.central);
        directory.extend(u16::try_from(entry.comment.len()).expect("small").to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(entry.attributes.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend([&entry.central.name, &entry.central.extra, &entry.comment].into_iter().flatten());
    }
    file.extend(&end.gap);
    let directory_offset = length(&file);
    file.extend(&directory);
    file.extend(&end.before);
    let count = u16::try_from(entries.len()).expect("few");
    file.extend(b"PK\x05\x06");
    file.extend(
        [end.disk, 0, end.entries_here.or(end.entries).unwrap_or(count), end.entries.unwrap_or(count)]
            .map(u16::to_le_bytes)
            .concat(),
    );
    file.extend(end.directory_bytes.unwrap_or_else(|| length(&directory)).to_le_bytes());
    file.extend(end.directory_offset.unwrap_or(directory_offset).to_le_bytes());
    let comment_bytes = u16::try_from(end.comment.len()).expect("short");
    file.extend(end.comment_bytes.unwrap_or(comment_bytes).to_le_bytes());
    file.extend(&end.comment);
    file
}

/// A ZIP64 record and its locator.
pub(crate) fn wide(entries: u64, directory_bytes: u64, directory_offset: u64) -> Vec<u8> {
    let mut bytes = b"PK\x06\x06".to_vec();
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0]);
    bytes.extend([0; 8]);
    bytes.extend([entries, entries, directory_bytes, directory_offset].map(u64::to_le_bytes).concat());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend((directory_offset + directory_bytes).to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes
}

fn shared(file: &mut Vec<u8>, header: &ZipHeader) {
    file.extend([header.flags, header.method, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([header.crc, header.packed, header.size].map(u32::to_le_bytes).concat());
    file.extend(
        [&header.name, &header.extra]
            .map(|text| u16::try_from(text.len()).expect("short").to_le_bytes())
            .concat(),
    );
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("small")
}
