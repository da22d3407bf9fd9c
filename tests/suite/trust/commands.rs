//! `touchstone trust`.

use std::{fs, process::Command};

use touchstone_domain::Sha256;
use touchstone_testkit::{
    touchstone_binary,
    tuf::{Layout, TufRepository},
};

use super::{KEYS, Place};

/// Runs the binary where the place is configured. It looks at the machine's clock.
fn touchstone(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    configured(place, &format!("tuf_root = 'tuf_root.json'\nnpm_keys_target = '{KEYS}'"), arguments)
}

/// With these keys of `[trust]`, and the mirror's.
fn configured(place: &Place, keys: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let (database, mirror) = (&place.database, place.server.url());
    let text = format!("[database]\nurl = '{database}'\n[trust]\ntuf_url = '{mirror}'\n{keys}\n");
    fs::write(place.directory.path().join("touchstone.toml"), text).expect("written");
    let mut command = Command::new(touchstone_binary());
    command.current_dir(place.directory.path()).env_remove("TOUCHSTONE_CONFIG").env("RUST_LOG", "off");
    let output = command.arg("trust").args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A repository that is good today.
fn lasting() -> TufRepository {
    let mut repository = super::repository();
    let far = super::days(4000);
    (repository.timestamp.expires, repository.snapshot.expires) = (far, far);
    repository.targets.values_mut().for_each(|targets| targets.role.expires = far);
    repository.rotate(|repository| repository.root.expires = far);
    repository
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_is_shown_imported_and_refreshed() {
    let mut place = Place::with(lasting()).await;
    let (code, page, _) = touchstone(&place, &["show"]);
    assert_eq!(code, Some(1), "{page}");
    assert!(
        page.contains("NOTHING CAN BE VERIFIED: `trust.tuf_root` is set, and nothing was refreshed"),
        "{page}"
    );

    let copy = tempfile::tempdir().expect("a directory");
    place.repository.write(copy.path(), Layout::Folders);
    let path = copy.path().to_str().expect("a path");
    let (code, told, problem) = touchstone(&place, &["import", path]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(
        told.contains("root: 2, expires 2107-") && told.contains("timestamp: 1, expires 2107-"),
        "{told}"
    );
    assert!(told.contains(&format!("sigstore root: sha256:{}", place.root_digest())), "{told}");
    assert!(told.contains(&format!("npm keys: sha256:{}", place.keys_digest())), "{told}");
    assert!(told.contains("\ncurrent until 2107-"), "{told}");
    let (code, told, _) = touchstone(&place, &["import", path]);
    assert_eq!(code, Some(0));
    assert!(told.starts_with("nothing new: this is what was stored already\n"), "{told}");

    super::mint(&mut place.repository);
    place.repository.advance();
    place.server.serve(&place.repository);
    let (code, told, problem) = touchstone(&place, &["refresh"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(told.contains("timestamp: 1 -> 2, expires 2107-"), "{told}");
    assert!(!told.contains("root: 2"), "{told}");
    let (code, _, problem) = touchstone(&place, &["import", path]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("is not imported"), "{problem}");
    assert!(
        problem.contains("rollback detected for timestamp: trusted version 2 > new version 1"),
        "{problem}"
    );

    let (code, page, _) = touchstone(&place, &["show"]);
    assert_eq!(code, Some(0), "{page}");
    for words in [
        format!("sigstore_root   sha256:{}  from the TUF repository", place.root_digest()),
        format!("npm_keys        sha256:{}  from the TUF repository", place.keys_digest()),
        format!("pinned root     sha256:{} (file)", Sha256::of(place.repository.pin())),
        format!("npm keys target {KEYS}"),
        "timestamp       version 2, expires 2107-".to_owned(),
        "signature log".to_owned(),
        "npm:signatures".to_owned(),
        format!("sigstore_root sha256:{}  tuf", place.root_digest()),
        "  import\n".to_owned(),
    ] {
        assert!(page.contains(&words), "{words} is not in {page}");
    }
    let (_, json, _) = touchstone(&place, &["show", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["sources"][0]["sha256"], place.root_digest().to_string());
    assert_eq!(told["sources"][1]["origin"], "tuf");
    assert_eq!(told["tuf"]["standing"]["standing"], "current");
    assert_eq!(told["unavailable"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_was_never_heard_of_is_no_secret() {
    let place = Place::start().await;
    let (code, page, _) = configured(&place, "", &["show"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(
        page.contains("warning: the mirror at `trust.tuf_url` has never answered with what can be used; "),
        "{page}"
    );
    assert!(!page.contains("configure `trust.tuf_url`"), "it is: {page}");
    assert!(
        page.contains("from this program; does not expire by itself, and is as old as the release\n"),
        "{page}"
    );
    let (_, json, _) = configured(&place, "", &["show", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["concerns"][0]["level"], "warning");
    assert_eq!(told["concerns"].as_array().map(Vec::len), Some(1));
}

/// A path that was mistyped is no repository that lies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_copy_at_all_is_told_apart_from_one_that_is_refused() {
    let place = Place::with(lasting()).await;
    let (absent, file) = (place.directory.path().join("absent"), place.directory.path().join("file"));
    let empty = tempfile::tempdir().expect("a directory");
    fs::write(&file, "").expect("written");
    for (path, problem) in [
        (absent.as_path(), format!("there is no directory {}", absent.display())),
        (file.as_path(), format!("{} is no directory", file.display())),
        (
            empty.path(),
            format!(
                "{} has neither metadata/timestamp.json nor timestamp.json, so it is no copy of a TUF repository",
                empty.path().display()
            ),
        ),
    ] {
        let said = touchstone(&place, &["import", path.to_str().expect("a path")]);
        assert_eq!(said, (Some(1), String::new(), format!("error: nothing is imported: {problem}\n")));
    }
}

#[test]
fn help_teaches() {
    let directory = tempfile::tempdir().expect("a directory");
    let help = |arguments: &[&str]| {
        let mut command = Command::new(touchstone_binary());
        let output = command.current_dir(directory.path()).args(arguments).arg("--help").output();
        String::from_utf8(output.expect("it runs").stdout).expect("UTF-8")
    };
    for (command, words) in [
        ("show", "the file named in `[trust]` wins"),
        ("import", "must not be older than what is stored"),
        ("refresh", "verified from the pinned TUF root"),
        ("resume", "once you know why it contradicted itself"),
    ] {
        let told = help(&["trust", command]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "{told}");
    }
}
