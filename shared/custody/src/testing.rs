//! What the tests of this crate share: keys made from numbers, a ring of them, and statements about one artifact.

use jiff::Timestamp;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, ChunkList, Ecosystem, FileName, Outcome, PackageName, Policy,
    Reason, Sha256, Sha512, Verdict, Version,
};

use crate::{
    Envelope, FetchStatement, KeyEntry, KeyKind, KeyRing, LocalSigner, Revoked, Signer as _,
    VerdictStatement, sign,
};

pub(crate) const BYTES: &[u8] = b"left-pad";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a date")
}

/// The first key of a kind, or another one.
pub(crate) fn signer(kind: KeyKind, number: u8) -> LocalSigner {
    LocalSigner::from_seed(kind, Sha256::of(format!("{kind} {number}")).0).expect("a key")
}

pub(crate) fn entry(kind: KeyKind, number: u8) -> KeyEntry {
    let public = signer(kind, number).public();
    KeyEntry { kind, public, not_before: at("2026-01-01T00:00:00Z"), not_after: None, revoked: None }
}

/// The first key of each kind.
pub(crate) fn ring() -> KeyRing {
    ring_with(|_| {})
}

/// The first key of each kind, with something changed in each entry.
pub(crate) fn ring_with(change: impl Fn(&mut KeyEntry)) -> KeyRing {
    let entries = KeyKind::ALL.into_iter().map(|kind| {
        let mut entry = entry(kind, 0);
        change(&mut entry);
        entry
    });
    KeyRing::new(entries.collect()).expect("a ring")
}

pub(crate) fn revoked() -> Revoked {
    Revoked { at: at("2026-09-01T00:00:00Z"), reason: "stolen".to_owned() }
}

pub(crate) fn id() -> ArtifactId {
    ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("@scope/left-pad").expect("name"),
        version: Version::new("1.0.0").expect("version"),
        file: FileName::new("left-pad-1.0.0.tgz").expect("file"),
    }
}

pub(crate) fn fetch() -> FetchStatement {
    FetchStatement {
        environment: "test".to_owned(),
        id: id(),
        sha256: Sha256::of(BYTES),
        sha512: Sha512::of(BYTES),
        size: BYTES.len() as u64,
        chunk_root: ChunkList::of(BYTES).root(),
        upstream_url: "https://registry.example/@scope/left-pad/-/left-pad-1.0.0.tgz".to_owned(),
        published_at: None,
        first_seen: at("2026-08-01T00:00:00Z"),
        fetched_at: at("2026-08-01T00:00:00.123456Z"),
        evidence: vec![Sha256::of("packument"), Sha256::of("attestations")],
        software: "touchstone 0.1.0".to_owned(),
    }
}

pub(crate) fn verdict(check: CheckKind) -> VerdictStatement {
    VerdictStatement {
        environment: "test".to_owned(),
        id: id(),
        sha512: Sha512::of(BYTES),
        size: BYTES.len() as u64,
        upstream_url: fetch().upstream_url,
        policy: Policy::default().digest(),
        verdict: Verdict {
            artifact: ArtifactDbId(7),
            sha256: Sha256::of(BYTES),
            chunk_root: Some(ChunkList::of(BYTES).root()),
            epoch: 1,
            check,
            check_revision: 2,
            policy_epoch: 3,
            outcome: Outcome::pass(Reason::DigestsMatch { claims: 2 }),
            evidence: vec![Sha256::of("packument")],
            trust: vec![Sha256::of("root")],
            service: check.to_string(),
            software: "touchstone 0.1.0".to_owned(),
            decided_at: at("2026-08-01T00:00:01Z"),
        },
    }
}

/// What another signer than ours might sign in its place: the same payload with something replaced.
pub(crate) fn resigned(envelope: &[u8], from: &str, to: &str, signer: &LocalSigner) -> Vec<u8> {
    let payload = Envelope::parse(envelope).expect("an envelope").payload;
    let payload = String::from_utf8(payload).expect("text");
    assert!(payload.contains(from), "{from} is not in {payload}");
    sign(signer, payload.replacen(from, to, 1).as_bytes()).expect("signs")
}
