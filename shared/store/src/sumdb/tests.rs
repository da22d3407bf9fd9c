use std::slice;

use super::*;
use crate::testing::TestDb;

const DATABASE: &str = "sum.example+00000001";
const OTHER: &str = "sum.example+00000002";
/// What a trigger of ours raises.
const RESTRICT_VIOLATION: &str = "23001";
const TREE: SumdbTree = SumdbTree { lineage: 0, size: 9 };

fn head(size: u64) -> SumdbHead {
    SumdbHead { size, root: Sha256::of(format!("tree {size}")), note: format!("note {size}").into_bytes() }
}

fn forked(size: u64) -> SumdbHead {
    SumdbHead { root: Sha256::of("another tree"), ..head(size) }
}

fn stop(kind: SumdbStopKind) -> NewSumdbStop {
    NewSumdbStop { kind, ours: head(9), theirs: forked(9), detail: "they differ".into() }
}

/// The code and the words of what Postgres refused.
fn refused(error: &tokio_postgres::Error) -> (String, String) {
    let error = error.as_db_error().expect("the server refused it");
    (error.code().code().to_owned(), error.message().to_owned())
}

fn refused_statement(error: &StoreError) -> (&'static str, String) {
    assert!(!error.is_transient(), "{error}");
    let StoreError::Statement { statement, source } = error else { panic!("{error:?}") };
    let (code, words) = refused(source);
    assert_eq!(code, RESTRICT_VIOLATION, "{words}");
    (statement, words)
}

async fn advance(db: &TestDb, expected: Option<u64>, new: &SumdbHead) -> Advanced {
    let expected = expected.map(head);
    db.store.advance_sumdb_head(DATABASE, expected.as_ref(), new).await.unwrap()
}

async fn state_of(db: &TestDb, database: &str) -> SumdbState {
    db.store.sumdb_state(database).await.unwrap()
}

async fn resume(db: &TestDb, kinds: &[SumdbStopKind], discard_head: bool) -> bool {
    db.store.resume_sumdb(DATABASE, kinds, "asked the operators", discard_head).await.unwrap()
}

#[tokio::test]
async fn a_head_is_replaced_by_who_knows_what_was_there() {
    let db = TestDb::new().await;
    assert_eq!(state_of(&db, DATABASE).await, SumdbState::default());
    assert_eq!(advance(&db, Some(5), &head(6)).await, Advanced::Raced, "there is none");
    assert_eq!(advance(&db, None, &head(5)).await, Advanced::Advanced);
    assert_eq!(advance(&db, None, &head(6)).await, Advanced::Raced);
    assert_eq!(advance(&db, Some(4), &head(6)).await, Advanced::Raced);
    let fork = forked(5);
    let raced = db.store.advance_sumdb_head(DATABASE, Some(&fork), &head(6)).await.unwrap();
    assert_eq!(raced, Advanced::Raced, "the size is the same, and the root is not");
    assert_eq!(state_of(&db, DATABASE).await.head, Some(head(5)));
    assert_eq!(advance(&db, Some(5), &head(8)).await, Advanced::Advanced);
    let signed_again = SumdbHead { note: b"another signature".to_vec(), ..head(8) };
    assert_eq!(advance(&db, Some(8), &signed_again).await, Advanced::Advanced);
    assert_eq!(state_of(&db, DATABASE).await.head, Some(signed_again));
    assert_eq!(state_of(&db, OTHER).await, SumdbState::default(), "each database has its own");
}

