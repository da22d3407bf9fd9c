//! What is kept of the upstream's metadata, for how long, and what happens when the upstream fails.

use std::time::Duration;

use touchstone_domain::{Ecosystem, Purl};
use touchstone_store::{CachedDocument, NewDocument, RecallTarget};
use touchstone_testkit::{Registry, TestMirror, crate_file, eventually, npm_package, wheel};

use super::{NPM_ABBREVIATED, PYPI_JSON, header, refusal, text};

/// What is kept of the metadata of left-pad.
async fn document(mirror: &TestMirror, registry: &Registry) -> CachedDocument {
    let url = registry.url(Ecosystem::Npm).join("left-pad").expect("an address");
    mirror.store.document(Ecosystem::Npm, url.as_str()).await.expect("an answer").expect("a document")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_its_ttl_metadata_is_not_asked_for_again() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    let mirror =
        TestMirror::builder().registry(&registry).metadata_ttl(Duration::from_mins(10)).start().await;
    let first = text(mirror.get("npm/left-pad").await).await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    assert_eq!(text(mirror.get("npm/left-pad").await).await, first);
    assert_eq!(mirror.get("npm/left-pad/-/left-pad-1.2.0.tgz").await.status(), 200);
    assert_eq!(registry.asked_for("/npm/left-pad"), 1);
    assert_eq!(mirror.get("npm/right-pad").await.status(), 404);
    assert_eq!(mirror.get("npm/right-pad").await.status(), 404, "what is not there is asked for each time");
    assert_eq!(registry.asked_for("/npm/right-pad"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_ttl_metadata_is_asked_for_conditionally() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let first = text(mirror.get("npm/left-pad").await).await;
    let then = document(&mirror, &registry).await;
    assert_eq!(text(mirror.get("npm/left-pad").await).await, first);
    assert_eq!(registry.asked_for("/npm/left-pad"), 2);
    let now = document(&mirror, &registry).await;
    assert_eq!(now.fetched_at, then.fetched_at, "304: nothing came");
    assert!(now.checked_at > then.checked_at);

    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    assert!(text(mirror.get("npm/left-pad").await).await.contains("left-pad-1.3.0.tgz"));
    let now = document(&mirror, &registry).await;
    assert!(now.fetched_at > then.fetched_at && now.document.sha256 != then.document.sha256);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_registry_down_old_metadata_is_served_and_new_is_unreachable() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    registry.publish(wheel("sample-project", "4.0.0", &[], 10));
    registry.publish(crate_file("left_pad", "0.1.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let paths = ["npm/left-pad", "pypi/simple/sample-project/", "cargo/le/ft/left_pad"];
    let mut before = vec![];
    for path in paths {
        before.push(text(mirror.get(path).await).await);
    }
    registry.set_down(true);
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(text(mirror.get(path).await).await, before, "{path}");
    }
    for path in ["npm/right-pad", "pypi/simple/other-project/", "cargo/ri/gh/right_pad"] {
        let (status, code, body) = refusal(mirror.get(path).await).await;
        assert_eq!((status, code.as_str()), (502, "upstream_unreachable"), "{path}");
        assert!(body.contains("the upstream registry did not answer"), "{body}");
    }
    registry.set_down(false);
    registry.publish(npm_package("right-pad", "1.0.0", &[], 10));
    assert_eq!(mirror.get("npm/right-pad").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_deletes_is_still_listed_and_still_installs() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    registry.publish(npm_package("right-pad", "1.3.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let listed = text(mirror.get("npm/left-pad").await).await;
    let tarball = "npm/left-pad/-/left-pad-1.3.0.tgz";
    assert_eq!(mirror.get(tarball).await.status(), 200);
    registry.unpublish("left-pad");
    registry.unpublish("right-pad");
    assert_eq!(text(mirror.get("npm/left-pad").await).await, listed);
    assert_eq!(mirror.get(tarball).await.bytes().await.expect("a body"), package.bytes);

    // One version alone: it is no longer offered, and lockfiles still get it.
    registry.publish(npm_package("left-pad", "1.0.0", &[], 10));
    let listed = text(mirror.get("npm/left-pad").await).await;
    assert!(listed.contains("left-pad-1.0.0.tgz") && !listed.contains("1.3.0"), "{listed}");
    assert_eq!(mirror.get(tarball).await.bytes().await.expect("a body"), package.bytes);

    for path in ["npm/right-pad", "npm/right-pad/-/right-pad-1.3.0.tgz"] {
        let (status, code, body) = refusal(mirror.get(path).await).await;
        assert_eq!((status, code.as_str()), (404, "unknown"), "{path}");
        assert!(body.contains("Not found upstream"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entity_tag_follows_the_document_the_form_and_every_decision() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    let mut rejected = npm_package("evil", "6.6.6", &[], 10);
    (rejected.name, rejected.version, rejected.file) =
        ("left-pad".into(), "1.3.0".into(), "left-pad-1.3.0.tgz".into());
    registry.publish(rejected);
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let ask = |accept: &'static str, tag: String| {
        mirror.request("npm/left-pad").header("accept", accept).header("if-none-match", tag).send()
    };
    let mut tags = vec![];
    for accept in ["application/json", NPM_ABBREVIATED] {
        let first = ask(accept, String::new()).await.expect("an answer");
        assert_eq!(first.status(), 200);
        let tag = header(&first, "etag").to_owned();
        let again = ask(accept, format!("\"other\", {tag}")).await.expect("an answer");
        assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, tag.as_str()));
        assert_eq!(again.bytes().await.expect("a body").len(), 0);
        let lines =
            mirror.request("npm/left-pad").header("accept", accept).header("if-none-match", "\"other\"");
        for (second, expected) in [(tag.as_str(), 304), ("\"third\"", 200)] {
            let lines = lines.try_clone().expect("no body").header("if-none-match", second);
            assert_eq!(lines.send().await.expect("an answer").status(), expected, "{second}");
        }
        tags.push(tag);
    }
    let changed = async |what: &str, tags: &mut Vec<String>| {
        let last = tags.last().expect("a tag").clone();
        let answer = ask(NPM_ABBREVIATED, last).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{what}");
        let tag = header(&answer, "etag").to_owned();
        assert!(!tags.contains(&tag), "{what}");
        tags.push(tag);
    };
    assert_ne!(tags[0], tags[1]);
    assert_eq!(mirror.get("npm/left-pad/-/left-pad-1.3.0.tgz").await.status(), 403);
    changed("rejected", &mut tags).await;
    registry.publish(npm_package("left-pad", "1.1.0", &[], 10));
    changed("published", &mut tags).await;
    assert_eq!(mirror.get("npm/left-pad/-/left-pad-1.2.0.tgz").await.status(), 200);
    let purl: Purl = "pkg:npm/left-pad@1.2.0".parse().expect("a purl");
    mirror.store.recall(&RecallTarget::Purl(purl), "malware", "test").await.expect("recalled");
    changed("recalled", &mut tags).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_is_negotiated_decodes_to_the_same_bytes_and_head_has_no_body() {
    let registry = Registry::start().await;
    for minor in 0..20 {
        registry.publish(wheel("sample-project", &format!("4.{minor}.0"), &[], 10));
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let path = "pypi/simple/sample-project/";
    let plain = mirror.get(path).await;
    assert_eq!((header(&plain, "content-encoding"), header(&plain, "vary")), ("", "accept, accept-encoding"));
    let tag = header(&plain, "etag").to_owned();
    let length = header(&plain, "content-length").to_owned();
    let plain = text(plain).await;
    assert_eq!(length, plain.len().to_string());

    let packed = mirror.request(path).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!((header(&packed, "content-encoding"), header(&packed, "etag")), ("gzip", tag.as_str()));
    assert!(packed.bytes().await.expect("a body").len() < plain.len() / 2);
    let decoding = reqwest::Client::builder().gzip(true).no_proxy().build().expect("a client");
    let url = mirror.url().join(path).expect("a path");
    let unpacked = decoding.get(url.clone()).send().await.expect("an answer");
    assert_eq!(text(unpacked).await, plain);

    let head =
        decoding.head(url).header("accept", PYPI_JSON).header("accept-encoding", "identity").send().await;
    let head = head.expect("an answer");
    let get = mirror.request(path).header("accept", PYPI_JSON).send().await.expect("an answer");
    for name in ["content-length", "content-type", "etag", "vary", "cache-control"] {
        assert_eq!(header(&head, name), header(&get, name), "{name}");
    }
    assert_eq!(head.bytes().await.expect("a body").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_lost_document_is_fetched_again() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let first = text(mirror.get("npm/left-pad").await).await;
    let kept = document(&mirror, &registry).await;
    let path = mirror.blob_path(kept.document.sha256);
    let whole = std::fs::read(&path).expect("a blob");
    let mut bad = whole.clone();
    bad[10] ^= 1;
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bad).expect("damaged");
    assert_eq!(text(mirror.get("npm/left-pad").await).await, first);
    assert_eq!(std::fs::read(&path).expect("a blob"), whole);

    std::fs::remove_file(&path).expect("removed");
    assert_eq!(text(mirror.get("npm/left-pad").await).await, first);
    assert_eq!(std::fs::read(&path).expect("a blob"), whole);
    let now = document(&mirror, &registry).await;
    assert!(now.fetched_at > kept.fetched_at);
    assert_eq!(now.document, kept.document);
    assert_eq!(registry.asked_for("/npm/left-pad"), 3);
}

/// Whoever moves to another registry gets nothing of what the one before said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_upstream_starts_without_the_documents_of_the_one_before() {
    let (public, internal) = (Registry::start().await, Registry::start().await);
    for name in ["left-pad", "right-pad"] {
        public.publish(npm_package(name, "1.0.0", &[], 10));
    }
    internal.publish(npm_package("left-pad", "2.0.0", &[], 10));
    let first = TestMirror::builder().registry(&public).start().await;
    for name in ["left-pad", "right-pad"] {
        assert_eq!(first.get(&format!("npm/{name}")).await.status(), 200);
    }
    let second = TestMirror::builder().registry(&internal).beside(&first).start().await;
    assert_eq!(refusal(second.get("npm/right-pad").await).await.0, 404);
    let listed = text(second.get("npm/left-pad").await).await;
    assert!(listed.contains("left-pad-2.0.0.tgz") && !listed.contains("left-pad-1.0.0.tgz"), "{listed}");
    internal.set_down(true);
    assert_eq!(refusal(second.get("npm/right-pad").await).await.0, 502);
    assert_eq!(first.get("npm/right-pad").await.status(), 200, "for the first upstream it is still there");
}

/// Whoever can write rows, another edge for instance, cannot make this one say what the upstream does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_edge_keeps_is_used_only_while_the_upstream_is_away() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    let ttl = Duration::from_mins(10);
    let first = TestMirror::builder().registry(&registry).metadata_ttl(ttl).start().await;
    let honest = text(first.get("npm/left-pad").await).await;
    let url = registry.url(Ecosystem::Npm).join("left-pad").expect("an address");
    // Other bytes, with the upstream's own entity tag.
    let forge = async || {
        let kept = document(&first, &registry).await.document;
        let body = first.blobs.read(kept.sha256, 1 << 20).await.expect("a blob");
        let forged = String::from_utf8(body.to_vec()).expect("UTF-8").replace("1.2.0", "6.6.6");
        let stored = first.blobs.put_bytes(forged.into()).await.expect("stored");
        let forged = NewDocument { sha256: stored.sha256, size: stored.size, ..kept };
        first.store.put_document(Ecosystem::Npm, url.as_str(), &forged).await.expect("written");
        forged
    };
    let forged = forge().await;
    for ttl in [ttl, Duration::ZERO] {
        let edge = TestMirror::builder().registry(&registry).metadata_ttl(ttl).beside(&first).start().await;
        let same = |listed: String| listed.replace(edge.url().as_str(), first.url().as_str()) == honest;
        assert!(same(text(edge.get("npm/left-pad").await).await), "it asks for the whole");
        assert_ne!(document(&first, &registry).await.document, forged, "and puts the row right");
        forge().await;
        assert!(same(text(edge.get("npm/left-pad").await).await), "it knows what it received");
        registry.set_down(true);
        assert!(same(text(edge.get("npm/left-pad").await).await), "also while the upstream is away");
        registry.set_down(false);
        assert_eq!(document(&first, &registry).await.document, forged);
    }

    // Nobody else's word is better than none.
    assert_eq!(text(first.get("npm/left-pad").await).await, honest);
    registry.set_down(true);
    let restarted = TestMirror::builder().registry(&registry).beside(&first).start().await;
    assert!(text(restarted.get("npm/left-pad").await).await.contains("6.6.6"));
    registry.set_down(false);
    let listed = eventually("the upstream is back", || async {
        let listed = text(restarted.get("npm/left-pad").await).await;
        (!listed.contains("6.6.6")).then_some(listed)
    })
    .await;
    assert!(listed.contains("left-pad-1.2.0.tgz"), "{listed}");
}

/// Waits until the document is older than a listing may be that lacks a version.
async fn old_document(mirror: &TestMirror, registry: &Registry) {
    eventually("the document is old", || async {
        (document(mirror, registry).await.age > Duration::from_millis(2_100)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_unknown_only_when_the_upstream_said_so_just_now() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    let ttl = Duration::from_mins(10);
    let first = TestMirror::builder().registry(&registry).metadata_ttl(ttl).start().await;
    assert_eq!(first.get("npm/left-pad").await.status(), 200);
    old_document(&first, &registry).await;
    let second = TestMirror::builder().registry(&registry).metadata_ttl(ttl).beside(&first).start().await;
    for _ in 0..2 {
        assert!(!text(second.get("npm/left-pad").await).await.contains("1.3.0"));
        assert_eq!(
            registry.asked_for("/npm/left-pad"),
            2,
            "what it received itself is within its time to live"
        );
    }

    old_document(&first, &registry).await;
    registry.set_down(true);
    let tarball = "npm/left-pad/-/left-pad-1.3.0.tgz";
    for _ in 0..2 {
        let (status, code, body) = refusal(second.get(tarball).await).await;
        assert_eq!((status, code.as_str()), (502, "upstream_unreachable"));
        assert!(body.contains("the upstream registry did not answer"), "{body}");
    }
    registry.set_down(false);
    let (status, code, _) = refusal(second.get(tarball).await).await;
    assert_eq!((status, code.as_str()), (404, "unknown"));

    old_document(&first, &registry).await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let third = TestMirror::builder().registry(&registry).metadata_ttl(ttl).beside(&first).start().await;
    assert_eq!(third.get(tarball).await.status(), 200, "published after the document was kept");
}
