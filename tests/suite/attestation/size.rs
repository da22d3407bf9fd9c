//! Bounds (threats.md A-40; ecosystems.md 14 A20). Beside each refusal stands the largest that is still read.

use serde_json::{Value, json};
use touchstone_attestation::Problem;
use touchstone_testkit::sigstore::EntryKind;

use super::{WHEEL_V2, World, entry};

const MIB: usize = 1024 * 1024;

/// A bundle of 1 MiB and not a byte more, however large its predicate would be.
#[test]
fn a_bundle_is_at_most_one_mebibyte() {
    let world = World::new();
    let honest = world.wheel().json();
    let padded = |size: usize| [honest.clone(), vec![b' '; size - honest.len()]].concat();
    super::accepted(world.judge_wheel(&padded(MIB)));
    super::refused("a byte more", world.judge_wheel(&padded(MIB + 1)), Problem::Limit);
    let predicate = |size: usize| {
        let mut statement = world.statement.clone();
        statement["predicate"] = json!({ "notes": "x".repeat(size) });
        world.judge_wheel(&world.wheel().payload(statement.to_string().as_bytes()).json())
    };
    super::accepted(predicate(MIB / 2));
    super::refused("100 MB", predicate(100_000_000), Problem::Limit);
}

#[test]
fn subjects_are_at_most_1024() {
    let world = World::new();
    let subjects = |count: usize| {
        let mut statement = world.statement.clone();
        let one = statement["subject"][0].clone();
        statement["subject"] = Value::from(vec![one; count]);
        world.judge_bytes(&world.wheel().payload(statement.to_string().as_bytes()).json())
    };
    super::accepted(subjects(1024));
    super::refused("one more", subjects(1025), Problem::Limit);
    super::refused("100,000", subjects(100_000), Problem::Limit);
}

#[test]
fn log_entries_are_at_most_eight() {
    let world = World::new();
    let entries =
        |count: usize| world.judge_wheel(&world.wheel().entries(&vec![EntryKind::Dsse; count]).json());
    assert_eq!(super::accepted(entries(8)).log_entries().len(), 8);
    super::refused("nine", entries(9), Problem::Limit);
    let mut bundle = world.wheel().value();
    let one = json!({});
    bundle["verificationMaterial"]["tlogEntries"] = Value::from(vec![one; 100_000]);
    super::refused("100,000", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Limit);
}

#[test]
fn timestamps_are_at_most_eight() {
    let world = World::new();
    let stamped = |count: usize| {
        world.judge_wheel(&(WHEEL_V2.mint)(&world).timestamped_at(&vec![world.sigstore.now; count]).json())
    };
    assert_eq!(super::accepted(stamped(8)).signed_at(), [world.sigstore.now]);
    super::refused("nine", stamped(9), Problem::Limit);
}

#[test]
fn a_certificate_is_at_most_16_kibibytes() {
    let world = World::new();
    let named = |size: usize| {
        let name = format!("https://github.com/{}", "x".repeat(size));
        world.judge_wheel(&world.wheel().leaf(|leaf| _ = leaf.names(&[&name])).json())
    };
    super::accepted(named(14 * 1024));
    super::refused("more", named(16 * 1024), Problem::Limit);
}

#[test]
fn json_is_at_most_64_deep() {
    let world = World::new();
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let mut bundle = world.wheel().value().to_string();
        bundle.truncate(bundle.len() - 1);
        world.judge_wheel(format!("{bundle},\"x\":{value}}}").as_bytes())
    };
    super::accepted(nested(63));
    super::refused("one more", nested(64), Problem::Limit);
    super::refused("100,000", nested(100_000), Problem::Limit);
    let stated = |depth: usize| {
        let predicate = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let payload =
            world.statement.to_string().replace("\"predicate\":null", &format!("\"predicate\":{predicate}"));
        world.judge_wheel(&world.wheel().payload(payload.as_bytes()).json())
    };
    super::accepted(stated(63));
    super::refused("one more", stated(64), Problem::Limit);
}

#[test]
fn a_path_and_a_checkpoint_are_bounded() {
    let world = World::new();
    let honest = world.wheel().value();
    super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
    let mut bundle = honest.clone();
    let hashes = &mut entry(&mut bundle)["inclusionProof"]["hashes"];
    *hashes = Value::from(vec![hashes[0].clone(); 65]);
    super::refused("65 hashes", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Limit);
    let mut bundle = honest;
    let note = &mut entry(&mut bundle)["inclusionProof"]["checkpoint"]["envelope"];
    let line = note.as_str().unwrap().lines().last().unwrap().to_owned();
    *note = format!("{}{}", note.as_str().unwrap(), format!("{line}\n").repeat(32)).into();
    super::refused("33 signatures", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Limit);
}
