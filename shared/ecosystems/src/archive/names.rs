//! Paths inside an archive: which are plain, and which meet one another.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
};

use sha2::{Digest as _, Sha256};
use touchstone_domain::ArchiveRule;

use super::{Kind, Limits, refuse, shown};
use crate::InspectError;

/// The key of a path: half of a SHA-256, so that memory does not grow with the length of the names.
pub(super) type Key = [u8; 16];

/// What stands under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Entry(Kind),
    /// A directory that has had no entry of its own.
    Implied,
}

/// The paths of one archive.
pub(super) struct Names {
    seen: HashMap<Key, Seen>,
    /// How many files were there again.
    again: usize,
    entries_max: usize,
}

impl Names {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { seen: HashMap::new(), again: 0, entries_max: limits.entries_max }
    }

    /// Takes a path that [`plain`] accepted. Refuses one that was there before, one below a file or link, and a file or
    /// link where there is a directory.
    pub(super) fn add(&mut self, name: &str, kind: Kind) -> Result<(), InspectError> {
        let own = key(name);
        match (self.seen.get(&own), kind) {
            (None, _) => {}
            (Some(Seen::Implied), Kind::Directory) => {
                self.seen.insert(own, Seen::Entry(Kind::Directory));
                return Ok(());
            }
            (Some(_), _) => {
                return Err(refuse(ArchiveRule::Duplicate, format!("{} is there twice", shown(name))));
            }
        }
        self.insert(own, Seen::Entry(kind))?;
        // From the nearest directory up: the parents of a known directory are known.
        let mut rest = name;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            match self.seen.entry(key(parent)) {
                hash_map::Entry::Occupied(known) => match known.get() {
                    Seen::Implied | Seen::Entry(Kind::Directory) => break,
                    Seen::Entry(Kind::File | Kind::Link) => {
                        let detail =
                            format!("{} is below {}, which is no directory", shown(name), shown(parent));
                        return Err(refuse(ArchiveRule::Duplicate, detail));
                    }
                },
                hash_map::Entry::Vacant(_) => self.insert(key(parent), Seen::Implied)?,
            }
            rest = parent;
        }
        Ok(())
    }

    /// The same for a regular file that may be there again; whoever asks compares the two.
    pub(super) fn add_file(&mut self, name: &str) -> Result<(), InspectError> {
        if !self.is_file(name) {
            return self.add(name, Kind::File);
        }
        self.check_count()?;
        self.again += 1;
        Ok(())
    }

    /// Whether a path is that of a regular file that was there before.
    pub(super) fn is_file(&self, name: &str) -> bool {
        self.seen.get(&key(name)) == Some(&Seen::Entry(Kind::File))
    }

    fn insert(&mut self, key: Key, seen: Seen) -> Result<(), InspectError> {
        self.check_count()?;
        self.seen.insert(key, seen);
        Ok(())
    }

    fn check_count(&self) -> Result<(), InspectError> {
        if self.seen.len() + self.again >= self.entries_max {
            return Err(refuse(ArchiveRule::Limit, format!("it has more than {} paths", self.entries_max)));
        }
        Ok(())
    }
}

pub(super) fn key(name: &str) -> Key {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let (half, _) = digest.split_first_chunk().expect("32 bytes are more than 16");
    *half
}

/// The path without each `.` between two segments. Not the first: some readers drop it and others take it for the first
/// directory, which they leave out. Not the last: what is no directory cannot end so.
pub(super) fn without_dots(raw: &[u8]) -> Cow<'_, [u8]> {
    let segments: Vec<&[u8]> = raw.split(|b| *b == b'/').collect();
    let [first, between @ .., last] = segments.as_slice() else { return Cow::Borrowed(raw) };
    if !between.contains(&&b"."[..]) {
        return Cow::Borrowed(raw);
    }
    let kept = between.iter().filter(|segment| **segment != b".");
    let segments: Vec<&[u8]> = [first].into_iter().chain(kept).chain([last]).copied().collect();
    Cow::Owned(segments.join(&b'/'))
}

/// Whether npm treats a file of this name in a way of its own.
pub(super) fn is_ignore_file(path: &[u8]) -> bool {
    path.rsplit(|b| *b == b'/').next().is_some_and(|last| last == b".gitignore" || last == b".npmignore")
}