#[tokio::test]
async fn a_head_never_goes_back_whoever_says_so() {
    let db = TestDb::new().await;
    advance(&db, None, &head(5)).await;
    let back = format!("the head of {DATABASE} never goes back: 4 is smaller than 5");
    let changed = format!("the head of {DATABASE} never changes: size 5 has another root");
    for (new, words) in [(head(4), &back), (forked(5), &changed)] {
        let error = db.store.advance_sumdb_head(DATABASE, Some(&head(5)), &new).await.unwrap_err();
        assert_eq!(refused_statement(&error), ("sumdb.advance", words.clone()));
    }
    let kept = format!("the head of {DATABASE} is forgotten only when a resume records it");
    let named = format!("the head of {DATABASE} is not that of {OTHER}");
    for (statement, words) in [
        ("UPDATE sumdb_head SET size = 4".to_owned(), back.as_str()),
        ("UPDATE sumdb_head SET root = sha256('x')".to_owned(), &changed),
        (format!("UPDATE sumdb_head SET size = 6, database = '{OTHER}'"), &named),
        ("DELETE FROM sumdb_head".to_owned(), &kept),
        (
            "TRUNCATE sumdb_head".to_owned(),
            "TRUNCATE of sumdb_head is refused: history is only ever added to",
        ),
    ] {
        let forced = format!("SET session_replication_role = replica; {statement}");
        let error = db.execute(&forced).await.unwrap_err();
        assert_eq!(refused(&error), (RESTRICT_VIOLATION.to_owned(), words.to_owned()), "{statement}");
    }
    assert_eq!(state_of(&db, DATABASE).await.head, Some(head(5)));
}

#[tokio::test]
async fn of_many_who_advance_at_once_one_wins_and_nothing_goes_back() {
    let db = TestDb::new().await;
    let first: Vec<SumdbHead> = (1..=8).map(head).collect();
    let race = async |expected: Option<&SumdbHead>, new: &[SumdbHead]| {
        let all = new.iter().map(|new| db.store.advance_sumdb_head(DATABASE, expected, new));
        let done = futures::future::try_join_all(all).await.unwrap();
        let won: Vec<usize> = (0..done.len()).filter(|n| done[*n] == Advanced::Advanced).collect();
        assert_eq!(won.len(), 1, "{done:?}");
        assert_eq!(state_of(&db, DATABASE).await.head, Some(new[won[0]].clone()));
        new[won[0]].clone()
    };
    let mut now = race(None, &first).await;
    for round in 1..6 {
        let new: Vec<SumdbHead> = (1..=8).rev().map(|n| head(now.size + n * round)).collect();
        now = race(Some(&now), &new).await;
    }

    // Each goes on until its head, or a larger one, is there.
    let (db, target) = (&db, now.size);
    let climb = async |to: u64| loop {
        let seen = state_of(db, DATABASE).await.head.unwrap();
        if seen.size >= to {
            return;
        }
        match db.store.advance_sumdb_head(DATABASE, Some(&seen), &head(to)).await.unwrap() {
            Advanced::Advanced => return,
            Advanced::Raced => {}
            Advanced::Stopped => panic!("nobody stopped it"),
        }
    };
    futures::future::join_all((1..=12).map(|n| climb(target + n))).await;
    assert_eq!(state_of(db, DATABASE).await.head, Some(head(target + 12)));
}

#[tokio::test]
async fn the_first_stop_of_a_kind_stands_and_the_gravest_is_told() {
    use SumdbStopKind::{Fork, Freeze, Rollback};
    let db = TestDb::new().await;
    advance(&db, None, &head(9)).await;
    let frozen = stop(Freeze);
    assert!(db.store.stop_sumdb(DATABASE, &frozen).await.unwrap());
    let later = NewSumdbStop { detail: "later".into(), ours: head(10), ..frozen.clone() };
    assert!(!db.store.stop_sumdb(DATABASE, &later).await.unwrap());
    let told = state_of(&db, DATABASE).await.stop.unwrap();
    assert_eq!((told.kind, &told.ours, &told.theirs), (Freeze, &frozen.ours, &frozen.theirs));
    assert_eq!(told.detail, frozen.detail);
    assert_eq!(advance(&db, Some(9), &head(10)).await, Advanced::Advanced, "this is what ends a freeze");

    let fork = stop(Fork);
    let all = futures::future::try_join_all((0..8).map(|_| db.store.stop_sumdb(DATABASE, &fork))).await;
    assert_eq!(all.unwrap().into_iter().filter(|new| *new).count(), 1);
    assert!(db.store.stop_sumdb(DATABASE, &stop(Rollback)).await.unwrap());
    assert_eq!(state_of(&db, DATABASE).await.stop.unwrap().kind, Fork);
    assert_eq!(advance(&db, Some(10), &head(11)).await, Advanced::Stopped);
    assert_eq!(
        advance(&db, None, &head(11)).await,
        Advanced::Stopped,
        "before it is looked at who was first"
    );
    assert_eq!(state_of(&db, DATABASE).await.head, Some(head(10)));
    let stops = db.store.sumdb_stops().await.unwrap();
    let kinds: Vec<_> = stops.iter().map(|(database, stop)| (database.as_str(), stop.kind)).collect();
    assert_eq!(kinds, [(DATABASE, Freeze), (DATABASE, Fork), (DATABASE, Rollback)]);
    assert_eq!(state_of(&db, OTHER).await.stop, None);
}

