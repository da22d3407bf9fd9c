//! A chain of custody made here: signed, approved and promoted as services do it, but without them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use touchstone_chain::{Records, key_file_name};
use touchstone_custody::{
    Case, FETCH_STEP, FetchStatement, KeyKind, LAYOUT_LIFE, Layout, LocalSigner, ServeRecord, Signer as _,
    Signing, StoredVerdict, VerdictStatement, judge, link_file_name,
};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, Gate,
    HoldSet, KeyId, Outcome, OutcomeKind, PackageName, Policy, Reason, Requirement, Sha256, Sha512, SignedBy,
    Verdict, Version,
};
use touchstone_runtime::{Clock as _, SystemClock};
use touchstone_testkit::custody::{ENVIRONMENT, TestKeys};

/// The artifact.
pub(super) const ARTIFACT: &[u8] = b"left-pad";
/// Its file.
pub(super) const FILE: &str = "left-pad-1.0.0.tgz";

pub(super) struct TestSigner {
    pub(super) signer: LocalSigner,
    pub(super) id: String,
}

pub(super) fn signer(kind: KeyKind) -> TestSigner {
    let signer = touchstone_testkit::custody::signer(kind, 0);
    let id = signer.key_id().to_string();
    TestSigner { signer, id }
}

/// Statements and their envelopes; each may be changed after it was approved.
pub(super) struct Chain {
    requirement: Requirement,
    fetch: Vec<u8>,
    /// The step's envelope, and the key that its file is named by.
    checks: BTreeMap<CheckKind, (Vec<u8>, KeyId)>,
    record: Vec<u8>,
    layout_at: Timestamp,
}

impl Chain {
    /// Fetched, and approved by the hash and the attest check.
    pub(super) fn honest() -> Self {
        Self::promoted(CheckSet::EMPTY, &Outcome::pass(Reason::Trivial))
    }

    /// The same, but nothing was offered to the attest check, and that is tolerated.
    pub(super) fn tolerating() -> Self {
        Self::promoted(CheckSet::of(CheckKind::Attest), &absent())
    }

    fn promoted(tolerated: CheckSet, attest: &Outcome) -> Self {
        let required: CheckSet = [CheckKind::Hash, CheckKind::Attest].into_iter().collect();
        let requirement = Requirement::new(required, required).expect("checks");
        let requirement = requirement.tolerating(tolerated).expect("a check that approves");
        let fetch = fetch_statement().sign(&signer(KeyKind::Fetch).signer).expect("signed");
        let said = [
            verdict(CheckKind::Hash, Outcome::pass(Reason::Trivial)),
            verdict(CheckKind::Attest, attest.clone()),
        ];
        let checks: BTreeMap<_, _> = said.iter().map(|said| (said.verdict.check, signed(said))).collect();
        let record = promote(requirement, &fetch, &said, &checks);
        Self { requirement, fetch, checks, record, layout_at: SystemClock.now() }
    }

    /// Another answer in the place of one.
    pub(super) fn answer(&mut self, check: CheckKind, outcome: Outcome) {
        self.checks.insert(check, signed(&verdict(check, outcome)));
    }

    /// A link about other bytes in the place of one.
    pub(super) fn transplant(&mut self, check: CheckKind, bytes: &[u8]) {
        let mut other = verdict(check, Outcome::pass(Reason::Trivial));
        other.verdict.sha256 = Sha256::of(bytes);
        self.checks.insert(check, signed(&other));
    }

    /// The same link, signed with another key; its file is named by the key of `named`.
    pub(super) fn sign_check(&mut self, check: CheckKind, with: KeyKind, named: KeyKind) {
        let statement = verdict(check, Outcome::pass(Reason::Trivial));
        let envelope = statement.sign(&signer(with).signer).expect("signed");
        self.checks.insert(check, (envelope, signer(named).signer.key_id()));
    }

    /// The layout ended a second ago.
    pub(super) fn age_layout(&mut self) {
        self.layout_at = self.layout_at - LAYOUT_LIFE - SignedDuration::from_secs(2);
    }

    /// As it is handed out.
    pub(super) fn records(&self) -> Records {
        let signing =
            Signing { environment: ENVIRONMENT.into(), signer: Arc::new(signer(KeyKind::Promote).signer) };
        let ring = TestKeys::new(0).ring().borrow().clone();
        let layout = Layout::sign(self.requirement, &ring, &signing, self.layout_at).expect("signed");
        let fetch_key = signer(KeyKind::Fetch).signer.key_id();
        let mut links = BTreeMap::from([(link_file_name(FETCH_STEP, fetch_key), json(&self.fetch))]);
        for (check, (envelope, key)) in &self.checks {
            links.insert(link_file_name(check.as_str(), *key), json(envelope));
        }
        let keys = [KeyKind::Fetch, KeyKind::Hash, KeyKind::Attest, KeyKind::Promote].map(|kind| {
            let signer = signer(kind).signer;
            (key_file_name(kind, signer.key_id()), signer.public().to_pem())
        });
        let promote = key_file_name(KeyKind::Promote, signer(KeyKind::Promote).signer.key_id());
        Records {
            purl: id().to_string(),
            file: id().file,
            sha256: Sha256::of(ARTIFACT),
            environment: ENVIRONMENT.to_owned(),
            epoch: 0,
            serial: Some(7),
            layout: Some(json(&layout)),
            links,
            vsa: BTreeMap::from([(format!("{FILE}.vsa.json"), json(&self.record))]),
            keys: keys.into(),
            layout_key: Some(promote.clone()),
            record_key: Some(promote),
            log: None,
            missing: vec![],
        }
    }
}