/// Refuses a path that is too long or too deep, dots and all: readers have bounds of their own, and some skip what is beyond them.
pub(super) fn bounded(raw: &[u8], limits: &Limits) -> Result<(), InspectError> {
    if raw.len() > limits.name_bytes_max {
        let detail = format!("{} is longer than {} bytes", shown(raw), limits.name_bytes_max);
        return Err(refuse(ArchiveRule::Limit, detail));
    }
    if raw.split(|b| *b == b'/').count() > limits.depth_max {
        let detail = format!("{} has more than {} segments", shown(raw), limits.depth_max);
        return Err(refuse(ArchiveRule::Limit, detail));
    }
    Ok(())
}

/// Checks a path: UTF-8, relative, plain segments, no backslash, no drive, within the limits.
pub(super) fn plain<'n>(raw: &'n [u8], limits: &Limits) -> Result<&'n str, InspectError> {
    bounded(raw, limits)?;
    let bad = |problem: &str| Err(refuse(ArchiveRule::Path, format!("{} {problem}", shown(raw))));
    let Ok(name) = str::from_utf8(raw) else { return bad("is not UTF-8") };
    if name.contains('\0') {
        return bad("contains NUL");
    }
    if name.contains('\\') {
        return bad("contains a backslash");
    }
    for segment in name.split('/') {
        match segment.as_bytes() {
            b"" => return bad("is absolute or has an empty segment"),
            b"." | b".." => return bad("has a segment that is no name"),
            [drive, b':', ..] if drive.is_ascii_alphabetic() => return bad("names a drive"),
            _ => {}
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(result: Result<impl Sized, InspectError>) -> ArchiveRule {
        super::super::build::rule(result)
    }

    #[test]
    fn a_path_is_plain_or_refused() {
        let limits = Limits::default();
        for good in ["package/package.json", "a/b c/dd:e", "é/ß", "Icon\r", "a/..b/c.", "c/1:2"] {
            assert_eq!(plain(good.as_bytes(), &limits).expect(good), good);
        }
        let bad = ["", "/a", "a//b", "a/", "./a", "a/../b", "..", "a\\b", "C:", "a/C:/b", "c:b", "a\0b"];
        for bad in bad {
            assert_eq!(refused(plain(bad.as_bytes(), &limits)), ArchiveRule::Path, "{bad:?}");
        }
        assert_eq!(refused(plain(b"a/\xff", &limits)), ArchiveRule::Path);
        assert_eq!(refused(plain(&[b'a'; 1025], &limits)), ArchiveRule::Limit);
        assert!(plain(&[b'a'; 1024], &limits).is_ok());
        assert_eq!(refused(plain("a/".repeat(64).as_bytes(), &limits)), ArchiveRule::Limit);
        assert!(plain(["a"; 64].join("/").as_bytes(), &limits).is_ok());
    }

    #[test]
    fn no_path_is_taken_twice_nor_below_a_file() {
        let with = |taken: &[(&str, Kind)]| {
            let mut names = Names::new(&Limits::default());
            taken.iter().try_for_each(|(name, kind)| names.add(name, *kind)).map(|()| names)
        };
        let sound =
            [("a/b/c", Kind::File), ("a/b", Kind::Directory), ("a", Kind::Directory), ("a/B/c", Kind::File)];
        let names = with(&sound).expect("nothing meets");
        assert!(names.is_file("a/b/c") && !names.is_file("a/b") && !names.is_file("a/b/d"));
        for bad in [
            [("a", Kind::File), ("a", Kind::File)],
            [("a", Kind::Directory), ("a", Kind::Directory)],
            [("a", Kind::File), ("a", Kind::Directory)],
            [("a/b/c", Kind::File), ("a", Kind::File)],
            [("a", Kind::File), ("a/b/c", Kind::File)],
            [("a", Kind::Link), ("a/b", Kind::File)],
        ] {
            assert_eq!(refused(with(&bad)), ArchiveRule::Duplicate, "{bad:?}");
        }
    }

    #[test]
    fn implied_directories_count_as_paths() {
        let mut names = Names::new(&Limits { entries_max: 4, ..Limits::default() });
        names.add("a/b/c/d", Kind::File).expect("four paths");
        assert_eq!(refused(names.add("a/b/c/e", Kind::File)), ArchiveRule::Limit);
    }
}
