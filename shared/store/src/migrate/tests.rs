use touchstone_domain::{
    ArtifactId, ArtifactState, CheckKind, Ecosystem, EvidenceKind, Gate, OutcomeKind, Policy, Reason, Sha256,
};

use super::*;
use crate::{NewArtifact, StoreOptions, testing};

/// What the version before writes for an artifact that it serves, without the columns that came later.
fn served_by_version_1(new: &NewArtifact, row: i64) -> String {
    let (id, policy) = (&new.id, Policy::default());
    let (sha256, root) = (new.sha256, new.chunks.root());
    let reason = serde_json::to_string(&Reason::DigestsMatch { claims: 1 }).unwrap();
    format!(
        r"
INSERT INTO policy (sha256, document) VALUES ('\x{policy}', '') ON CONFLICT DO NOTHING;
INSERT INTO artifact (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url)
    VALUES ('npm', '{package}', '{version}', '{file}', '\x{sha256}', '\x{sha512}', {size}, '\x{root}', '\x{chunks}', '{url}');
INSERT INTO gate (artifact_id, policy_epoch, required, veto, ok, dispatch_due) VALUES ({row}, 1, 1, 1, 1, now());
INSERT INTO verdict (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome,
                     reason, evidence, service, software, decided_at)
    VALUES ({row}, '\x{sha256}', '\x{root}', 0, 'hash', 1, 1, 1, 'pass', '{reason}', '\x{sha256}', 'hash', '0.1', now());
INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root)
    VALUES ({row}, 0, 1, '\x{sha256}', {size}, '\x{root}');
INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
    VALUES ({row}, 0, 'metadata_entry', '{url}', '\x{sha256}', 1, now());
INSERT INTO sighting (ecosystem, package, version) VALUES ('npm', '{package}', '{version}')",
        policy = policy.digest(),
        package = id.package,
        version = id.version,
        file = id.file,
        sha512 = new.sha512,
        size = new.size,
        chunks = Sha256::from_slice(&new.chunks.to_bytes()).expect("one chunk"),
        url = new.upstream_url,
    )
}

#[tokio::test]
async fn an_upgrade_keeps_what_there_is_and_the_version_before_still_writes() {
    let url = testing::empty_database().await;
    let raw = pool::pool(&url, 1, "raw", MIGRATION_TIME_MAX).unwrap();
    let mut client = raw.get().await.unwrap();
    let first = embedded::migrations::runner().set_target(refinery::Target::Version(1));
    assert_eq!(first.run_async(&mut **client).await.unwrap().applied_migrations().len(), 1);
    let [old, late] = ["old", "late"].map(|name| testing::new_artifact(1, name, &[CheckKind::Hash]));
    client.batch_execute(&served_by_version_1(&old, 1)).await.unwrap();

    let options = StoreOptions { url: url.clone(), pool_size: 2, application_name: "test".to_owned() };
    let refused = Store::connect(options.clone()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaMissing), "{refused}");
    assert_eq!(Store::migrate(&url).await.unwrap().applied, ["V2__add_attestations", "V3__add_sumdb"]);
    client.batch_execute(&served_by_version_1(&late, 2)).await.unwrap();

    let store = Store::connect(options).await.unwrap();
    for new in [&old, &late] {
        let (record, chunks) = store.serve_record(&new.id).await.unwrap().unwrap();
        assert_eq!((record.sha256, chunks), (new.sha256, new.chunks.clone()));
        let told = &store.stories(&(&new.id).into(), 9).await.unwrap()[0];
        assert_eq!((told.state(), told.gate.requirement), (ArtifactState::Servable, new.requirement));
        assert_eq!(told.verdicts[0].verdict.trust, []);
        assert_eq!(told.verdicts[0].verdict.outcome.reason, Reason::DigestsMatch { claims: 1 });
        let seen = store.seen(new.id.ecosystem, &new.id.package, &new.id.version).await.unwrap().unwrap();
        assert!(!seen.listed_attested);
    }
    recheck_tolerates(&store, &old).await;
}

