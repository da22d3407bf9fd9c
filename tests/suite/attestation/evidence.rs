//! Which evidence of the log is enough, and promises (threats.md; ecosystems.md 14 A12).

use serde_json::Value;
use touchstone_attestation::{EvidenceLevel, Problem};
use touchstone_testkit::sigstore::{EntryKind, Log, LogVersion};

use super::{
    Bundle, Edit, PUBLISHED, WHEEL, WHEEL_CHAIN, WHEEL_V01, WHEEL_V2, World, add, decoded, entry, flip,
    proof, remove,
};

/// which evidence of the log is enough, by the version of the bundle and of the log.
#[test]
fn missing_evidence_of_the_log_is_refused() {
    let world = World::new();
    world.refuses(WHEEL, &[("no entry", |b| b.entries(&[]), Problem::LogInclusion)]);
    world.refuses(WHEEL_V2, &[("no timestamp", |b| b.timestamped_at(&[]), Problem::NoSignedTime)]);
    let no_proof: Edit = |b| remove(entry(b), "inclusionProof");
    let no_promise: Edit = |b| remove(entry(b), "inclusionPromise");
    let no_checkpoint: Edit = |b| remove(proof(b), "checkpoint");
    for case in [WHEEL, WHEEL_CHAIN, PUBLISHED] {
        world.refuses_changed(
            case,
            &[
                ("a promise only", no_proof, Problem::LogInclusion),
                ("a proof only", no_promise, Problem::NoSignedTime),
                ("no checkpoint", no_checkpoint, Problem::Checkpoint),
            ],
        );
    }
    world.refuses_changed(
        WHEEL_V2,
        &[
            ("no proof", no_proof, Problem::LogInclusion),
            ("no checkpoint", no_checkpoint, Problem::Checkpoint),
        ],
    );
    world.refuses_changed(WHEEL_V01, &[("a proof only", no_promise, Problem::InclusionPromise)]);
}

/// A-09, sigstore.md 11.4: bundles of version 0.1 may do with the promise, and the evidence is marked as weaker.
#[test]
fn a_promise_alone_is_weaker_evidence() {
    let world = World::new();
    assert_eq!(world.honest(WHEEL).level(), EvidenceLevel::Proof);
    assert_eq!(world.honest(WHEEL_V01).level(), EvidenceLevel::Proof);
    let promised =
        world.passes(WHEEL_V01, "a promise only", |b| b.edit(|b| remove(entry(b), "inclusionProof")));
    assert_eq!(promised.level(), EvidenceLevel::Promise);
    assert_eq!(promised.log_entries()[0].leaf_index, None);
}

/// an independent timestamp stands in for the promise's time.
#[test]
fn a_timestamp_gives_the_time_that_a_proof_lacks() {
    let world = World::new();
    let mut bundle = world.wheel().timestamped_at(&[world.sigstore.now]).value();
    super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
    remove(entry(&mut bundle), "inclusionPromise");
    let verified = super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
    assert_eq!(verified.signed_at(), [world.sigstore.now]);
    assert_eq!(verified.log_entries()[0].integrated_time, None);
}

/// the promise covers body, time, position and log. The forged one guards the choice of verifier (sigstore.md 11.1).
#[test]
fn a_promise_that_the_log_did_not_make_is_refused() {
    let world = World::new();
    for case in [WHEEL, PUBLISHED] {
        world.refuses_changed(
            case,
            &[
                (
                    "forged",
                    |b| flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"]),
                    Problem::InclusionPromise,
                ),
                (
                    "empty",
                    |b| entry(b)["inclusionPromise"]["signedEntryTimestamp"] = "".into(),
                    Problem::InclusionPromise,
                ),
                ("another time", |b| add(&mut entry(b)["integratedTime"], 1), Problem::InclusionPromise),
                ("an earlier time", |b| add(&mut entry(b)["integratedTime"], -1), Problem::InclusionPromise),
                (
                    "by another log",
                    |b| entry(b)["inclusionPromise"] = Log::new(LogVersion::V1).promise(&entry(b).clone()),
                    Problem::InclusionPromise,
                ),
            ],
        );
    }
}

/// The whole evidence is made up: a tree of one leaf, its head and its promise, by a log of the forger's under our log's id.
#[test]
fn evidence_that_is_made_up_as_a_whole_is_refused() {
    let world = World::new();
    let honest = world.wheel().value();
    super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
    let other = World::new();
    let forged = |id: bool| {
        let mut bundle = honest.clone();
        let mut mixed = Log::new(LogVersion::V1);
        mixed.host.clone_from(&other.sigstore.rekor.host);
        let body = decoded(&entry(&mut bundle)["canonicalizedBody"]);
        let mut made = mixed.append(("dsse", "0.0.1"), &body, world.sigstore.now);
        if id {
            made["logId"] = entry(&mut bundle)["logId"].clone();
        }
        *entry(&mut bundle) = made;
        bundle
    };
    super::refused(
        "a log of its own",
        world.judge_wheel(forged(false).to_string().as_bytes()),
        Problem::UnknownLog,
    );
    super::refused(
        "under our log's id",
        world.judge_wheel(forged(true).to_string().as_bytes()),
        Problem::Checkpoint,
    );
}

/// Each entry counts: a good one does not make up for a bad one beside it.
#[test]
fn every_entry_is_verified() {
    let world = World::new();
    let twice = |b: Bundle<'_>| -> Value { b.entries(&[EntryKind::Dsse, EntryKind::Dsse]).value() };
    let honest = twice(world.wheel());
    assert_eq!(super::accepted(world.judge_wheel(honest.to_string().as_bytes())).log_entries().len(), 2);
    for at in [0, 1] {
        let mut bundle = honest.clone();
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][at];
        flip(&mut entry["inclusionProof"]["hashes"][0]);
        super::refused("one of two", world.judge_wheel(bundle.to_string().as_bytes()), Problem::LogInclusion);
        let mut bundle = honest.clone();
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][at];
        flip(&mut entry["inclusionPromise"]["signedEntryTimestamp"]);
        super::refused(
            "one of two",
            world.judge_wheel(bundle.to_string().as_bytes()),
            Problem::InclusionPromise,
        );
    }
}
