//! Documents that are passed through: signing keys, attestations, provenance, audits.

use touchstone_testkit::{Registry, TestMirror};

use super::{header, refusal, text};

const KEYS: &str = r#"{"keys":[{"keyid":"SHA256:test","key":"MFkw"}]}"#;
const PROVENANCE: &str = "application/vnd.pypi.integrity.v1+json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_attestations_and_provenance_are_passed_on_byte_for_byte() {
    let registry = Registry::start().await;
    let wheel = "sample_project-4.0.0-py3-none-any.whl";
    let provenance = format!("integrity/sample-project/4.0.0/{wheel}/provenance");
    let json = "application/json";
    for (upstream, asked, content_type) in [
        ("npm/-/npm/v1/keys", "npm/-/npm/v1/keys", json),
        ("npm/-/npm/v1/attestations/left-pad@1.3.0", "npm/-/npm/v1/attestations/left-pad@1.3.0", json),
        ("npm/-/npm/v1/attestations/@acme/tool@1.0.0", "npm/-/npm/v1/attestations/@acme%2ftool@1.0.0", json),
        (&format!("pypi/{provenance}"), &format!("pypi/{provenance}"), PROVENANCE),
    ] {
        let body = format!("{{\"document\":  {upstream:?}, \"a\": 1.50e3}}");
        registry.document(upstream, &format!("{content_type}; charset=utf-8"), body.clone());
        let answer = mirror_of(&registry).await.get(asked).await;
        assert_eq!(header(&answer, "content-type"), content_type, "{asked}");
        assert_eq!(text(answer).await, body, "{asked}");
    }
}

async fn mirror_of(registry: &Registry) -> TestMirror {
    TestMirror::builder().registry(registry).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_missing_or_no_json_is_refused_and_a_good_one_outlives_it() {
    let registry = Registry::start().await;
    let mirror = mirror_of(&registry).await;
    for missing in [
        "npm/-/npm/v1/keys",
        "npm/-/npm/v1/attestations/left-pad@1.3.0",
        "pypi/integrity/sample-project/4.0.0/sample_project-4.0.0.tar.gz/provenance",
    ] {
        let (status, code, body) = refusal(mirror.get(missing).await).await;
        assert_eq!((status, code.as_str()), (404, "unknown"), "{missing}");
        assert!(body.contains("does not exist at the upstream registry"), "{body}");
    }
    let html = "<html><body>Please sign in</body></html>";
    registry.document("npm/-/npm/v1/keys", "text/html", html);
    let (status, code, body) = refusal(mirror.get("npm/-/npm/v1/keys").await).await;
    assert_eq!((status, code.as_str()), (502, "upstream_broken"));
    assert!(body.contains(r#"the upstream sent \"text/html\" instead of application/json"#), "{body}");

    registry.document("npm/-/npm/v1/keys", "application/json", KEYS);
    assert_eq!(text(mirror.get("npm/-/npm/v1/keys").await).await, KEYS);
    registry.document("npm/-/npm/v1/keys", "text/html", html);
    assert_eq!(text(mirror.get("npm/-/npm/v1/keys").await).await, KEYS);
    registry.set_down(true);
    assert_eq!(text(mirror.get("npm/-/npm/v1/keys").await).await, KEYS);
}
