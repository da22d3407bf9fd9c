//! A case that is approved, to change one thing of.

use touchstone_domain::{
    ArtifactDbId, CheckKind, ChunkList, Ecosystem, EnvelopeRef, FileName, Outcome, OutcomeKind, PackageName,
    Reason, Requirement, SignedBy, Version,
};

use super::super::*;
use crate::{KeyEntry, KeyKind, LocalSigner, Revoked, Signer as _};

pub(super) const ENVIRONMENT: &str = "test";
pub(super) const POLICY_EPOCH: i32 = 7;
const BYTES: &[u8] = b"left-pad";

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn signer(kind: KeyKind) -> LocalSigner {
    LocalSigner::from_seed(kind, Sha256::of(kind.as_str()).0).unwrap()
}

/// Everything that a judgement is given.
pub(super) struct Given {
    pub(super) fetch: FetchStatement,
    pub(super) said: Vec<VerdictStatement>,
    pub(super) case: Case,
    pub(super) envelopes: Vec<Option<Vec<u8>>>,
    pub(super) ring: Vec<KeyEntry>,
    pub(super) policy: Policy,
    pub(super) environment: &'static str,
    pub(super) now: Timestamp,
}

impl Given {
    /// npm's left-pad: fetched, and approved by the hash and the attest check, in epoch 1.
    pub(super) fn new() -> Self {
        Self::answered(&[(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::Pass)])
    }

    pub(super) fn answered(outcomes: &[(CheckKind, OutcomeKind)]) -> Self {
        let fetch = fetch();
        let said: Vec<_> =
            outcomes.iter().map(|(check, outcome)| verdict(&fetch, *check, *outcome)).collect();
        let checks: CheckSet = [CheckKind::Hash, CheckKind::Attest].into_iter().collect();
        let requirement = Requirement::new(checks, checks).unwrap();
        let gate = Gate {
            artifact: ArtifactDbId(3),
            sha256: fetch.sha256,
            chunk_root: fetch.chunk_root,
            epoch: 1,
            requirement: requirement.tolerating(CheckSet::of(CheckKind::Attest)).unwrap(),
            ok: CheckSet::EMPTY,
            deny: CheckSet::EMPTY,
            undecided: CheckSet::EMPTY,
            hold: HoldSet::EMPTY,
        };
        let case = Case {
            gate,
            policy_epoch: POLICY_EPOCH,
            id: fetch.id.clone(),
            sha512: fetch.sha512,
            size: fetch.size,
            upstream_url: fetch.upstream_url.clone(),
            first_seen: fetch.first_seen,
            fetches: vec![],
            verdicts: vec![],
        };
        let entry = |kind| KeyEntry {
            kind,
            public: signer(kind).public(),
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: Some(time("2027-01-01T00:00:00Z")),
            revoked: None,
        };
        let mut given = Self {
            case,
            envelopes: vec![],
            ring: KeyKind::ALL.into_iter().map(entry).collect(),
            policy: Policy::default(),
            environment: ENVIRONMENT,
            now: time("2026-11-23T12:00:00Z"),
            fetch: fetch.clone(),
            said: said.clone(),
        };
        given.add_fetch(&fetch, KeyKind::Fetch);
        for statement in &said {
            given.add_verdict(statement, statement.verdict.check.into());
        }
        given
    }

    /// Signs another fetch, and puts it on record as the earliest.
    pub(super) fn add_fetch(&mut self, statement: &FetchStatement, with: KeyKind) {
        let envelope = statement.sign(&signer(with)).unwrap();
        self.envelopes.insert(self.case.fetches.len(), Some(envelope.clone()));
        self.case.fetches.push(reference(&envelope));
    }

    pub(super) fn add_verdict(&mut self, statement: &VerdictStatement, with: KeyKind) {
        let signer = signer(with);
        let envelope = statement.sign(&signer).unwrap();
        self.case.verdicts.push(StoredVerdict {
            row: 10 + i64::try_from(self.case.verdicts.len()).unwrap(),
            verdict: statement.verdict.clone(),
            signed: Some(SignedBy { key: signer.key_id(), envelope: reference(&envelope) }),
        });
        self.envelopes.push(Some(envelope));
    }

    /// Signs the fetch anew, after a change.
    pub(super) fn fetched(mut self, with: KeyKind, change: impl FnOnce(&mut FetchStatement)) -> Self {
        let mut statement = self.fetch.clone();
        change(&mut statement);
        self.case.fetches.remove(0);
        self.envelopes.remove(0);
        self.add_fetch(&statement, with);
        self
    }

    /// Signs the verdict of the hash check anew, after a change; the row stays as it was, but for its key and envelope.
    pub(super) fn signed(self, change: impl FnOnce(&mut VerdictStatement)) -> Self {
        self.signed_with(KeyKind::Hash, change)
    }

    pub(super) fn signed_with(mut self, with: KeyKind, change: impl FnOnce(&mut VerdictStatement)) -> Self {
        let mut statement = self.said[0].clone();
        change(&mut statement);
        self.sign(0, &statement, with);
        self
    }

