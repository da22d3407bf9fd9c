//! The database lies, and nothing is served (G-01, G-02, G-06, G-10 to G-12).

use touchstone_domain::Reason;
use touchstone_testkit::{Module, Registry, TestMirror};

use super::{
    get,
    lies::{self, Case, Subject},
    target,
};
use crate::protocol::raw::ask;

/// Asserts that the zip and the `go.mod` are refused with the case's code, and that no kind of request gets any of it.
async fn assert_refused(registry: &Registry, mirror: &TestMirror, case: &Case, subject: &Subject) {
    for extension in ["zip", "mod"] {
        let asked = get(mirror, &subject.changed, extension).await;
        let Reason::SumdbRefused { database, problem, detail } = asked.rejected() else {
            panic!("{}: {}", case.name, asked.outcome().reason)
        };
        assert_eq!(
            (database, problem.as_str()),
            (&registry.sumdb().id(), case.code),
            "{}: {detail}",
            case.name
        );
        let target = target(&subject.changed, extension);
        for (method, headers) in [("HEAD", &[][..]), ("GET", &[("Range", "bytes=0-9")][..])] {
            let reply = ask(mirror, method, &target, headers).await;
            assert_eq!(reply.line, asked.reply.line, "{}: {method}", case.name);
        }
    }
    assert!(mirror.incidents().await.contains(&"sumdb_refused".to_owned()), "{}", case.name);
}

/// A tree of 600 records, and a version more for each case.
async fn refuses(cases: Vec<Case>) {
    let registry = Registry::start().await;
    registry.sumdb().fill(600);
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (number, case) in cases.iter().enumerate() {
        let subject = case.begin(&registry, number);
        assert_refused(&registry, &mirror, case, &subject).await;
    }
    assert_still_good(&registry, &mirror).await;
}

/// What is honest is served by the same mirror, whatever it was told before.
async fn assert_still_good(registry: &Registry, mirror: &TestMirror) {
    registry.sumdb().honest();
    registry.honest();
    let module = Module::new("example.com/good", "v1.0.0");
    registry.publish_module(module.clone());
    for (extension, h1) in [("zip", module.zip_h1()), ("mod", module.mod_h1())] {
        let asked = get(mirror, &module, extension).await;
        let sumdb = registry.sumdb();
        let expected = Reason::SumdbRecorded {
            database: sumdb.id(),
            record: sumdb.record_id(&module.path, &module.version).expect("on record"),
            tree_size: sumdb.size(),
            h1,
        };
        assert_eq!(*asked.served(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_lines_of_an_authenticated_record_count() {
    refuses(lies::records()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_number_of_the_record_itself_counts() {
    refuses(lies::numbers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_key_has_signed_counts() {
    refuses(lies::notes()).await;
}

/// The versions are on record from number 260 on, so that their tiles are neither the first nor the last ones.
async fn tiles_are_authenticated(size: u64, first: u64) {
    let registry = Registry::start().await;
    registry.sumdb().fill(first);
    let cases = lies::tiles(size, first);
    let subjects: Vec<Subject> =
        cases.iter().enumerate().map(|(number, case)| case.publish(&registry, number)).collect();
    registry.sumdb().fill(size);
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (case, subject) in cases.iter().zip(&subjects) {
        case.lie(&registry, subject);
        assert_refused(&registry, &mirror, case, subject).await;
    }
    assert_still_good(&registry, &mirror).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tile_is_authenticated_in_a_tree_of_one_level() {
    tiles_are_authenticated(60, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tile_is_authenticated_in_a_tree_of_two_levels() {
    tiles_are_authenticated(600, 260).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tile_is_authenticated_in_a_tree_of_three_levels() {
    tiles_are_authenticated(140_000, 260).await;
}
