//! Every field of a row, changed alone.

use touchstone_domain::{ArtifactDbId, FileName, OutcomeKind, Reason};

use super::*;

type Change = fn(&mut Case);

const FIELDS: [(&str, Change); 18] = [
    ("purl", |case| case.id.file = FileName::new("other-1.3.0.tgz").unwrap()),
    ("sha256", |case| case.verdicts[0].verdict.sha256 = Sha256::of("other")),
    ("sha512", |case| case.sha512 = Sha512::of("other")),
    ("size", |case| case.size += 1),
    ("chunk_root", |case| case.verdicts[0].verdict.chunk_root = None),
    ("upstream_url", |case| case.upstream_url.push('/')),
    ("artifact", |case| case.verdicts[0].verdict.artifact = ArtifactDbId(4)),
    ("epoch", |case| case.verdicts[0].verdict.epoch = 0),
    ("check", |case| case.verdicts[0].verdict.check = CheckKind::Sumdb),
    ("revision", |case| case.verdicts[0].verdict.check_revision = 1),
    ("policy_epoch", |case| case.verdicts[0].verdict.policy_epoch = 6),
    ("outcome", |case| case.verdicts[0].verdict.outcome.kind = OutcomeKind::NotOffered),
    ("reason", |case| case.verdicts[0].verdict.outcome.reason = Reason::DigestsMatch { claims: 3 }),
    ("evidence", |case| case.verdicts[0].verdict.evidence.clear()),
    ("trust", |case| case.verdicts[0].verdict.trust.push(Sha256::of("more"))),
    ("service", |case| case.verdicts[0].verdict.service.push('2')),
    ("software", |case| case.verdicts[0].verdict.software.push('2')),
    ("decided_at", |case| case.verdicts[0].verdict.decided_at += SignedDuration::from_micros(1)),
];

#[test]
fn a_row_with_one_field_changed_is_refused_and_the_field_named() {
    for (field, change) in FIELDS {
        let given = Given::new().rows(change);
        let judged = given.judged();
        let (row, reason) = &judged.refused[0];
        assert_eq!(*row, 10);
        assert!(
            matches!(reason, NotSigned::Field { field: named, .. } if *named == field),
            "{field}: {reason}"
        );
        assert!(reason.to_string().starts_with(&format!("its {field} is ")), "{reason}");
        assert!(judged.approval.is_err(), "{field}");
    }
    let given = Given::new().rows(|case| {
        case.verdicts[0].signed.as_mut().unwrap().key = signer(KeyKind::Attest).key_id();
    });
    let (hash, attest) = (signer(KeyKind::Hash).key_id(), signer(KeyKind::Attest).key_id());
    assert_eq!(
        given.refused(),
        differs("key", &hash.to_string(), &attest.to_string()),
        "a revocation must find it"
    );
}

#[test]
fn what_is_shown_of_a_field_is_bounded() {
    let given = Given::new().row(|row| row.service = "x".repeat(100_000));
    match given.refused() {
        NotSigned::Field { field, expected, found } => {
            assert_eq!((field, expected.as_str(), found.len()), ("service", "hash", 200));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_gate_of_other_bytes_takes_no_verdict_and_no_fetch() {
    let given = Given::new().rows(|case| case.gate.sha256 = Sha256::of("other"));
    let judged = given.judged();
    let codes: Vec<_> = judged.refused.iter().map(|(row, reason)| (*row, reason.code())).collect();
    assert_eq!(codes, [(10, "other_bytes"), (11, "other_bytes")]);
    assert_eq!(judged.approval, Err(Withheld::Checks { missing: HASH.union(ATTEST) }));
}
