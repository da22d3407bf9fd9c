use super::*;
use crate::{NewSumdbStop, SumdbHead, SumdbStopKind, testing::TestDb};
use touchstone_domain::Sha256;

const DATABASE: &str = "sum.example+00000001";
const OTHER: &str = "sum.example+00000002";
const TREE: SumdbTree = SumdbTree { lineage: 0, size: 9 };

fn head(size: u64) -> SumdbHead {
    SumdbHead { size, root: Sha256::of(format!("tree {size}")), note: format!("note {size}").into_bytes() }
}

/// Stores the first head.
async fn advance(db: &TestDb, new: &SumdbHead) {
    let advanced = db.store.advance_sumdb_head(DATABASE, None, new).await.unwrap();
    assert_eq!(advanced, crate::Advanced::Advanced);
}

async fn stop(db: &TestDb) {
    let (ours, theirs) = (head(9), head(8));
    let fork = NewSumdbStop { kind: SumdbStopKind::Fork, ours, theirs, detail: "they differ".into() };
    assert!(db.store.stop_sumdb(DATABASE, &fork).await.unwrap());
}

/// Goes on, and forgets the head.
async fn discard(db: &TestDb) -> bool {
    db.store.resume_sumdb(DATABASE, &SumdbStopKind::ALL, "a test", true).await.unwrap()
}

async fn lineage(db: &TestDb) -> u64 {
    db.store.sumdb_state(DATABASE).await.unwrap().lineage
}

/// The tile of these hashes.
fn tile(level: u8, index: u64, hashes: &[u8]) -> SumdbTile {
    SumdbTile { level, index, hashes: hashes.iter().flat_map(|byte| [*byte; 32]).collect() }
}

#[tokio::test]
async fn the_wider_tile_stays_and_keeps_what_the_narrower_had() {
    let db = TestDb::new().await;
    advance(&db, &head(9)).await;
    let put = async |tiles: &[SumdbTile]| db.store.put_sumdb_tiles(DATABASE, TREE, tiles).await.unwrap();
    let kept =
        async || db.store.sumdb_tiles(DATABASE, &[(1, 0), (0, 7), (0, 7), (3, 3), (0, 6)]).await.unwrap();
    let first = [tile(0, 7, &[1]), tile(1, 0, &[9, 9]), tile(0, 7, &[1, 2])];
    assert_eq!(put(&first).await, TilesKept::Kept);
    assert_eq!(kept().await, [tile(0, 7, &[1, 2]), tile(1, 0, &[9, 9])], "also of the same call");
    assert_eq!(put(&[tile(0, 7, &[1])]).await, TilesKept::Kept);
    assert_eq!(put(&[]).await, TilesKept::Kept);
    assert_eq!(kept().await[0], tile(0, 7, &[1, 2]));
    put(&[tile(0, 7, &[1, 2, 3]), tile(0, 6, &[6; 256])]).await;
    assert_eq!(kept().await, [tile(0, 6, &[6; 256]), tile(0, 7, &[1, 2, 3]), tile(1, 0, &[9, 9])]);
    assert_eq!(db.store.sumdb_tiles(OTHER, &[(0, 7)]).await.unwrap(), []);
    let raw = "UPDATE sumdb_tile SET hashes = substring(hashes FOR 32) WHERE index = 7";
    let words = "UPDATE of sumdb_tile is refused: history is only ever added to";
    let error = db.execute(raw).await.unwrap_err();
    assert_eq!(error.as_db_error().expect("the server refused it").message(), words);

    let widths = (1..=8).map(|width| vec![tile(2, 0, &vec![4; width]), tile(2, 1, &vec![5; 9 - width])]);
    let all: Vec<Vec<SumdbTile>> = widths
        .flat_map(|mut pair| {
            [pair.clone(), {
                pair.reverse();
                pair
            }]
        })
        .collect();
    futures::future::join_all(all.iter().map(|tiles| put(tiles))).await;
    let widest = db.store.sumdb_tiles(DATABASE, &[(2, 1), (2, 0)]).await.unwrap();
    assert_eq!(widest, [tile(2, 0, &[4; 8]), tile(2, 1, &[5; 8])]);
}

