//! A document of 30 MB: as some popular packages have.

use std::{fmt::Write as _, fs};

use tokio::task::JoinSet;
use touchstone_domain::{Ecosystem, Sha512};
use touchstone_testkit::{MirrorProcesses, Registry, TestMirror};

use super::{NPM_ABBREVIATED, header, json, text};

const VERSIONS: usize = 3_000;

fn packument(root: &str) -> String {
    let integrity = format!("sha512-{}", Sha512::of(b"").to_base64());
    let filler = "readme \\u00e9\\n".repeat(750);
    let mut versions = String::new();
    for minor in 0..VERSIONS {
        let comma = if minor == 0 { "" } else { "," };
        let _infallible = write!(
            versions,
            r#"{comma}"1.{minor}.0":{{"name":"huge","version":"1.{minor}.0","readme":"{filler}","dist":{{"integrity":"{integrity}","tarball":"{root}huge/-/huge-1.{minor}.0.tgz"}}}}"#
        );
    }
    format!(r#"{{"name":"huge","dist-tags":{{"latest":"1.0.0"}},"versions":{{{versions}}}}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_megabytes_are_the_same_bytes_plain_and_compressed() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    registry.document("npm/huge", "application/json", packument(registry.url(Ecosystem::Npm).as_str()));
    let expected = packument(mirror.url().join("npm/").expect("a path").as_str());
    assert!(expected.len() > 30_000_000, "{}", expected.len());

    let plain = mirror.get("npm/huge").await;
    assert_eq!(header(&plain, "content-length"), expected.len().to_string());
    assert!(text(plain).await == expected, "plain");
    let client = reqwest::Client::builder().gzip(true).no_proxy().build().expect("a client");
    let url = mirror.url().join("npm/huge").expect("a path");
    let unpacked = text(client.get(url).send().await.expect("an answer")).await;
    assert!(unpacked == expected, "unpacked");
    let packed =
        mirror.request("npm/huge").header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!((header(&packed, "content-encoding"), header(&packed, "content-length")), ("gzip", ""));
    assert!(packed.bytes().await.expect("a body").len() < expected.len() / 10);

    let short = mirror.request("npm/huge").header("accept", NPM_ABBREVIATED).send().await.expect("an answer");
    let short = json(short).await;
    let versions = short["versions"].as_object().expect("versions");
    assert_eq!(versions.len(), VERSIONS);
    assert_eq!(versions["1.7.0"].get("readme"), None);
}

/// The most memory that the process of a command line ever had, in bytes.
fn peak_memory(arguments: &[&str]) -> u64 {
    let has = |pid: &str| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&str> = command.split_terminator('\0').skip(1).collect();
        words == arguments
    };
    let names =
        fs::read_dir("/proc").expect("Linux").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pid = { names }.find(|name| has(name)).expect("the process");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_the_number_of_readers() {
    let registry = Registry::start().await;
    registry.document("npm/huge", "application/json", packument(registry.url(Ecosystem::Npm).as_str()));
    let mirror = MirrorProcesses::start(&registry).await;
    let url = mirror.url.join("npm/huge").expect("a path");
    let mut readers = JoinSet::new();
    for number in 0..24 {
        let client = reqwest::Client::builder().no_proxy().no_gzip().build().expect("a client");
        let coding = if number % 2 == 0 { "gzip" } else { "identity" };
        let request = client.get(url.clone()).header("accept-encoding", coding);
        readers.spawn(async move {
            let mut answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            let mut size = 0;
            while let Some(piece) = answer.chunk().await.expect("a body") {
                size += piece.len();
            }
            assert!(size > 30_000_000 || coding == "gzip", "{size}");
        });
    }
    readers.join_all().await;
    let config = mirror.config.to_str().expect("UTF-8");
    let peak = peak_memory(&["--config", config, "edge"]);
    assert!(peak < 256 * 1024 * 1024, "{peak} bytes");
}
