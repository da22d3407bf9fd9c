use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

async fn store() -> (RecordStore, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let blobs = BlobStore::open(directory.path()).await.expect("opens");
    (RecordStore::new(blobs), directory)
}

fn path(directory: &TempDir, blob: Sha256) -> PathBuf {
    let name = blob.to_string();
    directory.path().join("packs").join(&name[..2]).join(name)
}

fn plant(directory: &TempDir, blob: Sha256, bytes: &[u8]) {
    let path = path(directory, blob);
    fs::remove_file(&path).expect("was there");
    fs::write(path, bytes).expect("writes");
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What came of reading: the text, or the error's variant.
fn said(read: &[Result<Bytes, RecordError>]) -> Vec<String> {
    read.iter()
        .map(|result| match result {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
            Err(error) => format!("{error:?}"),
        })
        .collect()
}

#[tokio::test]
async fn envelopes_of_several_packs_come_back_in_the_order_asked_for() {
    let (records, directory) = store().await;
    let first = records.put(&lines(&["{\"a\":1}", "{\"b\":22}", "{}"])).await.expect("stored");
    let second = records.put(&lines(&["{\"c\":3}"])).await.expect("stored");
    assert_eq!(fs::read(path(&directory, first[0].pack)).expect("there"), b"{\"a\":1}\n{\"b\":22}\n{}");
    let asked = [first[2], second[0], first[0], first[1], first[0]];
    let read = records.read(&asked).await;
    assert_eq!(said(&read), ["{}", "{\"c\":3}", "{\"a\":1}", "{\"b\":22}", "{\"a\":1}"]);
    assert!(records.read(&[]).await.is_empty());
    let again = records.put(&lines(&["{\"c\":3}"])).await.expect("the same once more");
    assert_eq!(again, second);
}

#[tokio::test]
async fn what_is_no_pack_is_not_written() {
    let (records, directory) = store().await;
    let count = |n: usize| vec![b"{}".to_vec(); n];
    assert!(matches!(records.put(&[]).await, Err(PutError::Count(0))));
    assert!(matches!(records.put(&count(PACK_ENVELOPES_MAX + 1)).await, Err(PutError::Count(1025))));
    let long = [b"{}".to_vec(), vec![b'x'; ENVELOPE_BYTES_MAX + 1]];
    assert!(matches!(records.put(&long).await, Err(PutError::Size { index: 1, size: 65_537 })));
    assert!(matches!(records.put(&lines(&["{}", "{\n}"])).await, Err(PutError::Line { index: 1 })));
    assert!(matches!(records.put(&lines(&[""])).await, Err(PutError::Line { index: 0 })));
    assert_eq!(fs::read_dir(directory.path().join("packs")).expect("lists").count(), 0);

    let most = records.put(&count(PACK_ENVELOPES_MAX)).await.expect("as many as may be");
    assert_eq!(most.last().expect("one").offset, 3 * 1023);
    let longest = records.put(&[vec![b'x'; ENVELOPE_BYTES_MAX]]).await.expect("as long as may be");
    assert_eq!(records.read(&longest).await[0].as_ref().expect("read").len(), ENVELOPE_BYTES_MAX);
}

#[tokio::test]
async fn an_envelope_that_is_not_what_was_signed_is_not_returned_and_spoils_no_other() {
    let (records, directory) = store().await;
    let stored = records.put(&lines(&["aaaa", "bbbb", "cccc"])).await.expect("stored");
    let pack = stored[0].pack;
    for (planted, expected) in [
        (&b"aaaa\nbbbb\ncccc"[..], ["aaaa", "bbbb", "cccc"]),
        // a changed byte
        (b"aaaa\nbXbb\ncccc", ["aaaa", "Damaged", "cccc"]),
        // swapped
        (b"aaaa\ncccc\nbbbb", ["aaaa", "Damaged", "Damaged"]),
        // truncated
        (b"aaaa\nbbbb\nccc", ["aaaa", "bbbb", "Missing"]),
        (b"", ["Missing", "Missing", "Missing"]),
    ] {
        plant(&directory, pack, planted);
        assert_eq!(said(&records.read(&stored).await), expected, "{planted:?}");
    }
    fs::remove_file(path(&directory, pack)).expect("there");
    assert_eq!(said(&records.read(&stored).await), ["Missing"; 3]);
    fs::create_dir(path(&directory, pack)).expect("creates");
    assert_eq!(said(&records.read(&stored).await), ["Damaged"; 3]);
}

#[tokio::test]
async fn where_a_row_says_that_an_envelope_is_need_not_be_true() {
    let (records, _directory) = store().await;
    let [a, b] = records.put(&lines(&["aaaa", "bbbb"])).await.expect("stored")[..] else { panic!() };
    let absurd = u32::try_from(ENVELOPE_BYTES_MAX).expect("small") + 1;
    for (asked, expected) in [
        (a, "aaaa"),
        (EnvelopeRef { sha256: b.sha256, ..a }, "Damaged"),
        (EnvelopeRef { pack: b.sha256, ..a }, "Missing"),
        (EnvelopeRef { offset: 1, ..a }, "Damaged"),
        (EnvelopeRef { offset: 6, ..a }, "Missing"),
        (EnvelopeRef { offset: u32::MAX, ..a }, "Missing"),
        (EnvelopeRef { size: 3, ..a }, "Damaged"),
        (EnvelopeRef { size: 0, ..a }, "Damaged"),
        (EnvelopeRef { size: 10, ..a }, "Missing"),
        (EnvelopeRef { size: absurd - 1, ..a }, "Missing"),
        (EnvelopeRef { size: absurd, ..a }, "Damaged"),
        (EnvelopeRef { offset: u32::MAX, size: u32::MAX, ..a }, "Damaged"),
    ] {
        assert_eq!(said(&records.read(&[asked, b]).await), [expected, "bbbb"], "{asked:?}");
    }
}
