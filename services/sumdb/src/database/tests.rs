//! Against the miniature database: what is asked of it, what is kept, and what is not.

use futures::future::join_all;
use touchstone_domain::{ArtifactId, Ecosystem, FileName};
use touchstone_ecosystems::adapter;
use touchstone_store::{StoreOptions, SumdbTile, SumdbTree, TilesKept};
use touchstone_testkit::{Fault, Lie, PartialTiles, Registry, Sumdb, fresh_database};
use touchstone_tlog::sumdb::UnverifiedLookup;
use touchstone_upstream::{Limits, Mirror};

use super::*;
use crate::{judge, lookups::Lookups};

/// A tree of two levels of tiles.
const RECORDS: u64 = 3000;

struct World {
    registry: Registry,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::start().await;
        registry.sumdb().fill(RECORDS);
        let options =
            StoreOptions { url: fresh_database().await, pool_size: 4, application_name: "test".to_owned() };
        Self { registry, store: Store::connect(options).await.unwrap() }
    }

    /// A process of its own: nothing is in memory.
    fn database(&self) -> Database {
        let key = VerifierKey::parse(&self.registry.sumdb().key()).unwrap();
        let limits = Limits { attempts_max: 1, ..Limits::default() };
        let mirror = Mirror::new(&self.registry.sumdb_url(), limits).unwrap();
        let client = Client::new(mirror, self.store.clone(), key.id());
        Database::new(key, client, self.store.clone())
    }

    fn tiles_asked(&self) -> usize {
        self.registry.requests().iter().filter(|request| request.path.contains("/tile/")).count()
    }

    /// How many tiles were asked for, for this.
    async fn asking<T>(&self, asked: impl Future<Output = T>) -> (T, usize) {
        let before = self.tiles_asked();
        let done = asked.await;
        (done, self.tiles_asked() - before)
    }

    async fn stored_tiles(&self, places: &[(u8, u64)]) -> Vec<SumdbTile> {
        self.store.sumdb_tiles(&self.registry.sumdb().id(), places).await.unwrap()
    }
}

/// The coordinate of a filling record.
fn artifact(id: u64) -> ArtifactId {
    let (module, version) = Sumdb::filler(id);
    let go = adapter(Ecosystem::Go);
    ArtifactId {
        ecosystem: Ecosystem::Go,
        package: go.package(&module).unwrap(),
        version: go.version(&version).unwrap(),
        file: FileName::new(format!("{version}.zip")).unwrap(),
    }
}

