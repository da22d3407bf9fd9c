//! `touchstone keys revoke`: what takes much out of service at once is asked for twice, and is done at once then.

use std::fs;

use touchstone_testkit::{MirrorProcesses, Package, Registry, eventually, npm_package};

use super::{http, make_keys, run, said};

/// The numbers of the keys that count, as `keys list` shows them, of a kind.
fn counting(listed: &str, kind: &str) -> Vec<String> {
    let lines = listed.lines().filter(|line| line.starts_with(kind) && line.contains(" counts "));
    lines.filter_map(|line| line.split_whitespace().nth(2).map(ToOwned::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_much_rests_on_is_revoked_only_by_somebody_who_is_sure() {
    let registry = Registry::start().await;
    let packages: Vec<Package> =
        (0..101).map(|n| npm_package(&format!("package-{n}"), "1.0.0", &[], 10)).collect();
    for package in &packages {
        registry.publish(package.clone());
    }
    let mirror = MirrorProcesses::start(&registry).await;
    let status = async |package: &Package| {
        let url = mirror.url.join(&format!("npm/{}/-/{}", package.name, package.file)).expect("a path");
        http().get(url).send().await.expect("an answer").status().as_u16()
    };
    for some in packages[..100].chunks(20) {
        for answered in futures::future::join_all(some.iter().map(status)).await {
            assert_eq!(answered, 200);
        }
    }
    let key = counting(&said(mirror.command(&["keys", "list"])).1, "hash").remove(0);
    let ring = mirror.servers.directory.path().join("data/keys/keyring.json");
    let before = fs::read(&ring).expect("the ring");
    let revoke = |more: &[&str]| {
        said(mirror.command(&[&["keys", "revoke", &key[..12], "--reason", "stolen"], more].concat()))
    };
    assert_eq!(status(&packages[100]).await, 200);
    let (code, _, problem) = revoke(&[]);
    assert_eq!(code, Some(1));
    let expected = "error: nothing is revoked: 101 served artifacts rest on the key, and are out of service until they were \
        checked again; with --yes it is revoked all the same\n";
    assert_eq!(problem, expected);
    assert_eq!(fs::read(&ring).expect("the ring"), before, "nothing is changed");
    assert_eq!(status(&packages[0]).await, 200);

    // One fewer is no reason to ask.
    let recalled =
        said(mirror.command(&["recall", "pkg:npm/package-100@1.0.0", "--reason", "x", "--no-wait"]));
    assert_eq!(recalled.0, Some(0), "{}", recalled.2);
    let (code, text, problem) = revoke(&[]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(text.starts_with("100 served artifact(s) rest on the key\nrevoked the hash key "), "{text}");
    let (code, text, problem) = revoke(&[]);
    assert_eq!((code, text.as_str()), (Some(1), ""), "nothing is counted for what is done already");
    assert!(problem.starts_with(&format!("error: the hash key {key} was revoked at ")), "{problem}");
    eventually("nothing is served that rests on it", || async {
        (status(&packages[0]).await == 503).then_some(())
    })
    .await;
}

/// The ring may be where no database is: then nobody knows.
#[test]
fn a_key_of_which_nobody_knows_what_rests_on_it_is_revoked_only_by_somebody_who_is_sure() {
    let directory = tempfile::tempdir().expect("a directory");
    make_keys(directory.path());
    let key = counting(&run(directory.path(), &["keys", "list"]).1, "hash").remove(0);
    let revoke = ["keys", "revoke", key.as_str(), "--reason", "stolen"];
    let (code, _, problem) = run(directory.path(), &revoke);
    assert_eq!(code, Some(1));
    assert!(
        problem.starts_with("error: nothing is revoked: it cannot be told how many served artifacts rest on the key; with --yes"),
        "{problem}"
    );
    assert_eq!(counting(&run(directory.path(), &["keys", "list"]).1, "hash"), std::slice::from_ref(&key));
    let (code, text, problem) = run(directory.path(), &[&revoke[..], &["--yes"]].concat());
    assert_eq!(code, Some(0), "{problem}");
    assert!(text.starts_with("revoked the hash key "), "{text}");
    assert_eq!(counting(&run(directory.path(), &["keys", "list"]).1, "hash"), Vec::<String>::new());
}

/// Who gives a command in another directory than they think must not believe that it was done.
#[test]
fn in_another_directory_nothing_is_rotated_and_nothing_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let ring = directory.path().join("data/keys/keyring.json");
    for arguments in [&["keys", "rotate", "hash"][..], &["keys", "new", "hash"]] {
        let expected = format!(
            "error: there is no key ring {}, and nothing was changed; run this where the installation's touchstone.toml is, or name \
             that with `-c FILE`; `touchstone keys init` makes one\n",
            ring.display()
        );
        assert_eq!(run(directory.path(), arguments), (Some(1), String::new(), expected));
    }
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn a_new_key_is_for_those_who_sign_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    make_keys(directory.path());
    for (kind, holder) in [
        ("fetch", "every edge"),
        ("hash", "every hash worker"),
        ("attest", "every attest worker"),
        ("sumdb", "every sumdb worker"),
        ("peer", "every peer worker"),
        ("promote", "promote"),
        ("log", "promote"),
    ] {
        let out = format!("{kind}.pem");
        let (code, text, problem) = run(directory.path(), &["keys", "new", kind, "--out", &out]);
        assert_eq!(code, Some(0), "{problem}");
        assert!(text.contains(&format!("  private  {out}  (for {holder} alone)\n")), "{text}");
        let then = format!("; {holder} signs with the new key once it is started again.\n");
        assert!(text.ends_with(&then), "{text}");
    }
}
