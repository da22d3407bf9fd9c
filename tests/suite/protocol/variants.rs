//! Headers of clients and of upstreams: no variant of a request poisons another, and nothing harmful is passed on (P-34 to
//! P-36).

use serde_json::Value;
use touchstone_domain::Ecosystem;
use touchstone_testkit::{Package, Registry, TestMirror, npm_package, wheel};

use super::{
    raw::{Reply, ask, assert_refused},
    world,
};

const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";
const PYPI_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// P-34, P-35.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_of_the_upstream_is_passed_on() {
    let (registry, mirror, packages) = world().await;
    registry.document("npm/-/npm/v1/keys", "application/json", "{}");
    registry.document("npm/-/npm/v1/attestations/left-pad@1.3.0", "application/json", "{}");
    let [npm, _, wheel, krate] = &packages;
    let targets = [
        "/npm/left-pad".to_owned(),
        format!("/npm/left-pad/-/{}", npm.file),
        "/npm/-/npm/v1/keys".to_owned(),
        "/npm/-/npm/v1/attestations/left-pad@1.3.0".to_owned(),
        "/npm/absent".to_owned(),
        "/pypi/simple/sample/".to_owned(),
        format!("/pypi/files/{}/sample/{}", wheel.sha256(), wheel.file),
        "/cargo/pa/d_/pad_left".to_owned(),
        "/cargo/config.json".to_owned(),
        format!("/cargo/crates/pad_left/0.1.0/{}/download", krate.sha256()),
    ];
    registry.set_hostile_headers(true);
    for target in &targets {
        for method in ["GET", "HEAD"] {
            let reply = ask(&mirror, method, target, &[]).await;
            let expected = if target == "/npm/absent" { 404 } else { 200 };
            assert_eq!(reply.status(), expected, "{target}: {}", reply.text());
            for header in [
                "set-cookie",
                "clear-site-data",
                "access-control-allow-origin",
                "content-disposition",
                "refresh",
            ] {
                assert!(!reply.has_header(header), "{target}: {header}");
            }
            // Beside an artifact stands one of ours, and no other.
            let artifact = [npm, wheel, krate].into_iter().find(|package| {
                target.ends_with(&package.file) || target.contains(&package.sha256().to_string())
            });
            let records = artifact.map(|package| {
                let url = format!("{}api/v1/artifacts/{}/records", mirror.url(), package.sha256());
                format!("<{url}>; rel=\"describedby\"; type=\"application/json\"")
            });
            assert_eq!(reply.headers("link"), records.iter().collect::<Vec<_>>(), "{target}");
            assert_ne!(reply.header("content-security-policy"), "script-src *", "{target}");
            assert_ne!(reply.header("x-touchstone-reason"), "fine", "{target}");
            assert!(!reply.header("cache-control").contains("public"), "{target}");
            assert_eq!(reply.header("x-content-type-options"), "nosniff", "{target}");
        }
    }
    let file = ask(&mirror, "GET", &targets[1], &[]).await;
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert_eq!(file.header("content-security-policy"), "sandbox; default-src 'none'");
    assert!(file.header("cache-control").starts_with("private"));
}

async fn poisoned_then_clean(mirror: &TestMirror, target: &str, poison: &[(&str, &str)]) -> (Reply, Reply) {
    let poisoned = ask(mirror, "GET", target, poison).await;
    (poisoned, ask(mirror, "GET", target, &[]).await)
}

