//! The check on real blobs, with a real Postgres for its incidents.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use tempfile::TempDir;
use touchstone_domain::{Outcome, Reason, Sha256, Sha512};
use touchstone_runtime::{Environment, Postgres, PostgresOptions, Search};
use touchstone_store::StoreOptions;

use super::*;
use crate::examine::tests::{Sample, npm};

async fn database(directory: &TempDir) -> (Postgres, Store) {
    let bin_dir = Search::new(&Environment::of_process()).postgres_bin_dir().expect("Postgres");
    let options = PostgresOptions { data_dir: directory.path().join("postgres"), bin_dir, durable: false };
    let postgres = Postgres::start(options).await.expect("Postgres");
    Store::migrate(&postgres.url()).await.expect("migrations");
    let options = StoreOptions { url: postgres.url(), pool_size: 1, application_name: "test".into() };
    let store = Store::connect(options).await.expect("a database");
    (postgres, store)
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

    let hex = sha256.to_string();
    let path = directory.path().join("blobs/sha256").join(&hex[..2]).join(&hex[2..4]).join(&hex);
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
