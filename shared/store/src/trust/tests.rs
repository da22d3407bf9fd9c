use super::*;
use crate::testing::TestDb;

fn record(kind: TrustKind, document: &str, origin: &str) -> TrustRecord {
    let document = document.as_bytes().to_vec();
    TrustRecord { kind, sha256: Sha256::of(&document), document, origin: origin.into() }
}

#[tokio::test]
async fn each_document_of_trust_is_on_record_once_and_the_latest_comes_first() {
    let db = TestDb::new().await;
    assert_eq!(db.store.trust_history().await.unwrap(), []);
    let root = record(TrustKind::SigstoreRoot, "root", "embedded");
    let again = TrustRecord { origin: "tuf".into(), ..root.clone() };
    let keys = record(TrustKind::NpmKeys, "keys", "file");
    let same_bytes = record(TrustKind::TufRoot, "root", "import");
    for trust in [&root, &again, &keys, &same_bytes, &root] {
        db.store.record_trust(trust).await.unwrap();
    }
    let history = db.store.trust_history().await.unwrap();
    let told: Vec<_> = history.iter().map(|e| (e.kind, e.sha256, e.size, e.origin.as_str())).collect();
    assert_eq!(
        told,
        [
            (TrustKind::TufRoot, root.sha256, 4, "import"),
            (TrustKind::NpmKeys, keys.sha256, 4, "file"),
            (TrustKind::SigstoreRoot, root.sha256, 4, "embedded"),
        ]
    );
}

#[tokio::test]
async fn a_document_that_is_not_what_its_digest_says_is_refused() {
    let db = TestDb::new().await;
    let root = record(TrustKind::SigstoreRoot, "root", "embedded");
    let other = TrustRecord { sha256: Sha256::of("other"), ..root.clone() };
    let empty = record(TrustKind::SigstoreRoot, "", "embedded");
    for refused in [other, empty, TrustRecord { origin: String::new(), ..root.clone() }] {
        let error = db.store.record_trust(&refused).await.unwrap_err();
        assert!(matches!(error, StoreError::Statement { statement: "trust.record", .. }), "{error:?}");
    }
    let large = TrustRecord { document: vec![0; TRUST_BYTES_MAX + 1], ..root };
    let error = db.store.record_trust(&large).await.unwrap_err();
    assert!(matches!(error, StoreError::Limit { what: "bytes of trust material", .. }), "{error:?}");
    assert_eq!(db.store.trust_history().await.unwrap(), []);
}

#[tokio::test]
async fn tuf_files_are_replaced_as_a_whole_by_who_knows_what_was_there() {
    let db = TestDb::new().await;
    let files = |names: &[&str], content: &str| -> BTreeMap<String, Vec<u8>> {
        names.iter().map(|name| ((*name).to_owned(), format!("{content} {name}").into_bytes())).collect()
    };
    assert_eq!(db.store.tuf_files().await.unwrap(), TufFiles::default());
    let none = BTreeMap::new();
    let first = files(&["root.json", "1.snapshot.json"], "first");
    let put = db.store.put_tuf_files(&none, &first).await.unwrap();
    let stored = db.store.tuf_files().await.unwrap();
    assert_eq!(stored.at.map(|stored| stored.at), put);
    assert_eq!(stored.files, first);

    // What was there is not there any more, whatever of it is not.
    let mut other = first.clone();
    other.insert("root.json".into(), b"x".to_vec());
    let less = files(&["root.json"], "first");
    let more = files(&["root.json", "1.snapshot.json", "x.json"], "first");
    for expected in [none.clone(), other, less, more] {
        assert_eq!(db.store.put_tuf_files(&expected, &none).await.unwrap(), None, "{expected:?}");
    }
    assert_eq!(db.store.tuf_files().await.unwrap().files, first);

    // The same again is newer.
    db.store.put_tuf_files(&first, &first).await.unwrap().expect("stored");
    let again = db.store.tuf_files().await.unwrap();
    let (before, after) = (stored.at.unwrap(), again.at.unwrap());
    assert!(before.at < after.at && after.at <= after.now, "{before:?} {after:?}");

    // Of many who have seen the same, one is the first.
    let new: Vec<_> = (0..10).map(|n| files(&["root.json", "2.snapshot.json"], &n.to_string())).collect();
    let puts = new.iter().map(|new| db.store.put_tuf_files(&first, new));
    let put = futures::future::try_join_all(puts).await.unwrap();
    let won: Vec<usize> = (0..10).filter(|n| put[*n].is_some()).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    let kept = db.store.tuf_files().await.unwrap().files;
    assert_eq!(kept, new[won[0]]);

    let many = (0..=TUF_FILES_MAX).map(|n| (n.to_string(), vec![])).collect();
    let large = BTreeMap::from([("root.json".to_owned(), vec![0; TRUST_BYTES_MAX + 1])]);
    for refused in [many, large] {
        let error = db.store.put_tuf_files(&kept, &refused).await.unwrap_err();
        assert!(matches!(error, StoreError::Limit { .. }), "{error:?}");
    }
    assert_eq!(db.store.tuf_files().await.unwrap().files, kept);
    db.store.put_tuf_files(&kept, &none).await.unwrap().expect("stored");
    assert_eq!(db.store.tuf_files().await.unwrap(), TufFiles::default());
}

#[tokio::test]
async fn the_history_tells_whether_a_repository_was_ever_seen() {
    for (origin, came) in [("embedded", false), ("file", false), ("tuf", true), ("import", true)] {
        let db = TestDb::new().await;
        assert!(!db.store.trust_came_from_tuf().await.unwrap());
        db.store.record_trust(&record(TrustKind::SigstoreRoot, "root", origin)).await.unwrap();
        assert_eq!(db.store.trust_came_from_tuf().await.unwrap(), came, "{origin}");
    }
}
