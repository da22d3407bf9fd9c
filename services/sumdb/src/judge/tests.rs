use touchstone_ecosystems::{adapter, go::escape_path};
use touchstone_tlog::{
    HashReader as _, Tile, Tree, TreeHead, Wanted, authenticate, leaf_hash, note::SignerKey, plan,
    sumdb::record_text,
};

use super::*;

const MODULE: &str = "code.example/Tool";
const VERSION: &str = "v1.2.3";
/// The number of the record.
const ID: u64 = 300;
const SIZE: u64 = 700;

/// A miniature database.
struct Log {
    signer: SignerKey,
    texts: Vec<String>,
    tree: Tree,
}

fn digest(of: &str) -> Sha256 {
    Sha256::of(of)
}

fn sums() -> Sums {
    Sums { zip: H1(digest("zip")), go_mod: H1(digest("go.mod")) }
}

fn log(text: &str) -> Log {
    let other = |n: u64| record_text(&format!("other.example/m{n}"), VERSION, &sums());
    let texts: Vec<String> = (0..SIZE).map(|n| if n == ID { text.to_owned() } else { other(n) }).collect();
    let mut tree = Tree::new();
    tree.extend(texts.iter().map(|text| leaf_hash(text.as_bytes())));
    let signer = SignerKey::from_seed("sums.example", [7; 32]).unwrap();
    Log { signer, texts, tree }
}

impl Log {
    fn genuine() -> Self {
        log(&record_text(MODULE, VERSION, &sums()))
    }

    fn note(&self, size: u64) -> Vec<u8> {
        let head = TreeHead { size, root: self.tree.root(size).unwrap() };
        self.signer.sign(&head.sumdb_text()).unwrap()
    }

    fn reply(&self, id: u64, text: &str, size: u64) -> Vec<u8> {
        [format!("{id}\n{text}\n").as_bytes(), &self.note(size)].concat()
    }

    fn tiles(&self, size: u64, leaf: u64) -> Vec<(Tile, Vec<u8>)> {
        let wanted = Wanted { leaves: vec![leaf], prefixes: vec![] };
        let tiles = plan(size, &wanted).into_iter();
        tiles.map(|tile| (tile, self.tree.tile(tile).unwrap())).collect()
    }

    fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Everything from a reply to the record's lines; the code of what is wrong.
    fn judged(&self, reply: &[u8], version: &str) -> Result<Recorded, &'static str> {
        self.judged_with(reply, version, |_| {})
    }

    fn judged_with(
        &self,
        reply: &[u8],
        version: &str,
        forge: impl FnOnce(&mut Vec<(Tile, Vec<u8>)>),
    ) -> Result<Recorded, &'static str> {
        let go = adapter(touchstone_domain::Ecosystem::Go);
        let (module, version) = (go.package(MODULE).unwrap(), go.version(version).unwrap());
        let judge = || {
            let opened = open(UnverifiedLookup::parse(reply)?, self.key())?;
            let mut tiles = self.tiles(opened.head.head().size, opened.id);
            forge(&mut tiles);
            let tiles = authenticate(&opened.head, &tiles)?;
            recorded(&opened, &tiles, &module, &version)
        };
        judge().map_err(|problem: Problem| problem.code)
    }
}

#[test]
fn the_lines_of_an_authenticated_record_count() {
    let log = Log::genuine();
    for size in [ID + 1, 512, SIZE] {
        let recorded = log.judged(&log.reply(ID, &log.texts[300], size), VERSION);
        assert_eq!(recorded, Ok(Recorded { id: ID, tree_size: size, sums: sums() }));
    }
}

#[test]
fn a_reply_with_one_thing_changed_is_refused_for_it() {
    let log = Log::genuine();
    let text = &log.texts[300];
    let lower = text.replace("Tool", "tool");
    let escaped = text.replace(MODULE, &escape_path(&PackageName::new(MODULE).unwrap()));
    let stranger = SignerKey::from_seed("sums.example", [8; 32]).unwrap();
    let head = TreeHead { size: SIZE, root: log.tree.root(SIZE).unwrap() };
    let signed = |note: &[u8]| [format!("{ID}\n{text}\n").as_bytes(), note].concat();
    let told = String::from_utf8(log.note(SIZE)).unwrap();
    for (reply, expected) in [
        (vec![], "empty"),
        (log.reply(ID, "", SIZE), "lookup_record"),
        (format!("{ID}\n{text}\n").into_bytes(), "note_malformed"),
        // CVE-2026-42501: the genuine record of another module.
        (log.reply(7, &log.texts[7], SIZE), "other_module"),
        // CVE-2026-56864: lines that no proof is about.
        (log.reply(7, &format!("{}{text}", log.texts[7]), SIZE), "record_mismatch"),
        (log.reply(ID, &lower, SIZE), "record_mismatch"),
        (log.reply(ID, &escaped, SIZE), "record_mismatch"),
        (log.reply(ID + 1, text, SIZE), "record_mismatch"),
        (log.reply(ID, text, ID), "record_beyond_tree"),
        (log.reply(SIZE, text, SIZE), "record_beyond_tree"),
        (log.reply(u64::MAX, text, SIZE), "lookup_id"),
        ([b"-1\n", &log.reply(ID, text, SIZE)[4..]].concat(), "lookup_id"),
        (signed(&stranger.sign(&head.sumdb_text()).unwrap()), "note_unsigned"),
        (signed(told.replace(&format!("\n{SIZE}\n"), "\n701\n").as_bytes()), "note_signature"),
        (signed(&log.signer.sign(&head.checkpoint_text("other.example")).unwrap()), "head_origin"),
    ] {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        assert_eq!(log.judged(&reply, VERSION), Err(expected), "{shown}");
    }
    let genuine = log.reply(ID, text, SIZE);
    assert_eq!(log.judged(&genuine, "v1.2.4"), Err("other_module"));
    assert!(log.judged(&genuine, VERSION).is_ok());
}

