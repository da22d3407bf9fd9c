//! T-05: who speaks for a target: order, depth, ends, circles.

use touchstone_domain::Sha256;
use touchstone_testkit::{sigstore::Sigstore, tuf::TufRepository};

use super::{KEYS, Place, ROOT, now};

const UNLISTED: &str = "the TUF repository is refused: target \"registry.example/keys.json\" is not listed by any \
                        trusted targets role";

/// A repository whose delegations are still to be made.
fn bare() -> TufRepository {
    let mut repository = TufRepository::new(now());
    repository.target("targets", ROOT, &Sigstore::new().trusted_root_json());
    repository
}

fn keys() -> Vec<u8> {
    Sigstore::new().registry_keys_json()
}

/// The digest of the keys that somebody takes from a repository, or why nobody does.
async fn taken(mut repository: TufRepository) -> Result<Sha256, String> {
    repository.publish();
    let place = Place::with(repository).await;
    place.refresh().await.map(|renewed| renewed.npm_keys.1.expect("keys"))
}

#[tokio::test]
async fn the_first_that_lists_it_wins_and_depth_comes_before_breadth() {
    let (first, second) = (keys(), keys());
    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]);
    repository.delegate("targets", "b", &["registry.example/*"]);
    repository.target("b", KEYS, &second);
    assert_eq!(
        taken(repository.clone()).await,
        Ok(Sha256::of(&second)),
        "one that does not list it is passed"
    );
    repository.target("a", KEYS, &first);
    assert_eq!(taken(repository).await, Ok(Sha256::of(&first)));

    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]);
    repository.delegate("targets", "b", &["registry.example/*"]);
    repository.delegate("a", "deep", &["registry.example/*"]);
    repository.target("deep", KEYS, &first);
    repository.target("b", KEYS, &second);
    assert_eq!(taken(repository.clone()).await, Ok(Sha256::of(&first)));
    repository.role("targets").targets.insert(KEYS.to_owned(), second.clone());
    assert_eq!(taken(repository).await, Ok(Sha256::of(&second)), "nobody is asked about what the top lists");
}

#[tokio::test]
async fn a_terminating_delegation_ends_the_search() {
    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]).terminating = true;
    repository.delegate("targets", "b", &["registry.example/*"]);
    repository.target("b", KEYS, &keys());
    assert_eq!(taken(repository.clone()).await, Err(UNLISTED.to_owned()));
    repository.role("targets").delegations[0].terminating = false;
    assert!(taken(repository).await.is_ok());
}

#[tokio::test]
async fn a_circle_ends() {
    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]);
    repository.delegate("a", "b", &["registry.example/*"]);
    repository.delegate("b", "a", &["registry.example/*"]);
    assert_eq!(taken(repository.clone()).await, Err(UNLISTED.to_owned()));
    repository.target("b", KEYS, &keys());
    assert!(taken(repository).await.is_ok());
}

#[tokio::test]
async fn a_role_speaks_for_its_paths_only() {
    let of = |paths: &[&str]| {
        let mut repository = bare();
        repository.delegate("targets", "a", paths);
        repository.target("a", KEYS, &keys());
        taken(repository)
    };
    for paths in [&["other.example/*"][..], &["*"], &["registry.example/*/*"], &[]] {
        assert_eq!(of(paths).await, Err(UNLISTED.to_owned()), "{paths:?}");
    }
    assert!(of(&["registry.example/*"]).await.is_ok());
    assert!(of(&["other.example/*", "*/keys.json"]).await.is_ok());
}

#[tokio::test]
async fn a_role_is_signed_by_whom_its_delegator_names() {
    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]);
    repository.target("a", KEYS, &keys());
    assert!(taken(repository.clone()).await.is_ok());

    let stranger = touchstone_testkit::tuf::TufKey::ed25519();
    let mut place = Place::with(repository.clone()).await;
    place.repository.role("a").role.keys = vec![stranger];
    // The delegator still names the old key.
    let keyids = [repository.role("a").role.keys[0].id().to_owned()];
    place.repository.publish_edited(|role, signed| {
        if role == "targets" {
            signed["delegations"]["roles"][0]["keyids"] = keyids.to_vec().into();
        }
    });
    let words = "the TUF repository is refused: signature threshold not met for role a: 0/1 valid signatures";
    assert_eq!(place.refresh().await.map(|_| ()), Err(words.to_owned()));
}

#[tokio::test]
async fn a_delegation_that_is_said_twice_is_refused() {
    let mut repository = bare();
    repository.delegate("targets", "a", &["registry.example/*"]);
    repository.target("a", KEYS, &keys());
    assert!(taken(repository.clone()).await.is_ok());
    repository.delegate("targets", "a", &["other.example/*"]);
    let words =
        "the TUF repository is refused: malformed metadata: 1.targets.json: it delegates to \"a\" twice";
    assert_eq!(taken(repository).await, Err(words.to_owned()));
}
