use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
};

use super::*;
use crate::{
    layout::put_back,
    testing::{Fixture, content, unreadable},
};

#[tokio::test]
async fn documents_come_back_as_they_were_put() {
    let fixture = Fixture::new().await;
    let bytes = Bytes::from(content(300_000));
    let contents = fixture.store.put_bytes(bytes.clone()).await.expect("stored");
    assert_eq!(contents.sha256, Sha256::of(&bytes));
    assert!(fixture.store.contains(contents.sha256).await.expect("looks"));
    assert_eq!(fixture.store.read(contents.sha256, 300_000).await.expect("reads"), bytes);
    let mode = fixture.path(contents.sha256).metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o440);
    assert!(fixture.names("tmp").is_empty());

    match fixture.store.read(contents.sha256, 299_999).await {
        Err(ReadError::TooLarge { size: 300_000, limit: 299_999, .. }) => {}
        other => panic!("{other:?}"),
    }
    let absent = Sha256::of(b"absent");
    assert!(!fixture.store.contains(absent).await.expect("looks"));
    assert!(
        matches!(fixture.store.read(absent, 10).await, Err(ReadError::Missing { sha256 }) if sha256 == absent)
    );
    assert!(matches!(fixture.store.file(absent).await, Err(ReadError::Missing { .. })));
}

