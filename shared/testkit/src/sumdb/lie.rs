//! The ways in which the database lies (threats.md, group G).

use super::key::{NoteKey, line};

/// A way to lie. Statuses, silence, and bodies that are something else are [`crate::Fault`]s of a path (`sumdb/latest`,
/// `sumdb/lookup/…`, `sumdb/tile/…`); what the database really has on record is [`super::Sumdb::record_text`].
#[derive(Clone, Debug)]
pub enum Lie {
    /// Lookups answer with the genuine record 0, about another module, and its proof; and with these lines beside it.
    UnrelatedRecord(Lines),
    /// The lookup of a module and version has this text, under the genuine number; so have the tiles of so many levels, from
    /// the lowest. The others, and the signed head, are genuine.
    ForgedRecord {
        /// Module and version, which are on record.
        module: (String, String),
        /// The text of the record.
        text: String,
        /// How many levels of tiles are computed from it.
        levels: u8,
    },
    /// Lookups have the genuine text under this number, whatever it is.
    Number(String),
    /// A tile is forged.
    Tile {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
        /// How.
        forgery: TileForgery,
    },
    /// Every note is wrong.
    Note(NoteLie),
    /// Everything is served from a second tree, in which one record is another, and to which more are appended; its heads
    /// are signed.
    Fork {
        /// The record that is another.
        record: u64,
        /// How many are appended.
        more: u64,
    },
    /// Everything is as it was when there were so many records.
    Rollback {
        /// How many.
        size: u64,
    },
    /// `/latest` alone is as it was.
    OldLatest {
        /// How many records there were.
        size: u64,
    },
}

/// Lines that no proof is about, and where they are.
#[derive(Clone, Debug)]
pub enum Lines {
    /// There are none.
    Absent,
    /// Before the record's number.
    BeforeNumber(String),
    /// After the record's own.
    AfterRecord(String),
    /// In the signed note, after the tree's.
    InNote(String),
    /// After the signatures.
    AfterNote(String),
}

/// What is wrong with a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileForgery {
    /// One bit of a hash, counted from the first.
    Flip(usize),
    /// It lacks its last hash.
    Narrow,
    /// It has its last hash twice.
    Wide,
    /// It ends within a hash.
    Ragged,
    /// It has nothing.
    Empty,
    /// It is the tile of another index, or has its hashes in reverse if there is none.
    OtherIndex,
}

/// What is wrong with a note.
#[derive(Clone, Debug)]
pub enum NoteLie {
    /// It is signed by another key of the same name, under that key's hash.
    OtherKey,
    /// It is signed by another key, under the hash of ours.
    Forged,
    /// It is signed by our key, under another hash.
    WrongHash,
    /// It is signed by our key, under a name that looks like ours.
    Homoglyph,
    /// So many other keys sign it, too, before ours does.
    MoreSignatures(usize),
    /// It lacks the newline at its end.
    NoNewline,
    /// Its text is not UTF-8; the signature is right.
    NotUtf8,
    /// Its text has a carriage return; the signature is right.
    Control,
    /// It has this text; the signature is right.
    Text(String),
}

impl TileForgery {
    /// Forges the hashes of a tile, each of 32 bytes.
    pub(super) fn forge(self, mut tile: Vec<u8>, other: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Flip(hash) => tile[hash * 32] ^= 1,
            Self::Narrow => tile.truncate(tile.len() - 32),
            Self::Wide => tile.extend_from_within(tile.len() - 32..),
            Self::Ragged => tile.truncate(tile.len() - 1),
            Self::Empty => tile.clear(),
            Self::OtherIndex if other.is_empty() => {
                tile = tile.chunks(32).rev().flatten().copied().collect();
            }
            Self::OtherIndex => tile = other,
        }
        tile
    }
}

impl NoteLie {
    /// The note over a text.
    pub(super) fn sign(&self, key: &NoteKey, text: &str) -> Vec<u8> {
        let name = super::NAME;
        let other = NoteKey::from_seed(name, [9; 32]);
        let signed = |line: String| [text.as_bytes(), b"\n", line.as_bytes()].concat();
        match self {
            Self::OtherKey => other.sign(text.as_bytes()),
            Self::Forged => signed(line(name, key.hash(), &other.signature(text.as_bytes()))),
            Self::WrongHash => signed(line(name, [1, 2, 3, 4], &key.signature(text.as_bytes()))),
            Self::Homoglyph => {
                // The Cyrillic letter.
                let alike = name.replacen('e', "\u{435}", 1);
                signed(line(&alike, key.hash(), &key.signature(text.as_bytes())))
            }
            Self::MoreSignatures(number) => {
                let others = (0..*number)
                    .map(|n| line(&format!("witness{n}.example"), [n.to_be_bytes()[7]; 4], &[0; 64]));
                signed(others.chain([key.line(text.as_bytes())]).collect())
            }
            Self::NoNewline => {
                let mut note = key.sign(text.as_bytes());
                note.pop();
                note
            }
            Self::NotUtf8 => key.sign(&[text.as_bytes(), b"\xff\n"].concat()),
            Self::Control => key.sign(text.replace('\n', "\r\n").as_bytes()),
            Self::Text(text) => key.sign(text.as_bytes()),
        }
    }
}
