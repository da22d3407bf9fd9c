//! Lookups and records, and each with one thing changed (threats.md G-01, G-02, G-04, G-11).

use proptest::prelude::*;
use touchstone_domain::Sha256;

use super::*;
use crate::{
    AuthenticatedTiles, HashReader as _, SIZE_MAX, SignedHead, Tree, TreeHead, Wanted, authenticate,
    leaf_hash,
    note::{SignedNote, SignerKey},
    plan,
};

const MODULE: &str = "example.com/Module";
const VERSION: &str = "v1.2.0";
const SIZE: u64 = 300;

fn sums(seed: u8) -> Sums {
    Sums { zip: H1(Sha256([seed; 32])), go_mod: H1(Sha256([seed.wrapping_add(1); 32])) }
}

fn text(id: u64) -> String {
    record_text(MODULE, &format!("v1.{id}.0"), &sums(id.to_le_bytes()[0]))
}

/// A database with a record for each version, and what it signs.
struct Database(Tree, SignerKey);

impl Database {
    fn new() -> Self {
        Self::with((0..SIZE).map(text))
    }

    fn with(records: impl Iterator<Item = String>) -> Self {
        let mut tree = Tree::new();
        tree.extend(records.map(|record| leaf_hash(record.as_bytes())));
        Self(tree, SignerKey::from_seed("sumdb.example", [3; 32]).unwrap())
    }

    fn note(&self) -> Vec<u8> {
        let size = self.0.size();
        self.1.sign(&TreeHead { size, root: self.0.root(size).unwrap() }.sumdb_text()).unwrap()
    }

    fn lookup(&self, id: &str, text: &str) -> Vec<u8> {
        [id.as_bytes(), b"\n", text.as_bytes(), b"\n", &self.note()].concat()
    }

    /// The tiles for some leaves, under the head of a note.
    fn tiles(&self, note: SignedNote, leaves: &[u64]) -> AuthenticatedTiles {
        let head = SignedHead::from_sumdb(note.verify(self.1.verifier()).unwrap()).unwrap();
        let wanted = Wanted { leaves: leaves.to_vec(), prefixes: vec![] };
        let planned = plan(head.head().size, &wanted).into_iter();
        let tiles: Vec<_> = planned.map(|tile| (tile, self.0.tile(tile).unwrap())).collect();
        authenticate(&head, &tiles).unwrap()
    }

    fn all(&self) -> AuthenticatedTiles {
        self.tiles(SignedNote::parse(&self.note()).unwrap(), &(0..self.0.size()).collect::<Vec<_>>())
    }

    /// The sums in a single record of this text.
    fn only(text: &str) -> Result<Sums, LineError> {
        let tiles = Self::with(std::iter::once(text.to_owned())).all();
        Record::authenticate(text, 0, &tiles).unwrap().sums(MODULE, VERSION)
    }
}

#[test]
fn an_answer_proves_what_a_version_has() {
    let database = Database::new();
    for id in [0, 1, 255, 256, 299] {
        let lookup = UnverifiedLookup::parse(&database.lookup(&id.to_string(), &text(id))).unwrap();
        assert_eq!((lookup.id, &lookup.text), (id, &text(id)));
        let tiles = database.tiles(lookup.note, &[lookup.id]);
        let record = Record::authenticate(&lookup.text, lookup.id, &tiles).unwrap();
        assert_eq!((record.id(), record.text()), (id, &text(id)[..]));
        let found = record.sums(MODULE, &format!("v1.{id}.0"));
        assert_eq!(found, Ok(sums(id.to_le_bytes()[0])));
    }
}

#[test]
fn every_record_that_is_forged_is_refused() {
    let tiles = Database::new().all();
    for id in 0..SIZE {
        let honest = text(id);
        assert!(Record::authenticate(&honest, id, &tiles).is_ok());
        let forged = honest.replacen("h1:", "h1:A", 1);
        let refused = RecordError::Mismatch {
            id,
            signed: leaf_hash(honest.as_bytes()),
            computed: leaf_hash(forged.as_bytes()),
        };
        assert_eq!(Record::authenticate(&forged, id, &tiles), Err(refused));
        // The record of another number; a line more or less.
        let one = &honest[..=honest.find('\n').unwrap()];
        for other in [
            text((id + 1) % SIZE),
            honest.clone() + one,
            one.to_owned(),
            format!("{honest}\n"),
            String::new(),
        ] {
            let found = Record::authenticate(&other, id, &tiles).unwrap_err();
            assert_eq!(found.code(), "record_mismatch", "{id}");
        }
    }
}

