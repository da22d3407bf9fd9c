//! Beside the case that is approved, the same with one thing changed.

mod dates;
mod given;
mod rows;

use touchstone_domain::{ArtifactDbId, CheckKind, Outcome, OutcomeKind, Reason, Requirement, Version};

use super::*;
use crate::{EnvelopeError, KeyKind, KeyProblem, Signer as _};
use given::{ENVIRONMENT, Given, POLICY_EPOCH, reference, signer, time};

const HASH: CheckSet = CheckSet::of(CheckKind::Hash);
const ATTEST: CheckSet = CheckSet::of(CheckKind::Attest);

fn id(kind: KeyKind) -> KeyId {
    signer(kind).key_id()
}

fn differs(field: &'static str, expected: &str, found: &str) -> NotSigned {
    NotSigned::Field { field, expected: expected.into(), found: found.into() }
}

#[test]
fn verified_verdicts_that_fulfil_gate_and_policy_approve() {
    let given = Given::new();
    let judged = given.judged();
    assert_eq!((judged.refused, judged.deltas.len()), (vec![], 2));
    assert_eq!((judged.missing, judged.unbacked), (CheckSet::EMPTY, CheckSet::EMPTY));
    let approval = judged.approval.unwrap();
    let rests_on = |check, kind, at: usize| Approver {
        check,
        key: id(kind),
        envelope: Sha256::of(given.envelopes[at].as_ref().unwrap()),
    };
    let expected = Approval {
        environment: ENVIRONMENT.into(),
        gate: given.case.gate,
        id: given.case.id.clone(),
        sha512: given.case.sha512,
        size: given.case.size,
        policy_epoch: POLICY_EPOCH,
        policy: Policy::default().digest(),
        rests_on: vec![
            rests_on(None, KeyKind::Fetch, 0),
            rests_on(Some(CheckKind::Hash), KeyKind::Hash, 1),
            rests_on(Some(CheckKind::Attest), KeyKind::Attest, 2),
        ],
    };
    assert_eq!(approval, expected);
    let keys: Vec<_> = approval.keys().collect();
    assert_eq!(keys, [KeyKind::Fetch, KeyKind::Hash, KeyKind::Attest].map(id));
}

#[test]
fn a_key_counts_for_its_kind_in_its_window_until_it_is_revoked() {
    let wrong = Given::new().signed_with(KeyKind::Attest, |_| ());
    let kind = KeyProblem::Kind { key: id(KeyKind::Attest), expected: KeyKind::Hash, found: KeyKind::Attest };
    assert_eq!((wrong.refused(), wrong.refused().code()), (Refused::Key(kind).into(), "key_kind"));

    let revoked = Given::new().revoked(KeyKind::Hash);
    let problem = KeyProblem::Revoked { key: id(KeyKind::Hash), reason: "stolen".into() };
    assert_eq!((revoked.refused(), revoked.refused().code()), (Refused::Key(problem).into(), "key_revoked"));

    let decided = time("2026-11-23T11:00:00.123456789Z");
    let window = KeyProblem::Window { key: id(KeyKind::Hash), at: decided };
    let early = Given::new().key(KeyKind::Hash, |entry| entry.not_before = time("2026-11-23T11:00:01Z"));
    assert_eq!(
        (early.refused(), early.refused().code()),
        (Refused::Key(window.clone()).into(), "key_window")
    );
    let late = Given::new().key(KeyKind::Hash, |entry| entry.not_after = Some(time("2026-11-23T11:00:00Z")));
    assert_eq!(late.refused(), Refused::Key(window).into());
    let within = Given::new().key(KeyKind::Hash, |entry| {
        (entry.not_before, entry.not_after) = (decided, Some(decided));
    });
    assert!(within.judged().approval.is_ok());

    let mut unknown = Given::new();
    unknown.ring.retain(|entry| entry.kind != KeyKind::Hash);
    let problem = KeyProblem::Unknown(id(KeyKind::Hash));
    assert_eq!((unknown.refused(), unknown.refused().code()), (Refused::Key(problem).into(), "key_unknown"));
}