    fn sign(&mut self, number: usize, statement: &VerdictStatement, with: KeyKind) {
        let signer = signer(with);
        let envelope = statement.sign(&signer).unwrap();
        self.case.verdicts[number].signed =
            Some(SignedBy { key: signer.key_id(), envelope: reference(&envelope) });
        let at = self.case.fetches.len() + number;
        self.envelopes[at] = Some(envelope);
    }

    /// Changes what rows say.
    pub(super) fn rows(mut self, change: impl FnOnce(&mut Case)) -> Self {
        change(&mut self.case);
        self
    }

    /// Changes the first verdict's row.
    pub(super) fn row(self, change: impl FnOnce(&mut Verdict)) -> Self {
        self.rows(|case| change(&mut case.verdicts[0].verdict))
    }

    /// Changes a key's entry in the ring.
    pub(super) fn key(mut self, kind: KeyKind, change: impl FnOnce(&mut KeyEntry)) -> Self {
        change(self.ring.iter_mut().find(|entry| entry.kind == kind).unwrap());
        self
    }

    pub(super) fn revoked(self, kind: KeyKind) -> Self {
        let revoked = Revoked { at: time("2026-11-23T11:00:00Z"), reason: "stolen".into() };
        self.key(kind, |entry| entry.revoked = Some(revoked))
    }

    /// Promote is given another policy, and all judged by it.
    pub(super) fn policy(self, document: &str) -> Self {
        let mut given = self.own_policy(document);
        for number in 0..given.said.len() {
            given.said[number].policy = given.policy.digest();
            let statement = given.said[number].clone();
            given.sign(number, &statement, statement.verdict.check.into());
        }
        given
    }

    /// Promote alone is given another policy.
    pub(super) fn own_policy(mut self, document: &str) -> Self {
        self.policy = Policy::parse(document).unwrap();
        self
    }

    pub(super) fn slices(&self) -> Vec<Option<&[u8]>> {
        self.envelopes.iter().map(Option::as_deref).collect()
    }

    pub(super) fn judged(&self) -> Judged {
        let ring = KeyRing::new(self.ring.clone()).unwrap();
        judge(&self.case, &self.slices(), &ring, (&self.policy, POLICY_EPOCH), self.environment, self.now)
    }

    /// Why the hash verdict does not count; then it lacks nothing but that.
    pub(super) fn refused(&self) -> NotSigned {
        let mut judged = self.judged();
        let hash = CheckSet::of(CheckKind::Hash);
        assert_eq!(judged.approval, Err(Withheld::Checks { missing: hash }));
        assert_eq!((judged.missing, judged.deltas.len(), judged.refused.len()), (hash, 1, 1));
        let (row, reason) = judged.refused.pop().unwrap();
        assert_eq!(row, 10);
        reason
    }

    /// Why nothing is approved, although every verdict counts.
    pub(super) fn withheld(&self) -> Withheld {
        let judged = self.judged();
        assert_eq!(judged.refused, []);
        judged.approval.unwrap_err()
    }
}

pub(super) fn reference(envelope: &[u8]) -> EnvelopeRef {
    let size = u32::try_from(envelope.len()).unwrap();
    EnvelopeRef { sha256: Sha256::of(envelope), pack: Sha256::of(envelope), offset: 0, size }
}

fn fetch() -> FetchStatement {
    FetchStatement {
        environment: ENVIRONMENT.into(),
        id: ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new("left-pad").unwrap(),
            version: Version::new("1.3.0").unwrap(),
            file: FileName::new("left-pad-1.3.0.tgz").unwrap(),
        },
        sha256: Sha256::of(BYTES),
        sha512: Sha512::of(BYTES),
        size: BYTES.len() as u64,
        chunk_root: ChunkList::of(BYTES).root(),
        upstream_url: "https://registry.example/left-pad".into(),
        published_at: Some(time("2026-11-20T00:00:00Z")),
        first_seen: time("2026-11-22T00:00:00Z"),
        fetched_at: time("2026-11-23T10:00:00Z"),
        evidence: vec![],
        software: "touchstone/1".into(),
    }
}

fn verdict(fetch: &FetchStatement, check: CheckKind, outcome: OutcomeKind) -> VerdictStatement {
    let verdict = Verdict {
        artifact: ArtifactDbId(3),
        sha256: fetch.sha256,
        chunk_root: (check == CheckKind::Hash).then_some(fetch.chunk_root),
        epoch: 1,
        check,
        check_revision: 2,
        policy_epoch: POLICY_EPOCH,
        outcome: Outcome { kind: outcome, reason: Reason::DigestsMatch { claims: 2 } },
        evidence: vec![Sha256::of("evidence")],
        trust: vec![Sha256::of("trust")],
        service: check.as_str().into(),
        software: "touchstone/1".into(),
        decided_at: time("2026-11-23T11:00:00.123456789Z"),
    };
    VerdictStatement {
        environment: fetch.environment.clone(),
        id: fetch.id.clone(),
        sha512: fetch.sha512,
        size: fetch.size,
        upstream_url: fetch.upstream_url.clone(),
        policy: Policy::default().digest(),
        verdict,
    }
}
