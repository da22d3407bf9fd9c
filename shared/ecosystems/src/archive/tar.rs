//! Tar inside gzip: ustar, GNU long names and pax (threats.md ).
//!
//! *Invariant:* the walker's idea of where an entry ends comes from one number, the size in the ustar header; a pax size
//! that says otherwise is refused, so no reader can find headers where this one found a body (CVE-2025-62518).
//! Sizes that need pax do not fit an octal field, and are over [`Limits::unpacked_bytes_max`] anyway.
//!
//! *Invariant:* an entry's name has one source: the header, one GNU long name, or one pax path.

mod header;
mod links;
mod pax;
mod repeats;

use std::borrow::Cow;

use touchstone_domain::ArchiveRule;

use self::{
    header::{BLOCK_BYTES, Block, EntryKind, ExtensionKind, Header, HeaderKind},
    repeats::Repeats,
};
use super::{
    Entries, Entry, Kind, Limits,
    gzip::Gzip,
    names::{self, Names},
    refuse, shown,
};
use crate::{InspectError, ReadSeek};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What an ecosystem allows of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None at all.
    Refused,
    /// Symbolic links to a relative target, and hard links to an earlier file, inside the archive's first directory.
    Inside,
}

/// What an ecosystem allows of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Plain ones.
    Plain,
    /// Also `.` between two names, which is dropped; but not before `.gitignore` and `.npmignore`: npm renames the first to the
    /// second unless that was there before, and compares paths with their dots.
    Dotted,
}

/// A gzipped tar archive, entry by entry. A regular file may be there again under its path, if mode and bytes are the same.
pub struct Tar<'a> {
    gzip: Gzip<'a>,
    limits: Limits,
    links: Links,
    paths: Paths,
    names: Names,
    repeats: Repeats,
    /// What is left of the current body, and of the padding behind it, in bytes.
    body: u64,
    padding: u64,
    /// Whether any header was read: a global pax header comes first, and once.
    begun: bool,
    ended: bool,
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Extension {
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    pax: Option<pax::Pax>,
}

impl<'a> Tar<'a> {
    /// Opens the archive.
    pub fn open(
        archive: &'a mut dyn ReadSeek,
        limits: Limits,
        links: Links,
        paths: Paths,
    ) -> Result<Self, InspectError> {
        Ok(Self {
            gzip: Gzip::open(archive, &limits)?,
            names: Names::new(&limits),
            repeats: Repeats::default(),
            limits,
            links,
            paths,
            body: 0,
            padding: 0,
            begun: false,
            ended: false,
        })
    }

    /// The next header that is not zero; `None` after the end.
    fn block(&mut self) -> Result<Option<Block>, InspectError> {
        let block = self.whole_block()?;
        if block.iter().any(|b| *b != 0) {
            return Ok(Some(block));
        }
        if self.whole_block()?.iter().any(|b| *b != 0) {
            return Err(refuse(ArchiveRule::Truncated, "the tar archive goes on after its end"));
        }
        loop {
            let padding = self.gzip.next(u64::MAX)?;
            if padding.is_empty() {
                return Ok(None);
            }
            if padding.iter().any(|b| *b != 0) {
                return Err(refuse(ArchiveRule::Truncated, "the tar archive goes on after its end"));
            }
        }
    }

    fn whole_block(&mut self) -> Result<Block, InspectError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            let piece = self.gzip.next((BLOCK_BYTES - filled) as u64)?;
            if piece.is_empty() {
                return Err(refuse(
                    ArchiveRule::Truncated,
                    "the tar archive ends without its two end blocks",
                ));
            }
            block[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(block)
    }

    /// Reads the body of a header that extends the next one.
    fn small_body(&mut self, header: &Header<'_>, bytes_max: u64) -> Result<Vec<u8>, InspectError> {
        if header.size > bytes_max {
            let detail =
                format!("a tar header extension has {} bytes; the limit is {bytes_max}", header.size);
            return Err(refuse(ArchiveRule::Limit, detail));
        }
        self.begin_body(header.size);
        let mut body = vec![];
        self.unpack(&mut |piece| body.extend_from_slice(piece))?;
        self.skip_padding()?;
        Ok(body)
    }

    fn begin_body(&mut self, size: u64) {
        self.body = size;
        self.padding = size.next_multiple_of(BLOCK) - size;
    }

    fn skip_padding(&mut self) -> Result<(), InspectError> {
        while self.padding > 0 {
            let skipped = self.gzip.next(self.padding)?.len() as u64;
            if skipped == 0 {
                return Err(refuse(ArchiveRule::Truncated, "the tar archive ends inside a block"));
            }
            self.padding -= skipped;
        }
        Ok(())
    }

