//! Request targets: one decoding, one meaning, one decision for every spelling (P-01 to P-09).

use super::{
    raw::{ask, assert_refused},
    world,
};

/// P-01, P-02, P-05: nothing leaves the grammar of names, and nothing is asked upstream for what does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_outside_the_grammar_are_refused_before_anything_is_asked() {
    let (registry, mirror, _) = world().await;
    let long = format!("/npm/{}", "a".repeat(300));
    for (target, status) in [
        ("/%2F%2F%2F..%2F..%2Fetc/passwd", 404),
        ("/npm/%2F%2F%2F..%2F..%2Fetc/passwd", 400),
        ("/npm/../../etc/passwd", 400),
        ("/npm/..;/etc", 400),
        ("/npm/..%5c..%5cetc", 400),
        ("/npm/%2e%2e/etc", 400),
        ("/npm/%2e%2e", 400),
        ("/npm/%252e%252e%252fetc", 400),
        ("/npm/%c0%ae%c0%ae/etc", 400),
        ("/npm/%ef%bc%8e%ef%bc%8e/etc", 400),
        ("/npm/left-pad/-/..%2f..%2fleft-pad-1.3.0.tgz", 400),
        ("/npm/left-pad/-/../left-pad-1.3.0.tgz", 404),
        ("/npm/left-pad/-/other-1.3.0.tgz", 400),
        ("/npm/left-pad%00", 400),
        ("/npm/left-pad%2500", 400),
        ("/npm/left-pad%0d%0aX-Evil:1", 400),
        ("/npm/left-pad%7f", 400),
        ("/npm/left-pad%c2%85", 400),
        ("/npm/left-pad%", 400),
        ("/npm/left-pad/-/left-pad-1.3.0;rm.tgz", 400),
        ("/npm/left-pad/-/left-pad---upload-pack=x.tgz", 400),
        ("/npm/left-pad/1.3.0/x", 404),
        (&long, 400),
        ("/pypi/simple/..%2f..%2fetc/", 400),
        ("/pypi/simple/sample%00/", 400),
        ("/pypi/files/-/sample/..%2fsample-4.0.0-py3-none-any.whl", 400),
        ("/pypi/files/-/sample/other-4.0.0-py3-none-any.whl", 400),
        ("/pypi/files/xyz/sample/sample-4.0.0-py3-none-any.whl", 404),
        ("/cargo/pa/d_/..%2fpad_left", 400),
        ("/cargo/pa/d_/pad_left%00", 400),
        ("/cargo/xx/d_/pad_left", 404),
        ("/cargo/crates/pad_left/v0.1.0;rm/00/download", 400),
        ("/unknown/left-pad", 404),
        ("/", 404),
    ] {
        let reply = ask(&mirror, "GET", target, &[]).await;
        assert_eq!(reply.status(), status, "{target}: {}", reply.text());
        if status == 400 {
            assert_refused(&reply, 400, "malformed", "Malformed request", target);
        }
    }
    assert_eq!(registry.requests(), [], "nothing is asked upstream");
}

/// Bytes that no request target may hold, and what is no request line at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_line_is_400() {
    let (registry, mirror, _) = world().await;
    for target in ["/npm/left\0pad", "/npm/left\x01pad", "/npm/left\x7fpad", "/npm/left pad", "\\..\\"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
        let reply = super::raw::send(&mirror, request.as_bytes()).await;
        assert_eq!(reply.status(), 400, "{target:?}");
    }
    assert_eq!(registry.requests(), []);
}

