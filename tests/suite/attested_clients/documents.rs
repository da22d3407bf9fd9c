//! Attestations, keys and provenance through the mirror: as the upstream has them, or not at all, and never "there are none"
//! when the upstream only failed (threats.md A-41, P-15, P-32).

use std::{sync::Arc, time::Duration};

use reqwest::Response;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use touchstone_domain::Ecosystem;
use touchstone_testkit::{Fault, Registry, TestMirror, npm_package, sdist};
use touchstone_upstream::Limits;

const SDIST: &str = "sample_project-4.0.0.tar.gz";
const PROVENANCE: &str = "pypi/integrity/sample-project/4.0.0/sample_project-4.0.0.tar.gz/provenance";
const ATTESTATIONS: &str = "npm/-/npm/v1/attestations/@acme%2ftool@1.0.0";
/// Written as no program writes it, so that whoever rewrites it is found out.
const NPM_DOCUMENT: &str =
    "{ \"attestations\" : [ {\"bundle\": {\"x\": 1.50}, \"predicateType\": \"\\u0061\"} ] }\n";
const PYPI_DOCUMENT: &str = "{ \"attestation_bundles\" : [], \"version\": 1 }\n";
const KEYS: &str = "{\"keys\": [ ]}";

async fn registry() -> Registry {
    let registry = Registry::start().await;
    registry.publish(npm_package("@acme/tool", "1.0.0", &[], 10));
    registry.publish(sdist("sample-project", "4.0.0"));
    registry.attest("tool-1.0.0.tgz", NPM_DOCUMENT);
    registry.attest(SDIST, PYPI_DOCUMENT);
    registry.sign("tool-1.0.0.tgz", vec![json!({ "sig": "MEUC+/==", "keyid": "SHA256:k" })]);
    registry.publish_keys(KEYS);
    registry
}

async fn body(response: Response) -> String {
    assert_eq!(response.status(), 200, "{}", response.url());
    response.text().await.expect("a body")
}

