//! A database that does not answer, that has no such version, or that has other digests; and what the proxy says beside the
//! bytes (G-03, G-12, G-15).

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use touchstone_domain::Reason;
use touchstone_testkit::{Fault, Module, Registry, TestMirror, eventually, mod_h1};

use super::{get, project, rejected_by, sumdb_verdict, target};
use crate::protocol::raw::ask;

async fn world() -> (Registry, TestMirror) {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    let hold = Duration::from_secs(2);
    let mirror = TestMirror::builder().registry(&registry).patient_hold(hold).start().await;
    (registry, mirror)
}

/// A version for each number.
fn module(number: usize) -> Module {
    Module::new("example.com/absent", &format!("v1.{number}.0"))
}

/// G-03: only the database itself can say that it has no such version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_module_that_the_database_does_not_have_is_rejected() {
    let (registry, mirror) = world().await;
    for (number, status) in [404, 410].into_iter().enumerate() {
        let module = module(number);
        registry.serve_module(module.clone());
        registry.fault(&module.lookup(), Fault::Status(status));
        for extension in ["zip", "mod"] {
            let asked = get(&mirror, &module, extension).await;
            let expected = Reason::SumdbAbsent { database: registry.sumdb().id(), status };
            assert_eq!(*asked.rejected(), expected);
            assert!(asked.reply.text().contains("[sumdb] section"), "{}", asked.reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_decides_nothing() {
    let faults = [
        Fault::Status(403),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Html,
        Fault::Truncate,
        Fault::Cut,
        Fault::Redirect("http://127.0.0.1:9/elsewhere".to_owned()),
        Fault::Hold(Arc::new(Semaphore::new(0))),
    ];
    // Each against a mirror of its own: one that fails too often is left alone for a while.
    futures::future::join_all(faults.iter().map(decides_nothing)).await;
}

async fn decides_nothing(fault: &Fault) {
    let (registry, mirror) = world().await;
    let module = module(0);
    registry.publish_module(module.clone());
    registry.fault(&module.lookup(), fault.clone());
    let asked = get(&mirror, &module, "zip").await;
    assert_eq!(asked.reply.header("x-touchstone-code"), "pending", "{fault:?}: {}", asked.reply.text());
    assert_eq!(asked.reply.status(), 403, "{fault:?}");
    assert!(asked.story.state().is_pending(), "{fault:?}");
    assert_eq!(sumdb_verdict(&asked.story), None, "{fault:?}");
    registry.honest();
    if let Fault::Hold(stalled) = fault {
        stalled.add_permits(1000);
    }
    let target = target(&module, "zip");
    let served = async || (ask(&mirror, "GET", &target, &[]).await.status() == 200).then_some(());
    eventually(&format!("it is served after {fault:?}"), served).await;
    let asked = get(&mirror, &module, "zip").await;
    assert!(matches!(asked.served(), Reason::SumdbRecorded { .. }), "{fault:?}: {}", asked.outcome().reason);
}

/// G-12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_than_on_record_are_rejected() {
    let (registry, mirror) = world().await;
    let go_mod = "module example.com/absent\n\ngo 1.22\n";
    for (number, changed, zip, of_mod) in [
        (0, module(0).file("evil.go", "package m\n"), Some("zip"), None),
        (1, module(1).with_mod_file(go_mod), None, Some("go.mod")),
        (2, module(2).with_go_mod(go_mod), Some("zip"), Some("go.mod")),
    ] {
        let genuine = module(number);
        registry.publish_module(genuine.clone());
        registry.serve_module(changed.clone());
        for (extension, what, recorded, computed) in [
            ("zip", zip, genuine.zip_h1(), changed.zip_h1()),
            ("mod", of_mod, genuine.mod_h1(), changed.mod_h1()),
        ] {
            let Some(what) = what else {
                let asked = get(&mirror, &changed, extension).await;
                assert!(matches!(asked.served(), Reason::SumdbRecorded { .. }), "{number}");
                continue;
            };
            let expected = Reason::SumdbMismatch { what: what.to_owned(), recorded, computed };
            assert_eq!(rejected_by("sumdb", &mirror, &changed, extension).await, expected);
        }
    }
    assert_eq!(mirror.incidents().await.iter().filter(|kind| *kind == "sumdb_mismatch").count(), 4);

    // On record with its own zip, which holds another go.mod than the one on record.
    let inside = module(9).file("go.mod", go_mod);
    registry.publish_module(inside.clone());
    let reason = get(&mirror, &inside, "zip").await.rejected().clone();
    let (recorded, computed) = (inside.mod_h1(), mod_h1(go_mod.as_bytes()));
    assert_eq!(reason, Reason::SumdbMismatch { what: "go.mod in zip".to_owned(), recorded, computed });
}

/// G-15: what is said beside the bytes selects none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infos_select_no_bytes() {
    let (registry, mirror) = world().await;
    let (module, other) = (module(0), module(1));
    for module in [&module, &other] {
        registry.publish_module(module.clone());
    }
    let info = |version: &str, more: &str| format!("{{\"Version\":\"{version}\"{more}}}");
    let json = "application/json";
    for lie in [
        info("v1.1.0", ""),
        info("v1.0", ""),
        info("master", ""),
        info("", ""),
        "{}".to_owned(),
        "[]".to_owned(),
        "<html></html>".to_owned(),
        info("v1.0.0", ",\"Version\":\"v1.1.0\""),
    ] {
        registry.document(&module.at("info"), json, lie.clone());
        let reply = ask(&mirror, "GET", &target(&module, "info"), &[]).await;
        assert_eq!(reply.line, "HTTP/1.1 502 Upstream answered wrongly", "{lie}: {}", reply.text());
    }
    let lie = info(
        "v1.0.0",
        ",\"Time\":\"2099-01-01T00:00:00Z\",\"Origin\":{\"VCS\":\"git\",\"URL\":\"https://evil.example\"}",
    );
    registry.document(&module.at("info"), json, lie.clone());
    let reply = ask(&mirror, "GET", &target(&module, "info"), &[]).await;
    assert_eq!((reply.status(), reply.text()), (200, lie));
    let asked = get(&mirror, &module, "zip").await;
    asked.served();
    assert!(asked.reply.body == module.zip());

    // A branch is what the proxy says it is; the bytes are those of the version.
    registry.document("go/example.com/absent/@v/main.info", json, info("v1.0.0", ""));
    let project = project(&registry, mirror.url().join("go").expect("a path"));
    project.go("get example.com/absent@main").await.succeeded();
    assert!(project.read("go.mod").expect("there").contains("example.com/absent v1.0.0"));
    assert!(project.read("go.sum").expect("there").contains(&module.zip_h1()));
    // `@latest` may name a version that its author retracted: the go command decides about that, by the go.mod of the highest.
    let retracting = Module::new("example.com/absent", "v1.2.0")
        .with_go_mod("module example.com/absent\n\ngo 1.21\n\nretract v1.0.0\n");
    registry.publish_module(retracting.clone());
    let latest = info("v1.0.0", "");
    registry.document("go/example.com/absent/@latest", json, latest.clone());
    let reply = ask(&mirror, "GET", "/go/example.com/absent/@latest", &[]).await;
    assert_eq!((reply.status(), reply.text()), (200, latest));
    get(&mirror, &retracting, "mod").await.served();
    // A pseudo-version has a time in its name, and whatever else is said of it selects nothing either.
    let pseudo = Module::new("example.com/absent", "v0.0.0-20240102030405-0123456789ab");
    registry.publish_module(pseudo.clone());
    let lie = info(&pseudo.version, ",\"Time\":\"1999-01-01T00:00:00Z\"");
    registry.document(&pseudo.at("info"), json, lie.clone());
    let reply = ask(&mirror, "GET", &target(&pseudo, "info"), &[]).await;
    assert_eq!((reply.status(), reply.text()), (200, lie));
    let asked = get(&mirror, &pseudo, "zip").await;
    asked.served();
    assert!(asked.reply.body == pseudo.zip());

    // It is never a version that the module cannot have.
    registry.document("go/example.com/absent/@v/dev.info", json, info("v2.0.0", ""));
    let reply = ask(&mirror, "GET", "/go/example.com/absent/@v/dev.info", &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 502 Upstream answered wrongly", "{}", reply.text());
}
