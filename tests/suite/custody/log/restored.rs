//! An older backup of the database is restored beside the log.

use std::{fs, time::Duration};

use tokio_postgres::NoTls;
use touchstone_domain::ArtifactState;
use touchstone_testkit::{Registry, TestMirror, TestMirrorBuilder, eventually, npm_package};

use super::{copy, entries, incident, promoted, served, stop, touchstone};
use crate::custody::world::{Refused, path, published, sealed};

/// Copies a mirror's database as it is now, whoever is connected to it; the address of the copy.
async fn backup(mirror: &TestMirror) -> String {
    let url = &mirror.database_url;
    let (before, parameters) =
        url.split_once('?').map_or((url.as_str(), ""), |(before, after)| (before, after));
    let (server, name) = before.rsplit_once('/').expect("a database");
    let address = |database: &str| match parameters {
        "" => format!("{server}/{database}"),
        parameters => format!("{server}/{database}?{parameters}"),
    };
    let (client, connection) = tokio_postgres::connect(&address("postgres"), NoTls).await.expect("connected");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let run = async |sql: String| {
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    };
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    let copy = format!("{name}_backup");
    eventually("the database is copied", || async {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        client.batch_execute(&end).await.expect("ended");
        client.batch_execute(&format!("CREATE DATABASE {copy} TEMPLATE {name}")).await.ok()
    })
    .await;
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    run(format!("ALTER DATABASE {copy} ALLOW_CONNECTIONS true")).await;
    address(&copy)
}