#[test]
fn a_record_that_the_tree_does_not_have_is_refused() {
    let database = Database::new();
    let tiles = database.all();
    for id in [SIZE, SIZE + 1, SIZE_MAX, u64::MAX] {
        let found = Record::authenticate(&text(299), id, &tiles).unwrap_err();
        assert_eq!((found.code(), found), ("record_beyond_tree", RecordError::BeyondTree { id, size: SIZE }));
    }
    let few = database.tiles(SignedNote::parse(&database.note()).unwrap(), &[]);
    assert_eq!(Record::authenticate(&text(0), 0, &few).unwrap_err().code(), "tile_missing");
}

#[test]
fn a_malformed_answer_is_refused() {
    let database = Database::new();
    let (good, note) = (text(7), String::from_utf8(database.note()).unwrap());
    assert!(UnverifiedLookup::parse(&database.lookup("7", &good)).is_ok());
    for id in [
        "",
        "-1",
        "+7",
        "07",
        "7 ",
        " 7",
        "7\r",
        "0x7",
        "seven",
        "\u{667}",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999999999999999999",
    ] {
        assert_eq!(UnverifiedLookup::parse(&database.lookup(id, &good)), Err(LookupError::Id), "{id:?}");
    }
    let long = format!("{}\n", "a".repeat(RECORD_BYTES_MAX - 1));
    assert!(UnverifiedLookup::parse(&database.lookup("7", &long)).is_ok());
    for record in ["", "\n", "\nx\n", "a\tb\n", "a\rb\n", "a\u{0}\n", &format!("a{long}")] {
        assert_eq!(
            UnverifiedLookup::parse(&database.lookup("7", record)),
            Err(LookupError::Record),
            "{record:?}"
        );
    }
    for (answer, code) in [
        (String::new(), "empty"),
        ("\n".to_owned(), "lookup_id"),
        ("7".to_owned(), "lookup_id"),
        ("not found: 7\n".to_owned(), "lookup_id"),
        (note.clone(), "lookup_id"),
        ("7\n".to_owned(), "lookup_record"),
        (format!("7\n{good}"), "lookup_record"),
        (format!("7\n{good}\n"), "note_malformed"),
        (format!("7\n{good}\n{}", note.trim_end()), "note_malformed"),
        (format!("7\n{good}\n{good}\n"), "note_malformed"),
        (format!("7\n{good}\n\t{note}"), "note_characters"),
    ] {
        assert_eq!(UnverifiedLookup::parse(answer.as_bytes()).unwrap_err().code(), code, "{answer:?}");
    }
    let mut bytes = database.lookup("7", &good);
    bytes[4] = 0xff;
    assert_eq!(UnverifiedLookup::parse(&bytes), Err(LookupError::Record));
    let huge = vec![b'1'; LOOKUP_BYTES_MAX + 1];
    assert_eq!(UnverifiedLookup::parse(&huge).unwrap_err().code(), "lookup_size");
}

/// Lines that are not part of the record say nothing, wherever else in the answer they stand.
#[test]
fn only_lines_of_the_record_count() {
    let database = Database::new();
    let bait = record_text(MODULE, "v9.9.9", &sums(66));
    let head = String::from_utf8(database.note()).unwrap();
    let head = head.split_once("\n\n").unwrap().0;
    let note = database.1.sign(&format!("{head}\n{bait}")).unwrap();
    let answer = [b"7\n", text(7).as_bytes(), b"\n", &note].concat();
    let lookup = UnverifiedLookup::parse(&answer).unwrap();
    let tiles = database.tiles(lookup.note, &[7]);
    let record = Record::authenticate(&lookup.text, lookup.id, &tiles).unwrap();
    assert_eq!(record.sums(MODULE, "v9.9.9").unwrap_err().code(), "other_module");
    // Within the text it is not the record any more.
    let lookup = UnverifiedLookup::parse(&database.lookup("7", &(bait + &text(7)))).unwrap();
    assert_eq!(Record::authenticate(&lookup.text, 7, &tiles).unwrap_err().code(), "record_mismatch");
}

