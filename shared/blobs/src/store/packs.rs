//! Packs: written under a name of their own tree, read in parts.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use super::*;
use crate::testing::Fixture;

const PACK: &[u8] = b"one\ntwo";

/// The two lines of [`PACK`].
fn parts(pack: Sha256) -> Vec<EnvelopeRef> {
    let part = |text: &str, offset| EnvelopeRef { sha256: Sha256::of(text), pack, offset, size: 3 };
    vec![part("one", 0), part("two", 4)]
}

async fn said(fixture: &Fixture, pack: Sha256) -> Vec<String> {
    let read = fixture.store.read_parts(parts(pack), 3).await.into_iter();
    read.map(|part| match part {
        Ok(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        Err(ReadError::Missing { .. }) => "missing".into(),
        Err(ReadError::Damaged { .. } | ReadError::Range { .. }) => "damaged".into(),
        Err(other) => panic!("{other:?}"),
    })
    .collect()
}

fn put(fixture: &Fixture) -> Sha256 {
    fixture.store.put_pack(PACK).expect("stored")
}

#[tokio::test]
async fn a_pack_is_read_in_parts_and_is_no_blob() {
    let fixture = Fixture::new().await;
    let pack = put(&fixture);
    assert_eq!(pack, Sha256::of(PACK));
    assert_eq!(said(&fixture, pack).await, ["one", "two"]);
    let mode = fixture.pack_path(pack).metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o440);
    assert!(!fixture.store.contains(pack).await.expect("looks"));
    assert!(fixture.names("tmp").is_empty() && fixture.names("sha256").is_empty());
    let other = Sha256::of(b"other");
    assert_eq!(said(&fixture, other).await, ["missing", "missing"]);
}

#[tokio::test]
async fn packs_of_older_versions_are_found_among_the_blobs() {
    let fixture = Fixture::new().await;
    let pack = fixture.store.put_bytes(Bytes::from_static(PACK)).await.expect("stored").sha256;
    assert!(!fixture.pack_path(pack).exists());
    assert_eq!(said(&fixture, pack).await, ["one", "two"]);
    // a damaged one in its own tree is not passed over
    put(&fixture);
    Fixture::replace(&fixture.pack_path(pack), b"one\ntwx");
    assert_eq!(said(&fixture, pack).await, ["one", "damaged"]);
}

#[tokio::test]
async fn a_pack_that_is_there_stays_if_it_is_whole_and_is_replaced_if_not() {
    let fixture = Fixture::new().await;
    let pack = put(&fixture);
    let path = fixture.pack_path(pack);
    let inode = || path.metadata().expect("there").ino();
    let first = inode();
    put(&fixture);
    assert_eq!((inode(), fixture.names("tmp").len()), (first, 0));
    for damaged in [&b"one\ntwx"[..], b"one\n", b"one\ntwo\n", b""] {
        Fixture::replace(&path, damaged);
        put(&fixture);
        assert_eq!(said(&fixture, pack).await, ["one", "two"], "{damaged:?}");
    }
    fs::remove_file(&path).expect("there");
    symlink(fixture.root().join("number"), &path).expect("links");
    put(&fixture);
    assert_eq!(said(&fixture, pack).await, ["one", "two"]);
    // nothing replaces a directory
    fs::remove_file(&path).expect("there");
    fs::create_dir(&path).expect("creates");
    match fixture.store.put_pack(PACK) {
        Err(BlobError::Io { action: "name", path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    assert!(fixture.names("tmp").is_empty());
}