#[test]
fn an_envelope_must_be_there_whole_and_the_one_that_the_row_names() {
    let unsigned = Given::new().rows(|case| case.verdicts[0].signed = None);
    assert_eq!((unsigned.refused(), unsigned.refused().code()), (NotSigned::Unsigned, "unsigned"));

    let mut missing = Given::new();
    missing.envelopes[1] = None;
    assert_eq!((missing.refused(), missing.refused().code()), (NotSigned::Missing, "missing"));
    missing.envelopes.truncate(1);
    assert_eq!(missing.judged().refused, [(10, NotSigned::Missing), (11, NotSigned::Missing)]);

    let mut other = Given::new();
    other.case.verdicts[0].signed.as_mut().unwrap().envelope.sha256 = Sha256::of("another");
    assert_eq!(other.refused(), NotSigned::Missing);

    let mut altered = Given::new();
    let envelope = String::from_utf8(altered.envelopes[1].clone().unwrap()).unwrap();
    let later = Given::new().signed(|statement| statement.verdict.check_revision = 3);
    let theirs = String::from_utf8(later.envelopes[1].clone().unwrap()).unwrap();
    let payload = |text: &str| text.split('"').nth(3).unwrap().to_owned();
    let bytes = envelope.replace(&payload(&envelope), &payload(&theirs)).into_bytes();
    assert_ne!(bytes, envelope.into_bytes());
    altered.case.verdicts[0].signed.as_mut().unwrap().envelope = reference(&bytes);
    altered.envelopes[1] = Some(bytes);
    let signature = Refused::Signature(id(KeyKind::Hash));
    assert_eq!((altered.refused(), altered.refused().code()), (signature.into(), "signature"));

    let mut torn = Given::new();
    torn.envelopes[1] = Some(b"{}".to_vec());
    assert!(matches!(torn.refused(), NotSigned::Refused(Refused::Envelope(EnvelopeError::Malformed(_)))));
}

#[test]
fn a_verdict_of_another_artifact_installation_or_epoch_does_not_count() {
    let given = Given::new().signed(|statement| statement.id.version = Version::new("1.2.0").unwrap());
    let (signed, on_record) = ("pkg:npm/left-pad@1.2.0", "pkg:npm/left-pad@1.3.0");
    assert_eq!(given.refused(), differs("purl", signed, on_record));

    let bytes = Sha256::of("other");
    let given = Given::new().signed(|statement| statement.verdict.sha256 = bytes);
    assert_eq!(given.refused(), differs("sha256", &bytes.to_string(), &given.case.gate.sha256.to_string()));
    let given = given.row(|row| row.sha256 = bytes);
    let other = NotCounted::OtherBytes { expected: given.case.gate.sha256, found: bytes };
    assert_eq!((given.refused(), given.refused().code()), (other.into(), "other_bytes"));

    let given = Given::new().signed(|statement| statement.verdict.artifact = ArtifactDbId(4));
    assert_eq!(given.refused(), differs("artifact", "4", "3"));
    let given = given.row(|row| row.artifact = ArtifactDbId(4));
    let other = NotCounted::OtherArtifact { expected: ArtifactDbId(3), found: ArtifactDbId(4) };
    assert_eq!((given.refused(), given.refused().code()), (other.into(), "other_artifact"));

    let given = Given::new().signed(|statement| statement.environment = "staging".into());
    assert_eq!(
        (given.refused(), given.refused().code()),
        (differs("environment", "staging", "test"), "differs")
    );

    let given = Given::new().signed(|statement| statement.verdict.epoch = 0);
    assert_eq!(given.refused(), differs("epoch", "0", "1"));
    let given = given.row(|row| row.epoch = 0);
    let stale = NotCounted::StaleEpoch { expected: 1, found: 0 };
    assert_eq!((given.refused(), given.refused().code()), (stale.into(), "stale_epoch"));

    let given =
        Given::new().signed(|statement| statement.verdict.chunk_root = None).row(|row| row.chunk_root = None);
    let root = NotCounted::ChunkRoot { expected: given.case.gate.chunk_root, found: None };
    assert_eq!((given.refused(), given.refused().code()), (root.into(), "chunk_root"));
}

#[test]
fn rows_that_say_something_else_than_their_envelopes_do_not_count() {
    let flip = |kind| move |row: &mut Verdict| row.outcome.kind = kind;
    let failed = |statement: &mut VerdictStatement| statement.verdict.outcome.kind = OutcomeKind::Fail;
    let to_pass = Given::new().signed(failed).row(flip(OutcomeKind::Pass));
    assert_eq!(to_pass.refused(), differs("outcome", "fail", "pass"));
    let to_fail = Given::new().row(flip(OutcomeKind::Fail));
    assert_eq!(to_fail.refused(), differs("outcome", "pass", "fail"));
}

