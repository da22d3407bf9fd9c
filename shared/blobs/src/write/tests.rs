use std::{fs::File, io};

use futures::{FutureExt as _, future::join_all};

use super::*;
use crate::{
    BlobStore,
    testing::{Fixture, content},
};

fn expected(bytes: &[u8]) -> Contents {
    Contents {
        size: bytes.len() as u64,
        sha1: Sha1::digest(bytes).into(),
        sha256: Sha256::of(bytes),
        sha512: Sha512::of(bytes),
        chunks: ChunkList::of(bytes),
    }
}

#[tokio::test]
async fn contents_are_right_at_every_boundary_however_the_bytes_arrive() {
    let fixture = Fixture::new().await;
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
        let bytes = content(size);
        for piece in [16 * 1024 - 3, CHUNK_BYTES, 5 * CHUNK_BYTES] {
            let mut writer = fixture.store.writer(size as u64).await.expect("starts");
            for part in bytes.chunks(piece) {
                writer.write(Bytes::copy_from_slice(part)).await.expect("writes");
                assert!(writer.chunk.len() < CHUNK_BYTES);
            }
            let staged = writer.finish().await.expect("ends");
            assert_eq!(*staged.contents(), expected(&bytes), "{size} by {piece}");
            let contents = staged.commit().await.expect("commits");
            assert_eq!(fixture.store.read(contents.sha256, size as u64).await.expect("reads"), bytes);
        }
    }
    assert!(fixture.names("tmp").is_empty());
    assert!(fixture.names("aside").is_empty());
}

#[tokio::test]
async fn computed_digests_are_found_by_algorithm() {
    let contents = expected(b"x");
    assert_eq!(contents.digest(Algorithm::Sha1), Some(Digest::Sha1(contents.sha1)));
    assert_eq!(contents.digest(Algorithm::Sha256), Some(Sha256::of(b"x").into()));
    assert_eq!(contents.digest(Algorithm::Sha512), Some(Sha512::of(b"x").into()));
    assert_eq!(contents.digest(Algorithm::Md5), None);
    assert_eq!(contents.digest(Algorithm::Sha384), None);
}

#[tokio::test]
async fn one_byte_too_many_is_refused_for_good() {
    let fixture = Fixture::new().await;
    let mut writer = fixture.store.writer(10).await.expect("starts");
    writer.write(Bytes::from_static(b"0123456789")).await.expect("fits");
    let refused = writer.write(Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(BlobError::TooLarge { limit: 10 })), "{refused:?}");
    fixture.no_temporary_left().await;
    assert!(matches!(writer.finish().await, Err(BlobError::Abandoned)));
    assert!(!fixture.store.contains(Sha256::of(b"0123456789")).await.expect("looks"));
}

#[tokio::test]
async fn dropping_before_the_commit_leaves_nothing() {
    let fixture = Fixture::new().await;
    let bytes = Bytes::from(content(2 * CHUNK_BYTES + 5));

    let idle = fixture.store.writer(u64::MAX).await.expect("starts");
    assert_eq!(fixture.names("tmp").len(), 1);
    drop(idle);
    fixture.no_temporary_left().await;

    let mut busy = fixture.store.writer(u64::MAX).await.expect("starts");
    busy.write(bytes.clone()).await.expect("writes");
    assert!(matches!(busy.work, Work::Busy(_)));
    drop(busy);
    fixture.no_temporary_left().await;

    let mut writer = fixture.store.writer(u64::MAX).await.expect("starts");
    writer.write(bytes.clone()).await.expect("writes");
    drop(writer.finish().await.expect("ends"));
    fixture.no_temporary_left().await;
    assert!(fixture.names("sha256").is_empty());
}

#[test]
fn a_gap_is_never_committed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("starts");
    runtime.block_on(async {
        let fixture = Fixture::new().await;
        let mut writer = fixture.store.writer(u64::MAX).await.expect("starts");
        // with the only blocking thread busy, the second chunk waits for the first: the call is dropped right there,
        // and half of its bytes with it
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holder = spawn_blocking(move || held.recv());
        assert!(writer.write(Bytes::from(content(4 * CHUNK_BYTES))).now_or_never().is_none());
        drop(release);
        assert!(holder.await.expect("ends").is_err());
        assert!(matches!(writer.finish().await, Err(BlobError::Abandoned)));
        fixture.no_temporary_left().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_that_start_up_disturb_no_writer() {
    let fixture = Fixture::new().await;
    let starts = async {
        for _ in 0..200 {
            BlobStore::open(fixture.root()).await.expect("opens");
        }
    };
    let writes = join_all((0..100_u8).map(|n| fixture.store.put_bytes(Bytes::from(vec![n; 3]))));
    let (written, ()) = tokio::join!(writes, starts);
    for (contents, n) in written.into_iter().zip(0_u8..) {
        let sha256 = contents.expect("stored").sha256;
        assert_eq!(fixture.store.read(sha256, 3).await.expect("reads"), vec![n; 3]);
    }
    assert!(fixture.names("tmp").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_content_all_succeed() {
    let fixture = Fixture::new().await;
    let bytes = Bytes::from(content(CHUNK_BYTES + 1));
    let writes = (0..8).map(|_| async {
        let mut writer = fixture.store.writer(u64::MAX).await.expect("starts");
        writer.write(bytes.clone()).await.expect("writes");
        writer.finish().await.expect("ends").commit().await.expect("commits")
    });
    for contents in join_all(writes).await {
        assert_eq!(contents, expected(&bytes));
    }
    assert_eq!(fixture.store.read(Sha256::of(&bytes), u64::MAX).await.expect("reads"), bytes);
    assert!(fixture.names("tmp").is_empty());
    assert!(fixture.names("aside").is_empty());
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let (_, path) = fixture.store.writer(0).await.expect("starts").into_temporary().into_parts();
    let full = File::options().write(true).open("/dev/full").expect("opens");
    let mut writer = BlobWriter {
        work: Work::Idle(Box::new(Sink::new(NamedTempFile::from_parts(full, path)))),
        ..fixture.store.writer(u64::MAX).await.expect("starts")
    };
    // the first chunk fails behind the caller's back; the caller hears of it with the second
    writer.write(Bytes::from(content(CHUNK_BYTES))).await.expect("handed over");
    match writer.write(Bytes::from(content(CHUNK_BYTES))).await {
        Err(BlobError::Io { action: "write", source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(writer.write(Bytes::new()).await, Err(BlobError::Abandoned)));
    assert!(matches!(writer.finish().await, Err(BlobError::Abandoned)));
    fixture.no_temporary_left().await;
}

impl BlobWriter {
    fn into_temporary(self) -> NamedTempFile {
        match self.work {
            Work::Idle(mut sink) => sink.temporary.0.take().expect("not removed"),
            Work::Busy(_) | Work::Failed => panic!("nothing was written"),
        }
    }
}
