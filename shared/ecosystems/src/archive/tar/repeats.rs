//! Files that a tarball holds again: `package/./dist/index.js` beside `package/dist/index.js`, as common npm packages do;
//! `Cargo.toml` twice, as Cargo packed it in 2015; `.gitignore` twice, as sdists of 2022 have it.
//!
//! Package clients write each such entry to the same place, so the last one stays. As long as all of them are the same in
//! bytes and mode, which one stays makes no difference.
//!
//! *Invariant:* a file that is there again has the same mode and the same bytes as the first, or the archive is refused. Nothing but
//! a regular file is there again: no directory, no link, nothing under the path of one.
//!
//! Every body is hashed as it streams by: when a path comes again, the first body is gone, and nothing announced it. That is
//! about a second per gigabyte where the processor knows SHA-256, once per check and archive: of the largest common npm package,
//! of 23 MB, 60 ms become 85, and most have less than 100 kB. A second pass, over those archives alone that repeat
//! something, would need a second order of reading, with its own mistakes. The digest is kept whole: half of one, which
//! suffices for a path, would let somebody look for two bodies that agree.

use std::collections::{HashMap, hash_map};

use sha2::{Digest as _, Sha256};
use touchstone_domain::ArchiveRule;

use crate::{
    InspectError,
    archive::{
        names::{Key, key},
        refuse, shown,
    },
};

/// What the files of one archive are. There is one for each path at most, and `names` bounds those.
#[derive(Default)]
pub(super) struct Repeats {
    /// The SHA-256 of mode, path, NUL and body, in this order, of each file that was read. The path is in it so that two
    /// whose keys agree are not taken for one.
    seen: HashMap<Key, [u8; 32]>,
    current: Option<Body>,
}

/// A file that is being read.
struct Body {
    name: String,
    hasher: Sha256,
}

impl Repeats {
    /// A file begins; the one before has ended.
    pub(super) fn begin(&mut self, name: &str, mode: u64) {
        let mut hasher = Sha256::new_with_prefix(mode.to_be_bytes());
        hasher.update(name);
        hasher.update([0]);
        self.current = Some(Body { name: name.to_owned(), hasher });
    }

    /// A piece of its body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some(body) = &mut self.current {
            body.hasher.update(piece);
        }
    }

    /// The file has been read, if there was one: compares it with the first under its path.
    pub(super) fn end(&mut self) -> Result<(), InspectError> {
        let Some(Body { name, hasher }) = self.current.take() else { return Ok(()) };
        let found: [u8; 32] = hasher.finalize().into();
        match self.seen.entry(key(&name)) {
            hash_map::Entry::Vacant(first) => {
                first.insert(found);
                Ok(())
            }
            hash_map::Entry::Occupied(first) if *first.get() == found => Ok(()),
            hash_map::Entry::Occupied(_) => {
                Err(refuse(ArchiveRule::Duplicate, format!("{} is there twice, and differs", shown(&name))))
            }
        }
    }
}
