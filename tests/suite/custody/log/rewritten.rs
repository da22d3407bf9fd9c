//! A superuser rewrites what was sealed.

use std::time::Duration;

use touchstone_custody::LogEntry;
use touchstone_testkit::{Package, Registry, TestMirror, eventually, npm_package};

use super::{entries, incident, served, touchstone};
use crate::custody::world::{Owner, path, row, sealed};

async fn mirror(packages: &[&Package]) -> (Registry, TestMirror, Owner) {
    let registry = Registry::start().await;
    for package in packages {
        registry.publish((*package).clone());
    }
    let mirror = TestMirror::builder().registry(&registry).hold(Duration::from_millis(500)).start().await;
    for package in packages {
        served(&mirror, package).await;
    }
    let target = touchstone_store::RecallTarget::Purl("pkg:npm/recalled".parse().expect("a purl"));
    mirror.store.recall(&target, "stolen", "ada").await.expect("recalled");
    sealed(&mirror).await;
    let owner = Owner::of(&mirror).await;
    owner.disable_triggers().await;
    (registry, mirror, owner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_changed_or_gone_are_named() {
    let packages: Vec<Package> =
        ["one", "two", "three", "four", "five", "six"].map(|name| npm_package(name, "1.0.0", &[], 10)).into();
    let (registry, mirror, owner) = mirror(&packages.iter().collect::<Vec<_>>()).await;
    let rows = |package: &'static str| format!("(SELECT id FROM artifact WHERE package = '{package}')");
    let check = |problem: &str| {
        let (code, _, said) = touchstone(&mirror, &["log", "verify"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("THE LOG DOES NOT HOLD") && said.contains(problem), "{problem}: {said}");
    };

    owner.run("DELETE FROM recall").await;
    incident(&mirror, "history_rewritten", "the recall of entry").await;
    check("(recalls) is about is gone");
    owner
        .run(&format!("DELETE FROM gate_log WHERE artifact_id = {} AND state = 'servable'", rows("one")))
        .await;
    incident(&mirror, "history_rewritten", "of gate_log is gone, which entry").await;
    check("of gate_log is gone");
    let gone = rows("three");
    owner.run(&format!("DELETE FROM verdict WHERE artifact_id = {gone} AND check_kind = 'hash'")).await;
    incident(&mirror, "history_rewritten", "the hash record").await;
    let four = row(&owner, &packages[3]).await;
    owner.run(&format!("UPDATE verdict SET software = 'other' WHERE artifact_id = {four}")).await;
    incident(&mirror, "history_rewritten", "was altered: its software is other").await;
    let five = row(&owner, &packages[4]).await;
    owner.run(&format!("UPDATE promotion SET envelope = sha256('x') WHERE artifact_id = {five}")).await;
    incident(&mirror, "history_rewritten", "or a row that it names, was altered").await;

    // a name that no package of this ecosystem has, and that is no purl
    owner.run("UPDATE artifact SET ecosystem = 'pypi', package = 'a/b' WHERE package = 'six'").await;
    incident(&mirror, "history_rewritten", "a%2Fb").await;

    // The log itself is whole, so promotion goes on.
    let later = npm_package("later", "1.0.0", &[], 10);
    registry.publish(later.clone());
    served(&mirror, &later).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_that_is_marked_as_put_back_is_named_unless_a_recovery_put_it_back() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let (_registry, mirror, owner) = mirror(&[&package]).await;
    let gone = "DELETE FROM gate_log WHERE id = (SELECT source_id FROM log_leaf WHERE index = 1 AND source = 'gate_log')";
    owner
        .run(&format!("{gone}; UPDATE log_leaf SET source = 'restored', source_id = index WHERE index = 1"))
        .await;
    let problem = "entry 1 is marked as put back after a restore, and no recovery on record put it back";
    incident(&mirror, "history_rewritten", problem).await;
    let is_named = || {
        let (code, _, said) = touchstone(&mirror, &["log", "verify"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(problem), "{said}");
    };
    is_named();
    // Whoever recovers without need does not make it good.
    let (code, _, said) = touchstone(&mirror, &["log", "recover", "--reason", "to be sure"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(
            "marked as put back, and by no recovery on record: 1 entry (1) of the database. Either"
        ),
        "{said}"
    );
    assert!(said.contains("with --accept-marked"), "{said}");
    assert_eq!(mirror.store.recovered_size().await.expect("recoveries"), 0);
    is_named();
    let leaf = mirror.store.audited_leaves(1, 1).await.expect("leaves").remove(0);
    assert!(!leaf.is_backed, "the audit goes on naming it");
    // A recovery that nobody made is an entry of the log by itself, with its reason.
    mirror.store.record_recovery(2, "nobody's").await.expect("recorded");
    eventually("it is published", || async {
        let log = entries(&mirror, &mirror.log_dir);
        let told = |entry: &LogEntry| matches!(entry, LogEntry::Recovered { size: 2, reason, .. } if reason == "nobody's");
        log.iter().any(told).then_some(())
    })
    .await;
    let (code, _, said) = touchstone(&mirror, &["log", "verify"]);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_names_the_leaves_that_were_marked_before_and_is_refused_if_it_is_for_them_alone() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let (_registry, mirror, owner) = mirror(&[&package]).await;
    let recover = |more: &[&str]| touchstone(&mirror, &[&["log", "recover", "--reason", "x"], more].concat());
    let named = |report: &str, entries: &str| {
        let said = format!("marked as put back before, and by no recovery on record: {entries}. Either");
        assert!(report.contains(&said), "{report}");
    };
    let mark = "UPDATE log_leaf SET source = 'restored', source_id = index WHERE index IN (1, 2); DELETE FROM recall";
    owner.run(mark).await;
    // A recall that is gone as well is no loss of the log.
    let (code, _, said) = recover(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("by no recovery on record: 2 entries (1, 2) of the database."), "{said}");
    assert_eq!(owner.number("SELECT count(*) FROM recall").await, 0, "nothing was done");
    let (code, report, said) = recover(&["--accept-marked"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(report.contains("recalls put back: 1,"), "{report}");
    named(&report, "2 entries (1, 2)");
    let (code, _, said) = touchstone(&mirror, &["log", "verify"]);
    assert_eq!(code, Some(0), "{said}");

    // Where an entry was lost, all is recovered; the marked one is named.
    owner.run("DELETE FROM log_event WHERE event ->> 'event' = 'recovered'").await;
    owner.run("DELETE FROM log_leaf WHERE index = 1").await;
    let (code, report, said) = recover(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(report.contains("the database lacked 1 of them"), "{report}");
    named(&report, "1 entry (2)");
    let (code, report, said) = recover(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(report.ends_with("nothing had to be done\n"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_leaf_stops_promotion_until_it_is_put_back() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let (registry, mirror, owner) = mirror(&[&package]).await;
    owner.run("CREATE TABLE kept AS SELECT * FROM log_leaf").await;
    owner.run("UPDATE log_leaf SET entry = replace(convert_from(entry, 'UTF8'), 'e', 'E')::bytea WHERE index = 2").await;
    incident(&mirror, "history_rewritten", "entry 2 of the transparency log was altered in the database")
        .await;
    let later = npm_package("later", "1.0.0", &[], 10);
    registry.publish(later.clone());
    assert_ne!(mirror.get(&path(&later)).await.status(), 200);
    let (code, _, problem) = touchstone(&mirror, &["log", "verify"]);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains("entry 2 was altered in the database"), "{problem}");
    let (code, _, problem) = touchstone(&mirror, &["log", "recover", "--reason", "an altered row"]);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains("entry 2 is another one in the database"), "{problem}");

    owner.run("DELETE FROM log_leaf WHERE index = 2").await;
    incident(&mirror, "history_rewritten", "entry 2 of the transparency log is missing in the database")
        .await;
    assert_eq!(owner.number("SELECT count(*) FROM promotion").await, 1, "nothing was promoted");
    let (code, report, problem) = touchstone(&mirror, &["log", "recover", "--reason", "an altered row"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.contains("the database lacked 1 of them"), "{report}");
    served(&mirror, &later).await;
    sealed(&mirror).await;
    let (code, _, problem) = touchstone(&mirror, &["log", "verify"]);
    assert_eq!(code, Some(0), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_that_are_cut_off_or_sealed_by_nobody_stop_promotion() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let (registry, mirror, owner) = mirror(&[&package]).await;
    let later = npm_package("later", "1.0.0", &[], 10);
    registry.publish(later.clone());
    owner.run("CREATE TABLE kept_leaf AS SELECT * FROM log_leaf; CREATE TABLE kept_seal AS SELECT * FROM log_seal").await;
    owner.run("DELETE FROM log_leaf WHERE index = (SELECT max(index) FROM log_leaf)").await;
    incident(&mirror, "history_rewritten", "and its last checkpoint is of").await;
    assert_ne!(mirror.get(&path(&later)).await.status(), 200);
    owner.run("DELETE FROM log_seal; UPDATE kept_seal SET note = convert_to('forged', 'UTF8')").await;
    owner
        .run("INSERT INTO log_seal SELECT (SELECT max(index) + 1 FROM log_leaf), root, note, at FROM kept_seal ORDER BY size DESC LIMIT 1")
        .await;
    incident(&mirror, "history_rewritten", "the checkpoint in the database does not count").await;
    eventually("nothing is promoted", || async {
        (owner.number("SELECT count(*) FROM promotion").await == 1).then_some(())
    })
    .await;
    assert_ne!(mirror.get(&path(&later)).await.status(), 200);
}