/// npm takes only the path of the address in the metadata, and asks the registry's host for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_finds_keys_and_attestations_where_the_metadata_says() {
    let registry = registry().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let packument: Value =
        serde_json::from_str(&body(mirror.get("npm/@acme%2ftool").await).await).expect("JSON");
    let dist = &packument["versions"]["1.0.0"]["dist"];
    assert_eq!(dist["signatures"], json!([{ "sig": "MEUC+/==", "keyid": "SHA256:k" }]));
    assert_eq!(
        dist["attestations"]["provenance"],
        json!({ "predicateType": "https://slsa.dev/provenance/v1" })
    );
    let url = dist["attestations"]["url"].as_str().expect("an address");
    let path = url.strip_prefix(mirror.url().as_str()).expect("at the mirror");
    assert_eq!(path, ATTESTATIONS);
    for path in [path, "-/npm/v1/attestations/@acme%2ftool@1.0.0"] {
        assert_eq!(body(mirror.get(path).await).await, NPM_DOCUMENT, "{path}");
    }
    for path in ["npm/-/npm/v1/keys", "-/npm/v1/keys"] {
        assert_eq!(body(mirror.get(path).await).await, KEYS, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_at_a_host_of_its_own() {
    let registry = registry().await;
    let builder = TestMirror::builder().registry(&registry).host(Ecosystem::Npm, "npm.mirror.example");
    let mirror = builder.host(Ecosystem::Pypi, "pypi.mirror.example").start().await;
    let get = async |host: &str, path: &str| {
        body(mirror.request(path).header("host", host).send().await.expect("an answer")).await
    };
    let packument: Value =
        serde_json::from_str(&get("npm.mirror.example", "@acme%2ftool").await).expect("JSON");
    let url = packument["versions"]["1.0.0"]["dist"]["attestations"]["url"].as_str().expect("an address");
    let (_, path) = url.split_once("npm.mirror.example").expect("at its host");
    let (_port, path) = path.split_once('/').expect("a path");
    assert_eq!(path, "-/npm/v1/attestations/@acme%2ftool@1.0.0");
    assert_eq!(get("npm.mirror.example", path).await, NPM_DOCUMENT);
    assert_eq!(get("npm.mirror.example", "-/npm/v1/keys").await, KEYS);
    let provenance = PROVENANCE.trim_start_matches("pypi/");
    assert_eq!(get("pypi.mirror.example", provenance).await, PYPI_DOCUMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pypi_clients_find_provenance_where_the_index_says() {
    let registry = registry().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let json = "application/vnd.pypi.simple.v1+json";
    let index = mirror.request("pypi/simple/sample-project/").header("accept", json).send().await;
    let index: Value = serde_json::from_str(&body(index.expect("an answer")).await).expect("JSON");
    let url = format!("{}{PROVENANCE}", mirror.url());
    assert_eq!(index["files"][0]["provenance"], url.as_str());
    let page = body(mirror.get("pypi/simple/sample-project/").await).await;
    assert!(page.contains(&format!("data-provenance=\"{url}\"")), "{page}");
    let answer = mirror.get(PROVENANCE).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.pypi.integrity.v1+json");
    assert_eq!(body(answer).await, PYPI_DOCUMENT);
}

/// Only an upstream that says that there is no document makes the mirror say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_upstream_is_never_an_absent_document() {
    let registry = registry().await;
    let limits = Limits { attempts_max: 1, read_timeout: Duration::from_millis(500), ..Limits::default() };
    let mirror = TestMirror::builder().registry(&registry).limits(limits).start().await;
    let elsewhere = Registry::start().await;
    elsewhere.document("stolen", "application/json", NPM_DOCUMENT);
    let redirect = || Fault::Redirect(format!("{}stolen", elsewhere.origin()));
    let bytes = |text: &str| Fault::Bytes(text.into());
    let twice = r#"{"attestations":[],"attestations":[{}]}"#;
    for (fault, status, code, problem) in [
        (Fault::Status(404), 404, "unknown", "does not exist at the upstream registry"),
        (Fault::Status(410), 404, "unknown", "does not exist at the upstream registry"),
        (Fault::Status(403), 502, "upstream_broken", "answered with status 403"),
        (Fault::Status(500), 502, "upstream_unreachable", "answered with status 500"),
        (Fault::Status(503), 502, "upstream_unreachable", "answered with status 503"),
        (Fault::Hold(Arc::new(Semaphore::new(0))), 502, "upstream_unreachable", "took longer than 500ms"),
        (Fault::Html, 502, "upstream_broken", "instead of application/json"),
        (bytes(""), 502, "upstream_broken", "the document is malformed: EOF"),
        (bytes("<html></html>"), 502, "upstream_broken", "the document is malformed: expected value"),
        (
            bytes("[]"),
            502,
            "upstream_broken",
            "the document is malformed: invalid type: sequence, expected an object",
        ),
        (bytes(twice), 502, "upstream_broken", "attestations"),
        (Fault::Truncate, 502, "upstream_unreachable", ""),
        (redirect(), 502, "upstream_broken", ""),
        (bytes(&" ".repeat(5 << 20)), 502, "upstream_broken", "over a limit"),
    ] {
        for (file, path) in [("tool-1.0.0.tgz", ATTESTATIONS), (SDIST, PROVENANCE)] {
            registry.fault_attestations(file, fault.clone());
            let answer = mirror.get(path).await;
            let found = answer.headers().get("x-touchstone-code").cloned();
            assert_eq!(answer.status(), status, "{fault:?} {path}");
            assert_eq!(found.expect("a refusal"), code, "{fault:?} {path}");
            let text = answer.text().await.expect("a body");
            assert!(text.contains(problem), "{fault:?} {path}: {text}");
        }
    }
    assert_eq!(elsewhere.requests(), [], "nobody is sent elsewhere");
    registry.honest();
    assert_eq!(body(mirror.get(ATTESTATIONS).await).await, NPM_DOCUMENT);
    assert_eq!(body(mirror.get(PROVENANCE).await).await, PYPI_DOCUMENT);
}

/// A document that was there stays there for clients whatever the upstream does afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_outlives_its_upstream() {
    let registry = registry().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(body(mirror.get(ATTESTATIONS).await).await, NPM_DOCUMENT);
    for fault in [Fault::Status(404), Fault::Status(503), Fault::Html, Fault::Bytes(b"{".to_vec())] {
        registry.fault_attestations("tool-1.0.0.tgz", fault.clone());
        assert_eq!(body(mirror.get(ATTESTATIONS).await).await, NPM_DOCUMENT, "{fault:?}");
    }
}