#[tokio::test]
async fn a_resume_ends_what_it_names_and_both_stay_on_record() {
    use SumdbStopKind::{Fork, Freeze, Rollback};
    let db = TestDb::new().await;
    advance(&db, None, &head(9)).await;
    assert!(!resume(&db, &SumdbStopKind::ALL, true).await, "nothing is stopped");
    for kind in [Fork, Freeze, Rollback] {
        db.store.stop_sumdb(DATABASE, &stop(kind)).await.unwrap();
    }
    assert!(resume(&db, &[Rollback, Freeze], false).await);
    assert!(!resume(&db, &[Rollback, Freeze], false).await);
    assert_eq!(state_of(&db, DATABASE).await.stop.unwrap().kind, Fork);
    assert!(resume(&db, &[Fork], false).await);
    let now = state_of(&db, DATABASE).await;
    assert_eq!((now.stop, now.head), (None, Some(head(9))));
    assert_eq!(advance(&db, Some(9), &head(10)).await, Advanced::Advanced);
    assert!(db.store.stop_sumdb(DATABASE, &stop(Fork)).await.unwrap(), "the same again is a new one");
    assert_eq!(db.store.sumdb_stops().await.unwrap().len(), 1);
    assert_eq!(db.number("SELECT count(*) FROM sumdb_stop WHERE octet_length(theirs_note) > 0").await, 4);
    assert_eq!(db.number("SELECT count(*) FROM sumdb_resume WHERE reason = 'asked the operators'").await, 3);
    let error = db.store.resume_sumdb(DATABASE, &[Fork], "", false).await.unwrap_err();
    assert!(matches!(error, StoreError::Statement { statement: "sumdb.resume", .. }), "{error:?}");
    assert!(state_of(&db, DATABASE).await.stop.is_some(), "a reason is needed");
}

#[tokio::test]
async fn a_head_is_forgotten_by_a_resume_that_records_it_with_its_tiles_and_polls() {
    let db = TestDb::new().await;
    let tile = SumdbTile { level: 0, index: 0, hashes: vec![1; 32] };
    for database in [DATABASE, OTHER] {
        db.store.advance_sumdb_head(database, None, &head(9)).await.unwrap();
        let tree = SumdbTree { lineage: 0, size: 9 };
        let kept = db.store.put_sumdb_tiles(database, tree, slice::from_ref(&tile)).await.unwrap();
        assert_eq!(kept, TilesKept::Kept);
        db.store.record_sumdb_poll(database, 9, 9).await.unwrap();
    }
    db.store.stop_sumdb(DATABASE, &stop(SumdbStopKind::Fork)).await.unwrap();
    assert!(resume(&db, &[SumdbStopKind::Fork], true).await);
    let forgotten = SumdbState { lineage: 1, ..SumdbState::default() };
    assert_eq!(state_of(&db, DATABASE).await, forgotten);
    assert_eq!(db.store.sumdb_tiles(DATABASE, &[(0, 0)]).await.unwrap(), []);
    let recorded = "SELECT discarded_size, discarded_root, discarded_note FROM sumdb_resume";
    let row = &db.query(recorded).await[0];
    let discarded = SumdbHead {
        size: u64::try_from(row.get::<_, i64>(0)).unwrap(),
        root: Sha256::from_slice(row.get(1)).unwrap(),
        note: row.get(2),
    };
    assert_eq!(discarded, head(9));
    assert_eq!(advance(&db, None, &forked(3)).await, Advanced::Advanced, "whatever is next is the first");
    assert_eq!(advance(&db, Some(3), &head(9)).await, Advanced::Raced);
    let third = forked(3);
    let again = db.store.advance_sumdb_head(DATABASE, Some(&third), &head(9)).await.unwrap();
    assert_eq!(again, Advanced::Advanced);

    let other = state_of(&db, OTHER).await;
    assert_eq!((other.head, other.poll.map(|poll| poll.latest_size)), (Some(head(9)), Some(9)));
    assert_eq!(db.store.sumdb_tiles(OTHER, &[(0, 0)]).await.unwrap(), [tile]);
    // What was recorded then permits nothing now, though the head is the same again.
    let error =
        db.execute(&format!("DELETE FROM sumdb_head WHERE database = '{DATABASE}'")).await.unwrap_err();
    assert_eq!(refused(&error).0, RESTRICT_VIOLATION);
}