    /// Takes a header that says something about the next one.
    fn extend(
        &mut self,
        extension: &mut Extension,
        kind: ExtensionKind,
        header: &Header<'_>,
    ) -> Result<(), InspectError> {
        let name_bytes_max = self.limits.name_bytes_max as u64 + 1;
        let alone = match kind {
            ExtensionKind::LongName => {
                let name = pax::long_name(self.small_body(header, name_bytes_max)?)?;
                extension.pax.is_none() && extension.long_name.replace(name).is_none()
            }
            ExtensionKind::LongTarget => {
                let target = pax::long_name(self.small_body(header, name_bytes_max)?)?;
                extension.pax.is_none() && extension.long_target.replace(target).is_none()
            }
            ExtensionKind::Pax => {
                let pax = pax::entry(&self.small_body(header, pax::PAX_BYTES_MAX)?)?;
                let gnu = extension.long_name.is_some() || extension.long_target.is_some();
                !gnu && extension.pax.replace(pax).is_none()
            }
            ExtensionKind::PaxGlobal => {
                pax::check_global(&self.small_body(header, pax::PAX_BYTES_MAX)?)?;
                !self.begun
            }
        };
        self.begun = true;
        if alone {
            return Ok(());
        }
        Err(refuse(ArchiveRule::Ambiguous, "a tar entry has several headers that say how to read it"))
    }

    fn entry(
        &mut self,
        form: EntryKind,
        header: &Header<'_>,
        extension: Extension,
    ) -> Result<Entry, InspectError> {
        self.begun = true;
        let pax = extension.pax.unwrap_or_default();
        let raw = match extension.long_name.or(pax.path) {
            Some(name) => name,
            None => header.name()?,
        };
        let ambiguous = |detail: &str| refuse(ArchiveRule::Ambiguous, format!("{} {detail}", shown(&raw)));
        if pax.size.is_some_and(|size| size != header.size) {
            return Err(ambiguous("has another size in its pax header than in its tar header"));
        }
        if header.size > self.limits.unpacked_bytes_max {
            let detail = format!("{} has {} bytes", shown(&raw), header.size);
            return Err(refuse(ArchiveRule::Limit, detail));
        }
        let kind = match form {
            EntryKind::File => Kind::File,
            EntryKind::Directory => Kind::Directory,
            EntryKind::Symlink | EntryKind::Hardlink => Kind::Link,
        };
        if kind != Kind::File && header.size != 0 {
            return Err(ambiguous("is no file and has a body, which some readers skip"));
        }
        let bare = match raw.strip_suffix(b"/") {
            Some(_) if kind != Kind::Directory => {
                return Err(ambiguous("ends with a slash and is no directory"));
            }
            Some(bare) => bare,
            None => &raw,
        };
        names::bounded(bare, &self.limits)?;
        let bare = match self.paths {
            Paths::Plain => Cow::Borrowed(bare),
            Paths::Dotted => names::without_dots(bare),
        };
        if matches!(&bare, Cow::Owned(dropped) if names::is_ignore_file(dropped)) {
            let detail = format!("{} has a segment that is no name, and npm may rename it", shown(&raw));
            return Err(refuse(ArchiveRule::Path, detail));
        }
        let name = names::plain(&bare, &self.limits)?;
        if kind == Kind::Link {
            let target = match extension.long_target.or(pax.target) {
                Some(target) => target,
                None => header.target()?,
            };
            self.check_link(form, name, &target)?;
        }
        self.take_name(name, kind, header.mode)?;
        self.begin_body(header.size);
        Ok(Entry { name: name.to_owned(), kind, size: header.size })
    }

    fn take_name(&mut self, name: &str, kind: Kind, mode: u64) -> Result<(), InspectError> {
        match kind {
            Kind::File => {
                self.repeats.begin(name, mode);
                self.names.add_file(name)
            }
            Kind::Directory | Kind::Link => self.names.add(name, kind),
        }
    }

    fn check_link(&self, form: EntryKind, name: &str, target: &[u8]) -> Result<(), InspectError> {
        let inside = match form {
            EntryKind::Symlink => links::symlink_stays_inside(name, target),
            EntryKind::Hardlink => {
                links::hardlink_target(name, target).is_some_and(|t| self.names.is_file(t))
            }
            EntryKind::File | EntryKind::Directory => true,
        };
        let link = format!("{} is a link to {}", shown(name), shown(target));
        match self.links {
            Links::Refused => Err(refuse(ArchiveRule::EntryType, link)),
            Links::Inside if inside => Ok(()),
            Links::Inside => {
                Err(refuse(ArchiveRule::Path, format!("{link}, which is not inside its own directory")))
            }
        }
    }
}

impl Entries for Tar<'_> {
    fn next(&mut self) -> Result<Option<Entry>, InspectError> {
        if self.ended {
            return Ok(None);
        }
        self.unpack(&mut |_| {})?;
        self.skip_padding()?;
        let mut extension = Extension::default();
        let mut extended = false;
        while let Some(block) = self.block()? {
            let header = Header::parse(&block)?;
            match header.kind {
                HeaderKind::Entry(form) => return self.entry(form, &header, extension).map(Some),
                HeaderKind::Extension(kind) => {
                    extended |= kind != ExtensionKind::PaxGlobal;
                    self.extend(&mut extension, kind, &header)?;
                }
            }
        }
        if extended {
            return Err(refuse(
                ArchiveRule::Malformed,
                "the tar archive ends with a header for an entry that is not there",
            ));
        }
        self.ended = true;
        Ok(None)
    }

    fn unpack(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), InspectError> {
        while self.body > 0 {
            let piece = self.gzip.next(self.body)?;
            if piece.is_empty() {
                return Err(refuse(ArchiveRule::Truncated, "the tar archive ends inside a body"));
            }
            self.repeats.update(piece);
            sink(piece);
            self.body -= piece.len() as u64;
        }
        self.repeats.end()
    }
}

#[cfg(test)]
mod tests;
