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
async fn tuf_files_are_replaced_as_a_whole_also_by_many_at_once() {
    let db = TestDb::new().await;
    let files = |names: &[&str], content: &str| -> BTreeMap<String, Vec<u8>> {
        names.iter().map(|name| ((*name).to_owned(), format!("{content} {name}").into_bytes())).collect()
    };
    assert_eq!(db.store.tuf_files().await.unwrap(), BTreeMap::new());
    let first = files(&["root.json", "1.snapshot.json"], "first");
    db.store.put_tuf_files(&first).await.unwrap();
    assert_eq!(db.store.tuf_files().await.unwrap(), first);

    let [one, other] = [files(&["root.json", "2.snapshot.json"], "one"), files(&["targets.json"], "other")];
    let puts = (0..10).map(|n| db.store.put_tuf_files(if n % 2 == 0 { &one } else { &other }));
    futures::future::try_join_all(puts).await.unwrap();
    let kept = db.store.tuf_files().await.unwrap();
    assert!(kept == one || kept == other, "{kept:?}");

    let many = (0..=TUF_FILES_MAX).map(|n| (n.to_string(), vec![])).collect();
    let large = BTreeMap::from([("root.json".to_owned(), vec![0; TRUST_BYTES_MAX + 1])]);
    for refused in [many, large] {
        let error = db.store.put_tuf_files(&refused).await.unwrap_err();
        assert!(matches!(error, StoreError::Limit { .. }), "{error:?}");
    }
    assert_eq!(db.store.tuf_files().await.unwrap(), kept);
    db.store.put_tuf_files(&BTreeMap::new()).await.unwrap();
    assert_eq!(db.store.tuf_files().await.unwrap(), BTreeMap::new());
}