#[tokio::test]
async fn polls_tell_since_when_a_tree_is_behind_and_when_it_has_grown() {
    let db = TestDb::new().await;
    let poll = async |size| db.store.record_sumdb_poll(DATABASE, size, 9).await.unwrap();
    let first = db.store.record_sumdb_poll(DATABASE, 7, 0).await.unwrap();
    assert_eq!((first.latest_size, first.behind_since), (7, None), "there is no head to be behind of");
    assert_eq!((first.polled_at, first.grown_at), (first.now, first.now));
    let behind = poll(8).await;
    assert_eq!((behind.behind_since, behind.grown_at), (Some(behind.now), behind.now));
    let smaller = poll(7).await;
    assert_eq!((smaller.behind_since, smaller.grown_at), (Some(behind.now), behind.now));
    let again = poll(8).await;
    assert_eq!(again.grown_at, behind.now, "what was there before is no growth");
    assert!(again.now > behind.now);
    let level = poll(9).await;
    assert_eq!((level.behind_since, level.grown_at), (None, level.now));
    let same = poll(9).await;
    assert_eq!((same.behind_since, same.grown_at, same.polled_at), (None, level.now, same.now));
    let told = state_of(&db, DATABASE).await.poll.unwrap();
    assert_eq!(SumdbPoll { now: same.now, ..told }, same);
    assert!(told.now > same.now);
    for (size, ours) in [(u64::MAX, 0), (1 << 63, 0), (0, 1 << 63)] {
        let error = db.store.record_sumdb_poll(DATABASE, size, ours).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { what: "tree size", .. }), "{error:?}");
    }
}

/// What counts is the head that a poll was compared with, and whether it is reached, not how far lookups have led since.
#[tokio::test]
async fn a_tree_that_follows_is_behind_since_the_last_head_that_it_reached() {
    let db = TestDb::new().await;
    advance(&db, None, &head(100)).await;
    let poll = async |size, ours| db.store.record_sumdb_poll(DATABASE, size, ours).await.unwrap();
    let level = poll(40, 40).await;
    assert_eq!(level.behind_since, None, "the head moved on after it was looked at");
    let first = poll(45, 50).await;
    assert_eq!(first.behind_since, Some(first.now));
    for (size, ours) in [(48, 60), (44, 60), (49, 100), (49, 50)] {
        assert_eq!(poll(size, ours).await.behind_since, first.behind_since, "{size}: 50 is not reached");
    }
    let reached = poll(50, 60).await;
    assert_eq!(reached.behind_since, Some(reached.now), "and 60 is what it is behind of now");
    assert_eq!(poll(59, 100).await.behind_since, reached.behind_since);
    let far = poll(99, 100).await;
    assert_eq!(far.behind_since, Some(far.now));
    assert_eq!(poll(100, 100).await.behind_since, None);
    let again = poll(99, 100).await;
    assert_eq!(again.behind_since, Some(again.now));
}

#[tokio::test]
async fn what_lasted_too_long_may_last_as_long_again_after_a_resume_that_names_it() {
    use SumdbStopKind::{Fork, Freeze, Rollback};
    let db = TestDb::new().await;
    advance(&db, None, &head(9)).await;
    let before = db.store.record_sumdb_poll(DATABASE, 8, 9).await.unwrap();
    let poll = async || state_of(&db, DATABASE).await.poll.unwrap();
    for (kind, restarts_growth, restarts_behind) in
        [(Fork, false, false), (Freeze, true, false), (Rollback, true, true)]
    {
        db.store.stop_sumdb(DATABASE, &stop(kind)).await.unwrap();
        assert!(resume(&db, &SumdbStopKind::ALL, false).await);
        let now = poll().await;
        assert_eq!(now.grown_at > before.grown_at, restarts_growth, "{kind}");
        assert_eq!(now.behind_since > before.behind_since, restarts_behind, "{kind}");
    }
}

