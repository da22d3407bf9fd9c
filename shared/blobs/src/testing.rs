//! What the tests of this crate share: a store in a directory of its own, and artifacts that were "promoted".

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use touchstone_custody::{
    Case, Expected, FetchStatement, KeyEntry, KeyKind, KeyRing, LocalSigner, PromotedArtifact, Revocations,
    ServeRecord, Signer as _, StoredVerdict, VerdictStatement, judge,
};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, Gate,
    HoldSet, Outcome, PackageName, Policy, Reason, Sha256, Sha512, SignedBy, Verdict, Version,
};

use crate::BlobStore;

pub(crate) struct Fixture {
    pub(crate) store: BlobStore,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = BlobStore::open(directory.path()).await.expect("opens");
        Self { store, directory }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root().join("sha256").join(&name[..2]).join(&name[2..4]).join(name)
    }

    pub(crate) fn pack_path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root().join("packs").join(&name[..2]).join(name)
    }

    /// Stores bytes and promotes them.
    pub(crate) async fn promoted(&self, bytes: &[u8]) -> Arc<PromotedArtifact> {
        self.store.put_bytes(Bytes::copy_from_slice(bytes)).await.expect("stored");
        promoted(bytes)
    }

    /// Replaces what is stored under a name, past the store.
    pub(crate) fn plant(&self, sha256: Sha256, bytes: &[u8]) {
        Self::replace(&self.path(sha256), bytes);
    }

    /// Replaces a file.
    pub(crate) fn replace(path: &Path, bytes: &[u8]) {
        fs::remove_file(path).expect("was there");
        fs::write(path, bytes).expect("writes");
    }

    /// The names in a directory of the store, sorted.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(directory)).expect("lists");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("entry").file_name().into_string().expect("ASCII")).collect();
        names.sort();
        names
    }

    /// Waits until the blocking pool has removed every temporary file.
    pub(crate) async fn no_temporary_left(&self) {
        let empty = async {
            while !self.names("tmp").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), empty).await.expect("temporary files are removed");
    }
}

/// A file whose first bytes cannot be read, with the error of a bad sector: nothing is mapped at the address 0.
pub(crate) fn unreadable() -> File {
    File::open("/proc/self/mem").expect("opens")
}

/// Bytes in which no two chunks are alike.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

const ENVIRONMENT: &str = "test";
const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

/// An artifact with a serve record for these bytes, stored or not: fetched, checked and approved, each step signed.
pub(crate) fn promoted(bytes: &[u8]) -> Arc<PromotedArtifact> {
    let id = ArtifactId {
        ecosystem: Ecosystem::Cargo,
        package: PackageName::new("left-pad").expect("name"),
        version: Version::new("1.0.0").expect("version"),
        file: FileName::new("left-pad-1.0.0.crate").expect("file"),
    };
    let chunks = ChunkList::of(bytes);
    let expected = Expected {
        environment: ENVIRONMENT,
        id: &id,
        sha256: Sha256::of(bytes),
        sha512: Sha512::of(bytes),
        size: bytes.len() as u64,
        chunk_root: chunks.root(),
        epoch: 1,
        serial: 1,
    };
    let ring = KeyRing::new([KeyKind::Fetch, KeyKind::Hash, KeyKind::Promote].map(entry).to_vec());
    let ring = ring.expect("a ring");
    let record = ServeRecord::verify(&signed_record(&expected, &ring), &ring).expect("verifies");
    let bound =
        PromotedArtifact::bind(Arc::new(record), &expected, &ring, &Revocations::default(), chunks.clone());
    Arc::new(bound.expect("binds"))
}

fn signer(kind: KeyKind) -> LocalSigner {
    LocalSigner::from_seed(kind, Sha256::of(kind.as_str()).0).expect("a key")
}

fn entry(kind: KeyKind) -> KeyEntry {
    KeyEntry { kind, public: signer(kind).public(), not_before: NOW, not_after: None, revoked: None }
}

/// What promote signs once an edge has fetched and the hash check has passed what is expected.
fn signed_record(expected: &Expected<'_>, ring: &KeyRing) -> Vec<u8> {
    let (verdict, policy) = (verdict(expected), Policy::default());
    let upstream_url = "https://registry.example/left-pad-1.0.0.crate".to_owned();
    let fetch = FetchStatement {
        environment: ENVIRONMENT.to_owned(),
        id: expected.id.clone(),
        sha256: expected.sha256,
        sha512: expected.sha512,
        size: expected.size,
        chunk_root: expected.chunk_root,
        upstream_url: upstream_url.clone(),
        published_at: None,
        first_seen: NOW,
        fetched_at: NOW,
        evidence: vec![],
        software: "test".to_owned(),
    };
    let checked = VerdictStatement {
        environment: ENVIRONMENT.to_owned(),
        id: expected.id.clone(),
        sha512: expected.sha512,
        size: expected.size,
        upstream_url: upstream_url.clone(),
        policy: Policy::default().digest(),
        verdict: verdict.clone(),
    };
    let fetched = fetch.sign(&signer(KeyKind::Fetch)).expect("signs");
    let checked = checked.sign(&signer(KeyKind::Hash)).expect("signs");
    let signed = SignedBy { key: signer(KeyKind::Hash).key_id(), envelope: reference(&checked) };
    let case = Case {
        gate: Gate {
            artifact: verdict.artifact,
            sha256: expected.sha256,
            chunk_root: expected.chunk_root,
            epoch: expected.epoch,
            requirement: policy.requirement(expected.id.ecosystem, &expected.id.package),
            ok: CheckSet::EMPTY,
            deny: CheckSet::EMPTY,
            undecided: CheckSet::EMPTY,
            hold: HoldSet::EMPTY,
        },
        policy_epoch: verdict.policy_epoch,
        id: expected.id.clone(),
        sha512: expected.sha512,
        size: expected.size,
        upstream_url,
        first_seen: NOW,
        fetches: vec![reference(&fetched)],
        verdicts: vec![StoredVerdict { row: 1, verdict, signed: Some(signed) }],
    };
    let envelopes = [Some(fetched.as_slice()), Some(&checked)];
    let approval = judge(&case, &envelopes, ring, (&policy, 1), ENVIRONMENT, NOW).approval.expect("approved");
    ServeRecord::sign(&approval, expected.serial, NOW, &signer(KeyKind::Promote)).expect("signs")
}

fn verdict(expected: &Expected<'_>) -> Verdict {
    Verdict {
        artifact: ArtifactDbId(1),
        sha256: expected.sha256,
        chunk_root: Some(expected.chunk_root),
        epoch: expected.epoch,
        check: CheckKind::Hash,
        check_revision: 1,
        policy_epoch: 1,
        outcome: Outcome::pass(Reason::Trivial),
        evidence: vec![],
        trust: vec![],
        service: "hash".to_owned(),
        software: "test".to_owned(),
        decided_at: NOW,
    }
}

/// Where an envelope is said to be; nothing reads it there.
fn reference(envelope: &[u8]) -> EnvelopeRef {
    let sha256 = Sha256::of(envelope);
    EnvelopeRef { sha256, pack: sha256, offset: 0, size: 1 }
}
