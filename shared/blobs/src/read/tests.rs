use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use futures::StreamExt as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::testing::{Fixture, content, promoted};

/// Everything up to the end or the first error, and the error; nothing may follow an error.
async fn collect(mut read: VerifiedRead) -> (Vec<u8>, Option<ReadError>) {
    let mut bytes = Vec::new();
    while let Some(item) = read.next().await {
        match item {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => {
                assert!(read.next().await.is_none(), "an error ends the stream");
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

/// The damage that a read of everything meets, and how many bytes it yielded before.
async fn damage(fixture: &Fixture, artifact: &Arc<PromotedArtifact>) -> (usize, Damage) {
    let size = artifact.record().size();
    let (bytes, error) = match fixture.store.verified(Arc::clone(artifact), 0..size).await {
        Ok(read) => collect(read).await,
        Err(error) => (vec![], Some(error)),
    };
    match error {
        Some(ReadError::Damaged { sha256, detail }) if sha256 == artifact.record().sha256() => {
            (bytes.len(), detail)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_range_around_a_boundary_is_read_exactly() {
    let fixture = Fixture::new().await;
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let bytes = content(size);
        let artifact = fixture.promoted(&bytes).await;
        let mut edges: Vec<usize> = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES]
            .into_iter()
            .chain([size.saturating_sub(1), size])
            .filter(|edge| *edge <= size)
            .collect();
        edges.sort_unstable();
        edges.dedup();
        for (n, &start) in edges.iter().enumerate() {
            for &end in &edges[n..] {
                let range = start as u64..end as u64;
                let read = fixture.store.verified(Arc::clone(&artifact), range.clone()).await.expect("opens");
                let (found, error) = collect(read).await;
                assert!(error.is_none(), "{range:?} of {size}: {error:?}");
                assert!(found == bytes[start..end], "{range:?} of {size}");
            }
        }
        let beyond = fixture.store.verified(Arc::clone(&artifact), 0..size as u64 + 1).await;
        let Err(ReadError::Range { start: 0, end, size: found, .. }) = beyond else { panic!("{beyond:?}") };
        assert_eq!((end, found), (size as u64 + 1, size as u64));
    }
}

/// One reader that takes nothing holds one permit; who finds none left reads the same bytes, each when it is asked for.
#[tokio::test]
async fn the_budget_for_reading_ahead_bounds_memory_and_changes_no_byte() {
    let fixture = Fixture::new().await;
    let bytes = content(4 * CHUNK_BYTES + 1);
    let artifact = fixture.promoted(&bytes).await;
    let (budget, all) = (&fixture.store.read_ahead, 0..bytes.len() as u64);
    let permits = budget.available_permits();
    let mut stalled = fixture.store.verified(Arc::clone(&artifact), all.clone()).await.expect("opens");
    assert_eq!(budget.available_permits(), permits, "nothing is read ahead before the first chunk is taken");
    stalled.next().await.expect("a chunk").expect("whole");
    assert_eq!(budget.available_permits(), permits - 1);

    let taken =
        Arc::clone(budget).try_acquire_many_owned(u32::try_from(permits - 1).expect("few")).expect("left");
    let (found, error) =
        collect(fixture.store.verified(Arc::clone(&artifact), all.clone()).await.expect("opens")).await;
    assert!(error.is_none() && found == bytes, "{error:?}");
    let mut flipped = bytes.clone();
    flipped[2 * CHUNK_BYTES] ^= 1;
    fixture.plant(artifact.record().sha256(), &flipped);
    assert_eq!(damage(&fixture, &artifact).await, (2 * CHUNK_BYTES, Damage::Chunk { index: 2 }));

    drop((stalled, taken));
    assert_eq!(budget.available_permits(), permits, "every permit comes back");
}

#[tokio::test]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
async fn a_range_that_ends_before_it_starts_is_refused() {
    let fixture = Fixture::new().await;
    let artifact = fixture.promoted(b"abc").await;
    let refused = fixture.store.verified(artifact, 2..1).await;
    assert!(matches!(refused, Err(ReadError::Range { start: 2, end: 1, size: 3, .. })), "{refused:?}");
}

#[tokio::test]
async fn items_are_chunks_and_the_first_is_ready_at_once() {
    let fixture = Fixture::new().await;
    let artifact = fixture.promoted(&content(3 * CHUNK_BYTES)).await;
    let end = 2 * CHUNK_BYTES as u64 + 5;
    let read = fixture.store.verified(artifact, 10..end).await.expect("opens");
    assert!(matches!(read.ahead, Ahead::Ready(_)));
    let sizes: Vec<usize> = read.map(|item| item.expect("whole").len()).collect().await;
    assert_eq!(sizes, [CHUNK_BYTES - 10, CHUNK_BYTES, 5]);
}

#[tokio::test]
async fn a_flipped_bit_ends_the_stream_before_its_chunk() {
    let fixture = Fixture::new().await;
    let size = 3 * CHUNK_BYTES + 100;
    let bytes = content(size);
    let artifact = fixture.promoted(&bytes).await;
    for position in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, size / 2, 3 * CHUNK_BYTES, size - 1] {
        let mut changed = bytes.clone();
        changed[position] ^= 0x10;
        fixture.plant(artifact.record().sha256(), &changed);
        let index = position / CHUNK_BYTES;
        let found = damage(&fixture, &artifact).await;
        assert_eq!(found, (index * CHUNK_BYTES, Damage::Chunk { index: index as u64 }), "{position}");

        // the first chunk of a range is judged before there is a stream, also when only its other bytes were asked for
        let chunk = (index * CHUNK_BYTES) as u64;
        let other = if position as u64 == chunk { chunk + 1 } else { chunk };
        let opened = fixture.store.verified(Arc::clone(&artifact), other..other + 1).await;
        assert!(
            matches!(opened, Err(ReadError::Damaged { detail: Damage::Chunk { .. }, .. })),
            "{position}: {opened:?}"
        );
    }
    fixture.plant(artifact.record().sha256(), &bytes);
    let read = fixture.store.verified(artifact, 0..size as u64).await.expect("opens");
    let (found, error) = collect(read).await;
    assert!(error.is_none() && found == bytes, "{error:?}");
}

#[tokio::test]
async fn another_size_is_noticed_before_the_first_byte() {
    let fixture = Fixture::new().await;
    for size in [1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1] {
        let bytes = content(size);
        let artifact = fixture.promoted(&bytes).await;
        for planted in [&bytes[..size - 1], &[&bytes[..], b"x"].concat(), &[]] {
            fixture.plant(artifact.record().sha256(), planted);
            let expected = Damage::Size { expected: size as u64, found: planted.len() as u64 };
            assert_eq!(damage(&fixture, &artifact).await, (0, expected));
        }
    }
    let empty = fixture.promoted(b"").await;
    fixture.plant(empty.record().sha256(), b"x");
    assert_eq!(damage(&fixture, &empty).await, (0, Damage::Size { expected: 0, found: 1 }));
}

#[tokio::test]
async fn a_hole_is_noticed() {
    let fixture = Fixture::new().await;
    let bytes = content(3 * CHUNK_BYTES);
    let artifact = fixture.promoted(&bytes).await;
    let sha256 = artifact.record().sha256();

    fixture.plant(sha256, &bytes[..CHUNK_BYTES]);
    let file = File::options().write(true).open(fixture.path(sha256)).expect("opens");
    file.set_len(bytes.len() as u64).expect("extends");
    assert_eq!(damage(&fixture, &artifact).await, (CHUNK_BYTES, Damage::Chunk { index: 1 }));
    file.set_len(0).expect("truncates");
    file.set_len(bytes.len() as u64).expect("extends");
    assert_eq!(damage(&fixture, &artifact).await, (0, Damage::Chunk { index: 0 }));
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_ends_the_stream() {
    let fixture = Fixture::new().await;
    let bytes = content(4 * CHUNK_BYTES);
    let artifact = fixture.promoted(&bytes).await;
    let mut read = fixture.store.verified(Arc::clone(&artifact), 0..bytes.len() as u64).await.expect("opens");
    let first = read.next().await.expect("an item").expect("whole");
    assert!(first == bytes[..CHUNK_BYTES]);
    let file = File::options().write(true).open(fixture.path(artifact.record().sha256())).expect("opens");
    file.set_len(2 * CHUNK_BYTES as u64 + 1).expect("truncates");
    let (rest, error) = collect(read).await;
    assert_eq!(rest.len(), CHUNK_BYTES);
    let end = 3 * CHUNK_BYTES as u64;
    assert!(
        matches!(error, Some(ReadError::Damaged { detail: Damage::Truncated { end: e }, .. }) if e == end),
        "{error:?}"
    );
}

#[test]
fn an_unreadable_sector_is_damage_and_a_refusal_is_none() {
    let artifact = promoted(&content(1000));
    let chunk = |file| Source { file, artifact: Arc::clone(&artifact), range: 0..1000 }.chunk(0);
    match chunk(crate::testing::unreadable()) {
        Err(ReadError::Damaged { sha256, detail: Damage::Device }) => {
            assert_eq!(sha256, artifact.record().sha256());
        }
        other => panic!("{other:?}"),
    }
    match chunk(File::open("/").expect("opens")) {
        Err(ReadError::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::IsADirectory),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn swapped_blobs_are_noticed_and_missing_ones_told_apart() {
    let fixture = Fixture::new().await;
    let (one, two) = (content(CHUNK_BYTES + 9), vec![7; CHUNK_BYTES + 9]);
    let (a, b) = (fixture.promoted(&one).await, fixture.promoted(&two).await);
    fixture.plant(a.record().sha256(), &two);
    fixture.plant(b.record().sha256(), &one);
    assert_eq!(damage(&fixture, &a).await, (0, Damage::Chunk { index: 0 }));
    assert_eq!(damage(&fixture, &b).await, (0, Damage::Chunk { index: 0 }));

    fs::remove_file(fixture.path(a.record().sha256())).expect("was there");
    for absent in [a, promoted(b"never stored")] {
        let size = absent.record().size();
        let missing = fixture.store.verified(Arc::clone(&absent), 0..size).await;
        assert!(
            matches!(missing, Err(ReadError::Missing { sha256 }) if sha256 == absent.record().sha256()),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn only_a_regular_file_is_a_blob_and_nothing_else_is_waited_for() {
    let fixture = Fixture::new().await;
    let bytes = content(1000);
    let artifact = fixture.promoted(&bytes).await;
    let path = fixture.path(artifact.record().sha256());
    let elsewhere = fixture.root().join("elsewhere");
    fs::write(&elsewhere, &bytes).expect("writes");
    let pipe =
        |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("creates");
    let plants: [(&str, &dyn Fn()); 5] = [
        ("symlink to the right bytes", &|| symlink(&elsewhere, &path).expect("links")),
        ("symlink to nothing", &|| symlink("nothing", &path).expect("links")),
        ("pipe", &|| pipe(&path)),
        ("socket", &|| drop(UnixListener::bind(&path).expect("binds"))),
        ("directory", &|| fs::create_dir(&path).expect("creates")),
    ];
    for (what, plant) in plants {
        fs::remove_file(&path).expect("was there");
        plant();
        assert_eq!(damage(&fixture, &artifact).await, (0, Damage::NotRegular), "{what}");
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(&path).expect("removes");
        }
    }
}

#[tokio::test]
async fn a_hard_link_is_judged_by_its_bytes() {
    let fixture = Fixture::new().await;
    let artifact = fixture.promoted(&content(1000)).await;
    let path = fixture.path(artifact.record().sha256());
    let elsewhere = fixture.root().join("elsewhere");
    fs::write(&elsewhere, vec![0; 1000]).expect("writes");
    fs::remove_file(&path).expect("was there");
    fs::hard_link(&elsewhere, &path).expect("links");
    assert_eq!(damage(&fixture, &artifact).await, (0, Damage::Chunk { index: 0 }));

    fs::write(&elsewhere, content(1000)).expect("writes");
    let read = fixture.store.verified(artifact, 0..1000).await.expect("opens");
    assert_eq!(collect(read).await.0, content(1000));
}

#[tokio::test]
async fn a_reader_keeps_its_bytes_when_the_blob_is_moved() {
    let fixture = Fixture::new().await;
    let bytes = content(3 * CHUNK_BYTES);
    let artifact = fixture.promoted(&bytes).await;
    let read = fixture.store.verified(Arc::clone(&artifact), 0..bytes.len() as u64).await.expect("opens");
    fs::remove_file(fixture.path(artifact.record().sha256())).expect("was there");
    let (found, error) = collect(read).await;
    assert!(error.is_none() && found == bytes, "{error:?}");
}

#[tokio::test]
async fn a_dropped_stream_lets_go_of_the_file() {
    let fixture = Fixture::new().await;
    let bytes = content(8 * CHUNK_BYTES);
    let artifact = fixture.promoted(&bytes).await;
    let mut read = fixture.store.verified(artifact, 0..bytes.len() as u64).await.expect("opens");
    read.next().await.expect("an item").expect("whole");
    let source = Arc::downgrade(&read.source);
    drop(read);
    let released = async {
        while source.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), released).await.expect("the last job ends");
}