#[tokio::test]
async fn every_database_that_was_ever_asked_is_told_of() {
    let db = TestDb::new().await;
    assert_eq!(db.store.sumdb_status().await.unwrap(), []);
    db.store.record_sumdb_poll("c.example+1", 1, 0).await.unwrap();
    db.store.stop_sumdb("b.example+1", &stop(SumdbStopKind::Fork)).await.unwrap();
    db.store.advance_sumdb_head("a.example+1", None, &head(1)).await.unwrap();
    db.store.record_sumdb_poll("a.example+1", 1, 1).await.unwrap();
    let told = db.store.sumdb_status().await.unwrap();
    let shape: Vec<_> = told
        .iter()
        .map(|(database, s)| (&database[..1], s.head.is_some(), s.poll.is_some(), s.stop.is_some()))
        .collect();
    assert_eq!(shape, [("a", true, true, false), ("b", false, false, true), ("c", false, true, false)]);
    assert_eq!(told[1].1, state_of(&db, "b.example+1").await);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused() {
    let db = TestDb::new().await;
    let good = SumdbTile { level: 0, index: 0, hashes: vec![0; 64] };
    for (hashes, index) in [(0, 0), (31, 0), (33, 0), (257 * 32, 0), (32, u64::MAX)] {
        let bad = SumdbTile { hashes: vec![0; hashes], index, ..good.clone() };
        let error = db.store.put_sumdb_tiles(DATABASE, TREE, &[good.clone(), bad]).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { what: "tile", .. }), "{error:?}");
    }
    let many = vec![good; SUMDB_TILES_MAX + 1];
    let places = vec![(0, 0); SUMDB_TILES_MAX + 1];
    let (name, large) = ("x".repeat(SUMDB_NAME_MAX + 1), vec![0; SUMDB_NOTE_MAX + 1]);
    let large = SumdbHead { note: large, ..head(1) };
    let stop = NewSumdbStop { theirs: large.clone(), ..stop(SumdbStopKind::Fork) };
    for result in [
        db.store.put_sumdb_tiles(DATABASE, TREE, &many).await.map(drop),
        db.store.sumdb_tiles(DATABASE, &places).await.map(drop),
        db.store.sumdb_state(&name).await.map(drop),
        db.store.record_sumdb_poll(&name, 1, 0).await.map(drop),
        db.store.advance_sumdb_head(&name, None, &head(1)).await.map(drop),
        db.store.advance_sumdb_head(DATABASE, None, &large).await.map(drop),
        db.store.stop_sumdb(DATABASE, &stop).await.map(drop),
    ] {
        assert!(matches!(result, Err(StoreError::Limit { .. })), "{result:?}");
    }
    for insert in [
        "sumdb_head (database, size, root, note) VALUES ('a', -1, sha256(''), 'n')",
        "sumdb_head (database, size, root, note) VALUES ('a', 1, 'x', 'n')",
        "sumdb_head (database, size, root, note) VALUES ('a', 1, sha256(''), '')",
        "sumdb_poll (database, latest_size, largest_size) VALUES ('a', 2, 1)",
        "sumdb_poll (database, latest_size, largest_size, behind_size) VALUES ('a', 1, 1, 2)",
        "sumdb_poll (database, latest_size, largest_size, behind_size, behind_since) VALUES ('a', 1, 1, 1, now())",
        "sumdb_tile (database, level, index, hashes) VALUES ('a', 0, 0, '')",
        "sumdb_tile (database, level, index, hashes) VALUES ('a', 0, 0, 'x')",
        "sumdb_tile (database, level, index, hashes) VALUES ('a', 64, 0, sha256(''))",
        "sumdb_stop (database, kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail)
            VALUES ('a', 'other', 1, sha256(''), 'n', 1, sha256(''), 'n', '')",
    ] {
        let error = db.execute(&format!("INSERT INTO {insert}")).await.unwrap_err();
        assert_eq!(refused(&error).0, "23514", "{insert}");
    }
}
