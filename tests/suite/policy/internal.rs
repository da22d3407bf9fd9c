//! Internal names never leave the house.

use touchstone_testkit::{Registry, TestMirror, crate_file, npm_package, wheel};

use super::{NPM_ABBREVIATED, header, refusal, text};

const POLICY: &str = r#"
[[internal]]
ecosystem = "npm"
packages = ["@acme/*", "acme-*"]

[[internal]]
ecosystem = "pypi"
packages = ["acme-*"]

[[internal]]
ecosystem = "cargo"
packages = ["acme-*"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_about_an_internal_name_is_asked_of_the_upstream() {
    let registry = Registry::start().await;
    let sha256 = "0".repeat(64);
    // All of it is there to be had, as in a dependency confusion.
    registry.publish(npm_package("@acme/tool", "99.0.0", &[], 10));
    registry.publish(npm_package("acme-tool", "99.0.0", &[], 10));
    registry.publish(wheel("acme-tools", "99.0.0", &[], 10));
    registry.publish(crate_file("acme_tools", "99.0.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).policy(POLICY).start().await;
    for path in [
        "npm/@acme/tool".to_owned(),
        "npm/@acme%2ftool".to_owned(),
        "npm/@ACME/Tool".to_owned(),
        "npm/@acme/tool/latest".to_owned(),
        "npm/@acme/tool/-/tool-99.0.0.tgz".to_owned(),
        "npm/acme-tool/-/acme-tool-99.0.0.tgz".to_owned(),
        "npm/-/npm/v1/attestations/@acme%2ftool@99.0.0".to_owned(),
        "npm/-/npm/v1/attestations/acme-tool@99.0.0".to_owned(),
        "pypi/simple/acme-tools/".to_owned(),
        "pypi/files/-/acme-tools/acme_tools-99.0.0-py3-none-any.whl".to_owned(),
        "pypi/files/-/acme-tools/acme_tools-99.0.0-py3-none-any.whl.metadata".to_owned(),
        "pypi/integrity/acme-tools/99.0.0/acme_tools-99.0.0-py3-none-any.whl/provenance".to_owned(),
        "cargo/ac/me/acme_tools".to_owned(),
        "cargo/ac/me/acme-tools".to_owned(),
        format!("cargo/crates/acme_tools/99.0.0/{sha256}/download"),
        format!("cargo/crates/ACME-Tools/99.0.0/{sha256}/download"),
    ] {
        for accept in ["*/*", NPM_ABBREVIATED] {
            let answer = mirror.request(&path).header("accept", accept).send().await.expect("an answer");
            assert_eq!(header(&answer, "x-touchstone-reason"), "Internal name, never fetched from outside");
            let (status, code, body) = refusal(answer).await;
            assert_eq!((status, code.as_str()), (403, "internal"), "{path}");
            assert!(body.contains("Point the client at the internal registry for it"), "{body}");
        }
    }
    // Another spelling is sent to the normal one, which is refused.
    let redirect = mirror.get("pypi/simple/ACME_Tools/").await;
    assert_eq!(
        (redirect.status().as_u16(), header(&redirect, "location")),
        (301, "/pypi/simple/acme-tools/")
    );
    assert_eq!(registry.requests(), vec![]);
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_beside_an_internal_one_are_fetched() {
    let registry = Registry::start().await;
    registry.publish(npm_package("@acmes/tool", "1.0.0", &[], 10));
    registry.publish(wheel("acme", "1.0.0", &[], 10));
    registry.publish(crate_file("my-acme-tools", "1.0.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).policy(POLICY).start().await;
    for path in ["npm/@acmes/tool", "pypi/simple/acme/", "cargo/my/-a/my-acme-tools"] {
        assert_eq!(mirror.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_asks_about_the_names_that_are_not_internal_alone() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).policy(POLICY).start().await;
    let url = mirror.url().join("npm/-/npm/v1/security/advisories/bulk").expect("a path");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let body =
        r#"{"left-pad":["1.3.0"],"@acme/tool":["99.0.0"],"ACME-tool":["1.0.0"],"../acme-x":["1.0.0"]}"#;
    // This registry answers with what it was asked.
    let asked = text(client.post(url.clone()).body(body).send().await.expect("an answer")).await;
    assert_eq!(asked, r#"{"left-pad":["1.3.0"]}"#);
    assert_eq!(registry.requests().len(), 1);

    let (status, code, body) = refusal(client.post(url).body("[]").send().await.expect("an answer")).await;
    assert_eq!((status, code.as_str()), (400, "malformed"));
    assert!(body.contains("not a JSON object of version lists"), "{body}");
    assert_eq!(registry.requests().len(), 1);
}