#[tokio::test]
async fn an_upgrade_from_version_2_keeps_what_there_is_and_takes_go() {
    let url = testing::empty_database().await;
    let raw = pool::pool(&url, 1, "raw", MIGRATION_TIME_MAX).unwrap();
    let mut client = raw.get().await.unwrap();
    let second = embedded::migrations::runner().set_target(refinery::Target::Version(2));
    assert_eq!(second.run_async(&mut **client).await.unwrap().applied_migrations().len(), 2);
    let [old, late, go] =
        ["old", "late", "go"].map(|name| testing::new_artifact(1, name, &[CheckKind::Hash]));
    client.batch_execute(&served_by_version_1(&old, 1)).await.unwrap();
    client
        .batch_execute(
            r#"
INSERT INTO identity (artifact_id, ecosystem, package, version, file, line, identity, rank, basis)
    VALUES (1, 'npm', 'old', '1', 'f', 1, '{}', 'provenance', '{"basis": "pinned"}');
INSERT INTO trust_material (kind, sha256, document, origin) VALUES ('tuf_root', sha256('root'), 'root', 'file');
INSERT INTO incident (kind, ecosystem, package, detail) VALUES ('blob_damaged', 'npm', 'old', '{}');
INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
    VALUES (1, 1, 'attestations', 'https://registry.example/', sha256(''), 0, now())"#,
        )
        .await
        .unwrap();
    let in_go = |new: &NewArtifact, row| served_by_version_1(new, row).replace("'npm'", "'go'");
    let refused = client.batch_execute(&in_go(&go, 2)).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION));

    assert_eq!(Store::migrate(&url).await.unwrap().applied, ["V3__add_sumdb"]);
    // The refused row took a number.
    client.batch_execute(&in_go(&go, 3)).await.unwrap();
    client.batch_execute(&served_by_version_1(&late, 4)).await.unwrap();
    let other = in_go(&go, 5).replace("'go', 'go'", "'maven', 'go'");
    let refused = client.batch_execute(&other).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION), "the set of ecosystems is still closed");

    let options = StoreOptions { url, pool_size: 2, application_name: "test".to_owned() };
    let store = Store::connect(options).await.unwrap();
    for (new, ecosystem) in [(&old, Ecosystem::Npm), (&late, Ecosystem::Npm), (&go, Ecosystem::Go)] {
        let id = ArtifactId { ecosystem, ..new.id.clone() };
        let (record, chunks) = store.serve_record(&id).await.unwrap().unwrap();
        assert_eq!((record.sha256, chunks), (new.sha256, new.chunks.clone()));
        assert_eq!(store.stories(&(&id).into(), 9).await.unwrap().len(), 1);
    }
    let facts = &store.stories(&(&old.id).into(), 9).await.unwrap()[0].facts;
    let kinds: Vec<EvidenceKind> = facts.evidence.iter().map(|evidence| evidence.kind).collect();
    assert_eq!(kinds, [EvidenceKind::MetadataEntry, EvidenceKind::Attestations]);
    assert!(store.has_identity(old.id.ecosystem, &old.id.package).await.unwrap());
    assert_eq!(store.trust_history().await.unwrap().len(), 1);
    assert_eq!(store.incidents(9).await.unwrap().len(), 1);
    assert_eq!(store.sumdb_status().await.unwrap(), []);
}

/// What is judged again has the policy of the new version.
async fn recheck_tolerates(store: &Store, new: &NewArtifact) {
    let changes = store.recheck(&(&new.id).into(), &Policy::default(), true).await.unwrap();
    let found = store.status(&new.id).await.unwrap().unwrap();
    let Gate { requirement, epoch, .. } = found.gate;
    assert_eq!(requirement, Policy::default().requirement(new.id.ecosystem, &new.id.package));
    let facts = testing::Facts { artifact: changes[0].artifact, epoch, new: new.clone() };
    let answers = [facts.pass(CheckKind::Hash), facts.verdict(CheckKind::Attest, OutcomeKind::NotOffered)];
    store.record_verdicts(&answers).await.unwrap();
    let deltas = testing::deltas(&store.verdicts_to_count(&[facts.artifact]).await.unwrap());
    assert_eq!(store.apply(&deltas).await.unwrap()[0].state, ArtifactState::Servable);
}

#[tokio::test]
async fn of_two_starters_one_migrates_and_later_ones_find_nothing_to_do() {
    let url = testing::empty_database().await;
    let (one, other) = tokio::join!(Store::migrate(&url), Store::migrate(&url));
    let mut applied = [one.unwrap().applied, other.unwrap().applied];
    applied.sort();
    assert_eq!(applied[0], Vec::<String>::new());
    assert_eq!(applied[1], ["V1__create_schema", "V2__add_attestations", "V3__add_sumdb"]);
    assert_eq!(Store::migrate(&url).await.unwrap(), MigrationReport { applied: vec![] });
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_refused_by_name() {
    let url = testing::empty_database().await;
    let options = StoreOptions { url: url.clone(), pool_size: 1, application_name: "test".to_owned() };
    let refused = Store::connect(options.clone()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaMissing) && !refused.is_transient(), "{refused}");
    Store::migrate(&url).await.unwrap();
    Store::connect(options).await.unwrap();
}

#[tokio::test]
async fn a_changed_migration_is_an_error_and_leaves_no_lock_behind() {
    let db = testing::TestDb::new().await;
    db.execute("UPDATE refinery_schema_history SET checksum = '1'").await.unwrap();
    for _ in 0..2 {
        let error = Store::migrate(&db.url).await.unwrap_err();
        assert!(matches!(&error, StoreError::Migration(_)), "{error}");
    }
    let held = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND datname = current_database()";
    assert_eq!(db.number(held).await, 0);
}