#[test]
fn a_failure_rejects_and_so_does_the_bit_that_a_row_has() {
    let failed = |statement: &mut VerdictStatement| statement.verdict.outcome.kind = OutcomeKind::Fail;
    let given = Given::new().signed(failed).row(|row| row.outcome.kind = OutcomeKind::Fail);
    assert_eq!(given.withheld(), Withheld::Rejected { denied: HASH });
    let mut both = given;
    let passed = Given::new().said[0].clone();
    both.add_verdict(&passed, KeyKind::Hash);
    assert_eq!(both.withheld(), Withheld::Rejected { denied: HASH });

    let bit = Given::new().rows(|case| case.gate.deny = ATTEST);
    assert_eq!(bit.withheld(), Withheld::Rejected { denied: ATTEST });
    let elsewhere = Given::new().rows(|case| case.gate.deny = CheckSet::of(CheckKind::Peer));
    assert!(elsewhere.judged().approval.is_ok(), "this check vetoes nothing");
}

#[test]
fn bits_of_the_row_never_help() {
    let mut given = Given::answered(&[(CheckKind::Hash, OutcomeKind::Pass)]);
    given.case.gate.ok = HASH.union(ATTEST);
    let judged = given.judged();
    assert_eq!(judged.approval, Err(Withheld::Checks { missing: ATTEST }));
    assert_eq!((judged.missing, judged.unbacked), (ATTEST, ATTEST));
    given.case.gate.ok = HASH;
    assert_eq!(given.judged().unbacked, CheckSet::EMPTY);
}

#[test]
fn a_verdict_that_is_there_twice_counts_once() {
    let mut given = Given::new();
    let again = given.said[0].clone();
    given.add_verdict(&again, KeyKind::Hash);
    let judged = given.judged();
    assert_eq!((judged.refused, judged.deltas.len()), (vec![], 3));
    assert_eq!(judged.approval.unwrap().rests_on.len(), 3);
    assert_eq!(judged.deltas[0], judged.deltas[2]);
}

#[test]
fn without_a_fetch_of_these_bytes_nothing_is_approved() {
    let fetch = |given: &Given| match given.withheld() {
        Withheld::Fetch(reason) => {
            let refused = given.case.fetches.first().map(|envelope| (envelope.sha256, reason.clone()));
            assert_eq!(given.judged().refused_fetches, Vec::from_iter(refused));
            reason
        }
        other => panic!("{other}"),
    };
    let mut none = Given::new();
    none.envelopes.remove(0);
    none.case.fetches.clear();
    assert_eq!(fetch(&none), NotSigned::Unsigned);
    let mut missing = Given::new();
    missing.envelopes[0] = None;
    assert_eq!(fetch(&missing), NotSigned::Missing);
    let mut other = Given::new();
    other.case.fetches[0].sha256 = Sha256::of("another");
    assert_eq!(fetch(&other), NotSigned::Missing);

    let bytes = Sha256::of("other");
    let given = Given::new().fetched(KeyKind::Fetch, |fetch| fetch.sha256 = bytes);
    assert_eq!(fetch(&given), differs("sha256", &bytes.to_string(), &given.case.gate.sha256.to_string()));
    let given = Given::new().fetched(KeyKind::Fetch, |fetch| fetch.chunk_root = bytes);
    assert_eq!(
        fetch(&given),
        differs("chunk_root", &bytes.to_string(), &given.case.gate.chunk_root.to_string())
    );
    let given = Given::new().fetched(KeyKind::Fetch, |fetch| fetch.size = 9);
    assert_eq!(fetch(&given), differs("size", "9", "8"));
    let given = Given::new().fetched(KeyKind::Fetch, |fetch| fetch.environment = "staging".into());
    assert_eq!(fetch(&given), differs("environment", "staging", "test"));
    let sha512 = Sha512::of("other");
    let given = Given::new().fetched(KeyKind::Fetch, |fetch| fetch.sha512 = sha512);
    assert_eq!(fetch(&given), differs("sha512", &sha512.to_string(), &given.case.sha512.to_string()));

    let given = Given::new().fetched(KeyKind::Hash, |_| ());
    let kind = KeyProblem::Kind { key: id(KeyKind::Hash), expected: KeyKind::Fetch, found: KeyKind::Hash };
    assert_eq!(fetch(&given), Refused::Key(kind).into());
    let revoked = KeyProblem::Revoked { key: id(KeyKind::Fetch), reason: "stolen".into() };
    assert_eq!(fetch(&Given::new().revoked(KeyKind::Fetch)), Refused::Key(revoked).into());
    let verdict = Given::new();
    let mut given = Given::new();
    given.envelopes[0] = verdict.envelopes[1].clone();
    assert!(matches!(fetch(&given), NotSigned::Refused(Refused::Statement(_))), "a verdict is no fetch");
}

