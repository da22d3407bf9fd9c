//! Inclusion proofs and checkpoints (threats.md ).

use serde_json::Value;
use touchstone_attestation::Problem;
use touchstone_testkit::sigstore::{Log, LogVersion};

use super::{PUBLISHED, WHEEL, WHEEL_V2, World, add, entry, flip, proof};

/// the path from the entry to the root.
#[test]
fn a_changed_path_is_refused() {
    let world = World::new();
    for case in [WHEEL, WHEEL_V2, PUBLISHED] {
        world.refuses_changed(
            case,
            &[
                ("a hash", |b| flip(&mut proof(b)["hashes"][0]), Problem::LogInclusion),
                ("a hash removed", |b| hashes(b, |h| _ = h.pop()), Problem::LogInclusion),
                ("no hashes", |b| hashes(b, Vec::clear), Problem::LogInclusion),
                ("a hash added", |b| hashes(b, |h| h.push(h[0].clone())), Problem::LogInclusion),
                ("the order of the hashes", |b| hashes(b, |h| h.reverse()), Problem::LogInclusion),
                (
                    "a short hash",
                    |b| super::bytes(&mut proof(b)["hashes"][0], |h| _ = h.pop()),
                    Problem::Malformed,
                ),
            ],
        );
    }
}

/// where the entry stands in the tree. The first log states it in the proof, the second outside of it.
#[test]
fn a_changed_position_is_refused() {
    let world = World::new();
    world.refuses_changed(
        WHEEL,
        &[
            ("one less", |b| add(&mut proof(b)["logIndex"], -1), Problem::LogInclusion),
            ("one more", |b| add(&mut proof(b)["logIndex"], 1), Problem::LogInclusion),
            (
                "beyond the tree",
                |b| proof(b)["logIndex"] = proof(b)["treeSize"].clone(),
                Problem::LogInclusion,
            ),
            ("negative", |b| proof(b)["logIndex"] = "-1".into(), Problem::Malformed),
            ("2^63", |b| proof(b)["logIndex"] = "9223372036854775808".into(), Problem::Malformed),
            (
                "the global one, which the promise covers",
                |b| add(&mut entry(b)["logIndex"], 1),
                Problem::InclusionPromise,
            ),
        ],
    );
    world.refuses_changed(
        WHEEL_V2,
        &[
            ("one less", |b| add(&mut entry(b)["logIndex"], -1), Problem::LogInclusion),
            ("one more", |b| add(&mut entry(b)["logIndex"], 1), Problem::LogInclusion),
            (
                "beyond the tree",
                |b| entry(b)["logIndex"] = proof(b)["treeSize"].clone(),
                Problem::LogInclusion,
            ),
            ("negative", |b| entry(b)["logIndex"] = "-1".into(), Problem::Malformed),
        ],
    );
}

/// the tree's size and root are repeated beside the checkpoint. The library does not compare the size (sigstore.md 4).
#[test]
fn a_tree_other_than_the_checkpoints_is_refused() {
    World::new().refuses_changed(
        WHEEL,
        &[
            ("one more", |b| add(&mut proof(b)["treeSize"], 1), Problem::Checkpoint),
            ("one less", |b| add(&mut proof(b)["treeSize"], -1), Problem::Checkpoint),
            ("zero", |b| proof(b)["treeSize"] = "0".into(), Problem::Checkpoint),
            ("negative", |b| proof(b)["treeSize"] = "-1".into(), Problem::Malformed),
            ("the root", |b| flip(&mut proof(b)["rootHash"]), Problem::Checkpoint),
        ],
    );
}

/// sigstore.md 4 and 11.5: the second log's repetitions are not authenticated. They are ignored, and never become facts.
#[test]
fn unauthenticated_fields_of_the_second_log_are_no_facts() {
    let world = World::new();
    let mut bundle = (WHEEL_V2.mint)(&world).value();
    let honest = super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
    proof(&mut bundle)["logIndex"] = "123456".into();
    proof(&mut bundle)["treeSize"] = "1234567".into();
    flip(&mut proof(&mut bundle)["rootHash"]);
    entry(&mut bundle)["integratedTime"] = "1".into();
    let changed = super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
    assert_eq!(changed.log_entries(), honest.log_entries());
    assert_eq!(changed.log_entries()[0].integrated_time, None);
    assert_eq!(changed.signed_at(), [world.sigstore.now]);
}

