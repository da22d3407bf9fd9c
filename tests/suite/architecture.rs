//! The rules that keep the parts apart, read from the tree itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{DependencyKind, MetadataCommand};
use touchstone_runtime::Environment;

/// No file may be longer.
const LINES_MAX: usize = 700;
/// The median file may not be longer.
const MEDIAN_LINES_MAX: usize = 250;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The files that git knows, or would add.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("file names");
    let files: Vec<_> =
        names.split_terminator('\0').map(|name| root().join(name)).filter(|path| path.is_file()).collect();
    assert!(!files.is_empty(), "git knows no file here, so a test of them would prove nothing");
    files
}

/// What each crate of ours may import; `testkit` and the test crate may import anything.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let pure = vec!["domain"];
    let mut allowed = BTreeMap::from([
        ("domain", vec![]),
        ("ecosystems", pure.clone()),
        ("attestation", pure.clone()),
        ("tlog", pure.clone()),
        ("custody", pure.clone()),
        ("translog", vec!["domain", "custody", "tlog"]),
        ("blobs", vec!["domain", "custody"]),
        ("records", vec!["domain", "custody", "blobs"]),
        ("store", vec!["domain", "custody"]),
        ("chain", vec!["domain", "custody", "blobs", "records", "store"]),
        ("bus", pure.clone()),
        ("upstream", pure.clone()),
        ("runtime", pure),
        ("worker", vec!["domain", "custody", "blobs", "records", "store", "bus", "runtime"]),
    ]);
    let any_shared = vec![
        "domain",
        "custody",
        "ecosystems",
        "blobs",
        "records",
        "chain",
        "translog",
        "store",
        "bus",
        "upstream",
        "runtime",
        "worker",
    ];
    for service in ["hash", "console"] {
        allowed.insert(service, any_shared.clone());
    }
    for (service, specification) in
        [("attest", "attestation"), ("sumdb", "tlog"), ("edge", "tlog"), ("promote", "tlog")]
    {
        allowed.insert(service, any_shared.iter().copied().chain([specification]).collect());
    }
    allowed
}

#[test]
fn crates_import_only_what_the_layers_allow() {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata");
    let short = |name: &str| name.strip_prefix("touchstone-").map(str::to_owned);
    let allowed = allowed();
    let mut seen = BTreeSet::new();
    for package in &metadata.packages {
        let Some(name) = short(&package.name) else { continue };
        let Some(may) = allowed.get(name.as_str()) else { continue };
        seen.insert(name.clone());
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some(imported) = short(&dependency.name) {
                assert!(may.contains(&imported.as_str()), "{name} may not import {imported}");
            }
        }
    }
    let missing: Vec<_> = allowed.keys().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "the table names crates that do not exist: {missing:?}");
}

#[test]
fn pure_crates_have_no_io_clock_async_or_database() {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata");
    let banned =
        ["tokio", "reqwest", "hyper", "axum", "async-nats", "tokio-postgres", "rand", "figment", "tempfile"];
    for package in metadata.packages.iter().filter(|p| {
        ["touchstone-domain", "touchstone-ecosystems", "touchstone-attestation", "touchstone-tlog"]
            .contains(&&**p.name)
    }) {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            assert!(
                !banned.contains(&dependency.name.as_str()),
                "{} imports {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn every_crate_opts_in_to_the_workspace_lints() {
    for manifest in files().iter().filter(|p| p.file_name().is_some_and(|n| n == "Cargo.toml")) {
        let text = fs::read_to_string(manifest).expect("manifest");
        let own = text.contains("[lints]\nworkspace = true") || text.contains("[workspace.lints.rust]");
        assert!(own, "{} does not opt in to the workspace lints", manifest.display());
    }
}

#[test]
fn files_are_small() {
    let mut lengths: Vec<(usize, PathBuf)> = files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| (fs::read_to_string(&path).expect("source").lines().count(), path))
        .collect();
    lengths.sort();
    let (longest, path) = lengths.last().expect("sources");
    assert!(*longest <= LINES_MAX, "{} has {longest} lines", path.display());
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_LINES_MAX, "the median file has {median} lines");
}