#[tokio::test]
async fn what_contradicts_a_kept_tile_is_told_and_takes_its_place_only_by_a_repair() {
    let db = TestDb::new().await;
    advance(&db, &head(9)).await;
    let places = [(0, 7), (1, 0), (5, 5)];
    let kept = async || db.store.sumdb_tiles(DATABASE, &places).await.unwrap();
    let before = [tile(0, 7, &[1, 2]), tile(1, 0, &[8, 8])];
    db.store.put_sumdb_tiles(DATABASE, TREE, &before).await.unwrap();
    for other in [tile(0, 7, &[3]), tile(0, 7, &[1, 3]), tile(0, 7, &[1, 3, 4])] {
        let tiles = [tile(5, 5, &[5]), other, tile(1, 0, &[8])];
        let told = db.store.put_sumdb_tiles(DATABASE, TREE, &tiles).await.unwrap();
        assert_eq!(told, TilesKept::Contradicted(vec![(0, 7)]));
        assert_eq!(kept().await, [tile(0, 7, &[1, 2]), tile(1, 0, &[8, 8]), tile(5, 5, &[5])]);
    }
    // As wide, narrower, and wider than what it takes the place of; what agrees stays as wide as it is.
    for right in [&[1, 3][..], &[4], &[5, 6, 7]] {
        let tiles = [tile(0, 7, right), tile(1, 0, &[8])];
        let all =
            futures::future::join_all((0..4).map(|_| db.store.repair_sumdb_tiles(DATABASE, TREE, &tiles)));
        assert!(all.await.into_iter().all(|done| done.unwrap() == TilesKept::Kept));
        assert_eq!(kept().await, [tile(0, 7, right), tile(1, 0, &[8, 8]), tile(5, 5, &[5])]);
    }
}

#[tokio::test]
async fn tiles_are_kept_under_the_head_that_they_lead_to_and_none_after_it_was_forgotten() {
    let db = TestDb::new().await;
    let tiles = [tile(0, 0, &[1])];
    let put = async |lineage, size| {
        let tree = SumdbTree { lineage, size };
        let put = db.store.put_sumdb_tiles(DATABASE, tree, &tiles).await.unwrap();
        let kept = db.store.sumdb_tiles(DATABASE, &[(0, 0)]).await.unwrap();
        assert_eq!(put == TilesKept::Kept, kept == tiles, "{put:?} {kept:?}");
        put
    };
    assert_eq!(put(0, 0).await, TilesKept::Outdated, "there is no head");
    advance(&db, &head(9)).await;
    assert_eq!(put(0, 10).await, TilesKept::Outdated, "the head is smaller");
    assert_eq!(put(1, 9).await, TilesKept::Outdated);
    assert_eq!(put(0, 9).await, TilesKept::Kept);
    stop(&db).await;
    discard(&db).await;
    assert_eq!(put(0, 9).await, TilesKept::Outdated);
    advance(&db, &SumdbHead { root: Sha256::of("another tree"), ..head(12) }).await;
    assert_eq!(put(0, 9).await, TilesKept::Outdated, "another tree, though larger");
    let wrong = [tile(0, 0, &[2])];
    let lineage = lineage(&db).await;
    db.store.put_sumdb_tiles(DATABASE, SumdbTree { lineage, size: 12 }, &wrong).await.unwrap();
    let repaired = db.store.repair_sumdb_tiles(DATABASE, TREE, &tiles).await.unwrap();
    assert_eq!(repaired, TilesKept::Outdated);
    assert_eq!(db.store.sumdb_tiles(DATABASE, &[(0, 0)]).await.unwrap(), wrong);
}

/// Whatever is put while a head is being forgotten goes with it, or does not come.
#[tokio::test]
async fn no_tile_outlives_its_head_whoever_races() {
    let db = TestDb::new().await;
    for round in 0..8 {
        let size = 9 + round;
        advance(&db, &head(size)).await;
        stop(&db).await;
        let tree = SumdbTree { lineage: round, size };
        let puts = futures::future::try_join_all((0..6).map(async |n| {
            let tiles = [tile(0, n, &[1])];
            db.store.put_sumdb_tiles(DATABASE, tree, &tiles).await?;
            db.store.repair_sumdb_tiles(DATABASE, tree, &[tile(0, n, &[2])]).await
        }));
        let (puts, resumed) = tokio::join!(puts, discard(&db));
        assert!(puts.is_ok() && resumed);
        assert_eq!(db.number("SELECT count(*) FROM sumdb_tile").await, 0);
        assert_eq!(lineage(&db).await, round + 1);
    }
}
