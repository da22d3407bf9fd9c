//! Zips of Go modules: the hygiene that lets them pass, and the `h1:` digest that the checksum database has of them.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, Cursor, Read, Seek, SeekFrom},
};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use touchstone_domain::{ArchiveRule, ArtifactId, Ecosystem, FileName, PackageName, Reason, Sha256, Version};
use touchstone_ecosystems::{InspectError, adapter, go::h1_zip};

/// The directory of the module that is asked for.
pub const ROOT: &str = "code.example/Tiny@v1.2.3/";
/// What a list of files begins with, of which a sound zip is made first: each is a name, `0xfe`, the content, `0xff`. No UTF-8
/// has these bytes.
pub const FILES: &[u8] = b"files\n";
const NAME_END: u8 = 0xfe;
const FILE_END: u8 = 0xff;

/// No deflate stream unpacks to more, for each of its bytes.
const DEFLATE_RATIO_MAX: u64 = 1032;
/// How often each byte of the file may be read, and what is read of a small one.
const READS_MAX: u64 = 4;
const READ_BYTES_FREE: u64 = 4096;

/// What is let pass has an `h1:`, and both are those of the files that a reader sees who begins at the start; neither takes more
/// than the file is worth. Whether it may pass under a policy that names no forks.
pub fn check(data: &[u8]) -> bool {
    match data.strip_prefix(FILES) {
        Some(list) => zip(&stored(&files(list))),
        None => zip(data),
    }
}

fn zip(data: &[u8]) -> bool {
    let id = ArtifactId {
        ecosystem: Ecosystem::Go,
        package: PackageName::new("code.example/Tiny").expect("a constant"),
        version: Version::new("v1.2.3").expect("a constant"),
        file: FileName::new("v1.2.3.zip").expect("a constant"),
    };
    let hashed = bounded(data, |file| h1_zip(file));
    let inspected = bounded(data, |file| adapter(Ecosystem::Go).inspect(&id, &[], file));
    let found = match (&inspected, &hashed) {
        (Ok(found), Ok(_)) => found,
        (Ok(found), Err(error)) => panic!("{found:?} passes, and has no h1: {error}"),
        (Err(error), Ok(_)) => {
            assert!(!is_about_structure(error), "it has an h1, and is refused: {error}");
            return false;
        }
        (Err(_), Err(_)) => return false,
    };
    let hashed = hashed.expect("checked above");
    let seen = streamed(data).expect("what passes can be read from its start");
    assert_eq!(found.entries, seen.len() as u64);
    assert_eq!(found.unpacked_bytes, seen.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    assert!(found.unpacked_bytes <= data.len() as u64 * DEFLATE_RATIO_MAX);
    assert_eq!(hashed.zip, h1(&seen));
    assert_names(&seen);
    let go_mod = seen.iter().find(|(name, _)| name.strip_prefix(ROOT) == Some("go.mod"));
    assert_eq!(found.manifest, go_mod.map(|(_, content)| Sha256::of(content)));
    assert_eq!(hashed.go_mod, go_mod.map(|(_, content)| h1(&[("go.mod".to_owned(), content.clone())])));
    let Some((_, content)) = go_mod else {
        assert_eq!(found.renamed, None);
        return true;
    };
    let content = str::from_utf8(content).expect("text");
    let named = found.renamed.as_deref().unwrap_or("code.example/Tiny");
    assert!(found.renamed.as_deref() != Some("code.example/Tiny") && content.contains(named), "{named}");
    found.renamed.is_none()
}

/// Whether nobody could read it, whatever it holds.
fn is_about_structure(error: &InspectError) -> bool {
    match error {
        InspectError::Refused(Reason::ArchiveRejected { rule, .. }) => {
            [ArchiveRule::Truncated, ArchiveRule::Compression, ArchiveRule::EntryType].contains(rule)
        }
        InspectError::Refused(_) => false,
        InspectError::Io(error) => panic!("memory can be read: {error}"),
    }
}

/// The rules for names that take no table.
fn assert_names(seen: &[(String, Vec<u8>)]) {
    let mut folded = BTreeSet::new();
    for (name, _) in seen {
        let below = name.strip_prefix(ROOT).unwrap_or_else(|| panic!("{name:?} is of another module"));
        let path = below.strip_suffix('/').unwrap_or(below);
        let plain =
            |element: &str| !element.is_empty() && !element.ends_with('.') && !element.contains(['\\', ':']);
        assert!(below.is_empty() || path.split('/').all(plain), "{name:?}");
        assert!(!name.chars().any(char::is_control), "{name:?}");
        assert!(folded.insert(path.to_ascii_lowercase()), "{name:?} is there twice");
        assert!(below == path && below == "go.mod" || !is_go_mod(below), "{name:?} is another go.mod");
    }
}

fn is_go_mod(file: &str) -> bool {
    file.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case("go.mod"))
}