#[test]
fn sql_is_said_only_in_store_and_migrations() {
    let words = ["INSERT INTO ", "SELECT ", "UPDATE gate", "DELETE FROM "];
    for path in files().iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let place = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
        if ["shared/store/", "tests/", "shared/testkit/", "shared/runtime/src/servers"]
            .iter()
            .any(|p| place.starts_with(p))
            || place.contains("/src/tests")
        {
            continue;
        }
        let text = fs::read_to_string(path).expect("source");
        let found = words.iter().find(|word| text.contains(*word));
        assert_eq!(found, None, "{place} says SQL");
    }
}

/// Nothing verifies with the `sigstore` crate's bundle verifier, which takes forged log evidence (sigstore.md), nor goes round
/// the verifier through the structural checks of the library in use. That it refuses such evidence is `conformance::changed`.
#[test]
fn the_forgeable_bundle_verifier_is_not_used() {
    for path in files().iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let found = takes_bundle_module(&fs::read_to_string(path).expect("source"));
        assert!(!found, "{} takes the bundle module", path.display());
    }
    for manifest in files().iter().filter(|p| p.file_name().is_some_and(|n| n == "Cargo.toml")) {
        let text = fs::read_to_string(manifest).expect("manifest").replace(' ', "");
        let renamed = text.contains("package=\"sigstore");
        assert!(!renamed, "{} gives the crate another name", manifest.display());
    }
}

/// Whether a source takes the module `bundle` of one of these crates, however its imports are written.
fn takes_bundle_module(source: &str) -> bool {
    let words = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let source = [" ::", ":: ", "{ "].iter().fold(words, |text, spaced| text.replace(spaced, spaced.trim()));
    let crates = ["", "_verify", "_bundle"].map(|end| format!("sigstore{end}"));
    crates.iter().any(|name| source.match_indices(name).any(|(at, _)| takes_bundle_at(name, &source, at)))
}

fn takes_bundle_at(name: &str, source: &str, at: usize) -> bool {
    let (before, after) = (&source[..at], &source[at + name.len()..]);
    let (before, importing): (_, &[&str]) = match before.strip_suffix("::") {
        Some(before) => (before, &["use"]),
        None => (before, &["use", "crate"]),
    };
    let word =
        before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let imported = importing.contains(&word);
    let inside_a_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if inside_a_word(after.chars().next()) || (inside_a_word(before.chars().last()) && !imported) {
        return false; // A module of ours with the same name, or a longer name.
    }
    if name.ends_with("_bundle") {
        return imported || after.starts_with("::");
    }
    let group = after.strip_prefix("::{").and_then(|rest| rest.split(';').next()).unwrap_or_default();
    let grouped = group.split([',', '{', '}']).map(str::trim).any(|item| {
        ["bundle", "*"].contains(&item) || item.starts_with("bundle::") || item.starts_with("self as")
    });
    grouped
        || after.starts_with("::bundle")
        || after.starts_with("::*")
        || (imported && after.starts_with(" as "))
}

#[test]
fn every_way_to_name_the_bundle_module_is_seen() {
    let (crate_, verify) = ("sigstore", "sigstore_verify");
    for name in [crate_, verify] {
        for taken in [
            format!("use {name}::bundle::verify;"),
            format!("use ::{name}::bundle;"),
            format!("let x = {name} ::\n bundle::f();"),
            format!("use {name}::{{\n    crypto,\n    bundle::verify::{{A, B}},\n}};"),
            format!("use {name}::{{bundle, crypto}};"),
            format!("use {name}::{{self as other}};"),
            format!("use {name} as other;"),
            format!("extern crate {name} as other;"),
            format!("use {name}::*;"),
            format!("use {crate_}_bundle::validate;"),
        ] {
            assert!(takes_bundle_module(&taken), "{taken}");
        }
        for other in [
            format!("use {name}::crypto::SigningScheme;"),
            format!("use {name}::{{crypto, types::Bundle}};"),
            format!("use crate::{name}::bundle::Mint;"),
            format!("use my_{name}::bundle;"),
            format!("// {name} as it is\nfn {name}_bundled() {{}}"),
            format!("let {crate_}_bundle = 1;"),
        ] {
            assert!(!takes_bundle_module(&other), "{other}");
        }
    }
}