#[tokio::test]
async fn a_changed_document_is_not_returned() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let sha256 = fixture.store.put_bytes(bytes.clone().into()).await.expect("stored").sha256;
    let mut changed = bytes.clone();
    changed[999] ^= 1;
    for planted in [changed, bytes[..999].to_vec(), [&bytes[..], b"x"].concat(), vec![]] {
        fixture.plant(sha256, &planted);
        match fixture.store.read(sha256, 2000).await {
            Err(ReadError::Damaged { detail: Damage::Digest { found }, .. }) => {
                assert_eq!(found, Sha256::of(&planted));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_file_of_a_blob_is_a_regular_one() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let sha256 = fixture.store.put_bytes(bytes.clone().into()).await.expect("stored").sha256;
    let file = fixture.store.file(sha256).await.expect("opens");
    let mut read = vec![0; 1000];
    file.read_exact_at(&mut read, 0).expect("reads");
    assert_eq!(read, bytes);

    let elsewhere = fixture.root().join("elsewhere");
    fs::rename(fixture.path(sha256), &elsewhere).expect("renames");
    symlink(&elsewhere, fixture.path(sha256)).expect("links");
    assert!(!fixture.store.contains(sha256).await.expect("looks"));
    for refused in [fixture.store.file(sha256).await.err(), fixture.store.read(sha256, 2000).await.err()] {
        assert!(
            matches!(refused, Some(ReadError::Damaged { detail: Damage::NotRegular, .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_disk_that_refuses_is_no_damage() {
    let fixture = Fixture::new().await;
    let sha256 = fixture.store.put_bytes(Bytes::from_static(b"x")).await.expect("stored").sha256;
    let parent = fixture.path(sha256).parent().expect("has one").to_owned();
    fs::remove_dir_all(&parent).expect("removes");
    fs::write(&parent, b"a file where a directory was").expect("writes");
    let refused = fixture.store.read(sha256, 10).await;
    match refused {
        Err(ReadError::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::NotADirectory),
        other => panic!("{other:?}"),
    }
    assert!(matches!(fixture.store.set_aside(sha256).await, Err(BlobError::Io { action: "look at", .. })));
}

#[test]
fn unreadable_sectors_are_damage() {
    let sha256 = Sha256::of(b"x");
    let whole = whole(&unreadable(), 1, sha256);
    assert!(matches!(whole, Err(ReadError::Damaged { detail: Damage::Device, .. })), "{whole:?}");
    let source = |error: rustix::io::Errno| io::Error::from(error);
    let damaged = ReadError::io(sha256, source(rustix::io::Errno::IO));
    assert!(matches!(damaged, ReadError::Damaged { detail: Damage::Device, .. }), "{damaged:?}");
    for errno in [rustix::io::Errno::ACCESS, rustix::io::Errno::MFILE, rustix::io::Errno::NOMEM] {
        let refused = ReadError::io(sha256, source(errno));
        assert!(matches!(refused, ReadError::Io { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn setting_aside_keeps_the_evidence_and_makes_room() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let sha256 = fixture.store.put_bytes(bytes.clone().into()).await.expect("stored").sha256;
    for n in 0..3_u8 {
        fixture.plant(sha256, &[n; 1000]);
        assert!(fixture.store.set_aside(sha256).await.expect("moves"));
        assert!(!fixture.store.contains(sha256).await.expect("looks"));
        assert!(!fixture.store.set_aside(sha256).await.expect("gone already"));
        let evidence = fixture.root().join("aside").join(format!("{sha256}.{n}"));
        assert_eq!(fs::read(evidence).expect("kept"), [n; 1000]);
        fixture.store.put_bytes(bytes.clone().into()).await.expect("healed");
    }
    assert!(!fixture.store.set_aside(sha256).await.expect("a whole blob stays"));
    assert_eq!(fixture.store.read(sha256, 1000).await.expect("reads"), bytes);
    assert_eq!(fixture.names("aside").len(), 3);
}

#[tokio::test]
async fn a_blob_that_was_healed_meanwhile_is_not_moved() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let sha256 = fixture.store.put_bytes(bytes.clone().into()).await.expect("stored").sha256;
    let layout = &fixture.store.layout;
    let path = fixture.path(sha256);
    let plants: [(&str, &dyn Fn()); 3] = [
        ("file", &|| fs::write(&path, [0; 1000]).expect("writes")),
        ("symlink", &|| symlink("nothing", &path).expect("links")),
        ("directory", &|| fs::create_dir(&path).expect("creates")),
    ];
    for (what, plant) in plants {
        fs::remove_file(&path).expect("was there");
        plant();
        // one process has examined the damaged file when another moves it aside and stores the blob again
        let Found::Damaged(suspect) = layout.examine(sha256, None).expect(what) else { panic!("{what}") };
        assert!(fixture.store.set_aside(sha256).await.expect(what));
        assert!(!layout.move_aside(sha256, &suspect).expect("gone already"), "{what}");
        fixture.store.put_bytes(bytes.clone().into()).await.expect("healed");
        let aside = fixture.names("aside");

        assert!(!layout.move_aside(sha256, &suspect).expect("looks"), "{what}");
        assert_eq!(fixture.store.read(sha256, 1000).await.expect(what), bytes);
        assert_eq!(fixture.names("aside"), aside, "{what}");

        // the same, but healed between the look and the rename
        assert!(!layout.rename_aside(sha256, &suspect).expect("moves there and back"), "{what}");
        assert_eq!(fixture.store.read(sha256, 1000).await.expect(what), bytes);
        assert_eq!(fixture.names("aside"), aside, "{what}");
    }
}

#[tokio::test]
async fn what_comes_back_from_aside_replaces_nothing() {
    let fixture = Fixture::new().await;
    let (path, target) = (fixture.root().join("sha256/blob"), fixture.root().join("aside/blob.0"));
    fs::write(&target, b"moved by mistake").expect("writes");
    fs::write(&path, b"stored meanwhile").expect("writes");
    put_back(&target, &path).expect("leaves both");
    assert_eq!(fs::read(&path).expect("there"), b"stored meanwhile");
    assert_eq!(fs::read(&target).expect("kept"), b"moved by mistake");
    fs::remove_file(&path).expect("was there");
    put_back(&target, &path).expect("moves");
    assert_eq!(fs::read(&path).expect("there"), b"moved by mistake");
    assert!(fixture.names("aside").is_empty());
}

#[tokio::test]
async fn evidence_is_bounded() {
    let fixture = Fixture::new().await;
    let sha256 = fixture.store.put_bytes(Bytes::from_static(b"x")).await.expect("stored").sha256;
    for n in 0..100 {
        fs::write(fixture.root().join("aside").join(format!("{sha256}.{n}")), b"").expect("writes");
    }
    fixture.plant(sha256, b"y");
    assert!(matches!(fixture.store.set_aside(sha256).await, Err(BlobError::AsideFull { limit: 100, .. })));
    let layout = &fixture.store.layout;
    let Found::Damaged(suspect) = layout.examine(sha256, None).expect("reads") else { panic!("damaged") };
    fixture.plant(sha256, b"x");
    assert!(!layout.move_aside(sha256, &suspect).expect("what is healed by now needs no room"));
    fixture.plant(sha256, b"y");
    fs::remove_file(fixture.root().join("aside").join(format!("{sha256}.42"))).expect("removes");
    assert!(fixture.store.set_aside(sha256).await.expect("there is room again"));
}

#[tokio::test]
async fn whatever_has_the_name_of_a_blob_is_moved_aside_by_a_commit() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let sha256 = fixture.store.put_bytes(bytes.clone().into()).await.expect("stored").sha256;
    let path = fixture.path(sha256);
    let mut flipped = bytes.clone();
    flipped[500] ^= 1;
    let plants: [(&str, &dyn Fn()); 5] = [
        ("shorter", &|| fs::write(&path, b"short").expect("writes")),
        ("as long, one bit flipped", &|| fs::write(&path, &flipped).expect("writes")),
        ("symlink", &|| symlink("/etc/hostname", &path).expect("links")),
        ("directory", &|| fs::create_dir(&path).expect("creates")),
        ("pipe", &|| make_pipe(&path)),
    ];
    for (n, (what, plant)) in plants.into_iter().enumerate() {
        fs::remove_file(&path).expect("was there");
        plant();
        fixture.store.put_bytes(bytes.clone().into()).await.expect(what);
        assert_eq!(fixture.store.read(sha256, 1000).await.expect(what), bytes);
        assert!(fixture.names("aside").contains(&format!("{sha256}.{n}")), "{what}");
    }
    let pipe = fixture.root().join("aside").join(format!("{sha256}.4"));
    assert!(pipe.symlink_metadata().expect("kept").file_type().is_fifo());
}

fn make_pipe(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("creates");
}

#[tokio::test]
async fn only_the_temporary_files_of_the_dead_are_removed() {
    let fixture = Fixture::new().await;
    let mut alive = fixture.store.writer(1000).await.expect("starts");
    alive.write(Bytes::from_static(b"alive")).await.expect("writes");
    let names = fixture.names("tmp");
    fs::write(fixture.root().join("tmp/put-left"), b"by a process that died").expect("writes");
    fs::create_dir(fixture.root().join("tmp/directory")).expect("creates");
    symlink(fixture.root().join("sha256"), fixture.root().join("tmp/link")).expect("links");
    make_pipe(&fixture.root().join("tmp/pipe"));

    let sibling = BlobStore::open(fixture.root()).await.expect("opens");
    let mut kept = [names, vec!["directory".into(), "link".into(), "pipe".into()]].concat();
    kept.sort();
    assert_eq!(fixture.names("tmp"), kept);
    let contents = alive.finish().await.expect("ends").commit().await.expect("commits");
    assert_eq!(sibling.read(contents.sha256, 5).await.expect("reads"), "alive");
}

#[tokio::test]
async fn a_directory_that_cannot_be_created_is_named() {
    let fixture = Fixture::new().await;
    let file = fixture.root().join("file");
    fs::write(&file, b"").expect("writes");
    match BlobStore::open(&file).await {
        Err(BlobError::Io { action: "create", path, .. }) => assert_eq!(path, file.join("sha256")),
        other => panic!("{other:?}"),
    }
}