/// P-03: an internal name is internal in every spelling, and is never told to the upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_name_is_refused_in_every_spelling() {
    let (registry, mirror, _) = world().await;
    for target in [
        "/npm/@corp/secret",
        "/npm/@corp%2fsecret",
        "/npm/@corp%2Fsecret",
        "/npm/%40corp/secret",
        "/npm/@c%6frp/secret",
        "/npm/@CORP/secret",
        "/npm/@Corp%2FSecret",
        "/npm/corp-secret",
        "/npm/Corp-Secret",
        "/npm/corp-secret/latest",
        "/npm/corp-secret/-/corp-secret-1.0.0.tgz",
        "/npm/@corp/secret/-/secret-1.0.0.tgz",
        "/npm/@corp%2fsecret/-/secret-1.0.0.tgz",
        "/npm/-/npm/v1/attestations/@corp%2fsecret@1.0.0",
        "/npm/-/npm/v1/attestations/corp-secret@1.0.0",
        "/-/npm/v1/attestations/corp-secret@1.0.0",
        "/pypi/simple/corp-secret/",
        "/pypi/files/-/corp-secret/corp_secret-1.0-py3-none-any.whl",
        "/pypi/files/-/corp-secret/corp_secret-1.0-py3-none-any.whl.metadata",
        "/pypi/integrity/corp-secret/1.0/corp_secret-1.0-py3-none-any.whl/provenance",
        "/cargo/co/rp/corp-secret",
        "/cargo/co/rp/corp_secret",
        "/cargo/crates/Corp_Secret/1.0.0/0000000000000000000000000000000000000000000000000000000000000000/download",
        "http://elsewhere.example/npm/@corp/secret",
        "/npm/@corp/secret?x=1",
    ] {
        let title = "Internal name, never fetched from outside";
        assert_refused(&ask(&mirror, "GET", target, &[]).await, 403, "internal", title, target);
        assert_refused(&ask(&mirror, "HEAD", target, &[]).await, 403, "internal", title, target);
    }
    // No name at all, in these spellings; or one that is sent on to its normal spelling, by us alone.
    for (target, status) in [
        ("/npm/@corp//secret", 400),
        ("/npm//@corp/secret", 400),
        ("//npm/@corp/secret", 404),
        ("/npm/@corp/secret/", 400),
        ("/npm/corp-secret.", 403),
        ("/npm/corp-secret;x", 400),
        ("/npm/@corp%252fsecret", 400),
        ("/pypi/simple/Corp.Secret/", 301),
        ("/pypi/simple/corp_secret", 301),
        ("/pypi/simple/corp-secret//", 404),
        ("/cargo/Co/rp/Corp-Secret", 404),
    ] {
        let reply = ask(&mirror, "GET", target, &[]).await;
        assert_eq!(reply.status(), status, "{target}: {}", reply.text());
        if status == 301 {
            assert_eq!(reply.header("location"), "/pypi/simple/corp-secret/", "{target}");
        }
    }
    assert_eq!(registry.requests(), [], "an internal name was told to the upstream");
    assert_eq!(ask(&mirror, "GET", "/npm/@s/p", &[]).await.status(), 200, "others are asked for");
}

/// P-08.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scoped_name_has_three_spellings_and_one_meaning() {
    let (_registry, mirror, packages) = world().await;
    let first = ask(&mirror, "GET", "/npm/@s/p", &[]).await;
    assert_eq!(first.status(), 200);
    for target in ["/npm/@s%2fp", "/npm/@s%2Fp"] {
        let same = ask(&mirror, "GET", target, &[]).await;
        assert_eq!((same.status(), same.body == first.body), (200, true), "{target}");
        assert_eq!(same.header("etag"), first.header("etag"), "{target}");
        let file = ask(&mirror, "GET", &format!("{target}/-/{}", packages[1].file), &[]).await;
        assert_eq!((file.status(), file.body == packages[1].bytes), (200, true), "{target}");
    }
    let twice = ask(&mirror, "GET", "/npm/@s%252fp", &[]).await;
    assert_refused(&twice, 400, "malformed", "Malformed request", "escaped twice");
}

/// P-09.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_bounded() {
    let (registry, mirror, _) = world().await;
    let long = |size: usize| format!("/npm/left-pad?{}", "q=1&".repeat(size / 4));
    assert_eq!(ask(&mirror, "GET", &long(4_000), &[]).await.status(), 200);
    for size in [9_000, 50_000, 65_536, 200_000] {
        let status = ask(&mirror, "GET", &long(size), &[]).await.status();
        assert!(status == 414 || (size > 60_000 && status == 431), "{size}: {status}");
    }
    let many: Vec<(String, String)> = (0..500).map(|n| (format!("X-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(ask(&mirror, "GET", "/npm/left-pad", &many[..50]).await.status(), 200);
    assert_eq!(ask(&mirror, "GET", "/npm/left-pad", &many).await.status(), 431);
    let large = "x".repeat(1 << 20);
    assert_eq!(ask(&mirror, "GET", "/npm/left-pad", &[("X-Large", &large)]).await.status(), 431);
    assert_eq!(registry.asked_for("/npm/left-pad"), 2, "only what was answered");
}