#[test]
fn one_fetch_that_counts_is_enough_wherever_it_was_from() {
    let given =
        Given::new().fetched(KeyKind::Fetch, |fetch| fetch.upstream_url = "https://mirror.example/".into());
    assert!(given.judged().approval.is_ok(), "the bytes are the same");
    let mut given = Given::new().fetched(KeyKind::Hash, |_| ());
    let earlier = given.fetch.clone();
    given.add_fetch(&earlier, KeyKind::Fetch);
    let judged = given.judged();
    assert_eq!(judged.approval.unwrap().rests_on[0].envelope, given.case.fetches[1].sha256);
    let refused: Vec<_> = judged.refused_fetches.iter().map(|(of, why)| (*of, why.code())).collect();
    assert_eq!(refused, [(given.case.fetches[0].sha256, "key_kind")]);
}

#[test]
fn what_was_judged_by_another_policy_does_not_approve_by_this_one() {
    let (hash, attest) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
    let other = Policy::parse("# without the pin\n").unwrap().digest();
    let given = Given::new().signed(|statement| statement.policy = other);
    assert_eq!(given.withheld(), Withheld::Policy { missing: hash });
    assert_eq!(given.judged().refused, [], "it is what was signed, and counts towards the gate");
    assert_eq!(given.judged().missing, CheckSet::EMPTY);
    let both = hash.union(attest);
    let given = Given::new().own_policy("# another text, with the same rules\n");
    assert_eq!(given.withheld(), Withheld::Policy { missing: both });
    // One more, by the policy that counts: the approval rests on that.
    let mut given = Given::new().signed(|statement| statement.policy = other);
    let mut again = given.said[0].clone();
    again.verdict.policy_epoch += 1;
    given.add_verdict(&again, KeyKind::Hash);
    let approval = given.judged().approval.expect("approved");
    let latest = given.case.verdicts[2].signed.unwrap().envelope.sha256;
    assert_eq!(approval.rests_on.iter().map(|by| by.envelope).nth(1), Some(latest));
    // What denies, denies by whatever policy.
    let given =
        Given::answered(&[(CheckKind::Hash, OutcomeKind::Fail), (CheckKind::Attest, OutcomeKind::Pass)])
            .signed(|statement| statement.policy = other);
    assert_eq!(given.withheld(), Withheld::Rejected { denied: hash });
}

#[test]
fn what_the_row_requires_less_the_policy_requires_all_the_same() {
    let mut given = Given::answered(&[(CheckKind::Hash, OutcomeKind::Pass)]);
    assert_eq!(given.withheld(), Withheld::Checks { missing: ATTEST });
    given.case.gate.requirement = Requirement::new(HASH, HASH).unwrap();
    assert_eq!(given.withheld(), Withheld::Policy { missing: ATTEST });

    let outcomes = [(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::NotOffered)];
    let given = Given::answered(&outcomes);
    assert!(given.judged().approval.is_ok(), "the ratchet excuses what is not offered");
    let given = given.policy("[attestations]\nnpm = \"require\"\n");
    assert_eq!(
        given.withheld(),
        Withheld::Policy { missing: ATTEST },
        "the row excuses it, and the policy does not"
    );

    let outcomes = [(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::Fail)];
    let mut given = Given::answered(&outcomes);
    given.case.gate.requirement = Requirement::new(HASH, HASH).unwrap();
    assert_eq!(given.withheld(), Withheld::Policy { missing: ATTEST }, "the row overlooks a failure");
    let given = given.policy("[attestations]\nnpm = \"off\"\n");
    assert!(given.judged().approval.is_ok());

    let given =
        Given::answered(&[(CheckKind::Hash, OutcomeKind::Pass)]).policy("[attestations]\nnpm = \"off\"\n");
    assert_eq!(
        given.withheld(),
        Withheld::Checks { missing: ATTEST },
        "the gate may ask for more than the policy"
    );
}