/// signed tree heads that are not this log's over this tree.
#[test]
fn a_checkpoint_of_another_log_or_tree_is_refused() {
    let world = World::new();
    let stranger = Log::new(LogVersion::V1);
    for case in [WHEEL, WHEEL_V2] {
        let honest = (case.mint)(&world).value();
        super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
        let note =
            honest["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"]
                .clone();
        let note = note.as_str().unwrap();
        let (text, signature) = note.split_once("\n\n").unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let own = if case.mint as usize == WHEEL.mint as usize {
            &world.sigstore.rekor
        } else {
            &world.sigstore.rekor2
        };
        let other =
            if own.version == LogVersion::V1 { &world.sigstore.rekor2 } else { &world.sigstore.rekor };
        let judge = |note: String| {
            let mut bundle = honest.clone();
            proof(&mut bundle)["checkpoint"]["envelope"] = note.into();
            world.judge_wheel(bundle.to_string().as_bytes())
        };
        let signed = |lines: &[&str]| judge(own.sign_note(&format!("{}\n", lines.join("\n"))));
        let refuse = |what: &str, result| super::refused(what, result, Problem::Checkpoint);
        super::accepted(signed(&lines));
        refuse("a changed signature", judge(note.replace(signature, &other_signature(signature))));
        refuse("another key's hint", judge(format!("{text}\n\n{}", hinted(&stranger, own, text))));
        refuse("another origin", signed(&["evil.example", lines[1], lines[2]]));
        refuse("a longer origin", signed(&[&format!("{}.evil.example", lines[0]), lines[1], lines[2]]));
        refuse("no origin", signed(&[lines[1], lines[2]]));
        refuse("no root", signed(&lines[..2]));
        refuse("a root that is no hash", signed(&[lines[0], lines[1], "AAAA"]));
        refuse("a size that is no number", signed(&[lines[0], "many", lines[2]]));
        refuse("no signature", judge(format!("{text}\n\n")));
        refuse("no empty line", judge(note.replace("\n\n", "\n")));
        refuse("a hyphen for the dash", judge(note.replace('\u{2014}', "-")));
        refuse("nothing", judge(String::new()));
        refuse("a stranger's", judge(stranger.sign_note(&format!("{text}\n"))));
        refuse("the other log's", judge(other.sign_note(&format!("{text}\n"))));
        refuse("of another size", {
            let size: u64 = lines[1].parse().unwrap();
            let result = signed(&[lines[0], &(size + 64).to_string(), lines[2]]);
            // The second log has no other statement of the size, so there the path does not fit.
            result.map_err(|refused| match own.version {
                LogVersion::V1 => refused,
                LogVersion::V2 => {
                    assert_eq!(refused.problem, Problem::LogInclusion);
                    touchstone_attestation::Refused { problem: Problem::Checkpoint, ..refused }
                }
            })
        });
    }
}

/// witnesses may sign beside the log, in any order, and the log's text may have more lines.
#[test]
fn a_cosigned_checkpoint_is_accepted() {
    let world = World::new();
    let witness = Log::new(LogVersion::V2);
    for case in [WHEEL, WHEEL_V2] {
        let mut bundle = (case.mint)(&world).value();
        let note = proof(&mut bundle)["checkpoint"]["envelope"].as_str().unwrap().to_owned();
        let (text, signature) = note.split_once("\n\n").unwrap();
        let cosignature = witness.note_signature(&format!("{text}\n")).replace("log2.rekor", "witness");
        for note in
            [format!("{text}\n\n{signature}{cosignature}"), format!("{text}\n\n{cosignature}{signature}")]
        {
            proof(&mut bundle)["checkpoint"]["envelope"] = note.into();
            super::accepted(world.judge_wheel(bundle.to_string().as_bytes()));
        }
        proof(&mut bundle)["checkpoint"]["envelope"] = format!("{text}\n\n{cosignature}").into();
        super::refused(
            "the witness alone",
            world.judge_wheel(bundle.to_string().as_bytes()),
            Problem::Checkpoint,
        );
    }
}

fn hashes(bundle: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
    change(proof(bundle)["hashes"].as_array_mut().expect("hashes"));
}

/// A signature line with one character of the signature changed.
fn other_signature(line: &str) -> String {
    let (head, signature) = line.trim_end().rsplit_once(' ').expect("a signature line");
    let mut signature = Value::from(signature);
    flip(&mut signature);
    format!("{head} {}\n", signature.as_str().expect("a string"))
}

/// The log's signature under a stranger's hint.
fn hinted(stranger: &Log, own: &Log, text: &str) -> String {
    let line = own.note_signature(&format!("{text}\n"));
    let (head, signature) = line.trim_end().rsplit_once(' ').expect("a signature line");
    let mut signature = Value::from(signature);
    super::bytes(&mut signature, |bytes| bytes[..4].copy_from_slice(&stranger.id()[..4]));
    format!("{head} {}\n", signature.as_str().expect("a string"))
}
