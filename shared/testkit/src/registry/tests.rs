use std::{pin::pin, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use touchstone_domain::Ecosystem;

use super::{Fault, Registry};
use crate::{npm_package, npm_package_from, sdist};

const NPM: &str = r#"{"attestations": [1.0]}"#;
const PYPI: &str = r#"{"version": 1}"#;

async fn get(registry: &Registry, path: &str) -> (u16, String, Vec<u8>) {
    let url = registry.origin().join(path).expect("a path");
    let answer = reqwest::get(url).await.expect("an answer");
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned());
    (status, content_type.unwrap_or_default(), answer.bytes().await.expect("a body").to_vec())
}

async fn json_of(registry: &Registry, path: &str) -> Value {
    serde_json::from_slice(&get(registry, path).await.2).expect("json")
}

#[tokio::test]
async fn npm_says_who_published_a_version_in_its_metadata_and_documents() {
    let registry = Registry::start().await;
    registry.publish(npm_package_from("@s/a", "1.0.0", "https://forge.example/o/r"));
    registry.publish(npm_package("@s/a", "1.1.0", &[], 0));
    let document = "npm/-/npm/v1/attestations/@s%2fa@1.0.0";
    assert_eq!(get(&registry, document).await.0, 404);
    registry.attest("a-1.0.0.tgz", NPM);
    registry.sign("a-1.0.0.tgz", vec![json!({ "keyid": "k", "sig": "s" })]);
    registry.describe("a-1.0.0.tgz", "_npmUser", json!({ "approver": {} }));
    registry.publish_keys(r#"{"keys":[]}"#);

    let versions = &json_of(&registry, "npm/@s%2fa").await["versions"];
    let told = &versions["1.0.0"];
    assert_eq!(told["dist"]["signatures"], json!([{ "keyid": "k", "sig": "s" }]));
    assert_eq!(
        told["dist"]["attestations"]["url"],
        registry.origin().join(document).expect("a path").as_str()
    );
    assert_eq!(told["repository"]["url"], "git+https://forge.example/o/r.git");
    assert_eq!(told["_npmUser"], json!({ "approver": {} }));
    let untold = &versions["1.1.0"];
    for member in [&untold["dist"]["signatures"], &untold["dist"]["attestations"], &untold["repository"]] {
        assert_eq!(member, &Value::Null);
    }
    assert_eq!(get(&registry, document).await, (200, "application/json".into(), NPM.into()));
    assert_eq!(get(&registry, "npm/-/npm/v1/attestations/@s%2fa@1.1.0").await.0, 404);
    assert_eq!(get(&registry, "npm/-/npm/v1/keys").await.2, br#"{"keys":[]}"#);
    assert_eq!(registry.asked_for("a@1.0.0"), 2);

    registry.strip("a-1.0.0.tgz");
    assert_eq!(get(&registry, document).await.0, 404);
    let versions = &json_of(&registry, "npm/@s%2fa").await["versions"];
    assert_eq!(versions["1.0.0"]["dist"]["attestations"], Value::Null);
}

#[tokio::test]
async fn pypi_says_where_the_provenance_of_a_file_is() {
    let registry = Registry::start().await;
    registry.publish(sdist("Sample_Project", "1.0"));
    let file = "Sample_Project-1.0.tar.gz";
    let page =
        async || String::from_utf8(get(&registry, "pypi/simple/sample-project/").await.2).expect("text");
    assert!(!page().await.contains("data-provenance"));
    registry.attest(file, PYPI);
    let document = format!("pypi/integrity/sample-project/1.0/{file}/provenance");
    let url = registry.url(Ecosystem::Pypi).join(document.trim_start_matches("pypi/")).expect("a path");
    assert!(page().await.contains(&format!("data-provenance=\"{url}\"")));
    let found = get(&registry, &document).await;
    assert_eq!(found, (200, "application/vnd.pypi.integrity.v1+json".into(), PYPI.into()));
}

#[tokio::test]
async fn documents_go_wrong_on_demand() {
    let registry = Registry::start().await;
    registry.publish(npm_package("a", "1.0.0", &[], 0));
    registry.attest("a-1.0.0.tgz", NPM);
    let document = "npm/-/npm/v1/attestations/a@1.0.0";
    for status in [403, 404, 500, 503] {
        registry.fault_attestations("a-1.0.0.tgz", Fault::Status(status));
        assert_eq!(get(&registry, document).await.0, status);
    }
    for (fault, content_type, body) in [
        (Fault::Html, "text/html", &b"<html><body>Please sign in</body></html>"[..]),
        (Fault::Bytes(vec![]), "application/json", b""),
        (Fault::Bytes(vec![b' '; 5 << 20]), "application/json", &vec![b' '; 5 << 20]),
    ] {
        registry.fault_attestations("a-1.0.0.tgz", fault);
        assert_eq!(get(&registry, document).await, (200, content_type.into(), body.into()));
    }
    let elsewhere = format!("{}npm/a/-/a-1.0.0.tgz", registry.origin());
    registry.fault_attestations("a-1.0.0.tgz", Fault::Redirect(elsewhere));
    let (status, content_type, _) = get(&registry, document).await;
    assert_eq!((status, content_type.as_str()), (200, "application/octet-stream"));

    let gate = Arc::new(Semaphore::new(0));
    registry.fault_attestations("a-1.0.0.tgz", Fault::Hold(Arc::clone(&gate)));
    let mut asking = pin!(get(&registry, document));
    assert!(futures::poll!(&mut asking).is_pending());
    gate.add_permits(1);
    assert_eq!(asking.await.2, NPM.as_bytes());

    registry.publish_keys("{}");
    registry.fault("npm/-/npm/v1/keys", Fault::Status(503));
    assert_eq!(get(&registry, "npm/-/npm/v1/keys").await.0, 503);
    registry.honest();
    assert_eq!(get(&registry, document).await.2, NPM.as_bytes());
    assert_eq!(get(&registry, "npm/-/npm/v1/keys").await.2, b"{}");
}