/// Looks a filling record up and proves it; the code of what is wrong.
async fn proved(database: &Database, id: u64, sources: Sources) -> Result<u64, String> {
    let artifact = artifact(id);
    let prove = async {
        let state = database.running().await?;
        let reply = database.client.lookup(&artifact.package, &artifact.version).await?;
        let lookup = UnverifiedLookup::parse(&reply.bytes).map_err(Problem::from)?;
        let opened = judge::open(lookup, &database.key)?;
        let tiles = database.prove(state, &opened.head, opened.id, sources).await?;
        judge::recorded(&opened, &tiles, &artifact.package, &artifact.version)?;
        Ok(tiles.head().size)
    };
    prove.await.map_err(|stop: Stop| match stop {
        Stop::Refused(problem) => problem.code.to_owned(),
        Stop::Stopped(why) => why,
        Stop::Trouble(error) => error.to_string(),
        Stop::Absent(status) => status.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_is_fetched_once_however_many_ask_and_never_again() {
    let world = World::new().await;
    let database = world.database();
    // The tile of the records, the partial one at the right edge, and the one above both.
    let ask = || join_all((0..16).map(|n| proved(&database, 1000 + n, Sources::Any)));
    let (done, tiles) = world.asking(ask()).await;
    assert_eq!((done, tiles), (vec![Ok(RECORDS); 16], 3));
    let (done, tiles) = world.asking(ask()).await;
    assert_eq!((done, tiles), (vec![Ok(RECORDS); 16], 0), "memory");
    let (done, tiles) = world.asking(proved(&world.database(), 1000, Sources::Any)).await;
    assert_eq!((done, tiles), (Ok(RECORDS), 0), "Postgres");
    let (done, tiles) = world.asking(proved(&database, 1000, Sources::Upstream)).await;
    assert_eq!((done, tiles), (Ok(RECORDS), 3), "past every cache");
}

/// A record more is a head more: the right edge is fetched anew, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_larger_tree_costs_its_right_edge() {
    let world = World::new().await;
    let database = world.database();
    proved(&database, 1000, Sources::Any).await.unwrap();
    world.registry.sumdb().fill(RECORDS + 1);
    let (done, tiles) = world.asking(proved(&database, RECORDS, Sources::Any)).await;
    assert_eq!((done, tiles), (Ok(RECORDS + 1), 1));
    assert_eq!(world.store.sumdb_state(&database.id).await.unwrap().head.unwrap().size, RECORDS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tile_stands_in_for_a_partial_one() {
    let world = World::new().await;
    let database = world.database();
    // What the lookup is signed for has the widths of an older tree.
    world.registry.sumdb().set_lookup_size(Some(2600));
    let partial = "sumdb/tile/8/0/010.p/40";
    world.registry.fault(partial, Fault::Status(404));
    assert_eq!(proved(&database, 1000, Sources::Any).await, Ok(2600));
    assert_eq!(world.registry.asked_for(partial), 1);
    let edge = world.stored_tiles(&[(0, 10)]).await;
    assert_eq!(edge[0].hashes.len(), 32 * 40, "no more is kept than was authenticated");

    world.registry.sumdb().set_lookup_size(None);
    world.registry.sumdb().set_partial_tiles(PartialTiles::Missing);
    let missing = "the checksum database is not available: it does not have the tile at level";
    let found = proved(&database, 1000, Sources::Any).await.unwrap_err();
    assert!(found.starts_with(missing), "{found}");
}

/// Beside each answer that says something, those that say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_an_answer_decides() {
    let world = World::new().await;
    let (module, version) = Sumdb::filler(1000);
    let lookup = format!("sumdb/lookup/{module}@{version}");
    let unavailable = "the checksum database is not available";
    for (path, fault, expected) in [
        (&*lookup, Fault::Lengthless, Ok(RECORDS)),
        (&lookup, Fault::Status(404), Err("404")),
        (&lookup, Fault::Status(410), Err("410")),
        (&lookup, Fault::Status(403), Err(unavailable)),
        (&lookup, Fault::Status(429), Err(unavailable)),
        (&lookup, Fault::Status(500), Err(unavailable)),
        (&lookup, Fault::Html, Err("the checksum database is not available: the answer is a web page")),
        (&lookup, Fault::Truncate, Err(unavailable)),
        (&lookup, Fault::Bytes(vec![]), Err("empty")),
        ("sumdb/tile/8/0/003", Fault::Lengthless, Ok(RECORDS)),
        ("sumdb/tile/8/0/003", Fault::Status(404), Err(unavailable)),
        ("sumdb/tile/8/0/003", Fault::Status(503), Err(unavailable)),
        ("sumdb/tile/8/0/003", Fault::Truncate, Err(unavailable)),
        ("sumdb/tile/8/0/003", Fault::Cut, Err(unavailable)),
        ("sumdb/tile/8/0/003", Fault::Short, Err("tile_length")),
        ("sumdb/tile/8/0/003", Fault::Chunks(vec![]), Err("tile_length")),
        ("sumdb/tile/8/0/003", Fault::Bytes(vec![]), Err("tile_length")),
        ("sumdb/tile/8/0/003", Fault::Bytes(vec![0; 100_000]), Err("tile_length")),
        ("sumdb/tile/8/0/003", Fault::Bytes(vec![0; 8192]), Err("tile_mismatch")),
    ] {
        world.registry.honest();
        let told = format!("{path} {fault:?}");
        world.registry.fault(path, fault);
        let found = proved(&world.database(), 1000, Sources::Upstream).await;
        match expected {
            Err(why) if why.contains(' ') => assert!(found.unwrap_err().starts_with(why), "{told}"),
            expected => assert_eq!(found, expected.map_err(str::to_owned), "{told}"),
        }
    }
}

/// Whoever can write to Postgres delays, and decides nothing; and what is wrong there is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn stored_tiles_that_are_wrong_hold_nothing_up_and_are_replaced() {
    let world = World::new().await;
    let (sumdb, (edge, width)) = (world.registry.sumdb(), (RECORDS / 256, RECORDS % 256));
    let first = SumdbHead { size: 5, root: sumdb.root(5), note: sumdb.note(5) };
    world.store.advance_sumdb_head(&sumdb.id(), None, &first).await.unwrap();
    let wrong = |level, index, width: usize| SumdbTile { level, index, hashes: vec![7; 32 * width] };
    // One of the record's own path, one of the right edge that is wider than it can be, and one that is narrower.
    let rows = [wrong(0, 1000 / 256, 256), wrong(0, edge, 256), wrong(1, 0, 2)];
    let tree = SumdbTree { lineage: 0, size: 5 };
    assert_eq!(world.store.put_sumdb_tiles(&sumdb.id(), tree, &rows).await.unwrap(), TilesKept::Kept);
    let database = world.database();
    let (done, tiles) = world.asking(proved(&database, 1000, Sources::Any)).await;
    assert_eq!((done, tiles), (Ok(RECORDS), 6), "what is not there, and then all of them");
    let (done, tiles) = world.asking(proved(&database, 1001, Sources::Any)).await;
    assert_eq!((done, tiles), (Ok(RECORDS), 0), "the right ones are in memory");
    let stored = world.stored_tiles(&[(0, 1000 / 256), (0, edge), (1, 0)]).await;
    let widths: Vec<u64> = stored.iter().map(|tile| tile.hashes.len() as u64 / 32).collect();
    assert_eq!(widths, [256, width, edge]);
    assert!(stored.iter().all(|tile| tile.hashes[..32] != [7; 32]), "and in Postgres");
    let (done, tiles) = world.asking(proved(&world.database(), 1000, Sources::Any)).await;
    assert_eq!((done, tiles), (Ok(RECORDS), 0), "another process");
}

/// A check that is under way while an operator forgets the head keeps nothing of what it found.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_head_that_was_forgotten_is_kept() {
    let world = World::new().await;
    let database = world.database();
    proved(&database, 1000, Sources::Any).await.unwrap();
    let state = database.running().await.unwrap();
    let head = database.verified(state.head.as_ref().unwrap()).await.unwrap();
    let wanted = Wanted { leaves: vec![2000], prefixes: vec![] };
    let old = database.tiles.authenticated(&head, state.lineage, &wanted, Sources::Any).await.unwrap();

    let ours = state.head.unwrap();
    let stop =
        NewSumdbStop { kind: SumdbStopKind::Fork, ours: ours.clone(), theirs: ours, detail: String::new() };
    world.store.stop_sumdb(&database.id, &stop).await.unwrap();
    assert!(world.store.resume_sumdb(&database.id, &SumdbStopKind::ALL, "a test", true).await.unwrap());
    world.registry.sumdb().lie(Lie::Fork { record: 1001, more: 300 });
    let (done, tiles) = world.asking(proved(&database, 1000, Sources::Any)).await;
    assert_eq!(
        (done, tiles),
        (Ok(RECORDS + 300), 3),
        "nothing of the old tree is used, not even from memory"
    );
    database.tiles.keep(state.lineage, &old).await;
    assert_eq!(world.stored_tiles(&[(0, 2000 / 256)]).await, [], "of the old tree");
    assert_eq!(world.stored_tiles(&[(0, 1000 / 256)]).await.len(), 1, "of the new one");
    assert_eq!(proved(&world.database(), 2000, Sources::Any).await, Ok(RECORDS + 300));
}

/// What cannot be stored is not remembered either: it is not known whether its head is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_tile_is_remembered_once_it_is_stored() {
    let world = World::new().await;
    let database = world.database();
    let note = world.registry.sumdb().note(RECORDS);
    let head = Arc::new(open_head(&note, &database.key).unwrap());
    let wanted = Wanted { leaves: vec![1000], prefixes: vec![] };
    let found = async || {
        let tiles = database.tiles.authenticated(&head, 0, &wanted, Sources::Any).await.unwrap();
        database.tiles.keep(0, &tiles).await;
        for tile in tiles.tiles() {
            database.tiles.forget_fetched(tile.0);
        }
    };
    assert_eq!(world.asking(found()).await.1, 3);
    assert_eq!(world.asking(found()).await.1, 3, "there is no head");
    database.advance(None, &head).await.unwrap();
    assert_eq!(world.asking(found()).await.1, 3);
    assert_eq!(world.asking(found()).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_fork_is_kept() {
    let world = World::new().await;
    let database = world.database();
    proved(&database, 1000, Sources::Any).await.unwrap();
    let places: Vec<(u8, u64)> = [0, 3, 10, RECORDS / 256].map(|index| (0, index)).to_vec();
    let before = world.stored_tiles(&places).await;
    world.registry.sumdb().lie(Lie::Fork { record: 17, more: 300 });
    for database in [&database, &world.database()] {
        let found = proved(database, 2560, Sources::Any).await.unwrap_err();
        assert!(found.starts_with(&format!("{} is stopped: fork since ", database.id)), "{found}");
    }
    assert_eq!(world.stored_tiles(&places).await, before);
    let kept = database.store.sumdb_state(&database.id).await.unwrap();
    let stop = kept.stop.unwrap();
    assert_eq!(stop.ours, kept.head.unwrap());
    assert_eq!((stop.ours.size, stop.theirs.size), (RECORDS, RECORDS + 300));
}

/// A stored head is only as good as the signature in its note.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_head_that_is_not_signed_is_not_used() {
    let world = World::new().await;
    let database = world.database();
    let genuine =
        SumdbHead { size: 5, root: world.registry.sumdb().root(5), note: world.registry.sumdb().note(5) };
    let why = |why: &str| Err(format!("the stored head of {} is refused: {why}", database.id));
    let unsigned = SumdbHead { note: b"go.sum database tree\n".to_vec(), ..genuine.clone() };
    let malformed = "the note is not a text, an empty line and signatures";
    for (head, expected) in [
        (unsigned, why(malformed)),
        (SumdbHead { size: 6, ..genuine.clone() }, why("its note says another size or root")),
    ] {
        let state = SumdbState { head: Some(head), ..SumdbState::default() };
        let new = open_head(&world.registry.sumdb().note(RECORDS), &database.key).unwrap();
        let merged = database.merge(state, &Arc::new(new), Sources::Any).await;
        let told = merged.map_err(|stop| match stop {
            Stop::Trouble(error) => error.to_string(),
            Stop::Absent(_) | Stop::Refused(_) | Stop::Stopped(_) => panic!("{stop:?}"),
        });
        assert_eq!(told, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_version_share_a_lookup() {
    let world = World::new().await;
    let lookups = Lookups::new(Arc::clone(&world.database().client));
    let asked = || world.registry.requests().iter().filter(|r| r.path.contains("/lookup/")).count();
    let id = artifact(7);
    let replies = join_all((0..8).map(|_| lookups.ask(&id))).await;
    let first = replies[0].as_ref().unwrap().bytes.clone();
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap().bytes == first));
    assert_eq!(asked(), 1);
    lookups.ask(&artifact(8)).await.unwrap();
    lookups.ask_anew(&id).await.unwrap();
    assert_eq!(asked(), 3);
    lookups.ask(&id).await.unwrap();
    assert_eq!(asked(), 4, "what did not prove itself is forgotten");
}
