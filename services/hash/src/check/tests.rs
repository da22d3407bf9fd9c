//! The check on real blobs, with a real Postgres for its incidents.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use tempfile::TempDir;
use touchstone_domain::{
    Algorithm, ArtifactDbId, ChunkList, ClaimField, EnvelopeRef, KeyId, Outcome, Policy, Reason, Sha256,
    Sha512, SignedBy,
};
use touchstone_runtime::{Environment, Postgres, PostgresOptions, Search};
use touchstone_store::{Ingested, NewArtifact, StoreOptions};

use super::*;
use crate::examine::tests::{GO_MOD, PKG_INFO, Sample, go_mod, go_zip, npm, pypi, sidecar};

async fn database(directory: &TempDir) -> (Postgres, Store) {
    let bin_dir = Search::new(&Environment::of_process()).postgres_bin_dir().expect("Postgres");
    let options = PostgresOptions { data_dir: directory.path().join("postgres"), bin_dir, durable: false };
    let postgres = Postgres::start(options).await.expect("Postgres");
    Store::migrate(&postgres.url()).await.expect("migrations");
    let options = StoreOptions { url: postgres.url(), pool_size: 1, application_name: "test".into() };
    let store = Store::connect(options).await.expect("a database");
    (postgres, store)
}

fn blobs_path(directory: &TempDir, sha256: Sha256) -> PathBuf {
    let hex = sha256.to_string();
    directory.path().join("blobs/sha256").join(&hex[..2]).join(&hex[2..4]).join(&hex)
}

#[tokio::test]
async fn a_damaged_blob_is_set_aside_once_and_its_replacement_is_judged() {
    let directory =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let (_postgres, store) = database(&directory).await;
    let blobs = BlobStore::open(&directory.path().join("blobs")).await.expect("a directory");
    let check = HashCheck::new(store.clone());
    let Sample { bytes, facts } = npm();
    let sha256 = facts.sha256;
    let job = Job { facts, blobs: blobs.clone(), policy: Arc::default() };
    let incidents = async || store.incidents(10).await.expect("incidents");

    let missing = check.check(&job).await.expect_err("no blob");
    assert!(matches!(missing, CheckError::Retry { .. }), "{missing}");
    assert!(incidents().await.is_empty(), "a missing blob is no incident");

    blobs.put_bytes(bytes.clone().into()).await.expect("stored");
    let found = check.check(&job).await.expect("a finding");
    assert_eq!(found.outcome, Outcome::pass(Reason::DigestsMatch { claims: 1 }));

    let path = blobs_path(&directory, sha256);
    let mut flipped = bytes.clone();
    flipped[20] ^= 1;
    fs::remove_file(&path).expect("our own file");
    fs::write(&path, &flipped).expect("our own file");
    let damaged = check.check(&job).await.expect_err("damaged");
    assert!(matches!(damaged, CheckError::Retry { .. }), "{damaged}");
    assert_eq!(damaged.to_string(), format!("the blob is damaged: its digest is {}", Sha256::of(&flipped)));
    assert!(!blobs.contains(sha256).await.expect("readable"), "it is out of service");
    let found = incidents().await;
    assert_eq!((found.len(), found[0].kind.as_str()), (1, IncidentKind::BlobDamaged.as_str()));
    assert_eq!(found[0].file.as_ref(), Some(&job.facts.id.file));

    std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
    let link = check.check(&job).await.expect_err("no regular file");
    assert!(matches!(link, CheckError::Retry { .. }), "{link}");
    assert!(!blobs.contains(sha256).await.expect("readable"), "the link is out of service");

    blobs.put_bytes(bytes.into()).await.expect("fetched again");
    let found = check.check(&job).await.expect("a finding");
    assert_eq!(found.outcome, Outcome::pass(Reason::DigestsMatch { claims: 1 }));

    let contradicted = Job { facts: Facts { sha512: Sha512::of("x"), ..job.facts }, ..job };
    let poison = check.check(&contradicted).await.expect_err("the row is wrong");
    assert!(matches!(poison, CheckError::Poison { .. }), "{poison}");
    assert!(blobs.contains(sha256).await.expect("readable"), "the blob is right, and stays");
}