/// Only `attestation`, and the bench that compares with it, may name the library that verifies.
#[test]
fn one_crate_verifies_bundles() {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata");
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if dependency.name == "sigstore-verify" {
                let allowed = ["touchstone-attestation", "touchstone-tests"].contains(&package.name.as_str());
                assert!(allowed, "{} imports {}", package.name, dependency.name);
                assert_eq!(dependency.req.to_string(), "=0.15.1", "{} takes another version", package.name);
            }
        }
    }
}

/// Addresses come from configuration. The host names are learnt from the package clients on this machine, so that they stand
/// nowhere in the tree, here included.
#[test]
fn no_registry_host_is_named() {
    let hosts = registry_hosts(&Environment::of_process());
    assert!(!hosts.is_empty(), "no package client told its registry, so this test would prove nothing");
    for path in files() {
        let locked = path.extension().is_some_and(|e| e == "lock") || path.ends_with("package-lock.json");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if locked {
            continue;
        }
        for host in &hosts {
            let named = text.replace(&format!("docs.{host}"), "").contains(host.as_str());
            assert!(!named, "{} names a registry host", path.display());
        }
    }
}

/// What npm, pip and go have as their defaults, whatever they are set to (a mirror, perhaps this one), and whose indexes
/// cargo has read.
fn registry_hosts(environment: &Environment) -> BTreeSet<String> {
    let ours = environment.path("TOUCHSTONE_TOOLS").unwrap_or_else(|| root().join(".tools")).join("venv/bin");
    let places = environment.path("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::env::split_paths(&places).chain([ours])).expect("a search path");
    let clients: [&[&str]; 3] =
        [&["npm", "config", "get", "registry"], &["pip", "install", "--help"], &["go", "env", "GOPROXY"]];
    let mut hosts = BTreeSet::new();
    for client in clients {
        let mut command = Command::new(client[0]);
        command.args(&client[1..]).env("PATH", &path).current_dir("/");
        for setting in ["NPM_CONFIG_REGISTRY", "npm_config_registry", "PIP_INDEX_URL", "GOPROXY"] {
            command.env_remove(setting);
        }
        // npm refuses to take one file for both.
        command
            .env("NPM_CONFIG_USERCONFIG", "/dev/null")
            .env("NPM_CONFIG_GLOBALCONFIG", "/nonexistent/npmrc");
        let Ok(told) = command.env("PIP_CONFIG_FILE", "/dev/null").env("GOENV", "off").output() else {
            continue; // Not installed.
        };
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let words = text.split(|c: char| c.is_whitespace() || ",|()".contains(c));
        let addresses = words.filter_map(|word| word.split_once("://"));
        hosts.extend(addresses.filter_map(|(_, rest)| rest.split('/').next()).map(str::to_owned));
    }
    let cargo = environment.path("CARGO_HOME").or_else(|| Some(environment.path("HOME")?.join(".cargo")));
    let indexes = cargo.and_then(|home| fs::read_dir(home.join("registry/index")).ok());
    for index in indexes.into_iter().flatten().flatten() {
        let folder = index.file_name().to_string_lossy().into_owned();
        hosts.extend(folder.rsplit_once('-').map(|(host, _hash)| host.to_owned()));
    }
    hosts.retain(|host| !is_nobodys(host));
    hosts
}

/// Hosts that may stand in the tree: this machine, addresses of a local network, and names that are reserved for examples.
fn is_nobodys(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    !name.contains('.')
        || name.len() <= 4
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || name.ends_with(".example")
        || name.ends_with(".localhost")
        || name == "github.com"
}
