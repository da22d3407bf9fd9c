//! T-07, P-20: names that would leave their place, and what a mirror is asked and told.

use serde_json::Value;

use super::{KEYS, Place, ROOT};

/// A repository that says that the sigstore root's digest is this.
fn with_digest(place: &Place, digest: &str) -> touchstone_testkit::tuf::TufRepository {
    let mut lie = place.repository.clone();
    lie.advance();
    lie.publish_edited(|role, signed| {
        if role == "targets" {
            signed["targets"][ROOT]["hashes"]["sha256"] = digest.into();
        }
    });
    lie
}

#[tokio::test]
async fn a_target_stays_in_its_place() {
    let mut place = Place::start().await;
    super::mint(&mut place.repository);
    place.repository.advance();
    for digest in ["../../x", "/etc/x", "..%2fx", "a/./b", "a\\b", "x?y", "x#y", ""] {
        let lie = with_digest(&place, digest);
        let words =
            format!("malformed metadata: the name {:?} is not a plain path", format!("{digest}.{ROOT}"));
        place.server.serve(&lie);
        let refused = place.refresh_at(super::now()).await.map(|_| ());
        assert_eq!(refused, Err(format!("the TUF repository is refused: {words}")));
    }
    assert!(place.store.tuf_files().await.expect("stored").files.is_empty());
    place.refresh().await.expect("its digest");
    let asked = place.server.requests();
    assert!(asked.iter().all(|request| request.path.starts_with("/tuf/")), "{asked:?}");
}

#[tokio::test]
async fn a_role_stays_in_its_place() {
    for (role, file) in
        [("../../x", "1...%2F..%2Fx.json"), ("/etc/x", "1.%2Fetc%2Fx.json"), ("..%2fx", "1...%252fx.json")]
    {
        let mut repository = super::repository();
        let (keys, delegation) = {
            let top = repository.role("targets");
            (top.delegations.clone(), top.delegations[0].clone())
        };
        let targets = repository.targets[super::ROLE].clone();
        repository.targets.insert(role.to_owned(), targets);
        repository.role("targets").delegations =
            vec![touchstone_testkit::tuf::Delegation { to: role.to_owned(), ..delegation }];
        repository.publish();
        let mut place = Place::with(repository).await;
        let words = format!("malformed metadata: the name {file:?} is not a plain path");
        let refused = place.refresh().await.map(|_| ());
        assert_eq!(refused, Err(format!("the TUF repository is refused: {words}")));

        place.repository.role("targets").delegations = keys;
        place.repository.publish();
        place.refresh().await.expect("a plain name");
    }
}

#[tokio::test]
async fn the_mirror_is_told_no_secret_and_sends_nobody_elsewhere() {
    let place = Place::start().await;
    place.refresh().await.expect("a set");
    for request in place.server.requests() {
        let secret = ["authorization", "cookie", "proxy-authorization"];
        assert!(request.headers.iter().all(|name| !secret.contains(&name.as_str())), "{request:?}");
    }

    let other = Place::start().await;
    for to in [
        other.server.url().join("timestamp.json").expect("an address").to_string(),
        "file:///etc/x".to_owned(),
    ] {
        place.server.redirect("timestamp.json", &to);
        let refused = place.refresh_at(super::now()).await.map(|_| ()).expect_err("it is elsewhere");
        let begin = "the TUF repository is refused: transport error: timestamp.json: refused to contact ";
        assert!(refused.starts_with(begin), "{refused}");
    }
    assert!(other.server.requests().is_empty());

    // On the same origin it may.
    let (name, timestamp) =
        ("moved/timestamp.json".to_owned(), place.repository.files["timestamp.json"].clone());
    let mut moved = place.repository.clone();
    moved.files.insert(name, timestamp);
    place.server.serve(&moved);
    place.server.redirect("timestamp.json", "/tuf/moved/timestamp.json");
    place.refresh_at(super::now()).await.expect("the same origin");
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let mut lie = place.repository.clone();
    lie.advance();
    let mut timestamp = lie.files["timestamp.json"].clone();
    timestamp.extend(vec![b' '; 16 << 10]);
    lie.files.insert("timestamp.json".to_owned(), timestamp);
    place.server.serve(&lie);
    let origin = place.server.url().origin().ascii_serialization();
    let words = format!("transport error: timestamp.json: {origin} sent more than 16384 bytes");
    place.refuses(&lie, &words).await;

    let mut lie = place.repository.clone();
    lie.advance();
    lie.publish_edited(|role, signed: &mut Value| {
        if role == super::ROLE {
            signed["targets"][KEYS]["length"] = (2 << 20).into();
        }
    });
    let words =
        format!("integrity check failed: {KEYS}: pinned length 2097152 exceeds configured max 1048576");
    place.refuses(&lie, &words).await;
}
