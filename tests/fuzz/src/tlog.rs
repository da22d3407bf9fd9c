//! Transparency logs: signed notes, lookups, paths and entries of tiles, and tiles under a signed head.

use std::{collections::BTreeSet, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_tlog::{
    AuthenticatedTiles, HashReader as _, SignedHead, Tile, Tree, TreeHead, Wanted, authenticate, entries,
    leaf_hash,
    note::{SignedNote, SignerKey},
    plan,
    sumdb::{Record, UnverifiedLookup},
    tile::{EntryTile, TilePath},
};

/// The number of leaves of the tree.
const LEAVES: u64 = 2_048;
/// What a script of changed tiles begins with.
pub const SCRIPT: &[u8] = b"tiles\n";

/// The key that the seeds are signed with. It is secret to nobody.
pub static KEY: LazyLock<SignerKey> =
    LazyLock::new(|| SignerKey::from_seed("sumdb.example", [7; 32]).expect("a key"));
/// The tree that the seeds are of.
pub static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let mut tree = Tree::new();
    tree.extend((0..LEAVES).map(|leaf| leaf_hash(record(leaf).as_bytes())));
    tree
});

/// What a leaf of the tree holds.
pub fn record(leaf: u64) -> String {
    format!("example.com/m v1.{leaf}.0 h1:\n")
}

/// What is verified was signed, what is authenticated is in the tree, and what is read is written the same. Whether something
/// was verified, authenticated, or the path of a tile.
pub fn check(data: &[u8]) -> bool {
    if let Some(script) = data.strip_prefix(SCRIPT) {
        return tiles(script);
    }
    entries_of_tiles(data);
    let (note, lookup, path) = (note(data), lookup(data), path(data));
    note || lookup || path
}

/// A note verifies if, and only if, there are lines of ours in it, and each is the one that we write below this text.
fn note(data: &[u8]) -> bool {
    let verified = SignedNote::parse(data).ok().and_then(|note| note.verify(KEY.verifier()).ok());
    let expected = signed_text(data);
    assert_eq!(verified.as_ref().map(|note| note.text().to_owned()), expected);
    assert!(verified.as_ref().is_none_or(|note| note.bytes() == data));
    verified.is_some()
}

/// The text of a note that we signed: the oracle.
fn signed_text(data: &[u8]) -> Option<String> {
    let note = str::from_utf8(data).ok()?;
    let blank = (0..data.len().checked_sub(1)?).rev().find(|at| &data[*at..at + 2] == b"\n\n")?;
    let (text, lines) = (&note[..=blank], &note[blank + 2..]);
    let lines: Vec<&str> = lines.split_inclusive('\n').collect();
    let sound = !lines.is_empty() && lines.len() <= 100 && !note.chars().any(|c| c < ' ' && c != '\n');
    let (id, ours) = (KEY.verifier().hash(), KEY.signature_line(text));
    let mut signed = false;
    for line in lines {
        let [dash, name, encoded] = line.strip_suffix('\n')?.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let named =
            !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
        let signature = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() > 4)?;
        if dash != "\u{2014}" || !named {
            return None;
        }
        if name == KEY.verifier().name() && signature[..4] == id {
            if line != ours {
                return None;
            }
            signed = true;
        }
    }
    (sound && signed).then(|| text.to_owned())
}

/// A lookup is written the same, and its record is authenticated if, and only if, the tree that it proves has it.
fn lookup(data: &[u8]) -> bool {
    let Ok(UnverifiedLookup { id, text, note }) = UnverifiedLookup::parse(data) else { return false };
    assert_eq!([format!("{id}\n{text}\n").as_bytes(), note.bytes()].concat(), data);
    assert!(!text.contains("\n\n") && !text.starts_with('\n'));
    let Some(head) = note.verify(KEY.verifier()).ok().and_then(|note| SignedHead::from_sumdb(note).ok())
    else {
        return false;
    };
    let size = head.head().size;
    let wanted = Wanted { leaves: vec![id], prefixes: vec![] };
    let tiles: Option<Vec<_>> = plan(size, &wanted).into_iter().map(|t| Some((t, TREE.tile(t)?))).collect();
    let tiles = authenticate(&head, &tiles.expect("only trees of ours are signed")).expect("they are");
    let authenticated = Record::authenticate(&text, id, &tiles);
    assert_eq!(authenticated.is_ok(), id < size && text == record(id), "{authenticated:?}");
    authenticated.is_ok()
}

