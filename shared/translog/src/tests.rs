use std::{fs, path::Path};

use touchstone_custody::{KeyEntry, KeyKind, KeyRing, LocalSigner, Revoked, Signer as _};
use touchstone_domain::Sha256;
use touchstone_tlog::{HashReader as _, SignedHead, Tree, TreeHead, leaf_hash, note::SignerKey};

use super::*;

const SEED: [u8; 32] = [7; 32];

fn signer() -> SignerKey {
    SignerKey::from_seed(&log_name("test"), SEED).unwrap()
}

fn ring(kind: KeyKind, seed: [u8; 32], revoked: bool) -> KeyRing {
    let public = LocalSigner::from_seed(kind, seed).unwrap().public();
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let revoked = revoked.then(|| Revoked { at, reason: "stolen".to_owned() });
    KeyRing::new(vec![KeyEntry { kind, public, not_before: at, not_after: None, revoked }]).unwrap()
}

fn keys() -> LogKeys {
    LogKeys::of(&ring(KeyKind::Log, SEED, false), "test").unwrap()
}

fn signed(head: TreeHead) -> SignedHead {
    keys().verify(&signer().sign(&head.checkpoint_text("touchstone/test")).unwrap()).unwrap()
}

fn entries(from: u64, until: u64) -> Vec<Vec<u8>> {
    (from..until).map(|index| format!("{{\"entry\":{index}}}").into_bytes()).collect()
}

/// The head of the tree with so many entries.
fn head(size: u64) -> SignedHead {
    let mut tree = Tree::new();
    tree.extend(entries(0, size).iter().map(|entry| leaf_hash(entry)));
    signed(TreeHead { size, root: tree.root(size).unwrap() })
}

/// A log that was published at each of these sizes.
fn published(dir: &Path, sizes: &[u64]) -> LogReader {
    let mut writer = LogWriter::open(dir, None).unwrap();
    for size in sizes {
        let from = writer.frontier().size();
        writer.append(from, &entries(from, *size)).unwrap();
        writer.publish(&head(*size)).unwrap();
    }
    LogReader::open(dir).unwrap()
}

fn read(reader: &LogReader, from: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let head = reader.head(&keys()).unwrap().unwrap();
    let read = reader.iterate(&head, from, u64::MAX).collect::<Result<_, _>>();
    read.map_err(|error| error.to_string())
}

fn all(from: u64, until: u64) -> Vec<(u64, Vec<u8>)> {
    (from..).zip(entries(from, until)).collect()
}

#[test]
fn whatever_was_added_is_read_and_leads_to_the_root() {
    for sizes in [vec![1], vec![1, 2, 3], vec![255, 256, 257], vec![256], vec![200, 600, 70_000]] {
        let dir = tempfile::tempdir().unwrap();
        let reader = published(dir.path(), &sizes);
        let size = *sizes.last().unwrap();
        assert_eq!(reader.head(&keys()).unwrap().unwrap(), head(size), "{sizes:?}");
        for from in [0, size / 2, size - 1, size] {
            assert_eq!(read(&reader, from), Ok(all(from, size)), "{sizes:?} from {from}");
        }
        for old in &sizes {
            reader.consistent(&head(size), head(*old).head()).unwrap();
        }
        // One writer after the other goes on alike.
        let mut writer = LogWriter::open(dir.path(), Some(&head(size))).unwrap();
        writer.append(size, &entries(size, size + 300)).unwrap();
        writer.publish(&head(size + 300)).unwrap();
        assert_eq!(read(&reader, 0), Ok(all(0, size + 300)), "{sizes:?}");
    }
}

#[test]
fn nobody_sees_what_has_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(dir.path(), None).unwrap();
    let reader = LogReader::open(dir.path()).unwrap();
    assert_eq!(reader.checkpoint().unwrap(), None);
    writer.append(0, &entries(0, 300)).unwrap();
    assert_eq!(reader.checkpoint().unwrap(), None);
    // It died. Others were sealed in the meantime: what was never published may change.
    let others: Vec<Vec<u8>> = entries(1000, 1300);
    let mut writer = LogWriter::open(dir.path(), None).unwrap();
    writer.append(0, &others).unwrap();
    let head = signed(writer.head());
    writer.publish(&head).unwrap();
    assert_eq!(read(&reader, 0), Ok((0..).zip(others).collect()));
}

#[test]
fn partial_files_go_when_full_ones_stand_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let reader = published(dir.path(), &[100]);
    let old = head(100);
    assert!(
        dir.path().join("tile/0/000.p/100").exists() && dir.path().join("tile/entries/000.p/100").exists()
    );
    published_more(dir.path(), 100, 256);
    assert!(!dir.path().join("tile/0/000.p").exists() && !dir.path().join("tile/entries/000.p").exists());
    let entries: Result<Vec<_>, _> = reader.iterate(&old, 0, 100).collect();
    assert_eq!(entries.unwrap(), all(0, 100));
}

fn published_more(dir: &Path, size: u64, until: u64) {
    let mut writer = LogWriter::open(dir, Some(&head(size))).unwrap();
    writer.append(size, &entries(size, until)).unwrap();
    writer.publish(&head(until)).unwrap();
}

