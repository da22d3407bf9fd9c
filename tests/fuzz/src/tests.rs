//! Every seed keeps its property, and is accepted or refused as its name begins: what is always refused proves nothing.

use std::{fs, path::Path};

fn seeds(target: &str, check: fn(&[u8]) -> bool) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut named = [0, 0];
    for seed in fs::read_dir(&seeds).expect("seeds") {
        let path = seed.expect("a seed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let accepted = check(&fs::read(&path).expect("a seed"));
        for (at, word) in ["good-", "bad-"].into_iter().enumerate() {
            if name.starts_with(word) {
                assert_eq!(accepted, at == 0, "{target}/{name}");
                named[at] += 1;
            }
        }
    }
    assert!(named[0] > 0 && named[1] > 0, "{target}: {named:?}");
}

#[test]
fn bundles() {
    seeds("bundle", crate::bundle::check);
}

#[test]
fn npm_documents() {
    seeds("npm_attestations", crate::npm_attestations::check);
}

#[test]
fn pep740_attestations() {
    seeds("pep740", crate::pep740::check);
}

#[test]
fn packuments() {
    seeds("packument", crate::packument::check);
}

#[test]
fn simple_indexes() {
    seeds("simple_json", crate::simple_json::check);
}

#[test]
fn zips_of_modules() {
    seeds("go_zip", crate::go_zip::check);
}

#[test]
fn notes_lookups_and_tiles() {
    seeds("tlog", crate::tlog::check);
}

#[test]
fn sri_strings() {
    seeds("sri", crate::sri::check);
}