/// Puts an artifact on record, without its bytes.
async fn record(store: &Store, sample: &Sample) -> ArtifactDbId {
    record_under(store, sample, &Policy::default()).await
}

async fn record_under(store: &Store, Sample { bytes, facts }: &Sample, policy: &Policy) -> ArtifactDbId {
    let policy_epoch = store.register_policy(policy).await.expect("registered");
    let new = NewArtifact {
        id: facts.id.clone(),
        sha256: facts.sha256,
        sha512: facts.sha512,
        size: facts.size,
        chunks: ChunkList::of(bytes),
        upstream_url: facts.upstream_url.clone(),
        published_at: facts.published_at,
        claims: facts.claims.clone(),
        evidence: facts.evidence.clone(),
        requirement: policy.requirement(facts.id.ecosystem, &facts.id.package),
        policy_epoch,
        eligible_at: None,
        // No check looks at it.
        fetch: SignedBy {
            key: KeyId(Sha256::of("key")),
            envelope: EnvelopeRef {
                sha256: Sha256::of("fetch"),
                pack: Sha256::of("pack"),
                offset: 0,
                size: 1,
            },
        },
    };
    match store.ingest(&new).await.expect("recorded") {
        Ingested::Inserted { artifact, .. } => artifact,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sidecar_is_what_the_distribution_on_record_holds() {
    let directory =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let (_postgres, store) = database(&directory).await;
    let blobs = BlobStore::open(&directory.path().join("blobs")).await.expect("a directory");
    let check = HashCheck::new(store.clone());
    let (sdist, honest) = (pypi(), sidecar(PKG_INFO));
    let forged = sidecar(&PKG_INFO.replace("\n\n", "\nRequires-Dist: evil\n\n"));
    for sample in [&honest, &forged] {
        blobs.put_bytes(sample.bytes.clone().into()).await.expect("stored");
    }
    let job = |facts: Facts| Job { facts, blobs: blobs.clone(), policy: Arc::default() };
    let passed = Outcome::pass(Reason::DigestsMatch { claims: 1 });
    let (honest_job, forged_job) = (job(honest.facts.clone()), job(forged.facts.clone()));
    for alone in [&honest_job, &forged_job] {
        assert_eq!(check.check(alone).await.expect("a finding").outcome, passed, "nothing is on record yet");
    }

    let artifact = record(&store, &sdist).await;
    let missing = check.check(&honest_job).await.expect_err("the distribution's blob is lost");
    assert!(matches!(missing, CheckError::Retry { .. }), "{missing}");

    blobs.put_bytes(sdist.bytes.clone().into()).await.expect("stored");
    assert_eq!(check.check(&honest_job).await.expect("a finding").outcome, passed);
    assert!(store.incidents(10).await.expect("incidents").is_empty());
    let differs = Reason::DigestMismatch {
        field: ClaimField::PypiCoreMetadata,
        algorithm: Algorithm::Sha256,
        declared: forged.facts.sha256.to_string(),
        computed: honest.facts.sha256.to_string(),
    };
    assert_eq!(check.check(&forged_job).await.expect("a finding").outcome, Outcome::fail(differs));
    let incidents = store.incidents(10).await.expect("incidents");
    assert_eq!((incidents.len(), incidents[0].kind.as_str()), (1, "second_digest"));
    assert_eq!(incidents[0].file.as_ref(), Some(&forged.facts.id.file));

    let path = blobs_path(&directory, sdist.facts.sha256);
    fs::remove_file(&path).expect("our own file");
    fs::write(&path, b"damaged").expect("our own file");
    let damaged = check.check(&honest_job).await.expect_err("the distribution's blob is damaged");
    assert!(matches!(damaged, CheckError::Retry { .. }), "{damaged}");
    assert!(!blobs.contains(sdist.facts.sha256).await.expect("readable"), "it is out of service");
    let latest = &store.incidents(10).await.expect("incidents")[0];
    assert_eq!((latest.kind.as_str(), latest.artifact), ("blob_damaged", Some(artifact)));
}

/// While the other's sidecar may still be approved, the distribution waits for it.
#[tokio::test]
async fn a_distribution_does_not_overtake_a_sidecar_that_differs() {
    let directory =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let (_postgres, store) = database(&directory).await;
    let blobs = BlobStore::open(&directory.path().join("blobs")).await.expect("a directory");
    let check = HashCheck::new(store.clone());
    let sdist = pypi();
    record(&store, &sidecar("Name: left-pad\nVersion: 2.0.0\n")).await;
    blobs.put_bytes(sdist.bytes.clone().into()).await.expect("stored");
    let job = Job { facts: sdist.facts, blobs, policy: Arc::default() };
    let waits = check.check(&job).await.expect_err("the sidecar is not decided");
    assert!(matches!(waits, CheckError::Retry { .. }), "{waits}");
    assert_eq!(
        waits.to_string(),
        "the sidecar on record differs from the metadata inside, and is not decided"
    );
    assert!(store.incidents(10).await.expect("incidents").is_empty());
}

/// A forged zip on record must not stand in the way of the true `.mod`, nor the other way about: the checksum database decides,
/// where there is one.
#[tokio::test]
async fn a_go_mod_is_what_the_zip_on_record_holds() {
    let directory =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let (_postgres, store) = database(&directory).await;
    let blobs = BlobStore::open(&directory.path().join("blobs")).await.expect("a directory");
    let check = HashCheck::new(store.clone());
    let (zip, none) = (go_zip(Some(GO_MOD)), go_zip(None));
    let (honest, forged) = (go_mod(GO_MOD), go_mod(&format!("{GO_MOD}require evil.example v1.0.0\n")));
    for sample in [&zip, &none, &honest, &forged] {
        blobs.put_bytes(sample.bytes.clone().into()).await.expect("stored");
    }
    let found = async |sample: &Sample| {
        let job = Job { facts: sample.facts.clone(), blobs: blobs.clone(), policy: Arc::default() };
        check.check(&job).await.map(|finding| finding.outcome)
    };
    let passed = Outcome::pass(Reason::Undeclared);
    for alone in [&zip, &honest, &forged] {
        assert_eq!(found(alone).await.expect("a finding"), passed, "nothing is on record yet");
    }

    record(&store, &zip).await;
    assert_eq!(found(&honest).await.expect("a finding"), passed);
    let waits = found(&forged).await.expect_err("the checksum database has not been asked");
    assert!(matches!(waits, CheckError::Retry { .. }), "{waits}");
    record(&store, &forged).await;
    let waits = found(&zip).await.expect_err("the .mod is not decided");
    assert!(matches!(waits, CheckError::Retry { .. }), "{waits}");
    assert!(store.incidents(10).await.expect("incidents").is_empty());

    assert_eq!(found(&none).await.expect("a finding"), passed, "a zip without a go.mod contradicts nothing");
}

/// Where nobody else decides, what was there first stays.
#[tokio::test]
async fn a_private_go_mod_that_differs_from_the_zip_on_record_fails() {
    let directory =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let (_postgres, store) = database(&directory).await;
    let blobs = BlobStore::open(&directory.path().join("blobs")).await.expect("a directory");
    let check = HashCheck::new(store.clone());
    let (zip, forged) = (go_zip(Some(GO_MOD)), go_mod(&GO_MOD.replace("1.22", "1.21")));
    for sample in [&zip, &forged] {
        blobs.put_bytes(sample.bytes.clone().into()).await.expect("stored");
    }
    let policy = Policy::parse("[sumdb]\nprivate = [\"code.example\"]\n").expect("a policy");
    record_under(&store, &zip, &policy).await;
    let job = Job { facts: forged.facts.clone(), blobs, policy: Arc::default() };
    let differs = Reason::CoordinateMismatch {
        part: "go.mod".into(),
        expected: forged.facts.sha256.to_string(),
        found: Sha256::of(GO_MOD).to_string(),
    };
    assert_eq!(check.check(&job).await.expect("a finding").outcome, Outcome::fail(differs));
    let incidents = store.incidents(10).await.expect("incidents");
    assert_eq!((incidents.len(), incidents[0].kind.as_str()), (1, "second_digest"));
    assert_eq!(incidents[0].file.as_ref(), Some(&forged.facts.id.file));
}
