//! Writes the seeds of the `go_zip` target: `cargo run -p touchstone-fuzz --example go_zip_seeds`. They are the same each time.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, Crc, write::DeflateEncoder};
use touchstone_fuzz::go_zip::{ROOT, list, stored};

const GO_MOD: (&str, &str) = ("go.mod", "module code.example/Tiny\n");
const SOURCE: (&str, &str) = ("tiny.go", "package tiny\n");

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/go_zip");
    fs::create_dir_all(&folder).expect("our own folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("written");
    let below = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        files.iter().map(|(name, content)| (format!("{ROOT}{name}"), (*content).to_owned())).collect()
    };
    let listed = |files: &[(&str, &str)]| {
        let files = below(files);
        list(&files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect::<Vec<_>>())
    };
    let zipped = |files: &[(&str, &str)]| {
        let files = below(files);
        stored(&files.iter().map(|(name, content)| (name.as_bytes(), content.as_bytes())).collect::<Vec<_>>())
    };
    write("good-files", &listed(&[GO_MOD, SOURCE, ("a/é.go", ""), ("LICENSE", "none")]));
    write("good-directories", &listed(&[("", ""), GO_MOD, ("a/", ""), ("a/b.go", "")]));
    write("good-without-go-mod", &listed(&[SOURCE]));
    write("bad-fork", &listed(&[("go.mod", "module code.example/other\n")]));
    write("bad-case", &listed(&[GO_MOD, ("a.go", ""), ("A.go", "")]));
    write("bad-twice", &listed(&[GO_MOD, SOURCE, SOURCE]));
    write("bad-nested", &listed(&[GO_MOD, ("a/go.mod", "module x\n")]));
    write("bad-newline", &listed(&[GO_MOD, ("a\nb", "")]));
    write("bad-outside", &list(&[("code.example/Tiny@v1.2.4/x.go", "")]));

    let plain = zipped(&[GO_MOD, SOURCE]);
    write("good-stored", &plain);
    write("bad-prefixed", &[b"#!/bin/sh\n", &plain[..]].concat());
    write("bad-trailed", &[&plain[..], b"x"].concat());
    write("bad-truncated", &plain[..plain.len() - 1]);
    let flipped = |at: usize| {
        let mut bytes = plain.clone();
        bytes[at] ^= 1;
        bytes
    };
    // In the content of the first file, and the last letter of its name: in the local header alone.
    let name_end = 30 + ROOT.len() + GO_MOD.0.len();
    write("bad-crc", &flipped(name_end + 3));
    write("bad-name-differs", &flipped(name_end - 1));
    let deflated = deflated(&below(&[GO_MOD, SOURCE, ("zeros", &"0".repeat(10_000))]));
    write("good-deflated", &deflated);
    write("bad-descriptor-missing", &without_descriptor(&deflated));
}

/// A zip as the go command writes it: deflated, with what is known only then behind each body.
fn deflated(files: &[(String, String)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let (mut zip, mut directory) = (vec![], vec![]);
    for (name, content) in files {
        let start = number(zip.len());
        let mut encoder = DeflateEncoder::new(vec![], Compression::default());
        encoder.write_all(content.as_bytes()).expect("in memory");
        let body = encoder.finish().expect("in memory");
        let mut crc = Crc::new();
        crc.update(content.as_bytes());
        let known = [crc.sum().to_le_bytes(), number(body.len()), number(content.len())].concat();
        let head = [20, 0, 8, 0, 8, 0, 0, 0, 0, 0];
        let lengths = number(name.len());
        zip.extend([b"PK\x03\x04", &head[..], &[0; 12], &lengths, name.as_bytes(), &body].concat());
        zip.extend([b"PK\x07\x08", &known[..]].concat());
        directory.extend([b"PK\x01\x02\x14\0", &head[..], &known, &lengths, &[0; 10], &start].concat());
        directory.extend(name.as_bytes());
    }
    let (start, bytes, count) = (number(zip.len()), number(directory.len()), &number(files.len())[..2]);
    zip.extend([&directory[..], b"PK\x05\x06\0\0\0\0", count, count, &bytes, &start, &[0; 2]].concat());
    zip
}

/// The zip with the mark of the first descriptor taken out.
fn without_descriptor(zip: &[u8]) -> Vec<u8> {
    let at = zip.windows(4).position(|window| window == b"PK\x07\x08").expect("described");
    [&zip[..at], &zip[at + 4..]].concat()
}
