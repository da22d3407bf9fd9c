//! What is believed of the checksum database behind the edge: notes by their signature, records by what they are about, tiles
//! for a few minutes.

use std::time::Duration;

use touchstone_domain::Ecosystem;
use touchstone_store::CachedDocument;
use touchstone_testkit::{Fault, Lie, Lines, Module, NoteKey, NoteLie, Registry, TestMirror};

use super::{
    assert_refused,
    sumdb::{A_DAY, A_MINUTE, BINARY, MINUTES, TEXT, ask_database, assert_passed, idle, said},
};

const LOOKUP: &str = "lookup/example.com/m@v1.0.0";

/// A registry with the module of the lookup.
async fn recorded() -> Registry {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    registry
}

/// A mirror that asks the database each time.
async fn forgetful(registry: &Registry) -> TestMirror {
    TestMirror::builder().registry(registry).sumdb_workers(0).sumdb_kept(Duration::ZERO).start().await
}

/// What is kept of an answer, and since when.
async fn kept(registry: &Registry, mirror: &TestMirror, path: &str) -> Option<CachedDocument> {
    let url = registry.sumdb_url().join(path).expect("an address");
    mirror.store.document(Ecosystem::Go, url.as_str()).await.expect("an answer")
}

/// Asserts that the answer is refused in these words, and not kept.
async fn assert_not_believed(registry: &Registry, mirror: &TestMirror, path: &str, problem: &str) {
    let reply = ask_database(mirror, path).await;
    assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", path);
    assert!(reply.text().contains(problem), "{problem}: {}", reply.text());
    assert_eq!(kept(registry, mirror, path).await, None, "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_outlives_the_database() {
    let registry = recorded().await;
    // Neither what is young nor what is old is lost.
    let mirrors = [idle(&registry, "").await, forgetful(&registry).await];
    let paths = ["latest", LOOKUP, "tile/8/0/000.p/2", "tile/8/data/000.p/2"];
    let mut before = vec![];
    for path in paths {
        before.push(said(&registry, path).await);
        for mirror in &mirrors {
            assert_eq!(ask_database(mirror, path).await.status(), 200, "{path}");
        }
    }
    registry.set_down(true);
    for mirror in &mirrors {
        for (path, before) in paths.iter().zip(&before) {
            let after = ask_database(mirror, path).await;
            assert_eq!((after.status(), &after.body), (200, before), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_outlives_a_failure_and_no_other_answer() {
    let registry = recorded().await;
    let mirror = forgetful(&registry).await;
    for path in ["latest", LOOKUP, "tile/8/0/000.p/2", "tile/8/data/000.p/2"] {
        assert_eq!(ask_database(&mirror, path).await.status(), 200, "{path}");
        for (answer, status) in [
            (Fault::Status(503), 200),
            (Fault::Truncate, 200),
            (Fault::Status(404), 404),
            (Fault::Status(304), 502),
            (Fault::Status(403), 502),
            (Fault::Bytes(b"<html></html>".to_vec()), 502),
        ] {
            registry.fault(&format!("sumdb/{path}"), answer.clone());
            assert_eq!(ask_database(&mirror, path).await.status(), status, "{path} {answer:?}");
        }
        registry.honest();
        assert_eq!(ask_database(&mirror, path).await.body, said(&registry, path).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_tile_is_used_for_minutes_and_never_confirmed() {
    let records = b"m v1.0.0 h1:x\n\n".to_vec();
    for (path, wrong) in [("tile/8/0/000", vec![7; 8192]), ("tile/8/data/000.p/1", records)] {
        let registry = Registry::start().await;
        registry.sumdb().fill(300);
        registry.fault(&format!("sumdb/{path}"), Fault::Bytes(wrong.clone()));
        let young = idle(&registry, "").await;
        for _ in ["asked", "kept"] {
            let reply = ask_database(&young, path).await;
            assert_eq!((reply.body == wrong, reply.header("cache-control")), (true, MINUTES), "{path}");
        }
        assert_eq!(registry.asked_for(path), 1, "{path}");
        // When it is old, it is gone.
        let old = forgetful(&registry).await;
        assert_eq!(ask_database(&old, path).await.body, wrong, "{path}");
        registry.honest();
        assert_eq!(ask_database(&old, path).await.body, said(&registry, path).await, "{path}");
        // Whether it has changed is not asked: the word of whoever sent it would keep it for ever.
        registry.document(&format!("sumdb/{path}"), BINARY, wrong.clone());
        assert_eq!(ask_database(&old, path).await.body, wrong, "{path}");
        let before = kept(&registry, &old, path).await.expect("kept");
        assert!(before.document.etag.is_some(), "{path}");
        assert_eq!(ask_database(&old, path).await.body, wrong, "{path}");
        let after = kept(&registry, &old, path).await.expect("kept");
        assert!(after.fetched_at > before.fetched_at, "{path}: it was sent again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_has_not_signed_is_not_passed_on_and_not_kept() {
    let registry = recorded().await;
    let mirror = idle(&registry, "").await;
    let text = |text: &str| NoteLie::Text(text.to_owned());
    for (lie, problem) in [
        (NoteLie::OtherKey, "is not signed by"),
        (NoteLie::Forged, "does not verify"),
        (NoteLie::WrongHash, "is not signed by"),
        (NoteLie::Homoglyph, "is not signed by"),
        (NoteLie::NoNewline, "the note"),
        (text("another tree\n2\nAAAA\n"), "the note is of \"another tree\""),
        (text("go.sum database tree\n-1\nAAAA\n"), "no size of a tree"),
    ] {
        registry.sumdb().lie(Lie::Note(lie.clone()));
        for path in ["latest", LOOKUP] {
            let before = registry.asked_for(path);
            for _ in ["asked", "asked again"] {
                assert_not_believed(&registry, &mirror, path, problem).await;
            }
            assert_eq!(registry.asked_for(path), before + 2, "{lie:?}");
        }
        registry.sumdb().honest();
    }
    // Those of others do no harm.
    registry.sumdb().lie(Lie::Note(NoteLie::MoreSignatures(3)));
    for (path, cache) in [("latest", A_MINUTE), (LOOKUP, A_DAY)] {
        assert_passed(&registry, &mirror, path, (TEXT, cache)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_something_else_or_beyond_the_tree_is_not_passed_on_and_not_kept() {
    let registry = recorded().await;
    let mirror = idle(&registry, "").await;
    let size = registry.sumdb().size();
    let forged = |text: &str| {
        let module = ("example.com/m".to_owned(), "v1.0.0".to_owned());
        Lie::ForgedRecord { module, text: text.to_owned(), levels: 0 }
    };
    let lines = "example.com/m v1.0.0 h1:x\nexample.com/m v1.0.0/go.mod h1:x\n";
    let other = "has no line for example.com/m v1.0.0";
    for (lie, problem) in [
        (Lie::Number(size.to_string()), "beyond the signed tree"),
        (Lie::UnrelatedRecord(Lines::Absent), other),
        (Lie::UnrelatedRecord(Lines::InNote(lines.to_owned())), other),
        (forged(&lines.replace("v1.0.0", "v1.0.1")), other),
        (forged(&lines.replace("/m ", "/M ")), other),
        (forged("example.com/m v1.0.0 h1:x\n"), "has no line for example.com/m v1.0.0/go.mod"),
    ] {
        registry.sumdb().lie(lie);
        assert_not_believed(&registry, &mirror, LOOKUP, problem).await;
        registry.sumdb().honest();
    }
    registry.sumdb().lie(Lie::Number((size - 1).to_string()));
    assert_passed(&registry, &mirror, LOOKUP, (TEXT, A_DAY)).await;
}

/// As after a change of the key, or of what is verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_and_does_not_verify_is_asked_for_anew() {
    let registry = recorded().await;
    let mirror = idle(&registry, "").await;
    assert_passed(&registry, &mirror, LOOKUP, (TEXT, A_DAY)).await;
    let asked = registry.asked_for(LOOKUP);
    let key = NoteKey::from_seed("sumdb.example", [8; 32]).verifier();
    let other = TestMirror::builder().registry(&registry).sumdb_workers(0).sumdb_key(&key);
    let other = other.beside(&mirror).start().await;
    let reply = ask_database(&other, LOOKUP).await;
    assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", LOOKUP);
    assert_eq!(registry.asked_for(LOOKUP), asked + 1);
    assert_eq!(ask_database(&mirror, LOOKUP).await.status(), 200);
    assert_eq!(registry.asked_for(LOOKUP), asked + 1, "it is still kept for who believes it");
}
