//! `touchstone upstreams discover`, with package clients that say what a test wants.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Registry, wheel};

use super::{said, touchstone};

/// Puts a program on the path.
fn program(directory: &Path, name: &str, script: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

fn discover(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = touchstone(directory);
    let arguments = [&["upstreams", "discover"], arguments].concat();
    said(command.args(arguments).env("PATH", directory.join("bin")).output().expect("the command runs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_asked_and_what_is_written_is_added_to() {
    let (registry, files) = (Registry::start().await, Registry::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).expect("made");
    let npm = registry.url(Ecosystem::Npm).to_string();
    let pypi = registry.url(Ecosystem::Pypi).to_string();
    program(
        &bin,
        "npm",
        &format!("test \"$*\" = 'config get registry' && echo {}", npm.trim_end_matches('/')),
    );
    program(&bin, "pip", &format!("test \"$*\" = 'config get global.index-url' && echo {pypi}simple"));
    program(&bin, "cargo", "echo 'no network here' >&2; exit 101");
    let (key, go) = (registry.sumdb().key(), registry.url(Ecosystem::Go));
    let answer = format!(r#"{{"GOPROXY":"{go},direct","GOSUMDB":"{key}"}}"#);
    program(
        &bin,
        "go",
        &format!(
            "test \"$1 $2 $4 $5 $6 $GOTOOLCHAIN\" = 'env -C -json GOPROXY GOSUMDB local' && echo '{answer}'"
        ),
    );
    let pip = wheel("pip", "24.0", &[], 10);
    let page = format!(
        r#"{{"meta":{{"api-version":"1.0"}},"name":"pip","files":[{{"filename":"{}","url":"{}pypi/files/x","hashes":{{}}}}]}}"#,
        pip.file,
        files.origin()
    );
    registry.document("pypi/simple/pip/", "application/vnd.pypi.simple.v1+json", page);

    let expected = format!(
        "[upstream.go]\nurl = \"{go}\"\nsumdb_key = \"{key}\"\nsumdb_url = \"{go}sumdb/{}/\"\n\n\
         [upstream.npm]\nurl = \"{npm}\"\n\n[upstream.pypi]\nurl = \"{pypi}\"\nfile_hosts = [\"{}\"]\n",
        registry.sumdb().name(),
        files.origin()
    );
    let (code, printed, problem) = discover(directory.path(), &[]);
    assert_eq!(code, Some(0), "{problem}");
    let sections = |text: &str| {
        let mut sections: Vec<String> = text.trim().split("\n\n").map(str::to_owned).collect();
        sections.sort();
        sections
    };
    assert_eq!(sections(&printed), sections(&expected));
    assert!(problem.starts_with("cargo: not found: cargo generate-lockfile "), "{problem}");
    assert!(problem.ends_with("failed: no network here\n"), "{problem}");
    let config = directory.path().join("touchstone.toml");
    assert!(!config.exists(), "nothing is written unless asked");

    let before = "# ours\n[edge]\nhold = \"5s\"\n\n[upstream.npm]\nurl = \"https://mine.example/\" # stays\n";
    fs::write(&config, before).expect("written");
    let (code, said, _) = discover(directory.path(), &["--write"]);
    assert_eq!(code, Some(0));
    assert_eq!(said, "found 3 upstream(s), added 2 to touchstone.toml\n");
    let after = fs::read_to_string(&config).expect("read");
    assert!(after.starts_with(before), "{after}");
    assert!(after[before.len()..].contains(&format!("[upstream.pypi]\nurl = \"{pypi}\"")), "{after}");
    assert!(!after.contains(&npm), "{after}");
    discover(directory.path(), &["--write"]);
    assert_eq!(fs::read_to_string(&config).expect("read"), after, "a second time changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_found_is_said_and_nothing_at_all_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).expect("made");
    let (code, _, problem) = discover(directory.path(), &["--write"]);
    assert_eq!(code, Some(1));
    for client in ["npm", "pip", "cargo", "go"] {
        assert!(problem.contains(&format!(": not found: cannot run {client}: ")), "{problem}");
    }
    assert!(problem.ends_with("error: no package client told its registry; install npm, pip, cargo or go, or write [upstream.*] sections by hand\n"), "{problem}");
    assert!(!directory.path().join("touchstone.toml").exists());

    program(&bin, "npm", "echo undefined");
    program(&bin, "pip", "test \"$1\" = install && echo 'Usage: pip install'");
    program(&bin, "go", r#"echo '{"GOPROXY":"https://modules.example","GOSUMDB":"off"}'"#);
    let (code, _, problem) = discover(directory.path(), &[]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("npm: not found: \"undefined\" is no address"), "{problem}");
    let off =
        "go: not found: GOSUMDB is off, and nothing of Go is served that no checksum database vouches for; ";
    assert!(problem.contains(off), "{problem}");
    assert!(problem.contains("pypi: not found: `pip install --help` names no default index"), "{problem}");
}