fn absent() -> Outcome {
    Outcome { kind: OutcomeKind::NotOffered, reason: Reason::NoClaim }
}

fn signed(statement: &VerdictStatement) -> (Vec<u8>, KeyId) {
    let signer = signer(statement.verdict.check.into()).signer;
    (statement.sign(&signer).expect("signed"), signer.key_id())
}

fn json(envelope: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(envelope).expect("an envelope is JSON")
}

/// What promote does.
fn promote(
    requirement: Requirement,
    fetch: &[u8],
    said: &[VerdictStatement],
    checks: &BTreeMap<CheckKind, (Vec<u8>, KeyId)>,
) -> Vec<u8> {
    let statement = fetch_statement();
    let verdicts = said.iter().zip(1..).map(|(said, row)| {
        let (envelope, key) = &checks[&said.verdict.check];
        let signed = SignedBy { key: *key, envelope: reference(envelope) };
        StoredVerdict { row, verdict: said.verdict.clone(), signed: Some(signed) }
    });
    let case = Case {
        gate: Gate {
            artifact: ArtifactDbId(1),
            sha256: statement.sha256,
            chunk_root: statement.chunk_root,
            epoch: 0,
            requirement,
            ok: CheckSet::EMPTY,
            deny: CheckSet::EMPTY,
            undecided: CheckSet::EMPTY,
            hold: HoldSet::EMPTY,
        },
        policy_epoch: 1,
        id: id(),
        sha512: statement.sha512,
        size: statement.size,
        upstream_url: statement.upstream_url,
        first_seen: statement.first_seen,
        fetches: vec![reference(fetch)],
        verdicts: verdicts.collect(),
    };
    let envelopes: Vec<Option<&[u8]>> = std::iter::once(fetch)
        .chain(said.iter().map(|said| checks[&said.verdict.check].0.as_slice()))
        .map(Some)
        .collect();
    let ring = TestKeys::new(0).ring().borrow().clone();
    let now = SystemClock.now();
    let judged = judge(&case, &envelopes, &ring, (&Policy::default(), 1), ENVIRONMENT, now);
    let approval = judged.approval.expect("approved");
    ServeRecord::sign(&approval, 7, now, &signer(KeyKind::Promote).signer).expect("signed")
}

fn reference(envelope: &[u8]) -> EnvelopeRef {
    let sha256 = Sha256::of(envelope);
    EnvelopeRef { sha256, pack: sha256, offset: 0, size: u32::try_from(envelope.len()).expect("small") }
}

fn id() -> ArtifactId {
    ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("@scope/left-pad").expect("a name"),
        version: Version::new("1.0.0").expect("a version"),
        file: FileName::new(FILE).expect("a name"),
    }
}

fn fetch_statement() -> FetchStatement {
    let at = "2026-08-01T00:00:00Z".parse().expect("a date");
    FetchStatement {
        environment: ENVIRONMENT.to_owned(),
        id: id(),
        sha256: Sha256::of(ARTIFACT),
        sha512: Sha512::of(ARTIFACT),
        size: ARTIFACT.len() as u64,
        chunk_root: ChunkList::of(ARTIFACT).root(),
        upstream_url: "https://registry.example/@scope/left-pad/-/left-pad-1.0.0.tgz".to_owned(),
        published_at: None,
        first_seen: at,
        fetched_at: at,
        evidence: vec![Sha256::of("packument")],
        software: "touchstone test".to_owned(),
    }
}

fn verdict(check: CheckKind, outcome: Outcome) -> VerdictStatement {
    let FetchStatement {
        environment, id, sha256, sha512, size, chunk_root, upstream_url, first_seen, ..
    } = fetch_statement();
    let verdict = Verdict {
        artifact: ArtifactDbId(1),
        sha256,
        chunk_root: Some(chunk_root),
        epoch: 0,
        check,
        check_revision: 1,
        policy_epoch: 1,
        outcome,
        evidence: vec![Sha256::of("packument")],
        trust: vec![Sha256::of("root")],
        service: check.to_string(),
        software: "touchstone test".to_owned(),
        decided_at: first_seen,
    };
    let policy = Policy::default().digest();
    VerdictStatement { environment, id, sha512, size, upstream_url, policy, verdict }
}
