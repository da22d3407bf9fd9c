//! T-08: offline copies, honest and not.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use jiff::Timestamp;
use tempfile::TempDir;
use touchstone_attest::trust::{self, Renewed, Standing};
use touchstone_runtime::Chain;
use touchstone_testkit::tuf::{Layout, TufRepository};

use super::{Place, days, now, repository, version};

fn copy(repository: &TufRepository, layout: Layout) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    repository.write(directory.path(), layout);
    directory
}

async fn import(place: &Place, directory: &Path, at: Timestamp) -> Result<Renewed, String> {
    let options = place.options_with("grace = '7d'");
    trust::import(&options, &place.store, directory, at).await.map_err(|e| Chain(&e).to_string())
}

#[tokio::test]
async fn every_layout_of_a_copy_is_read() {
    for layout in [Layout::Served, Layout::Folders, Layout::Sources] {
        let mut place = Place::start().await;
        place.repository.rotate(|repository| repository.timestamp.version += 1);
        let directory = copy(&place.repository, layout);
        let renewed = import(&place, directory.path(), now()).await.expect("an honest copy");
        assert_eq!((version(&renewed, "root"), version(&renewed, "timestamp")), (2, 2), "{layout:?}");
        assert_eq!(renewed.sigstore_root, (None, place.root_digest()));
        let (keeper, _clock) = place.keeper("").await;
        let trust = keeper.current().expect("trust");
        assert_eq!(trust.digests(), [place.root_digest(), place.keys_digest()]);
        assert!(place.server.requests().is_empty(), "nobody was asked");
    }
}

#[tokio::test]
async fn an_import_reaches_a_running_process() {
    let mut place = Place::start().await;
    let (keeper, _clock) = place.keeper("").await;
    assert!(keeper.current().is_err());
    for _ in 0..2 {
        super::mint(&mut place.repository);
        place.repository.advance();
        let directory = copy(&place.repository, Layout::Folders);
        import(&place, directory.path(), now()).await.expect("an honest copy");
        keeper.reload().await.expect("the database");
        assert_eq!(keeper.current().expect("trust").root.digest(), place.root_digest());
    }
}

#[tokio::test]
async fn a_copy_of_another_repository_or_an_older_one_is_refused() {
    let mut place = Place::start().await;
    let refused = import(&place, copy(&repository(), Layout::Folders).path(), now()).await.map(|_| ());
    let words =
        "the TUF repository is refused: signature threshold not met for role timestamp: 0/1 valid signatures";
    assert_eq!(refused, Err(words.to_owned()));
    assert!(place.store.tuf_files().await.expect("stored").files.is_empty());

    let old = copy(&place.repository, Layout::Folders);
    place.repository.advance();
    import(&place, copy(&place.repository, Layout::Folders).path(), now()).await.expect("an honest copy");
    let refused = import(&place, old.path(), now()).await.map(|_| ());
    let words =
        "the TUF repository is refused: rollback detected for timestamp: trusted version 2 > new version 1";
    assert_eq!(refused, Err(words.to_owned()));
    // The same again is nothing new.
    let renewed = import(&place, copy(&place.repository, Layout::Served).path(), now()).await.expect("again");
    assert_eq!(renewed.before, renewed.after);
}

#[tokio::test]
async fn a_copy_may_have_expired_by_the_grace() {
    let place = Place::start().await;
    let directory = copy(&place.repository, Layout::Folders);
    let renewed = import(&place, directory.path(), days(14)).await.expect("within the grace");
    assert!(matches!(renewed.standing, Standing::Grace { until, .. } if until == days(14)));
    let late = days(14) + Duration::from_secs(1);
    let refused = import(&place, directory.path(), late).await.map(|_| ());
    let words = "the TUF repository is refused: timestamp metadata expired at 2096-11-29T12:00:00Z";
    assert_eq!(refused, Err(words.to_owned()));
}

#[tokio::test]
async fn a_copy_is_made_of_files() {
    let place = Place::start().await;
    let elsewhere = copy(&place.repository, Layout::Folders);
    let refused = |name: &str| {
        Err(format!("the TUF repository is refused: transport error: {name} goes through a symbolic link"))
    };
    for (name, told) in [
        ("metadata/timestamp.json", "metadata/timestamp.json"),
        ("metadata", "metadata/2.root.json"),
        ("targets", "targets/registry.example"),
    ] {
        let directory = copy(&place.repository, Layout::Folders);
        let path = directory.path().join(name);
        fs::rename(&path, directory.path().join("aside")).expect("moved");
        symlink(elsewhere.path().join(name), &path).expect("a link");
        let found = import(&place, directory.path(), now()).await.map(|_| ());
        match name {
            "targets" => {
                let words = found.expect_err("a link");
                assert!(words.ends_with(" goes through a symbolic link"), "{words}");
            }
            _ => assert_eq!(found, refused(told)),
        }
        fs::remove_file(&path).expect("the link");
        fs::rename(directory.path().join("aside"), &path).expect("moved back");
        import(&place, directory.path(), now()).await.expect("files");
        place.overwrite(&std::collections::BTreeMap::new()).await;
    }

    let directory = copy(&place.repository, Layout::Folders);
    let timestamp = directory.path().join("metadata/timestamp.json");
    fs::remove_file(&timestamp).expect("removed");
    fs::create_dir(&timestamp).expect("a directory");
    let words = "the TUF repository is refused: transport error: metadata/timestamp.json is not a file";
    assert_eq!(import(&place, directory.path(), now()).await.map(|_| ()), Err(words.to_owned()));
    let words = format!("{} is not a directory", directory.path().join("none").display());
    assert_eq!(import(&place, &directory.path().join("none"), now()).await.map(|_| ()), Err(words));
    let empty = tempfile::tempdir().expect("a directory");
    let words = "the TUF repository is refused: transport error: timestamp.json not found";
    assert_eq!(import(&place, empty.path(), now()).await.map(|_| ()), Err(words.to_owned()));
}
