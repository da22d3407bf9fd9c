//! Lookups of the checksum database: judged with warm tiles, beside the check of their signature alone in the same run; and
//! what the database is asked for a new module.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use touchstone_domain::Sha256;
use touchstone_testkit::Module;
use touchstone_tlog::{
    HashReader as _, SignedHead, Tile, Tree, TreeHead, Wanted, authenticate, leaf_hash,
    note::{SignedNote, SignerKey, VerifierKey},
    plan,
    sumdb::{H1, Record, Sums, UnverifiedLookup, record_text},
};

use crate::{percentile, say, world::World};

/// How many records there are: a tree of three levels of tiles.
const RECORDS: u64 = 140_000;
/// How often each is measured; they take turns, so that load strikes both.
const ROUNDS: u64 = 2000;
/// Rounds that warm the caches.
const WARM_UP: u64 = 100;
/// How many modules are published, one after the other.
const MODULES: usize = 40;

const VERSION: &str = "v1.0.0";

/// A database in memory, and every tile that the lookups take.
struct Database {
    signer: SignerKey,
    head: TreeHead,
    tiles: HashMap<Tile, Vec<u8>>,
}

impl Database {
    fn new() -> Self {
        let mut tree = Tree::new();
        tree.extend((0..RECORDS).map(|id| leaf_hash(text(id).as_bytes())));
        let head = TreeHead { size: RECORDS, root: tree.root(RECORDS).expect("the whole tree") };
        let leaves = (0..WARM_UP + ROUNDS).map(record).collect();
        let tiles = plan(RECORDS, &Wanted { leaves, prefixes: vec![] }).into_iter();
        let tiles = tiles.map(|tile| (tile, tree.tile(tile).expect("in the tree"))).collect();
        Self { signer: SignerKey::from_seed("sums.example", [7; 32]).expect("a key"), head, tiles }
    }

    fn reply(&self, id: u64) -> Vec<u8> {
        let note = self.signer.sign(&self.head.sumdb_text()).expect("a note");
        [format!("{id}\n{}\n", text(id)).as_bytes(), &note].concat()
    }
}

/// The record of a round: they are all over the tree.
fn record(round: u64) -> u64 {
    round * 7919 % RECORDS
}

fn module(id: u64) -> String {
    format!("bench.example/m{id}")
}

fn text(id: u64) -> String {
    let h1 = H1(Sha256::of(id.to_be_bytes()));
    record_text(&module(id), VERSION, &Sums { zip: h1, go_mod: h1 })
}

pub(crate) fn lookups() {
    let database = Database::new();
    let key = database.signer.verifier().clone();
    let (mut ours, mut signature) = (vec![], vec![]);
    for round in 0..WARM_UP + ROUNDS {
        let id = record(round);
        let (reply, module) = (database.reply(id), module(id));
        let judged = time(|| {
            black_box(judge(&reply, &key, &module, &database.tiles));
        });
        let note = &reply[reply.windows(2).position(|pair| pair == b"\n\n").expect("a note") + 2..];
        let verified = time(|| {
            black_box(SignedNote::parse(note).expect("a note").verify(&key).expect("signed"));
        });
        if round >= WARM_UP {
            ours.push(judged);
            signature.push(verified);
        }
    }
    let micros = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        percentile(times, 0.5).as_secs_f64() * 1e6
    };
    let (ours, signature) = (micros(&mut ours), micros(&mut signature));
    let figure = format!("{ours:.0} us, signature {signature:.0} ({:.2}x)", ours / signature);
    say("sumdb lookup, warm tiles, median / signature", &figure, "");
    say("sumdb lookup, warm tiles", &format!("{:.0} lookups/s/core", 1e6 / ours), "");
}

/// All that the sumdb check does with an answer.
fn judge(reply: &[u8], key: &VerifierKey, module: &str, warm: &HashMap<Tile, Vec<u8>>) -> Sums {
    let lookup = UnverifiedLookup::parse(reply).expect("a lookup");
    let head = SignedHead::from_sumdb(lookup.note.verify(key).expect("signed")).expect("a head");
    let wanted = Wanted { leaves: vec![lookup.id], prefixes: vec![] };
    let tiles = plan(head.head().size, &wanted).into_iter();
    let tiles: Vec<_> = tiles.map(|tile| (tile, warm[&tile].clone())).collect();
    let tiles = authenticate(&head, &tiles).expect("authentic tiles");
    let record = Record::authenticate(&lookup.text, lookup.id, &tiles).expect("an authentic record");
    record.sums(module, VERSION).expect("its lines")
}

fn time(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

/// New modules one after the other, each of which makes the tree larger by its own record, as in a real database.
pub(crate) async fn requests() {
    let world = World::start().await;
    world.registry.sumdb().fill(RECORDS);
    fetch(&world, 0).await;
    let asked = |begin: &str| {
        let requests = world.registry.requests();
        requests.iter().filter(|request| request.path.trim_start_matches('/').starts_with(begin)).count()
    };
    let before = (asked("sumdb/lookup/"), asked("sumdb/tile/"));
    for n in 1..=MODULES {
        fetch(&world, n).await;
    }
    let (lookups, tiles) = (asked("sumdb/lookup/") - before.0, asked("sumdb/tile/") - before.1);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = |number: usize| number as f64 / MODULES as f64;
    let figure =
        format!("{:.2} ({:.2} lookups, {:.2} tiles)", each(lookups + tiles), each(lookups), each(tiles));
    say("sumdb requests per new module, tiles cached", &figure, "");
}

/// Publishes a module, and gets its zip and its `go.mod`.
async fn fetch(world: &World, n: usize) {
    let module = Module::new(&format!("bench.example/new{n}"), VERSION);
    world.registry.publish_module(module.clone());
    for extension in ["mod", "zip"] {
        let response = world.get(&module.at(extension)).await;
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
    }
}