/// P-36: what one client sends never shows in what another gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_poisons_the_next_one() {
    let (_registry, mirror, packages) = world().await;
    let clean = ask(&mirror, "GET", "/npm/left-pad", &[]).await;
    let ours = format!("{}npm/left-pad/-/{}", mirror.url(), packages[0].file);
    assert!(clean.text().contains(&ours), "{}", clean.text());
    for poison in [
        ("Host", "evil.example"),
        ("Host", "evil.example:1@"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", "host=evil.example"),
        ("X-Original-URL", "/npm/@s/p"),
        ("X-Rewrite-URL", "/npm/@s/p"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Cookie", "a=b"),
        ("Authorization", "Bearer secret"),
        ("Accept", "text/html"),
        ("Accept-Encoding", "gzip"),
        ("Range", "bytes=0-3"),
        ("Origin", "null"),
    ] {
        let (poisoned, next) = poisoned_then_clean(&mirror, "/npm/left-pad", &[poison]).await;
        assert_eq!(poisoned.status(), 200, "{poison:?}");
        assert!(!poisoned.text().contains("evil.example"), "{poison:?}");
        assert_eq!((next.status(), next.body == clean.body), (200, true), "{poison:?}");
        assert_eq!(next.header("etag"), clean.header("etag"), "{poison:?}");
    }
    let query = ask(&mirror, "GET", "/npm/left-pad?write=true&b=1", &[]).await;
    assert!(query.body == clean.body, "a query changes nothing");
    let absolute = ask(&mirror, "GET", "http://evil.example/npm/left-pad", &[]).await;
    assert!(absolute.body == clean.body, "nor does another host in the target");
}

/// P-36: the representations of one document are told apart, in whichever order they are asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn representations_are_distinct() {
    let (_registry, mirror, _) = world().await;
    for _ in 0..2 {
        let short = ask(&mirror, "GET", "/npm/left-pad", &[("Accept", ABBREVIATED)]).await;
        let full = ask(&mirror, "GET", "/npm/left-pad", &[("Accept", "application/json")]).await;
        assert_eq!(
            (short.header("content-type"), full.header("content-type")),
            (ABBREVIATED, "application/json")
        );
        assert_ne!(short.header("etag"), full.header("etag"));
        let document = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).expect("JSON");
        assert_eq!((document(&short)["time"].is_null(), document(&full)["time"].is_null()), (true, false));

        let json = ask(&mirror, "GET", "/pypi/simple/sample/", &[("Accept", PYPI_JSON)]).await;
        let html = ask(&mirror, "GET", "/pypi/simple/sample/", &[("Accept", "text/html")]).await;
        assert_eq!(json.header("content-type"), PYPI_JSON);
        assert!(html.header("content-type").starts_with("text/html"), "{}", html.header("content-type"));
        for reply in [&short, &full, &json, &html] {
            assert_eq!(reply.header("vary"), "accept, accept-encoding");
            let size: usize = reply.header("content-length").parse().expect("a length");
            assert_eq!(size, reply.body.len());
        }
    }
    let (plain, gzip) = (
        ask(&mirror, "HEAD", "/npm/left-pad", &[]).await,
        ask(&mirror, "HEAD", "/npm/left-pad", &[("Accept-Encoding", "gzip")]).await,
    );
    assert_eq!((plain.header("content-encoding"), plain.body.len()), ("", 0));
    assert_eq!(gzip.body.len(), 0);
    let get = ask(&mirror, "GET", "/npm/left-pad", &[]).await;
    for header in ["content-length", "content-type", "etag", "vary", "cache-control"] {
        assert_eq!(plain.header(header), get.header(header), "HEAD says what GET says: {header}");
    }
}

/// `[edge.hosts]`: an ecosystem at the root of its own host name, for that name only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_its_own_serves_one_ecosystem_at_its_root() {
    let registry = Registry::start().await;
    let npm = npm_package("left-pad", "1.3.0", &[], 10);
    let wheel: Package = wheel("sample", "4.0.0", &[], 10);
    registry.publish(npm.clone());
    registry.publish(wheel.clone());
    let hosts = [(Ecosystem::Npm, "npm.mirror.example"), (Ecosystem::Pypi, "pypi.mirror.example")];
    let builder =
        hosts.iter().fold(TestMirror::builder().registry(&registry), |builder, (ecosystem, name)| {
            builder.host(*ecosystem, name)
        });
    let mirror = builder.start().await;
    let port = mirror.url().port().expect("a port");
    let file = format!("/left-pad/-/{}", npm.file);
    let with_port = format!("NPM.mirror.example:{port}");
    for host in ["npm.mirror.example", &with_port] {
        let index = ask(&mirror, "GET", "/left-pad", &[("Host", host)]).await;
        assert_eq!(index.status(), 200, "{host}: {}", index.text());
        assert!(
            index.text().contains(&format!("http://npm.mirror.example:{port}{file}")),
            "{}",
            index.text()
        );
        let bytes = ask(&mirror, "GET", &file, &[("Host", host)]).await;
        assert_eq!((bytes.status(), bytes.body == npm.bytes), (200, true), "{host}");
    }
    let pypi = [("Host", "pypi.mirror.example")];
    let target = format!("/files/{}/sample/{}", wheel.sha256(), wheel.file);
    assert!(ask(&mirror, "GET", &target, &pypi).await.body == wheel.bytes);
    let redirect = ask(&mirror, "GET", "/simple/Sample/", &pypi).await;
    assert_eq!((redirect.status(), redirect.header("location")), (301, "/simple/sample/"));
    for host in ["mirror.example", "npm.mirror.example.evil.example", "evil-npm.mirror.example", "", "[::1]"]
    {
        assert_eq!(ask(&mirror, "GET", &file, &[("Host", host)]).await.status(), 404, "{host}");
    }
    // The address that is asked for counts, not what the header adds.
    let absolute = format!("http://npm.mirror.example{file}");
    assert_eq!(ask(&mirror, "GET", &absolute, &[("Host", "mirror.example")]).await.status(), 200);
    let wrong = ask(&mirror, "GET", "/../left-pad", &[("Host", "npm.mirror.example")]).await;
    assert_refused(&wrong, 400, "malformed", "Malformed request", "dots");
}
