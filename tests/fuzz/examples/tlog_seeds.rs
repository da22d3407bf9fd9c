//! Writes the seeds of the `tlog` target: `cargo run -p touchstone-fuzz --example tlog_seeds`. They are the same each time.

use std::{fs, path::Path};

use touchstone_fuzz::tlog::{KEY, SCRIPT, TREE, record};
use touchstone_tlog::{HashReader as _, TreeHead, note::SignerKey};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/tlog");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("written");
    let note = |size| {
        KEY.sign(&TreeHead { size, root: TREE.root(size).expect("a constant") }.sumdb_text())
            .expect("a constant")
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a constant");
    let answer =
        |id: &str, text: &str, size| [id.as_bytes(), b"\n", text.as_bytes(), b"\n", &note(size)].concat();
    write("good-note", &note(300));
    write("bad-note-signature", text(&note(300)).replace("300", "301").as_bytes());
    write("bad-note-homoglyph", text(&note(300)).replace("sumdb.ex", "sumdb.\u{435}x").as_bytes());
    let other = SignerKey::from_seed("witness.example", [8; 32]).expect("a constant").signature_line("x\n");
    write("good-note-two-signatures", &[&note(5)[..], other.as_bytes()].concat());
    write("good-lookup", &answer("7", &record(7), 300));
    write("good-lookup-edge", &answer("1023", &record(1023), 1024));
    write("bad-lookup-other-record", &answer("7", &record(8), 300));
    write("bad-lookup-beyond-the-tree", &answer("300", &record(300), 300));
    write("bad-lookup-id", &answer("-7", &record(7), 300));
    write("good-path", b"tile/8/1/x001/x234/067.p/9");
    write("good-path-data", b"tile/8/data/000");
    write("good-path-c2sp", b"tile/entries/x001/000.p/255");
    write("bad-path-width", b"tile/8/0/000.p/256");
    write("bad-path-group", b"tile/8/0/x000/001");
    let script = |numbers: &[u16]| {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        [SCRIPT, &bytes.collect::<Vec<_>>()].concat()
    };
    write("good-tiles", &script(&[1050, 700, 300]));
    write("good-tiles-edge", &script(&[2048, 2047, 256]));
    write("bad-tiles-forged-full", &script(&[1050, 700, 300, 8, 5, 1]));
    write("bad-tiles-forged-partial", &script(&[1050, 700, 300, 24, 5, 1]));
    write("bad-tiles-missing", &script(&[1050, 700, 300, 5, 0, 0]));
    write("bad-tiles-of-another-index", &script(&[1050, 700, 300, 6, 1, 0]));
    write("bad-tiles-beyond-the-tree", &script(&[1050, 1050, 300]));
    write("found-entries", b"\x01\0\x03abc\0\0");
}
