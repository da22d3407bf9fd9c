//! T-08: the database is not a root of trust.

use touchstone_attest::trust::TrustUnavailable;

use super::{Place, days, repository};

/// What a process that starts now says.
async fn fresh(place: &Place) -> Result<(), String> {
    let (keeper, _clock) = place.keeper("").await;
    keeper.current().map(|_| ()).map_err(|unavailable| match unavailable {
        TrustUnavailable::Refused(why) => why,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn every_stored_document_is_verified_at_every_start() {
    let mut place = Place::start().await;
    place.repository.rotate(|_| {});
    place.refresh().await.expect("a set");
    assert_eq!(fresh(&place).await, Ok(()));
    let good = place.store.tuf_files().await.expect("stored").files;

    let mut told = vec![];
    for name in good.keys() {
        let mut tampered = good.clone();
        let bytes = tampered.get_mut(name).expect("a file");
        // The last digit of a target, or the first one of an expiry: still JSON, and another statement.
        let expires = bytes.windows(9).position(|part| part == b"\"expires\"");
        let digit = match expires {
            Some(at) => at + bytes[at..].iter().position(u8::is_ascii_digit).expect("a digit"),
            None => bytes.iter().rposition(u8::is_ascii_digit).expect("a digit"),
        };
        bytes[digit] = if bytes[digit] == b'9' { b'8' } else { b'9' };
        place.overwrite(&tampered).await;
        told.push((name.as_str(), fresh(&place).await));
    }
    let refused = |why: &str| Err(format!("the TUF repository is refused: {why}"));
    assert_eq!(
        told,
        [
            // The pinned root is the configured one, whatever is stored.
            (
                "registry.example.json",
                refused("integrity check failed: registry.example.json: sha256 mismatch")
            ),
            ("root_history/1.root.json", Ok(())),
            (
                "root_history/2.root.json",
                refused("signature threshold not met for role root: 0/2 valid signatures")
            ),
            ("snapshot.json", refused("integrity check failed: snapshot.json: sha256 mismatch")),
            ("targets.json", refused("integrity check failed: targets.json: sha256 mismatch")),
            (
                "targets/registry.example/keys.json",
                refused("integrity check failed: registry.example/keys.json: sha256 mismatch")
            ),
            (
                "targets/trusted_root.json",
                refused("integrity check failed: trusted_root.json: sha256 mismatch")
            ),
            (
                "timestamp.json",
                refused("signature threshold not met for role timestamp: 0/1 valid signatures")
            ),
        ]
    );
    place.overwrite(&good).await;
    assert_eq!(fresh(&place).await, Ok(()));
}

#[tokio::test]
async fn a_document_that_is_gone_is_missed() {
    let place = Place::start().await;
    place.refresh().await.expect("a set");
    let good = place.store.tuf_files().await.expect("stored").files;
    for name in good.keys().filter(|name| !name.starts_with("root_history/")) {
        let mut less = good.clone();
        less.remove(name);
        place.overwrite(&less).await;
        let why = fresh(&place).await.expect_err("something is missing");
        assert!(why.starts_with("the TUF repository is refused: transport error: "), "{name}: {why}");
        assert!(why.ends_with(" not found"), "{name}: {why}");
    }
    // Nothing at all where there was something is no reason to go back to what came with the program.
    place.overwrite(&std::collections::BTreeMap::new()).await;
    let (keeper, _clock) = place.keeper("").await;
    let gone = "they are gone, and the history of trust shows that there were some".to_owned();
    assert_eq!(keeper.current().err(), Some(TrustUnavailable::Refused(gone)));
}

#[tokio::test]
async fn another_repository_is_refused_and_a_running_process_keeps_on() {
    let mut place = Place::start().await;
    place.refresh().await.expect("a set");
    let (running, _clock) = place.keeper("").await;
    let used = running.current().expect("trust").digests();
    let good = place.store.tuf_files().await.expect("stored").files;

    // Somebody else's, whole and consistent.
    let other = Place::with(repository()).await;
    other.refresh().await.expect("the other set");
    let foreign = other.store.tuf_files().await.expect("stored").files;
    place.overwrite(&foreign).await;
    let words =
        "the TUF repository is refused: signature threshold not met for role timestamp: 0/1 valid signatures";
    assert_eq!(fresh(&place).await, Err(words.to_owned()));
    running.reload().await.expect("the database");
    assert_eq!(running.current().expect("trust").digests(), used);

    // An older one of our own.
    super::mint(&mut place.repository);
    place.repository.advance();
    place.overwrite(&good).await;
    place.refresh().await.expect("a newer set");
    running.reload().await.expect("the database");
    let newer = running.current().expect("trust").digests();
    assert_eq!(newer, [place.root_digest(), place.keys_digest()]);
    place.overwrite(&good).await;
    running.reload().await.expect("the database");
    assert_eq!(running.current().expect("trust").digests(), newer, "what was newer stays in use");
    place.overwrite(&std::collections::BTreeMap::new()).await;
    running.reload().await.expect("the database");
    assert_eq!(running.current().expect("trust").digests(), newer);
}

#[tokio::test]
async fn pinned_files_stand_in_for_a_stored_set_that_is_refused() {
    let place = Place::start().await;
    place.refresh().await.expect("a set");
    let mut tampered = place.store.tuf_files().await.expect("stored").files;
    tampered.insert("timestamp.json".to_owned(), b"{}".to_vec());
    place.overwrite(&tampered).await;
    let sigstore = touchstone_testkit::sigstore::Sigstore::new();
    for (name, bytes) in
        [("root.json", sigstore.trusted_root_json()), ("keys.json", sigstore.registry_keys_json())]
    {
        std::fs::write(place.directory.path().join(name), bytes).expect("written");
    }
    let (keeper, _clock) = place.keeper("sigstore_root = 'root.json'").await;
    assert!(matches!(keeper.current().err(), Some(TrustUnavailable::Refused(_))), "the keys are missing");
    let (keeper, clock) = place.keeper("sigstore_root = 'root.json'\nnpm_keys = 'keys.json'").await;
    clock.set(days(400));
    assert!(keeper.current().is_ok());

    // The mirror puts it right.
    assert_eq!(
        place.refresh().await.expect("a set").stored_refused.as_deref(),
        Some("the TUF repository is refused: malformed metadata: missing `signed`")
    );
    assert_eq!(fresh(&place).await, Ok(()));
}
