use touchstone_custody::{RecallTarget, artifact_purl};
use touchstone_domain::{ArtifactState, CheckKind, OutcomeKind, Purl, Sha256};

use super::*;
use crate::testing::{Facts, TestDb, key, signed};

/// All that is to be sealed, once so much is settled: transactions of other databases hold it up.
async fn rows(db: &TestDb, number: usize) -> Vec<LogRow> {
    for _ in 0..1000 {
        let (rows, _) = db.store.log_rows(LogCursor::default(), LOG_ROWS_MAX).await.expect("rows");
        if rows.len() >= number {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there are never {number} rows");
}

/// Seals all that is to be sealed. The store does not look at checkpoints.
async fn seal(db: &TestDb, number: usize) -> Vec<LogRow> {
    let rows = rows(db, number).await;
    let tip = db.store.log_tip().await.expect("tip");
    let leaf = |row: &LogRow| NewLogLeaf {
        source: row.source.as_str(),
        source_id: row.id,
        entry: row.entry.to_bytes(),
    };
    let leaves: Vec<NewLogLeaf> = rows.iter().map(leaf).collect();
    let sealed = checkpoint(tip.leaves + leaves.len() as u64);
    assert!(db.store.append_leaves(tip.leaves, &leaves, &sealed).await.expect("appended"));
    rows
}

fn checkpoint(size: u64) -> LogSeal {
    LogSeal { size, root: Sha256::of(size.to_be_bytes()), note: b"a note".to_vec() }
}

fn kinds(rows: &[LogRow]) -> Vec<String> {
    let kind = |row: &LogRow| {
        let json: serde_json::Value = serde_json::from_slice(&row.entry.to_bytes()).expect("JSON");
        json["event"].as_str().expect("a kind").to_owned()
    };
    rows.iter().map(kind).collect()
}

fn purl(facts: &Facts) -> String {
    artifact_purl(&facts.new.id).to_string()
}

async fn promoted(db: &TestDb, package: &str) -> Facts {
    let facts = db.artifact(package, &[CheckKind::Hash]).await;
    let changes = db.judge(&[facts.pass(CheckKind::Hash)]).await.expect("judged");
    assert_eq!(changes[0].state, ArtifactState::Servable);
    facts
}

#[tokio::test]
async fn what_happened_is_told_in_the_order_of_commits_and_once() {
    let db = TestDb::new().await;
    let served = promoted(&db, "served").await;
    let failed = db.artifact("failed", &[CheckKind::Hash]).await;
    db.judge(&[failed.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.expect("judged");
    let target = RecallTarget::Purl("pkg:npm/served".parse::<Purl>().expect("a purl"));
    db.store.recall(&target, "stolen token", "ada").await.expect("recalled");

    let all = seal(&db, 5).await;
    assert_eq!(kinds(&all), ["policy", "promoted", "ended", "recalled", "ended"]);
    let LogEntry::Promoted { purl: of, sha256, epoch, serial, record, .. } = &all[1].entry else { panic!() };
    assert_eq!((of, *sha256, *epoch), (&purl(&served), served.new.sha256, 0));
    let promotion = db.query("SELECT serial, envelope FROM promotion").await;
    assert_eq!((*serial, &record.0[..]), (promotion[0].get(0), promotion[0].get(1)));
    let LogEntry::Ended { purl: of, epoch: 0, state, cause, .. } = &all[2].entry else { panic!() };
    assert_eq!((of, state.as_str(), cause.as_str()), (&purl(&failed), "rejected", "verdict"));
    let LogEntry::Ended { purl: of, epoch: 0, state, cause, .. } = &all[4].entry else { panic!() };
    assert_eq!((of, state.as_str(), cause.as_str()), (&purl(&served), "revoked", "recall"));
    let LogEntry::Recalled { reason, actor, .. } = &all[3].entry else { panic!() };
    assert_eq!((reason.as_str(), actor.as_str()), ("stolen token", "ada"));
    assert_eq!(all[3].entry.recalled(), Some(target));

    assert_eq!(rows(&db, 0).await, []);
    assert_eq!(db.store.log_index_of(*serial).await.expect("asked"), Some(1));
    assert_eq!(db.store.log_index_of(serial + 1).await.expect("asked"), None);
    let cursor = db.store.log_cursor().await.expect("a cursor");
    assert_eq!((cursor.gate.1, cursor.event.1), (all[4].id, all[3].id));
    promoted(&db, "later").await;
    assert_eq!(kinds(&seal(&db, 1).await), ["promoted"]);
    assert!(db.store.log_cursor().await.expect("a cursor").gate > cursor.gate);
}

#[tokio::test]
async fn what_may_still_be_overtaken_waits() {
    let db = TestDb::new().await;
    seal(&db, 1).await;
    let mut slow = db.raw().await;
    let slow = slow.transaction().await.expect("a transaction");
    slow.batch_execute("SELECT pg_current_xact_id()").await.expect("begun");
    promoted(&db, "quick").await;
    assert_eq!(rows(&db, 0).await, [], "the slow one may still commit before it");
    slow.commit().await.expect("committed");
    assert_eq!(kinds(&rows(&db, 1).await), ["promoted"]);
}

#[tokio::test]
async fn a_new_epoch_ends_the_one_before_it() {
    let db = TestDb::new().await;
    let facts = promoted(&db, "package").await;
    let policy = touchstone_domain::Policy::default();
    db.store.recheck(&Purl::from(&facts.new.id), &policy, true).await.expect("reopened");
    let all = seal(&db, 3).await;
    assert_eq!(kinds(&all), ["policy", "promoted", "ended"]);
    let LogEntry::Ended { epoch, state, cause, .. } = &all[2].entry else { panic!() };
    assert_eq!((*epoch, state.as_str(), cause.as_str()), (0, "fetched", "recheck"));
}

#[tokio::test]
async fn leaves_are_added_by_one_at_a_time() {
    let db = TestDb::new().await;
    assert_eq!(db.store.log_tip().await.expect("tip"), LogTip::default());
    seal(&db, 1).await;
    let tip = db.store.log_tip().await.expect("tip");
    assert_eq!((tip.leaves, tip.size()), (1, 1));
    let leaf = |id| NewLogLeaf { source: "log_event", source_id: id, entry: b"{}".to_vec() };
    let append = async |expected, id| {
        let size = expected + 1;
        db.store.append_leaves(expected, &[leaf(id)], &checkpoint(size)).await.expect("asked")
    };
    assert!(!append(0, 900).await, "another was first");
    assert!(!append(2, 900).await, "a gap");
    assert!(append(1, 900).await);
    let leaves = db.store.leaves(0, 9).await.expect("leaves");
    assert_eq!(leaves.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(db.store.log_seal(2).await.expect("asked"), Some(checkpoint(2)));
    assert_eq!(db.store.log_seal(3).await.expect("asked"), None);

    let leader = db.store.lead_log().await.expect("asked").expect("nobody leads");
    assert!(leader.is_held().await);
    assert!(db.store.lead_log().await.expect("asked").is_none());
    drop(leader);
    for _ in 0..1000 {
        if db.store.lead_log().await.expect("asked").is_some() {
            return;
        }
    }
    panic!("the right outlives its connection");
}

#[tokio::test]
async fn what_becomes_of_a_key_is_kept_once() {
    let db = TestDb::new().await;
    let record = async |change, reason| {
        db.store.record_key_event(key("hash"), "hash", change, reason).await.expect("recorded")
    };
    assert!(record("added", None).await);
    assert!(record("window", Some("from 2026")).await);
    assert!(!record("added", None).await);
    assert!(!record("window", Some("from 2026")).await);
    assert!(record("window", Some("from 2025")).await);
    assert!(record("window", Some("from 2026")).await, "it changed back");
    db.store.record_recovery(7, "a restored backup").await.expect("recorded");
    let all = rows(&db, 6).await;
    assert_eq!(kinds(&all), ["policy", "key", "key", "key", "key", "recovered"]);
    let LogEntry::Recovered { size: 7, reason, .. } = &all[5].entry else { panic!() };
    assert_eq!(reason, "a restored backup");
}

#[tokio::test]
async fn an_event_that_nobody_understands_holds_nothing_up() {
    let db = TestDb::new().await;
    db.execute(r#"INSERT INTO log_event (event) VALUES ('{"event": "newer"}')"#).await.expect("inserted");
    let all = rows(&db, 2).await;
    let LogEntry::Incident { kind, .. } = &all[1].entry else { panic!() };
    assert_eq!(kind, "unknown_event");
}

#[tokio::test]
async fn an_event_that_nobody_can_read_holds_nothing_up_and_is_sealed_by_its_digest() {
    let db = TestDb::new().await;
    let deep = format!(r#"{{"event": "recovered", "x": {}{}}}"#, "[".repeat(200), "]".repeat(200));
    let large = r#"{"event": "recovered", "size": 1e400}"#;
    let undated = r#"{"event": "recovered", "size": 1, "reason": "r"}"#;
    for (event, at) in
        [(deep.as_str(), "now()"), (large, "now()"), (undated, "'infinity'"), (undated, "'-infinity'")]
    {
        let sql = format!("INSERT INTO log_event (event, at) VALUES ('{event}', {at})");
        db.execute(&sql).await.expect("inserted");
    }
    db.store.record_recovery(7, "what comes after").await.expect("recorded");
    assert!(db.store.oldest_unsealed().await.expect("read").is_some());
    let all = seal(&db, 6).await;
    let texts = db.query("SELECT event::text FROM log_event ORDER BY id").await;
    for (row, text) in all.iter().zip(&texts).skip(1).take(4) {
        let LogEntry::Incident { kind, purl, detail, .. } = &row.entry else { panic!("{row:?}") };
        assert_eq!((kind.as_str(), purl.as_str()), ("unreadable_row", ""));
        assert_eq!(*detail, Sha256::of(text.get::<_, String>(0)));
    }
    assert_eq!(kinds(&all[5..]), ["recovered"]);
    assert_eq!(audit(&db).await, [""; 0], "it is what was sealed");
}

/// The problems that an audit of all leaves finds.
async fn audit(db: &TestDb) -> Vec<String> {
    let audited = db.store.audited_leaves(0, 99).await.expect("audited");
    let problem = |audited: &AuditedLeaf| {
        let index = audited.leaf.index;
        match &audited.today {
            None => Some(format!("{index} is gone")),
            Some(entry) if entry.to_bytes() != audited.leaf.entry => Some(format!("{index} is another")),
            Some(_) if !audited.is_backed => Some(format!("{index} is about nothing")),
            Some(_) => None,
        }
    };
    audited.iter().filter_map(problem).collect()
}

#[tokio::test]
async fn an_audit_finds_rows_that_are_gone_or_changed() {
    let db = TestDb::new().await;
    promoted(&db, "served").await;
    let failed = db.artifact("failed", &[CheckKind::Hash]).await;
    db.judge(&[failed.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.expect("judged");
    let target = RecallTarget::Digest(Sha256::of("bad"));
    db.store.recall(&target, "stolen token", "ada").await.expect("recalled");
    seal(&db, 4).await;
    assert_eq!(audit(&db).await, [""; 0]);
    for (change, found) in [
        ("DELETE FROM gate_log WHERE state = 'servable'", "1 is gone"),
        ("DELETE FROM promotion", "1 is gone"),
        ("UPDATE promotion SET envelope = sha256('x')", "1 is another"),
        ("UPDATE artifact SET sha256 = sha256('x') WHERE package = 'served'", "1 is another"),
        ("UPDATE gate_log SET state = 'held' WHERE state = 'rejected'", "2 is another"),
        ("DELETE FROM verdict WHERE outcome = 'fail'", "2 is about nothing"),
        ("DELETE FROM recall", "3 is about nothing"),
        ("UPDATE recall SET reason = 'a mistake'", "3 is about nothing"),
        (
            "UPDATE log_event SET event = jsonb_set(event, '{actor}', '\"bob\"') WHERE event ->> 'event' = 'recalled'",
            "3 is another",
        ),
        ("DELETE FROM log_event WHERE event ->> 'event' = 'recalled'", "3 is gone"),
        ("UPDATE policy SET sha256 = sha256('x'), document = 'x'", "0 is about nothing"),
    ] {
        // In replica mode only triggers that are ENABLE ALWAYS fire, so the owner takes them out of the way, and undoes it all.
        let tables = ["gate_log", "promotion", "artifact", "verdict", "recall", "log_event", "policy"];
        let disabled: String =
            tables.map(|table| format!("ALTER TABLE {table} DISABLE TRIGGER ALL;")).concat();
        let kept: String =
            tables.map(|table| format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table};")).concat();
        let raw = db.raw().await;
        raw.batch_execute(&format!("{disabled} {kept} SET session_replication_role = replica; {change}"))
            .await
            .expect(change);
        assert_eq!(audit(&db).await, [found], "{change}");
        for table in tables {
            let columns = "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";
            let columns: String = raw.query_one(columns, &[&table]).await.expect("columns").get(0);
            let restore = format!(
                "DELETE FROM {table}; INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM kept_{table};
                 DROP TABLE kept_{table};"
            );
            raw.batch_execute(&restore).await.unwrap_or_else(|error| panic!("{restore}: {error:?}"));
        }
        raw.batch_execute("RESET session_replication_role").await.expect("reset");
        assert_eq!(audit(&db).await, [""; 0], "{change}");
    }
}

#[tokio::test]
async fn what_a_promotion_rests_on_is_looked_for() {
    let db = TestDb::new().await;
    let facts = promoted(&db, "served").await;
    let serial = db.number("SELECT serial FROM promotion").await;
    let verdict = db.query("SELECT key, envelope FROM verdict").await;
    let digest = |column| Sha256::from_slice(verdict[0].get(column)).expect("a digest");
    let input =
        RecordInput { serial, check: Some(CheckKind::Hash), key: KeyId(digest(0)), envelope: digest(1) };
    let fetch = RecordInput {
        check: None,
        key: facts.new.fetch.key,
        envelope: facts.new.fetch.envelope.sha256,
        ..input
    };
    let missing = async |input| db.store.missing_inputs(&[fetch, input]).await.expect("asked");
    assert_eq!(missing(input).await, []);
    for other in [
        RecordInput { serial: serial + 1, ..input },
        RecordInput { check: Some(CheckKind::Attest), ..input },
        RecordInput { key: key("attest"), ..input },
        RecordInput { envelope: signed("hash", "another").envelope.sha256, ..input },
        RecordInput { check: None, ..input },
    ] {
        assert_eq!(missing(other).await, [other]);
    }
    db.execute("ALTER TABLE verdict DISABLE TRIGGER ALL; UPDATE verdict SET outcome = 'fail'")
        .await
        .expect("changed");
    assert_eq!(missing(input).await, [input]);
    db.execute("ALTER TABLE fetched DISABLE TRIGGER ALL; DELETE FROM fetched").await.expect("deleted");
    assert_eq!(missing(input).await, [fetch, input]);
}

#[tokio::test]
async fn lost_leaves_are_put_back_by_their_numbers() {
    let db = TestDb::new().await;
    promoted(&db, "served").await;
    seal(&db, 2).await;
    let lost = [(2, b"{\"a\":1}".to_vec()), (3, b"{\"a\":2}".to_vec())];
    assert!(!db.store.restore_leaves(1, &lost, None).await.expect("asked"));
    assert!(db.store.restore_leaves(2, &lost, Some(&checkpoint(4))).await.expect("asked"));
    let tip = db.store.log_tip().await.expect("tip");
    assert_eq!((tip.leaves, tip.size()), (4, 4));
    let restored = db.store.restored_leaves(0, 9).await.expect("leaves");
    assert_eq!(restored.iter().map(|leaf| (leaf.index, leaf.entry.clone())).collect::<Vec<_>>(), lost);
    let backed = async || -> Vec<bool> {
        let leaves = db.store.audited_leaves(0, 9).await.expect("audited");
        leaves.iter().map(|leaf| leaf.is_backed).collect()
    };
    assert_eq!(backed().await, [true, true, false, false], "nobody recovered anything");
    db.store.record_recovery(3, "of a smaller log").await.expect("recorded");
    assert_eq!(backed().await, [true, true, true, false]);
    db.store.record_recovery(4, "a restored backup").await.expect("recorded");
    assert_eq!(backed().await, [true; 4]);
    db.execute(
        "ALTER TABLE log_leaf DISABLE TRIGGER ALL; UPDATE log_leaf SET source_id = 77 WHERE index = 2",
    )
    .await
    .expect("changed");
    assert_eq!(backed().await, [true, true, false, true], "it names another leaf");
    // What comes next is what comes next.
    promoted(&db, "later").await;
    assert_eq!(kinds(&seal(&db, 3).await)[2..], ["promoted"]);

    db.store.raise_serial(500).await.expect("raised");
    db.store.raise_serial(3).await.expect("kept");
    promoted(&db, "last").await;
    assert!(db.number("SELECT max(serial) FROM promotion").await > 500);
}

#[tokio::test]
async fn what_ended_by_the_log_is_checked_again_in_the_epoch_after_it() {
    let db = TestDb::new().await;
    let served = promoted(&db, "served").await;
    let failed = db.artifact("failed", &[CheckKind::Hash]).await;
    db.judge(&[failed.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.expect("judged");
    let mut unknown = served.new.id.clone();
    unknown.version = touchstone_domain::Version::new("2.0.0").expect("a version");
    // What was rejected in that very epoch stays rejected.
    let ended = [(failed.new.id.clone(), 0), (unknown.clone(), 4), (served.new.id.clone(), 6)];
    let raised = db.store.raise_epochs(&ended).await.expect("raised");
    assert_eq!(raised.absent, [(unknown, 4)]);
    let changes: Vec<_> = raised.changes.iter().map(|c| (c.artifact, c.was, c.state)).collect();
    assert_eq!(changes, [(served.artifact, ArtifactState::Servable, ArtifactState::Fetched)]);
    assert_eq!(db.number("SELECT epoch::bigint FROM gate WHERE pending").await, 7);
    assert_eq!(db.store.raise_epochs(&ended).await.expect("again").changes, []);
    let all = seal(&db, 4).await;
    let LogEntry::Ended { epoch, .. } = &all[3].entry else { panic!() };
    assert_eq!(*epoch, 6);

    let target = RecallTarget::Purl("pkg:npm/served@1.0.0".parse().expect("a purl"));
    assert!(!db.store.is_recalled(&target).await.expect("asked"));
    db.store.recall(&target, "bad", "ada").await.expect("recalled");
    assert!(db.store.is_recalled(&target).await.expect("asked"));
    let wider = RecallTarget::Purl("pkg:npm/served".parse().expect("a purl"));
    assert!(!db.store.is_recalled(&wider).await.expect("asked"));
}
