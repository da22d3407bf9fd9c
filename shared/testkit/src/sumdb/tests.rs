use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256 as Hasher};

use super::{Endpoint, Lie, Lines, NoteLie, PartialTiles, Sumdb, TileForgery};
use crate::{Module, Registry};

fn get(database: &Sumdb, path: &str) -> Option<Vec<u8>> {
    database.answer(&Endpoint(path)).map(|answer| answer.body)
}

fn text(database: &Sumdb, path: &str) -> String {
    String::from_utf8(get(database, path).expect(path)).expect("text")
}

/// RFC 6962, section 2.1, word for word.
fn mth(leaves: &[Vec<u8>]) -> [u8; 32] {
    if let [leaf] = leaves {
        return Hasher::digest([&[0], &leaf[..]].concat()).into();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    Hasher::digest([&[1], &mth(left)[..], &mth(right)[..]].concat()).into()
}

#[test]
fn roots_are_those_of_the_definition() {
    let database = Sumdb::new();
    database.fill(300);
    let records = text(&database, "tile/8/data/000") + &text(&database, "tile/8/data/001.p/44");
    let records: Vec<Vec<u8>> =
        records.split_terminator("\n\n").map(|r| format!("{r}\n").into_bytes()).collect();
    assert_eq!(records.len(), 300);
    for size in 1..=300 {
        assert_eq!(database.root(size as u64).0, mth(&records[..size]), "{size}");
    }
}

#[test]
fn heads_are_signed_by_the_key_that_is_named() {
    let database = Sumdb::new();
    database.fill(5);
    let key = database.key();
    let [name, hash, public] = *key.splitn(3, '+').collect::<Vec<_>>() else { panic!("{key}") };
    let public = STANDARD.decode(public).expect("base64");
    assert_eq!((name, format!("{name}+{hash}"), public[0]), ("sumdb.example", database.id(), 1));
    let note = text(&database, "latest");
    let (signed, line) = note.split_once("\n\n").expect("a note");
    assert_eq!(signed.lines().take(2).collect::<Vec<_>>(), ["go.sum database tree", "5"]);
    let signature = line.strip_prefix("\u{2014} sumdb.example ").expect("a signature").trim_end();
    let signature = STANDARD.decode(signature).expect("base64");
    assert_eq!(hex::encode(&signature[..4]), hash);
    let verified = UnparsedPublicKey::new(&ED25519, &public[1..])
        .verify(format!("{signed}\n").as_bytes(), &signature[4..]);
    verified.expect("signed");
}

#[test]
fn tiles_of_a_tree_of_several_levels() {
    let database = Sumdb::new();
    database.fill(70_000);
    for (path, bytes) in [
        ("tile/8/0/000", Some(256)),
        ("tile/8/0/272", Some(256)),
        ("tile/8/0/273.p/112", Some(112)),
        ("tile/8/0/273.p/1", Some(1)),
        ("tile/8/0/273.p/113", None),
        ("tile/8/0/273", None),
        ("tile/8/0/274", None),
        ("tile/8/0/x000/273.p/112", None),
        ("tile/8/0/0000", None),
        ("tile/8/0/000.p/0", None),
        ("tile/8/0/000.p/256", None),
        ("tile/8/1/000", Some(256)),
        ("tile/8/1/001.p/17", Some(17)),
        ("tile/8/2/000.p/1", Some(1)),
        ("tile/8/3/000.p/1", None),
        ("tile/9/0/000", None),
    ] {
        assert_eq!(get(&database, path).map(|tile| tile.len()), bytes.map(|n| n * 32), "{path}");
    }
    let there = |path: &str| get(&database, path).is_some();
    database.set_partial_tiles(PartialTiles::Current);
    assert_eq!(
        (there("tile/8/0/273.p/112"), there("tile/8/0/273.p/111"), there("tile/8/0/001.p/9")),
        (true, false, false)
    );
    database.set_partial_tiles(PartialTiles::Missing);
    assert_eq!((there("tile/8/0/273.p/112"), there("tile/8/0/001")), (false, true));
}

fn on_record() -> (Sumdb, u64) {
    let database = Sumdb::new();
    database.fill(3);
    let id = database.record("example.com/A", "v1.0.0", "h1:zip", "h1:mod");
    database.fill(9);
    (database, id)
}

const LOOKUP: &str = "lookup/example.com/!a@v1.0.0";

#[test]
fn lookups_have_the_number_the_record_and_a_head() {
    let (database, id) = on_record();
    let answer = text(&database, LOOKUP);
    let record = format!(
        "{id}\nexample.com/A v1.0.0 h1:zip\nexample.com/A v1.0.0/go.mod h1:mod\n\ngo.sum database tree\n9\n"
    );
    assert!(answer.starts_with(&record), "{answer}");
    assert!(answer.ends_with(&text(&database, "latest")), "{answer}");
    for absent in
        ["lookup/example.com/A@v1.0.0", "lookup/example.com/a@v1.0.0", "lookup/example.com/!a@v1.0.1"]
    {
        assert_eq!(get(&database, absent), None, "{absent}");
    }
    database.set_lookup_size(Some(5));
    assert!(text(&database, LOOKUP).contains("\n\ngo.sum database tree\n5\n"));
    database.set_lookup_size(Some(id));
    assert!(
        text(&database, LOOKUP).contains("\n\ngo.sum database tree\n9\n"),
        "a record is never beyond its tree"
    );
}

#[test]
fn lies_about_records() {
    let (database, _) = on_record();
    let forged = "example.com/A v1.0.0 h1:forged\n";
    let unrelated = "0\nfiller.example/m0 v1.0.0 h1:";
    for (lines, start, contains) in [
        (Lines::Absent, unrelated, "/go.mod h1:"),
        (Lines::BeforeNumber(forged.into()), forged, unrelated),
        (
            Lines::AfterRecord(forged.into()),
            unrelated,
            "=\nexample.com/A v1.0.0 h1:forged\n\ngo.sum database tree\n",
        ),
        (Lines::InNote(forged.into()), unrelated, "=\nexample.com/A v1.0.0 h1:forged\n\n\u{2014} sumdb"),
        (Lines::AfterNote(forged.into()), unrelated, "=\nexample.com/A v1.0.0 h1:forged\n"),
    ] {
        database.lie(Lie::UnrelatedRecord(lines));
        let answer = text(&database, LOOKUP);
        assert!(answer.starts_with(start) && answer.contains(contains), "{answer}");
        database.honest();
    }
    database.lie(Lie::Number("-1".into()));
    assert!(text(&database, LOOKUP).starts_with("-1\nexample.com/A "));
    database.honest();

    let module = ("example.com/A".to_owned(), "v1.0.0".to_owned());
    let tiles = [get(&database, "tile/8/0/000.p/9"), get(&database, "latest")];
    for levels in [0, 1] {
        database.lie(Lie::ForgedRecord { module: module.clone(), text: forged.into(), levels });
        assert!(text(&database, LOOKUP).starts_with("3\nexample.com/A v1.0.0 h1:forged\n\n"));
        assert_eq!(get(&database, "tile/8/0/000.p/9") == tiles[0], levels == 0);
        assert_eq!(get(&database, "latest"), tiles[1]);
        database.honest();
    }
    assert_eq!(get(&database, "tile/8/0/000.p/9"), tiles[0]);
}

#[test]
fn lies_about_tiles_notes_and_heads() {
    let (database, _) = on_record();
    database.fill(600);
    let (first, second) = (get(&database, "tile/8/0/000").expect("there"), get(&database, "tile/8/0/001"));
    for (forgery, length) in [
        (TileForgery::Flip(255), 8192),
        (TileForgery::Narrow, 8160),
        (TileForgery::Wide, 8224),
        (TileForgery::Ragged, 8191),
        (TileForgery::Empty, 0),
        (TileForgery::OtherIndex, 8192),
    ] {
        database.lie(Lie::Tile { level: 0, index: 0, forgery });
        let tile = get(&database, "tile/8/0/000").expect("there");
        assert!(tile.len() == length && tile != first, "{forgery:?}");
        assert_eq!(get(&database, "tile/8/0/001"), second);
        database.honest();
    }
    let honest = get(&database, "latest").expect("there");
    for lie in [
        NoteLie::OtherKey,
        NoteLie::Forged,
        NoteLie::WrongHash,
        NoteLie::Homoglyph,
        NoteLie::MoreSignatures(1000),
        NoteLie::NoNewline,
        NoteLie::NotUtf8,
        NoteLie::Control,
        NoteLie::Text("other\n".into()),
    ] {
        database.lie(Lie::Note(lie.clone()));
        assert_ne!(get(&database, "latest").expect("there"), honest, "{lie:?}");
        database.honest();
    }
    database.lie(Lie::OldLatest { size: 5 });
    assert_eq!(get(&database, "latest").expect("there"), database.note(5));
    assert!(get(&database, "tile/8/0/001").is_some());
    database.honest();
    database.lie(Lie::Rollback { size: 5 });
    assert_eq!(get(&database, "latest").expect("there"), database.note(5));
    assert!(get(&database, "tile/8/0/001").is_none() && get(&database, LOOKUP).is_some());
    database.honest();
    for (more, size) in [(0, 600), (7, 607)] {
        database.lie(Lie::Fork { record: 4, more });
        let fork = text(&database, "latest");
        assert!(
            fork.starts_with(&format!("go.sum database tree\n{size}\n")) && fork.as_bytes() != honest,
            "{fork}"
        );
        assert_ne!(get(&database, "tile/8/0/000").expect("there"), first);
        assert_eq!(get(&database, "tile/8/0/001"), second);
        database.honest();
    }
    assert_eq!(get(&database, "latest").expect("there"), honest);
}

#[tokio::test]
async fn the_registry_and_its_proxy_have_the_same_database() {
    let registry = Registry::start().await;
    let module = Module::new("example.com/a", "v1.0.0");
    registry.publish_module(module.clone());
    let get = async |path: &str| {
        let answer = reqwest::get(registry.origin().join(path).expect("a path")).await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("a body"))
    };
    assert_eq!(get("go/sumdb/sumdb.example/supported").await, (200, "".into()));
    assert_eq!(get("go/sumdb/other.example/supported").await.0, 404);
    for path in ["latest", "lookup/example.com/a@v1.0.0", "tile/8/0/000.p/2"] {
        let (status, body) = get(&format!("sumdb/{path}")).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(get(&format!("go/sumdb/sumdb.example/{path}")).await, (200, body), "{path}");
    }
    registry.fault(&module.lookup(), crate::Fault::Status(410));
    assert_eq!(get("sumdb/lookup/example.com/a@v1.0.0").await.0, 410);
    assert_eq!(get("go/sumdb/sumdb.example/lookup/example.com/a@v1.0.0").await.0, 410);
    assert_eq!(registry.asked_for("lookup/example.com/a@v1.0.0"), 4);
}
