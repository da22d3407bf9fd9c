use touchstone_domain::{
    ArtifactDbId, ArtifactState, Basis, CheckKind, Identity, Observed, OutcomeKind, Policy, ReleaseLine,
    Sha256, TrustRank,
};

use super::*;
use crate::{
    Accepted, LedgerSubject, NewSumdbStop, RecallTarget, SumdbHead, SumdbStopKind, SumdbTile, SumdbTree,
    TrustKind, TrustRecord, Wanted,
    testing::{Facts, TestDb, judge, key, sign, signed},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];

#[tokio::test]
async fn a_server_that_is_away_is_a_transient_error_and_a_bad_address_is_not() {
    let options = |url: &str| StoreOptions { url: url.into(), pool_size: 1, application_name: "test".into() };
    let away = Store::connect(options("postgres://nobody@/none?host=/nowhere")).await.map(drop).unwrap_err();
    assert!(matches!(&away, StoreError::Unavailable(_)) && away.is_transient(), "{away}");
    let bad = Store::connect(options("http://database.example")).await.map(drop).unwrap_err();
    assert!(matches!(&bad, StoreError::Address(_)) && !bad.is_transient(), "{bad}");
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_replaced() {
    let db = TestDb::new().await;
    db.store.ping().await.unwrap();
    db.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test' AND datname = current_database()")
        .await;
    // until the pool has learnt of it, statements fail, and may be tried again
    let mut answer = db.store.ping().await;
    for _ in 0..100 {
        match answer {
            Ok(()) => return,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::task::yield_now().await;
        answer = db.store.ping().await;
    }
    panic!("the pool keeps a dead connection");
}

/// A pool of one connection whose statements may take so long.
fn narrow(db: &TestDb, statement_timeout: Duration) -> Store {
    Store { pool: pool(&db.url, 1, "narrow", statement_timeout).unwrap() }
}

#[tokio::test]
async fn a_statement_that_waits_too_long_ends_without_an_effect_and_may_be_tried_again() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Hash)])).await.unwrap();
    let store = narrow(&db, Duration::from_millis(200));
    let promote = async || {
        let changes = judge(&store, &[a.artifact], Wanted::New, |_| true).await?;
        Ok::<_, StoreError>(changes.into_iter().map(|change| change.state).collect::<Vec<_>>())
    };
    let digest = RecallTarget::Digest(a.new.sha256);
    let holder = db.store.client().await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM gate FOR UPDATE").await.unwrap();
    for (failed, expected) in [
        (promote().await.unwrap_err(), "gate.apply"),
        (store.hold(&digest).await.unwrap_err(), "recall.hold_digest"),
    ] {
        let StoreError::Statement { source, statement } = &failed else { panic!("{failed}") };
        assert_eq!(source.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED), "{expected}");
        assert_eq!((*statement, failed.is_transient()), (expected, true));
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM gate WHERE ok > 0 OR hold > 0").await, 0);
    assert_eq!(promote().await.unwrap(), [ArtifactState::Servable]);
    assert_eq!(store.hold(&digest).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_gets_no_connection_in_time_may_try_again() {
    let db = TestDb::new().await;
    let store = narrow(&db, Duration::from_secs(30));
    let held = store.client().await.unwrap();
    tokio::time::pause();
    let error = store.ping().await.unwrap_err();
    tokio::time::resume();
    assert!(matches!(&error, StoreError::Unavailable(_)) && error.is_transient(), "{error}");
    drop(held);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn futures_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let db = TestDb::new().await;
    is_send(&db.store.apply(&[], &[], None));
    is_send(&db.store.release_aged(&[], &[], None));
    is_send(&db.store.reopen_key(key("hash"), 1));
    is_send(&db.store.reopen_policy(&[], &Policy::default()));
    is_send(&db.store.recall(&RecallTarget::Digest(Sha256::of("")), "", ""));
    is_send(&db.store.ingest_many(&[]));
    is_send(&db.store.stories_of(&[]));
    is_send(&db.store.resume_sumdb("", &[], "", false));
    let id = crate::testing::id("a", "1.0.0");
    let subject = LedgerSubject { artifact: ArtifactDbId(1), id: &id, line: ReleaseLine(1) };
    is_send(&db.store.settle_identity(&subject, |history| (history.len(), Some(accepted()))));
}

#[tokio::test]
async fn a_policy_has_one_number() {
    let db = TestDb::new().await;
    let strict = Policy::parse("[[rule]]\nrequire = [\"hash\"]\n").unwrap();
    let numbers =
        futures::future::try_join_all((0..8).map(|_| db.store.register_policy(&strict))).await.unwrap();
    assert!(numbers.iter().all(|number| *number == numbers[0] && *number != db.policy_epoch));
    assert_eq!(db.store.register_policy(&Policy::default()).await.unwrap(), db.policy_epoch);
    assert_eq!(db.store.policy_document(numbers[0]).await.unwrap().as_deref(), Some(strict.document()));
    assert_eq!(db.store.policy_document(999).await.unwrap(), None);
}

/// The tables of history, and a column of each.
const HISTORY: [(&str, &str); 21] = [
    ("policy", "document"),
    ("artifact", "file"),
    ("claim", "value"),
    ("evidence", "url"),
    ("verdict", "service"),
    ("promotion", "epoch"),
    ("gate_log", "state"),
    ("attempt", "detail"),
    ("sighting", "version"),
    ("recall", "reason"),
    ("identity", "version"),
    ("trust_material", "origin"),
    ("sumdb_stop", "detail"),
    ("sumdb_resume", "reason"),
    ("fetched", "at"),
    ("verdict_refusal", "reason"),
    ("log_event", "event"),
    ("log_leaf", "entry"),
    ("log_seal", "note"),
    ("layout", "ring"),
    ("fetch_refusal", "reason"),
];

/// A row in each table of what is signed and logged.
async fn sign_history(db: &TestDb) {
    db.store.record_refusals(&[(1, "signature".into(), "r".into())]).await.unwrap();
    let fetch = (ArtifactDbId(1), Sha256::of("e"), "missing".into(), "r".into());
    db.store.record_fetch_refusals(&[fetch]).await.unwrap();
    db.execute("INSERT INTO log_leaf (index, source, source_id, entry) VALUES (0, 'gate_log', 1, 'e');
        INSERT INTO log_seal (size, root, note) VALUES (1, sha256(''), 'n');
        INSERT INTO layout (required, tolerated, ring, key, envelope, pack, pack_offset, pack_size, expires_at)
        SELECT 1, 0, key, key, envelope, pack, pack_offset, pack_size, now() FROM fetched")
        .await
        .unwrap();
}

#[tokio::test]
async fn history_cannot_be_changed_whatever_the_session_says() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    db.store.recall(&RecallTarget::Digest(a.new.sha256), "r", "ops").await.unwrap();
    db.store
        .first_seen(a.new.id.ecosystem, &a.new.id.package, &[(a.new.id.version.clone(), false)])
        .await
        .unwrap();
    let document = b"root".to_vec();
    let root = TrustRecord {
        kind: TrustKind::SigstoreRoot,
        sha256: Sha256::of(&document),
        document,
        origin: "file".into(),
    };
    db.store.record_trust(&root).await.unwrap();
    db.execute("INSERT INTO identity (artifact_id, ecosystem, package, version, file, line, identity, rank, basis) VALUES (1, 'npm', 'a', '1', 'f', 1, '{}', 'provenance', '{\"basis\": \"pinned\"}')")
        .await
        .unwrap();
    db.execute("INSERT INTO attempt (artifact_id, epoch, check_kind, delivery, class, detail, service) VALUES (1, 0, 'hash', 1, 'retry', '', 'hash')")
        .await
        .unwrap();
    sign_history(&db).await;
    let head = || SumdbHead { size: 1, root: a.new.sha256, note: b"note".to_vec() };
    let fork = NewSumdbStop {
        kind: SumdbStopKind::Fork,
        ours: head(),
        theirs: SumdbHead { root: Sha256::of("other"), ..head() },
        detail: String::new(),
    };
    for _ in 0..2 {
        assert!(db.store.stop_sumdb("sum.example+1", &fork).await.unwrap());
        assert!(db.store.resume_sumdb("sum.example+1", &[SumdbStopKind::Fork], "r", false).await.unwrap());
    }
    let mut statements = vec!["DELETE FROM gate".to_owned(), "TRUNCATE gate".to_owned()];
    for (table, column) in HISTORY {
        statements.push(format!("UPDATE {table} SET {column} = {column}"));
        statements.push(format!("DELETE FROM {table}"));
        statements.push(format!("TRUNCATE {table} CASCADE"));
    }
    for statement in statements {
        let error =
            db.execute(&format!("SET session_replication_role = replica; {statement}")).await.unwrap_err();
        assert_eq!(
            error.code().map(tokio_postgres::error::SqlState::code),
            Some("23001"),
            "{statement}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_gate_cannot_be_made_servable_or_forgetful() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), a.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
    db.store.recall(&RecallTarget::Digest(b.new.sha256), "r", "ops").await.unwrap();
    for (statement, code) in [
        ("UPDATE gate SET servable = true", "428C9"),
        ("UPDATE gate SET pending = false", "428C9"),
        ("UPDATE gate SET required = 0", "23514"),
        ("UPDATE gate SET veto = 0", "23514"),
        ("UPDATE gate SET tolerated = required", "23001"),
        ("UPDATE gate SET epoch = epoch + 1, tolerated = required", "23514"),
        ("UPDATE gate SET epoch = epoch + 1, tolerated = 2", "23514"),
        ("UPDATE gate SET deny = 0", "23001"),
        ("UPDATE gate SET ok = 0", "23001"),
        ("UPDATE gate SET hold = 0", "23001"),
        ("UPDATE gate SET epoch = epoch - 1", "23001"),
        ("UPDATE gate SET dispatch_due = NULL", "23502"),
        (
            "INSERT INTO gate (artifact_id, policy_epoch, required, veto, dispatch_due) VALUES (99, 1, 1, 1, now())",
            "23503",
        ),
    ] {
        let error = db.execute(statement).await.unwrap_err();
        assert_eq!(
            error.code().map(tokio_postgres::error::SqlState::code),
            Some(code),
            "{statement}: {error:?}"
        );
    }
    db.execute("UPDATE gate SET epoch = epoch + 1, ok = 0, deny = 0, undecided = 0").await.unwrap();
}

fn accepted() -> Accepted {
    let identity = Identity {
        issuer: "https://issuer.example".into(),
        signer: "release@acme.example".into(),
        repository: None,
        repository_id: None,
        owner_id: None,
        workflow: None,
        git_ref: None,
        trigger: None,
        runner: None,
    };
    Accepted { observed: Observed { identity, rank: TrustRank::Provenance }, basis: Basis::FirstUse }
}

/// What the sumdb check asks for each artifact.
async fn check_sumdb(store: &Store) {
    let head = |size| SumdbHead { size, root: Sha256::of("tree"), note: b"note".to_vec() };
    let tile = SumdbTile { level: 0, index: 1, hashes: vec![1; 32] };
    let (database, ours, theirs) = ("sum.example+1", head(1), head(2));
    store.advance_sumdb_head(database, None, &ours).await.unwrap();
    store.advance_sumdb_head(database, Some(&ours), &theirs).await.unwrap();
    store.record_sumdb_poll(database, 2, 3).await.unwrap();
    let tree = SumdbTree { lineage: 0, size: 2 };
    store.put_sumdb_tiles(database, tree, std::slice::from_ref(&tile)).await.unwrap();
    store.repair_sumdb_tiles(database, tree, &[tile]).await.unwrap();
    store.sumdb_tiles(database, &[(0, 1)]).await.unwrap();
    let fork = NewSumdbStop { kind: SumdbStopKind::Fork, ours, theirs, detail: String::new() };
    store.stop_sumdb(database, &fork).await.unwrap();
    store.sumdb_state(database).await.unwrap();
    store.resume_sumdb(database, &SumdbStopKind::ALL, "r", false).await.unwrap();
    store.sumdb_state(database).await.unwrap();
}

/// What signing adds to the path.
async fn check_custody(s: &Store, a: &Facts, b: &Facts) {
    let ids = [a.artifact, b.artifact];
    s.record_verdicts(&sign(&[a.pass(CheckKind::Hash)])).await.unwrap();
    s.record_refusals(&[(1, "signature".into(), "r".into())]).await.unwrap();
    s.record_fetch(a.artifact, &signed("fetch", "again")).await.unwrap();
    for wanted in [Wanted::New, Wanted::All] {
        s.cases(&ids, wanted).await.unwrap();
    }
    s.next_serials(1).await.unwrap();
    s.aged(9).await.unwrap();
    s.release_aged(&ids, &[], None).await.unwrap();
    s.unpromoted(9).await.unwrap();
    s.chains(&(&a.new.id).into()).await.unwrap();
    s.chains_of_digest(a.new.sha256).await.unwrap();
    s.reopen_unsigned(9).await.unwrap();
    s.reopen_unapproved(&ids).await.unwrap();
    s.reported_missing(9).await.unwrap();
    s.reopen_lost(&[]).await.unwrap();
    s.reopen_key(key("hash"), 9).await.unwrap();
    s.reopen_policy(&ids, &Policy::parse("[[rule]]\nrequire = [\"hash\"]\n").unwrap()).await.unwrap();
}

/// Plans are made once, while tables are small: none may scan a table that grows.
#[tokio::test]
async fn no_statement_on_the_path_scans_a_table() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let b = db.artifact("b", HASH).await;
    let (s, ids) = (&db.store, [a.artifact, b.artifact]);
    db.judge(&[a.pass(CheckKind::Hash), b.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
    s.ingest(&a.new).await.unwrap();
    s.facts(&ids).await.unwrap();
    s.states(&ids).await.unwrap();
    s.status(&a.new.id).await.unwrap();
    s.status(&b.new.id).await.unwrap();
    s.serve_record(&a.new.id).await.unwrap();
    s.package_artifacts(a.new.id.ecosystem, &a.new.id.package).await.unwrap();
    s.due(9, 9).await.unwrap();
    check_custody(s, &a, &b).await;
    s.uncounted_failures(Duration::MAX, 9).await.unwrap();
    s.stories_of(&ids).await.unwrap();
    s.first_seen(a.new.id.ecosystem, &a.new.id.package, &[(a.new.id.version.clone(), false)]).await.unwrap();
    s.recheck(&"pkg:npm/b".parse().unwrap(), &Policy::default(), false).await.unwrap();
    s.seen(a.new.id.ecosystem, &a.new.id.package, &a.new.id.version).await.unwrap();
    s.add_evidence(a.artifact, &a.new.evidence).await.unwrap();
    let subject = LedgerSubject { artifact: a.artifact, id: &a.new.id, line: ReleaseLine(1) };
    let accepted = accepted();
    for _ in 0..2 {
        s.settle_identity(&subject, |_| ((), Some(accepted.clone()))).await.unwrap();
    }
    s.identities(a.new.id.ecosystem, &a.new.id.package, 9).await.unwrap();
    s.has_identity(a.new.id.ecosystem, &a.new.id.package).await.unwrap();
    s.document(a.new.id.ecosystem, "a").await.unwrap();
    s.recall(&RecallTarget::Digest(a.new.sha256), "r", "ops").await.unwrap();
    s.recall(&RecallTarget::Purl("pkg:npm/b".parse().unwrap()), "r", "ops").await.unwrap();
    check_sumdb(s).await;
    // each session reports what it did before it goes on
    let client = db.store.client().await.unwrap();
    client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    let scanned = client
        .query(
            "SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0 ORDER BY relname",
            &[],
        )
        .await
        .unwrap();
    let scanned: Vec<(String, i64)> = scanned.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(scanned, []);
    let used = client.query_one("SELECT sum(idx_scan)::bigint FROM pg_stat_user_tables", &[]).await.unwrap();
    assert!(used.get::<_, i64>(0) > 20, "the sessions have reported");
}