/// A path is written the same.
fn path(data: &[u8]) -> bool {
    let Ok(path) = str::from_utf8(data) else { return false };
    let (sumdb, c2sp) = (TilePath::parse_sumdb(path), TilePath::parse_c2sp(path));
    assert!(sumdb.is_err() || c2sp.is_err(), "{path} is of both");
    assert!(sumdb.as_ref().is_ok_and(|read| read.sumdb() == path) || sumdb.is_err(), "{path}");
    assert!(c2sp.as_ref().is_ok_and(|read| read.c2sp() == path) || c2sp.is_err(), "{path}");
    sumdb.is_ok() || c2sp.is_ok()
}

/// Entries are written the same, however many there are said to be.
fn entries_of_tiles(data: &[u8]) {
    let Some((width, bytes)) = data.split_first() else { return };
    let tile = EntryTile::new(0, u16::from(*width) + 1).expect("a width");
    if let Ok(read) = entries::parse_bundle(&tile, bytes) {
        assert_eq!(entries::bundle(read).as_deref(), Ok(bytes));
    }
    if let Ok(read) = entries::parse_data_tile(&tile, bytes) {
        assert_eq!(entries::data_tile(read).as_deref(), Ok(bytes));
    }
}

/// A script is a size, a leaf, an older size, and changes to the tiles that prove them. What comes out is true, whatever was
/// changed, and if nothing was, it comes out. Whether it did.
fn tiles(script: &[u8]) -> bool {
    let (numbers, _) = script.as_chunks::<2>();
    let mut numbers = numbers.iter().map(|two| u64::from(u16::from_be_bytes(*two)));
    let mut number = || numbers.next().unwrap_or(0);
    let (size, leaf, prefix) = (number() % (LEAVES + 1), number(), number());
    let root = |size| TREE.root(size).expect("it is of the tree");
    let note = KEY.sign(&TreeHead { size, root: root(size) }.sumdb_text()).expect("a text");
    let note = SignedNote::parse(&note).expect("a note").verify(KEY.verifier()).expect("ours");
    let head = SignedHead::from_sumdb(note).expect("a head");
    let honest: Vec<_> = plan(size, &Wanted { leaves: vec![leaf], prefixes: vec![prefix] })
        .into_iter()
        .map(|tile| (tile, TREE.tile(tile).expect("it is of the tree")))
        .collect();
    let mut given = honest.clone();
    while let (Some(what), at, by) =
        (numbers.next(), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    {
        change(&mut given, what, at, by);
    }
    let found = authenticate(&head, &given);
    if let Ok(found) = &found {
        assert_true(found, leaf, prefix);
    }
    let same =
        given.iter().collect::<BTreeSet<_>>() == honest.iter().collect() && given.len() == honest.len();
    assert!(found.is_ok() || !same, "{found:?}");
    found.is_ok_and(|found| found.leaf(leaf).is_ok() && found.root_of(prefix).is_ok())
}

/// Changes one of the tiles.
fn change(tiles: &mut Vec<(Tile, Vec<u8>)>, what: u64, at: u64, by: u64) {
    let count = tiles.len();
    let index = |number: u64, count: usize| usize::try_from(number).unwrap_or(0) % count.max(1);
    let Some((tile, bytes)) = tiles.get_mut(index(what >> 3, count)) else { return };
    match what & 7 {
        0..=2 => {
            let at = index(at, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= by.to_le_bytes()[0];
            }
        }
        3 => bytes.truncate(index(at, bytes.len())),
        4 => bytes.resize(index(at, 10_000), by.to_le_bytes()[0]),
        5 => {
            tiles.remove(index(what >> 3, count));
        }
        6 => {
            let other = tiles[index(at, count)].1.clone();
            tiles[index(what >> 3, count)].1 = other;
        }
        _ => {
            let named = Tile::new(at.to_le_bytes()[0] & 1, at >> 1, by.to_le_bytes()[0].into());
            *tile = named.unwrap_or(*tile);
        }
    }
}

fn assert_true(found: &AuthenticatedTiles, leaf: u64, prefix: u64) {
    for (tile, bytes) in found.tiles() {
        assert_eq!(TREE.tile(tile).as_deref(), Some(bytes), "{tile} is kept");
    }
    let size = found.head().size;
    if let Ok(hash) = found.leaf(leaf) {
        assert!(leaf < size && hash == leaf_hash(record(leaf).as_bytes()), "leaf {leaf}");
    }
    if let Ok(root) = found.root_of(prefix) {
        assert!(prefix <= size && Some(root) == TREE.root(prefix), "prefix {prefix}");
    }
}