fn quick(builder: TestMirrorBuilder) -> TestMirrorBuilder {
    builder.hold(Duration::from_millis(500))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_promotes_nothing_until_it_has_what_was_published_and_what_was_recalled_stays_so() {
    let registry = Registry::start().await;
    let [early, kept, later, new] =
        ["early", "kept", "later", "new"].map(|name| npm_package(name, "1.0.0", &[], 10));
    for package in [&early, &kept, &later, &new] {
        registry.publish(package.clone());
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    served(&mirror, &early).await;
    served(&mirror, &kept).await;
    sealed(&mirror).await;
    let restored = backup(&mirror).await;
    // What the backup knows nothing of; one epoch of it ended.
    served(&mirror, &later).await;
    let of_later = "pkg:npm/later".parse().expect("a purl");
    mirror.store.recheck(&of_later, &touchstone_domain::Policy::default(), true).await.expect("reopened");
    served(&mirror, &later).await;
    let target = touchstone_store::RecallTarget::Purl("pkg:npm/early".parse().expect("a purl"));
    mirror.store.recall(&target, "stolen token", "ada").await.expect("recalled");
    sealed(&mirror).await;
    let size = published(&mirror);
    stop(&mirror).await;

    let again =
        quick(TestMirror::builder()).beside(&mirror).on_database(&restored).registry(&registry).start().await;
    incident(&again, "database_rollback", &format!("has {size}: an older backup was restored")).await;
    let title = "Mirror's database is too old, tell the operators";
    for package in [&early, &kept] {
        let refused = Refused::of(again.get(&path(package)).await).await;
        refused.says(503, "unavailable", title, &format!("{size} were published"));
    }
    assert_ne!(again.get(&path(&new)).await.status(), 200);
    let states = again.states("pkg:npm/new").await;
    assert!(
        states.values().all(|state| *state == ArtifactState::Verifying || *state == ArtifactState::Fetched),
        "{states:?}"
    );
    let (code, _, problem) = touchstone(&again, &["log", "verify"]);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains("`touchstone log recover` puts them back"), "{problem}");

    let (code, report, problem) = touchstone(&again, &["log", "recover", "--reason", "the disk broke"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.contains("recalls put back: 1, which revoked 1 artifact(s)"), "{report}");
    for package in [&kept, &new, &later] {
        served(&again, package).await;
    }
    assert_eq!(again.states("pkg:npm/early").await["early-1.0.0.tgz"], ArtifactState::Revoked);
    let refused = Refused::of(again.get(&path(&early)).await).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("stolen token"), "{refused:?}");
    sealed(&again).await;
    let (code, _, problem) = touchstone(&again, &["log", "verify"]);
    assert_eq!(code, Some(0), "{problem}");
    let log = entries(&again, &again.log_dir);
    assert!(log.iter().any(|entry| matches!(entry,
        touchstone_custody::LogEntry::Recovered { size: of, reason, .. } if *of == size && reason == "the disk broke")));
    let (code, report, problem) = touchstone(&again, &["log", "recover", "--reason", "once more"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.ends_with("nothing had to be done\n"), "{report}");
    what_an_older_version_put_back_is_accepted_once_somebody_says_so(&again).await;
}

/// An older version put the leaves back first, and was stopped before the recovery was on record.
async fn what_an_older_version_put_back_is_accepted_once_somebody_says_so(again: &TestMirror) {
    let (client, connection) = tokio_postgres::connect(&again.database_url, NoTls).await.expect("connected");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let lose = "ALTER TABLE log_event DISABLE TRIGGER ALL; DELETE FROM log_event WHERE event ->> 'event' = 'recovered'; \
        ALTER TABLE log_event ENABLE TRIGGER ALL";
    client.batch_execute(lose).await.expect("lost");
    let recover = |more: &[&str]| {
        touchstone(again, &[&["log", "recover", "--reason", "it was stopped"], more].concat())
    };
    let (code, _, problem) = recover(&[]);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains("marked as put back, and by no recovery on record: "), "{problem}");
    let (code, report, problem) = recover(&["--accept-marked"]);
    assert_eq!(code, Some(0), "{problem}");
    let said = "the recovery is on record; promotion goes on as soon as promote has compared again\n";
    assert!(report.contains("lacked 0 of them") && report.ends_with(said), "{report}");
    let (code, report, problem) = recover(&[]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.contains("lacked 0 of them") && report.ends_with("nothing had to be done\n"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_alone_notices_a_restored_backup() {
    let registry = Registry::start().await;
    let [early, later] = ["early", "later"].map(|name| npm_package(name, "1.0.0", &[], 10));
    registry.publish(early.clone());
    registry.publish(later.clone());
    let places = tempfile::tempdir().expect("a directory");
    let witness = places.path().join("witness");
    let mirror = TestMirror::builder().registry(&registry).witness_dir(witness.clone()).start().await;
    served(&mirror, &early).await;
    sealed(&mirror).await;
    let restored = backup(&mirror).await;
    let old_log = places.path().join("old");
    sealed(&mirror).await;
    copy(&mirror.log_dir, &old_log);
    served(&mirror, &later).await;
    sealed(&mirror).await;
    let size = published(&mirror);
    stop(&mirror).await;

    // The published log was taken from the same backup: only the witness knows better.
    let builder = || quick(TestMirror::builder()).beside(&mirror).on_database(&restored).registry(&registry);
    let again = builder().log_dir(old_log.clone()).witness_dir(witness.clone()).start().await;
    let problem = format!("{} has {size}", witness.display());
    incident(&again, "database_rollback", &problem).await;
    assert_ne!(again.get(&path(&later)).await.status(), 200);
    stop(&again).await;

    // The operator puts the witness' copy in place.
    fs::remove_dir_all(&old_log).expect("removed");
    copy(&witness, &old_log);
    let last = builder().log_dir(old_log).witness_dir(witness.clone()).start().await;
    let (code, report, problem) = touchstone(&last, &["log", "recover", "--reason", "the disk broke"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(!report.contains("lacked 0 of them"), "{report}");
    served(&last, &later).await;
    sealed(&last).await;
    eventually("the witness has it too", || async {
        let log = entries(&last, &witness);
        (promoted(&log).len() >= 3).then_some(())
    })
    .await;
}