#[test]
fn a_file_that_was_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let reader = published(dir.path(), &[600]);
    let changed = |name: &str| {
        let path = dir.path().join(name);
        let honest = fs::read(&path).unwrap();
        let mut bytes = honest.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let found = read(&reader, 0).expect_err(name);
        fs::write(&path, honest).unwrap();
        found
    };
    assert_eq!(changed("tile/entries/001"), "entry 511 is not the one that the tree has");
    let tile =
        "the tile at level 0 with index 1 and width 256 does not lead to its hash in the tile above it";
    assert_eq!(changed("tile/0/001"), tile);
    let edge = "the tiles at the right edge do not lead to the root of the signed head, of size 600";
    assert_eq!(changed("tile/0/002.p/88"), edge);
    assert_eq!(changed("tile/1/000.p/2"), edge);

    fs::remove_file(dir.path().join("tile/entries/000")).unwrap();
    assert_eq!(read(&reader, 0), Err("tile/entries/000 is missing".to_owned()));
    assert_eq!(read(&reader, 256), Ok(all(256, 600)));
    std::os::unix::fs::symlink("001", dir.path().join("tile/entries/000")).unwrap();
    assert_eq!(read(&reader, 0), Err("tile/entries/000 is not a file, or too large".to_owned()));
}

#[test]
fn what_is_published_never_changes_and_what_is_lost_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let reader = published(dir.path(), &[600]);
    let rebuilt = |entries: &[Vec<u8>]| {
        let mut writer = LogWriter::rebuild(dir.path(), Some(&head(600))).unwrap();
        writer.append(0, entries)?;
        let head = signed(writer.head());
        writer.publish(&head)
    };
    let mut others = entries(0, 600);
    others[300] = b"{}".to_vec();
    assert_eq!(
        rebuilt(&others).unwrap_err().to_string(),
        "tile/entries/001 is published already, and says something else"
    );
    assert_eq!(
        rebuilt(&entries(0, 599)).unwrap_err().to_string(),
        "the log went back: it had 600 entries, and has 599 now"
    );
    for lost in ["tile/entries/000", "tile/0/001", "tile/1/000.p/2"] {
        fs::remove_file(dir.path().join(lost)).unwrap();
    }
    rebuilt(&entries(0, 600)).unwrap();
    assert_eq!(read(&reader, 0), Ok(all(0, 600)));
}

#[test]
fn a_writer_publishes_only_what_follows_and_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    published(dir.path(), &[10]);
    let open = || LogWriter::open(dir.path(), Some(&head(10))).unwrap();
    let (mut first, mut second) = (open(), open());
    let skipped = first.append(11, &entries(11, 12)).unwrap_err().to_string();
    assert_eq!(skipped, "the log has 10 entries, and not 11, before what is to be added");
    first.append(10, &entries(10, 12)).unwrap();
    let other = first.publish(&head(11)).unwrap_err().to_string();
    assert_eq!(other, "the checkpoint to publish is not of the entries that were added");
    first.publish(&head(12)).unwrap();
    second.append(10, &entries(10, 11)).unwrap();
    let late = second.publish(&head(11)).unwrap_err().to_string();
    assert_eq!(late, "checkpoint is published already, and says something else");
}

#[test]
fn an_older_head_must_be_of_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let reader = published(dir.path(), &[600]);
    let consistent = |old: &TreeHead| reader.consistent(&head(600), old).map_err(|error| error.to_string());
    for size in [0, 1, 255, 256, 300, 600] {
        let old = if size == 0 { Frontier::empty().head() } else { *head(size).head() };
        assert_eq!(consistent(&old), Ok(()), "{size}");
        let forked = TreeHead { root: Sha256::of("another"), ..old };
        let refused = reader.consistent(&head(600), &forked).unwrap_err();
        assert!(refused.contradicts(), "{refused}");
    }
    assert_eq!(
        consistent(head(601).head()),
        Err("the log went back: it had 601 entries, and has 600 now".to_owned())
    );
}

#[test]
fn a_checkpoint_counts_by_a_log_key_of_the_ring_alone() {
    let note = head(5).note().to_vec();
    let by = |ring: &KeyRing, environment: &str| {
        let keys = LogKeys::of(ring, environment).unwrap();
        keys.verify(&note).map(|head| head.head().size)
    };
    assert_eq!(by(&ring(KeyKind::Log, SEED, false), "test"), Ok(5));
    let revoked = ring(KeyKind::Log, SEED, true);
    assert!(matches!(by(&revoked, "test"), Err(CheckpointError::Revoked(_))));
    assert!(LogKeys::of(&revoked, "test").unwrap().verify_even_revoked(&note).is_ok());
    assert_eq!(by(&ring(KeyKind::Promote, SEED, false), "test"), Err(CheckpointError::Unsigned));
    assert_eq!(by(&ring(KeyKind::Log, [8; 32], false), "test"), Err(CheckpointError::Unsigned));
    assert_eq!(by(&ring(KeyKind::Log, SEED, false), "other"), Err(CheckpointError::Unsigned));
    let mut changed = note.clone();
    let digit = changed.iter().position(|byte| *byte == b'5').unwrap();
    changed[digit] = b'6';
    assert!(matches!(keys().verify(&changed), Err(CheckpointError::Note(_))));
}
