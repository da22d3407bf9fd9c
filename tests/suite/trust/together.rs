//! Two who renew trust at once: the newer set stays, whoever is first.

use tokio::task::JoinSet;
use touchstone_attest::trust::{self, Renewed};
use touchstone_runtime::Chain;
use touchstone_testkit::{
    Port, eventually,
    tuf::{Layout, TufRepository},
};

use super::{Place, now, version};

/// Imports this while a refresh has asked for what the mirror has, and has no answer yet; returns what came of the refresh.
async fn refresh_around(place: &Place, imported: &TufRepository) -> Result<Renewed, String> {
    let gate = place.server.hold().await;
    let asked = place.server.requests().len();
    let options = place.options();
    let (store, directory) = (place.store.clone(), tempfile::tempdir().expect("a directory"));
    let mut refreshing = JoinSet::new();
    refreshing.spawn(async move { trust::refresh(&options, &store, now()).await });
    eventually("the mirror is asked", || async { (place.server.requests().len() > asked).then_some(()) })
        .await;
    imported.write(directory.path(), Layout::Folders);
    let options = place.options();
    trust::import(&options, &place.store, directory.path(), now()).await.expect("an honest copy");
    drop(gate);
    let ended = refreshing.join_next().await.expect("it was started");
    ended.expect("it ends").map_err(|error| Chain(&error).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_during_a_refresh_stays() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    place.repository.advance();
    place.server.serve(&place.repository);
    let mut newer = place.repository.clone();
    super::mint(&mut newer);
    newer.advance();
    let refused = refresh_around(&place, &newer).await.map(|_| ());
    let words =
        "the TUF repository is refused: rollback detected for timestamp: trusted version 3 > new version 2";
    assert_eq!(refused, Err(words.to_owned()));
    let stored = place.store.tuf_files().await.expect("stored").files;
    assert_eq!(stored["timestamp.json"], newer.files["timestamp.json"]);
    let history = place.store.trust_history().await.expect("a history");
    let imported = history.iter().filter(|entry| entry.origin == "import").count();
    assert_eq!(imported, 2, "the root and the keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_is_newer_than_an_import_during_it_stays() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    place.repository.advance();
    let older = place.repository.clone();
    place.repository.advance();
    place.server.serve(&place.repository);
    let renewed = refresh_around(&place, &older).await.expect("it is the newest");
    assert_eq!(version(&renewed, "timestamp"), 3);
    assert_eq!(renewed.before.iter().find(|role| role.name == "timestamp").map(|role| role.version), Some(2));
}

/// A process that holds a newer set than the database does, since somebody has put an older one there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_takes_nothing_older_than_what_it_uses() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let old = place.store.tuf_files().await.expect("stored").files;
    let oldest = place.repository.clone();
    place.repository.advance();
    place.refresh().await.expect("the second set");
    let (keeper, _clock) = place.keeper(&format!("tuf_url = '{}'", place.server.url())).await;
    place.overwrite(&old).await;
    place.server.serve(&oldest);
    let refused = keeper.refresh().await.map_err(|error| Chain(&error).to_string());
    let words =
        "the TUF repository is refused: rollback detected for timestamp: trusted version 2 > new version 1";
    assert_eq!(refused, Err(words.to_owned()));
    place.server.serve(&place.repository);
    keeper.refresh().await.expect("what it uses");
    let stored = place.store.tuf_files().await.expect("stored").files;
    assert_eq!(stored["timestamp.json"], place.repository.files["timestamp.json"]);
}

/// What was stored is the least that counts, although it is refused as a whole.
#[tokio::test]
async fn a_stored_set_that_is_refused_still_says_what_is_older() {
    let mut place = Place::start().await;
    let oldest = place.repository.clone();
    place.repository.advance();
    place.refresh().await.expect("a set");
    let mut damaged = place.store.tuf_files().await.expect("stored").files;
    damaged.insert("targets.json".to_owned(), b"{}".to_vec());
    place.overwrite(&damaged).await;
    let (keeper, _clock) = place.keeper("").await;
    assert!(keeper.current().is_err());
    let words = "rollback detected for timestamp: trusted version 2 > new version 1";
    place.refuses(&oldest, words).await;
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_not_refused() {
    let place = Place::start().await;
    let words = |url: &str| {
        let (options, store) = (place.options_with(&format!("tuf_url = '{url}'")), place.store.clone());
        async move {
            let failed = trust::refresh(&options, &store, now()).await.map(|_| ());
            failed.map_err(|error| Chain(&error).to_string())
        }
    };
    let port = Port::take();
    let address = port.address();
    let unreachable = words(&format!("http://{address}/")).await.expect_err("nobody is there");
    let begin = format!(
        "the TUF repository cannot be asked: transport error: 2.root.json: cannot reach http://{address}: "
    );
    assert!(unreachable.starts_with(&begin), "{unreachable}");
    // A mirror that answers, and has nothing.
    let empty = words(&format!("{}none/", place.server.url())).await;
    let lacks = "the TUF repository is refused: transport error: timestamp.json not found";
    assert_eq!(empty, Err(lacks.to_owned()));
}
