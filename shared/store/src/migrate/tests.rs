use touchstone_domain::{
    ArtifactId, ArtifactState, CheckKind, Ecosystem, EvidenceKind, Gate, OutcomeKind, Policy, Reason, Sha256,
};

use super::*;
use crate::{NewArtifact, StoreOptions, Wanted, testing};

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

/// A database at a version, and a connection to it.
async fn at_version(version: i32) -> (StoreOptions, Client) {
    let url = testing::empty_database().await;
    let raw = pool::pool(&url, 1, "raw", MIGRATION_TIME_MAX).unwrap();
    let mut client = raw.get().await.unwrap();
    let target = embedded::migrations::runner().set_target(refinery::Target::Version(version));
    target.run_async(&mut **client).await.unwrap();
    (StoreOptions { url, pool_size: 2, application_name: "test".to_owned() }, client)
}

#[tokio::test]
async fn an_upgrade_keeps_what_there_is_and_judges_anew_what_nobody_signed() {
    let (options, client) = at_version(1).await;
    let [old, rejected, recalled] =
        ["old", "rejected", "recalled"].map(|name| testing::new_artifact(1, name, &[CheckKind::Hash]));
    for (row, new) in (1..).zip([&old, &rejected, &recalled]) {
        client.batch_execute(&served_by_version_1(new, row)).await.unwrap();
    }
    client
        .batch_execute(
            "UPDATE gate SET deny = 1 WHERE artifact_id = 2; UPDATE gate SET hold = 2 WHERE artifact_id = 3",
        )
        .await
        .unwrap();

    let refused = Store::connect(options.clone()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaMissing), "{refused}");
    let applied = Store::migrate(&options.url).await.unwrap().applied;
    assert_eq!(applied[..3], ["V2__add_attestations", "V3__add_sumdb", "V4__sign_decisions"]);

    let store = Store::connect(options).await.unwrap();
    let told = &store.stories(&(&old.id).into(), 9).await.unwrap()[0];
    assert_eq!((told.state(), told.gate.requirement), (ArtifactState::Servable, old.requirement));
    let kept = &told.verdicts[0];
    assert_eq!((&kept.verdict.trust, kept.signed, &kept.refused), (&vec![], None, &None));
    assert_eq!(kept.verdict.outcome.reason, Reason::DigestsMatch { claims: 1 });
    assert_eq!((told.promotions[0].serial, told.promotions[0].signed, &told.fetches), (1, None, &vec![]));
    let seen = store.seen(old.id.ecosystem, &old.id.package, &old.id.version).await.unwrap().unwrap();
    assert!(!seen.listed_attested);
    assert!(store.next_serials(1).await.unwrap()[0] > 3, "the numbers go on");

    assert_eq!(store.serve_record(&old.id).await.unwrap(), None, "nobody signed for it");
    assert_eq!(store.reopen_unsigned(0).await.unwrap(), []);
    let reopened = store.reopen_unsigned(9).await.unwrap();
    let reopened: Vec<_> =
        reopened.iter().map(|change| (change.artifact.0, change.was, change.state)).collect();
    assert_eq!(reopened, [(1, ArtifactState::Servable, ArtifactState::Fetched)], "the others are not served");
    assert_eq!(store.reopen_unsigned(9).await.unwrap(), [], "once");
    let told = &store.stories(&(&old.id).into(), 9).await.unwrap()[0];
    assert_eq!((told.log[0].cause.as_str(), told.log[0].epoch, told.promotions.len()), ("unsigned", 1, 1));
    judge_again(&store, &old).await;
}

/// What is judged again has the policy of the new version, and is served when everything is signed.
async fn judge_again(store: &Store, new: &NewArtifact) {
    let changes = store.recheck(&(&new.id).into(), &Policy::default(), true).await.unwrap();
    let found = store.status(&new.id).await.unwrap().unwrap();
    let Gate { artifact, requirement, epoch, .. } = found.gate;
    assert_eq!((artifact, &found.fetch_keys, found.promoted), (changes[0].artifact, &vec![], false));
    assert_eq!(requirement, Policy::default().requirement(new.id.ecosystem, &new.id.package));
    store.record_fetch(artifact, &testing::signed("fetch", "old")).await.unwrap();
    let facts = testing::Facts { artifact, epoch, new: new.clone() };
    let answers = [facts.pass(CheckKind::Hash), facts.verdict(CheckKind::Attest, OutcomeKind::NotOffered)];
    store.record_verdicts(&testing::sign(&answers)).await.unwrap();
    let changes = testing::judge(store, &[artifact], Wanted::New, |_| true).await.unwrap();
    assert_eq!(changes[0].state, ArtifactState::Servable);
    assert_eq!(store.serve_record(&new.id).await.unwrap().unwrap().sha256, new.sha256);
    assert_eq!(store.reopen_unsigned(9).await.unwrap(), []);
}

#[tokio::test]
async fn the_version_before_writes_no_decision_any_more() {
    let (options, client) = at_version(3).await;
    Store::migrate(&options.url).await.unwrap();
    let whole = served_by_version_1(&testing::new_artifact(1, "late", &[CheckKind::Hash]), 1);
    for (first, table) in [("INSERT INTO policy", "verdict"), ("INSERT INTO promotion", "promotion")] {
        let some = &whole[whole.find(first).unwrap()..];
        let refused = client.batch_execute(some).await.unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!((error.code(), error.table()), (&SqlState::CHECK_VIOLATION, Some(table)), "{error}");
    }
}

#[tokio::test]
async fn an_upgrade_from_version_2_keeps_what_there_is_and_takes_go() {
    let (options, mut client) = at_version(2).await;
    let [old, go] = ["old", "go"].map(|name| testing::new_artifact(1, name, &[CheckKind::Hash]));
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

    let third = embedded::migrations::runner().set_target(refinery::Target::Version(3));
    assert_eq!(third.run_async(&mut **client).await.unwrap().applied_migrations().len(), 1);
    // The refused row took a number.
    client.batch_execute(&in_go(&go, 3)).await.unwrap();
    let other = in_go(&go, 4).replace("'go', 'go'", "'maven', 'go'");
    let refused = client.batch_execute(&other).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION), "the set of ecosystems is still closed");
    Store::migrate(&options.url).await.unwrap();

    let store = Store::connect(options).await.unwrap();
    for (new, ecosystem) in [(&old, Ecosystem::Npm), (&go, Ecosystem::Go)] {
        let id = ArtifactId { ecosystem, ..new.id.clone() };
        assert_eq!(store.status(&id).await.unwrap().unwrap().gate.sha256, new.sha256);
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

#[tokio::test]
async fn of_two_starters_one_migrates_and_later_ones_find_nothing_to_do() {
    let url = testing::empty_database().await;
    let (one, other) = tokio::join!(Store::migrate(&url), Store::migrate(&url));
    let mut applied = [one.unwrap().applied, other.unwrap().applied];
    applied.sort();
    assert_eq!(applied[0], Vec::<String>::new());
    assert_eq!(applied[1].len(), embedded::migrations::runner().get_migrations().len());
    assert_eq!(applied[1][0], "V1__create_schema");
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