#[test]
fn a_record_of_something_else_is_refused() {
    let zip = format!("{MODULE} {VERSION} {}\n", sums(1).zip);
    let go_mod = format!("{MODULE} {VERSION}/go.mod {}\n", sums(1).go_mod);
    assert_eq!(Database::only(&format!("{zip}{go_mod}")), Ok(sums(1)));
    assert_eq!(Database::only(&format!("{go_mod}{zip}")), Ok(sums(1)));
    let other = record_text("example.com/other", VERSION, &sums(9));
    assert_eq!(Database::only(&format!("{other}{zip}{go_mod}")), Ok(sums(1)));
    let missing = |version: &str| LineError::OtherModule {
        id: 0,
        module: MODULE.to_owned(),
        version: version.to_owned(),
    };
    assert_eq!(Database::only(&other), Err(missing(VERSION)));
    assert_eq!(Database::only(&go_mod), Err(missing(VERSION)));
    assert_eq!(Database::only(&zip), Err(missing("v1.2.0/go.mod")));
    for (from, to) in [
        (MODULE, "example.com/module"),
        (MODULE, "example.com/!module"),
        (MODULE, "example.com/Module/v2"),
        (MODULE, "Example.com/Module"),
        (MODULE, "example.com/Modul\u{435}"),
        (VERSION, "v1.2.0+incompatible"),
        (VERSION, "V1.2.0"),
        (VERSION, "v1.2.00"),
        (VERSION, "v1.2.0/"),
    ] {
        let found = Database::only(&format!("{zip}{go_mod}").replace(from, to)).unwrap_err();
        assert_eq!(found.code(), "other_module", "{to}");
    }
}

#[test]
fn a_record_with_a_malformed_line_is_refused() {
    let good = record_text(MODULE, VERSION, &sums(1));
    let lines = [
        "x\n",
        "x y\n",
        "x y h1:z w\n",
        "  \n ",
        &format!("{MODULE} {VERSION} {}\n", sums(1).zip),
        &format!("{MODULE} {VERSION} {}\n", sums(2).zip),
        &format!("{MODULE} {VERSION}/go.mod {}\n", sums(2).go_mod),
    ];
    for line in lines {
        assert_eq!(
            Database::only(&format!("{good}{line}")),
            Err(LineError::Malformed { id: 0, source: None }),
            "{line:?}"
        );
    }
    assert_eq!(Database::only(good.trim_end()).unwrap_err().code(), "line_malformed");
    for (from, to) in [
        ("h1:", "h2:"),
        ("h1:", "H1:"),
        ("h1:", ""),
        ("=\n", "\n"),
        ("=\n", "=\r\n"),
        ("=\n", "==\n"),
        ("AQE=", "AQF="),
    ] {
        let found = Database::only(&good.replacen(from, to, 1));
        assert_eq!(
            found,
            Err(LineError::Malformed { id: 0, source: Some(H1Error::Malformed) }),
            "{from:?} to {to:?}"
        );
    }
}

#[test]
fn h1_is_over_sorted_names_and_digests() {
    let files = [
        ("example.com/m@v1.0.0/go.mod", Sha256::of(b"module example.com/m\n")),
        ("example.com/m@v1.0.0/a.go", Sha256::of(b"package a\n")),
    ];
    // Both computed by another program.
    let zip = "h1:mf3ZgaLi4oSAsMraSF2c/29zuDnyW+GWSJW1ofY+5Bk=";
    assert_eq!(h1_of(files).map(|h1| h1.to_string()), Ok(zip.to_owned()));
    assert_eq!(h1_of([files[1], files[0]]).map(Ok), Ok(zip.parse::<H1>()));
    let go_mod = h1_of([("go.mod", files[0].1)]).unwrap();
    assert_eq!(go_mod.to_string(), "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k=");
    assert_eq!(h1_of([("a\nb", files[0].1)]), Err(H1Error::Newline));
}

proptest! {
    #[test]
    fn no_answer_panics(bytes: Vec<u8>, text in "[0-9]{1,3}\n[a \n]{0,9}\n\n[a\n— =]{0,9}") {
        let _ = (UnverifiedLookup::parse(&bytes), UnverifiedLookup::parse(text.as_bytes()));
        let _ = (text.parse::<H1>(), Database::only(&text));
    }

    #[test]
    fn every_digest_is_read_as_it_was_written(digest: [u8; 32]) {
        let h1 = H1(Sha256(digest));
        prop_assert_eq!(h1.to_string().parse(), Ok(h1));
    }
}