#[test]
fn what_is_recalled_denied_or_internal_is_not_approved() {
    let recalled = HoldSet::of(HoldReason::Recalled);
    assert_eq!(Given::new().rows(|case| case.gate.hold = recalled).withheld(), Withheld::Held(recalled));
    let unknown = HoldSet::from_mask(8);
    let given = Given::new().rows(|case| case.gate.hold = HoldSet::from_mask(8 | 1));
    assert_eq!(given.withheld(), Withheld::Held(unknown));

    let denied =
        "[[deny]]\necosystem = \"npm\"\npackage = \"left-pad\"\nversions = [\"1.3.0\"]\nreason = \"bad\"\n";
    assert_eq!(Given::new().policy(denied).withheld(), Withheld::NotAdmitted);
    assert!(Given::new().policy(&denied.replace("1.3.0", "1.3.1")).judged().approval.is_ok());
    let digest = format!("[[deny]]\nsha256 = \"{}\"\nreason = \"bad\"\n", Given::new().case.gate.sha256);
    assert_eq!(Given::new().policy(&digest).withheld(), Withheld::NotAdmitted);
    let internal = "[[internal]]\necosystem = \"npm\"\npackages = [\"left-*\"]\n";
    assert_eq!(Given::new().policy(internal).withheld(), Withheld::NotAdmitted);
}

#[test]
fn every_combination_of_two_answers_approves_exactly_when_it_should() {
    let answers = [None].into_iter().chain(OutcomeKind::ALL.into_iter().map(Some));
    let answers: Vec<Option<OutcomeKind>> = answers.collect();
    for hash in &answers {
        for attest in &answers {
            let outcomes: Vec<_> =
                [hash.map(|kind| (CheckKind::Hash, kind)), attest.map(|kind| (CheckKind::Attest, kind))]
                    .into_iter()
                    .flatten()
                    .collect();
            let given = Given::answered(&outcomes);
            let attested = matches!(attest, Some(OutcomeKind::Pass | OutcomeKind::NotOffered));
            let expected = *hash == Some(OutcomeKind::Pass) && attested;
            let judged = given.judged();
            assert_eq!(judged.approval.is_ok(), expected, "{hash:?} {attest:?}");
            let mut gate = given.case.gate;
            judged.deltas.iter().for_each(|delta| gate.apply(delta));
            assert_eq!(gate.is_servable(), expected, "the bits say the same");
            assert_eq!(gate.missing(), judged.missing);
        }
    }
}

#[test]
fn many_cases_are_judged_each_by_its_own_envelopes() {
    let mut missing = Given::new();
    missing.envelopes[1] = None;
    let cases =
        [Given::new(), Given::new().revoked(KeyKind::Hash), missing, Given::answered(&[]), Given::new()];
    let ring = KeyRing::new(cases[0].ring.clone()).unwrap();
    let slices: Vec<_> = cases.iter().map(Given::slices).collect();
    let given: Vec<_> = cases.iter().zip(&slices).map(|(given, slices)| (&given.case, &slices[..])).collect();
    let judged = judge_many(&given, &ring, (&Policy::default(), POLICY_EPOCH), ENVIRONMENT, cases[0].now);
    let codes: Vec<_> =
        judged.iter().map(|judged| judged.refused.first().map(|(_, reason)| reason.code())).collect();
    assert_eq!(codes, [None, None, Some("missing"), None, None], "the ring is one for all");
    let approved: Vec<_> = judged.iter().map(|judged| judged.approval.is_ok()).collect();
    assert_eq!(approved, [true, true, false, false, true]);
    assert_eq!(judged[0], cases[0].judged());
    assert_eq!(judge_many(&[], &ring, (&Policy::default(), 1), ENVIRONMENT, cases[0].now), []);
}

#[test]
fn what_rows_cannot_keep_is_no_difference() {
    let truncated = Given::new().row(|row| row.decided_at = time("2026-11-23T11:00:00.123456Z"));
    assert!(truncated.judged().approval.is_ok());
    let reason = |detail: &str| Reason::SumdbRefused {
        database: "a".into(),
        problem: "b".into(),
        detail: detail.into(),
    };
    let passed = |detail: &str| Outcome::pass(reason(detail));
    let given = Given::new().signed(|statement| statement.verdict.outcome = passed("x\0y"));
    let kept = given.row(|row| row.outcome = passed("x\u{fffd}y"));
    assert!(kept.judged().approval.is_ok(), "jsonb has no NUL");
    let other = kept.row(|row| row.outcome = passed("xy"));
    assert!(matches!(other.refused(), NotSigned::Field { field: "reason", .. }));
}