/// The digest of these files, by the specification.
fn h1(files: &[(String, Vec<u8>)]) -> Sha256 {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_unstable_by_key(|(name, _)| name.as_bytes());
    let lines: Vec<String> =
        files.iter().map(|(name, content)| format!("{}  {name}\n", Sha256::of(content))).collect();
    Sha256::of(lines.concat())
}

/// The names and contents that a reader sees who begins at the start, and knows nothing of the directory at the end: the oracle.
fn streamed(data: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut rest = data;
    let mut seen = vec![];
    while let Some(header) = rest.strip_prefix(b"PK\x03\x04") {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let (described, deflated) = (u16_at(2)? & 8 != 0, u16_at(4)? == 8);
        let (packed, size) = (u32_at(14)?, u32_at(18)?);
        let (name_end, extra_bytes) = (26 + usize::from(u16_at(22)?), usize::from(u16_at(24)?));
        let name = str::from_utf8(header.get(26..name_end)?).ok()?;
        let extra = header.get(name_end..name_end + extra_bytes)?;
        let zip64 = zip64(extra);
        let body = &header[name_end + extra_bytes..];
        let (content, used) = if deflated {
            inflated(body)?
        } else {
            // ZIP64 has the two sizes, of which the first is as good as the second here.
            let stored = if size == u32::MAX || packed == u32::MAX { u64_of(zip64?)? } else { packed.into() };
            let stored = usize::try_from(stored).ok()?;
            (body.get(..stored)?.to_vec(), stored)
        };
        rest = body.get(used..)?;
        if described {
            let bytes = if zip64.is_some() { 24 } else { 16 };
            rest = rest.strip_prefix(b"PK\x07\x08")?.get(bytes - 4..)?;
        }
        seen.push((name.to_owned(), content));
    }
    (rest.starts_with(b"PK\x01\x02") || rest.starts_with(b"PK\x05\x06") || rest.starts_with(b"PK\x06\x06"))
        .then_some(seen)
}

fn zip64(mut extra: &[u8]) -> Option<&[u8]> {
    loop {
        let (head, body) = extra.split_first_chunk::<4>()?;
        let (body, next) = body.split_at_checked(u16::from_le_bytes([head[2], head[3]]).into())?;
        if head[..2] == [1, 0] {
            return Some(body);
        }
        extra = next;
    }
}

fn u64_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

/// What a deflate stream holds, and how many bytes it has.
fn inflated(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut stream = Decompress::new(false);
    let mut content = vec![];
    loop {
        content.reserve(1 << 16);
        let (before, length) = (stream.total_in(), content.len());
        let used = usize::try_from(before).ok()?;
        match stream.decompress_vec(&body[used..], &mut content, FlushDecompress::None).ok()? {
            Status::StreamEnd => return Some((content, usize::try_from(stream.total_in()).ok()?)),
            Status::Ok | Status::BufError if stream.total_in() == before && content.len() == length => {
                return None;
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The files of a list.
fn files(list: &[u8]) -> Vec<(&[u8], &[u8])> {
    let each = list.split(|byte| *byte == FILE_END);
    each.filter_map(|file| {
        let at = file.iter().position(|byte| *byte == NAME_END)?;
        Some((&file[..at], &file[at + 1..]))
    })
    .collect()
}

/// A list of files, for a seed.
pub fn list(files: &[(&str, &str)]) -> Vec<u8> {
    let mut list = FILES.to_vec();
    for (name, content) in files {
        list.extend([name.as_bytes(), &[NAME_END], content.as_bytes(), &[FILE_END]].concat());
    }
    list
}

/// A zip of these files, as they are.
pub fn stored(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let (mut zip, mut directory) = (vec![], vec![]);
    for (name, content) in files {
        let (start, name) = (number(zip.len()), &name[..name.len().min(usize::from(u16::MAX))]);
        let mut crc = Crc::new();
        crc.update(content);
        let flags = if name.is_ascii() { [0, 0] } else { [0, 8] };
        let mut header = [&[20, 0][..], &flags, &[0; 6], &crc.sum().to_le_bytes()].concat();
        header.extend([content.len(), content.len(), name.len()].map(number).concat());
        zip.extend([b"PK\x03\x04", &header[..], name, content].concat());
        directory.extend([b"PK\x01\x02\x14\0", &header[..], &[0; 10], &start, name].concat());
    }
    let (start, bytes) = (number(zip.len()), number(directory.len()));
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    zip.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &count, &count, &bytes, &start, &[0; 2]].concat());
    zip
}

/// A file in memory that counts what is read of it.
struct Counted<'a> {
    file: Cursor<&'a [u8]>,
    bytes: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes.set(self.bytes.get() + count as u64);
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn bounded<T>(data: &[u8], work: impl FnOnce(&mut Counted<'_>) -> T) -> T {
    let bytes = Cell::new(0);
    let done = work(&mut Counted { file: Cursor::new(data), bytes: &bytes });
    let bytes_max = data.len() as u64 * READS_MAX + READ_BYTES_FREE;
    assert!(bytes.get() <= bytes_max, "{} bytes are read of {}", bytes.get(), data.len());
    done
}