#[test]
fn a_record_that_the_log_has_and_that_is_malformed_is_refused() {
    let text = record_text(MODULE, VERSION, &sums());
    let zip_line = &text[..=text.find('\n').unwrap()];
    for (text, expected) in [
        (zip_line.to_owned(), "other_module"),
        (text[zip_line.len()..].to_owned(), "other_module"),
        (text.replace(" h1:", " h2:"), "line_malformed"),
        (text.replace(" h1:", "  h1:"), "line_malformed"),
        (format!("{text}{zip_line}"), "line_malformed"),
        (text.replace(VERSION, "v1.2.3 extra"), "line_malformed"),
    ] {
        let log = log(&text);
        assert_eq!(log.judged(&log.reply(ID, &text, SIZE), VERSION), Err(expected), "{text}");
    }
}

/// CVE-2026-56865, at several sizes.
#[test]
fn each_forged_tile_is_found() {
    let log = Log::genuine();
    for size in [ID + 1, 512, 513, SIZE] {
        let reply = log.reply(ID, &log.texts[300], size);
        let count = log.tiles(size, ID).len();
        for forged in 0..count {
            let mut expected = "";
            let found = log.judged_with(&reply, VERSION, |tiles| {
                let (tile, bytes) = &mut tiles[forged];
                // A partial tile leads to the root directly.
                expected = if tile.is_full() { "tile_mismatch" } else { "tile_root" };
                bytes[17] ^= 1;
            });
            assert_eq!(found, Err(expected), "{size} {forged}");
            let narrow = |tiles: &mut Vec<(Tile, Vec<u8>)>| tiles[forged].1.truncate(31);
            assert_eq!(log.judged_with(&reply, VERSION, narrow), Err("tile_length"));
        }
    }
}

#[test]
fn our_bytes_are_compared_with_their_own_line() {
    let recorded = Recorded { id: ID, tree_size: SIZE, sums: sums() };
    let (zip, go_mod, other) = (digest("zip"), digest("go.mod"), digest("other"));
    let pass = |h1: Sha256| {
        let (database, h1) = ("sums.example+01234567".to_owned(), H1(h1).to_string());
        Outcome::pass(Reason::SumdbRecorded { database, record: ID, tree_size: SIZE, h1 })
    };
    let fail = |what: &str, recorded: Sha256, computed: Sha256| {
        let (recorded, computed) = (H1(recorded).to_string(), H1(computed).to_string());
        Outcome::fail(Reason::SumdbMismatch { what: what.to_owned(), recorded, computed })
    };
    for (computed, expected) in [
        (Computed::Zip { zip, go_mod: Some(go_mod) }, pass(zip)),
        (Computed::Zip { zip, go_mod: None }, pass(zip)),
        (Computed::Zip { zip: other, go_mod: Some(go_mod) }, fail("zip", zip, other)),
        (Computed::Zip { zip: go_mod, go_mod: Some(go_mod) }, fail("zip", zip, go_mod)),
        (Computed::Zip { zip, go_mod: Some(other) }, fail("go.mod in zip", go_mod, other)),
        (Computed::Mod(go_mod), pass(go_mod)),
        (Computed::Mod(zip), fail("go.mod", go_mod, zip)),
    ] {
        assert_eq!(compare("sums.example+01234567", &recorded, &computed), expected, "{computed:?}");
    }
}

#[test]
fn what_is_not_proved_is_told_with_its_code() {
    let problem = Problem::new("tile_root", &"x".repeat(1000));
    let Reason::SumdbRefused { database, problem, detail } = refused("db", problem).reason else {
        panic!("refused")
    };
    assert_eq!((database.as_str(), problem.as_str(), detail.len()), ("db", "tile_root", 300));
    assert_eq!(absent("db", 410).reason, Reason::SumdbAbsent { database: "db".to_owned(), status: 410 });
    assert_eq!((absent("db", 404).kind, private().kind), (OutcomeKind::Fail, OutcomeKind::NotOffered));
}
