//! What operators are told of the Go checksum database, and how they go on with one that was stopped.

use std::fs;

use tempfile::TempDir;
use touchstone_domain::{Ecosystem, Sha256};
use touchstone_store::{NewSumdbStop, Store, StoreOptions, SumdbHead, SumdbStopKind};
use touchstone_testkit::{Lie, MirrorProcesses, NoteLie, Registry, eventually, fresh_database};

use super::{http, make_keys, run};

/// A configuration for a miniature database, and the store that it names.
struct Place {
    registry: Registry,
    store: Store,
    database: String,
    directory: TempDir,
}

impl Place {
    async fn start() -> Self {
        let (registry, database) = (Registry::start().await, fresh_database().await);
        let application_name = "touchstone-test".to_owned();
        let options = StoreOptions { url: database.clone(), pool_size: 4, application_name };
        let store = Store::connect(options).await.expect("the database");
        let place = Self { registry, store, database, directory: tempfile::tempdir().expect("a directory") };
        place.configure(&place.registry.sumdb().key(), place.registry.sumdb_url().as_str());
        make_keys(place.directory.path());
        place
    }

    fn configure(&self, key: &str, url: &str) {
        let (database, go) = (&self.database, self.registry.url(Ecosystem::Go));
        let text = format!(
            "[database]\nurl = '{database}'\n[upstream.go]\nurl = '{go}'\nsumdb_key = '{key}'\nsumdb_url = '{url}'\n"
        );
        fs::write(self.directory.path().join("touchstone.toml"), text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self.directory.path(), arguments)
    }

    /// What doctor says in the test of that name, and whether all is well.
    fn doctor(&self, name: &str) -> (bool, String) {
        let (code, report, problem) = self.run(&["doctor"]);
        let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {report}{problem}"));
        let told = line.split_whitespace().collect::<Vec<_>>().join(" ");
        (code == Some(0), told)
    }

    fn head(&self, size: u64) -> SumdbHead {
        let sumdb = self.registry.sumdb();
        SumdbHead { size, root: sumdb.root(size), note: sumdb.note(size) }
    }

    async fn stop(&self, database: &str, kind: SumdbStopKind) {
        let theirs = SumdbHead { size: 7, root: Sha256([7; 32]), note: b"their\x1b note\n".to_vec() };
        let stop = NewSumdbStop { kind, ours: self.head(5), theirs, detail: "two heads".to_owned() };
        assert!(self.store.stop_sumdb(database, &stop).await.expect("stopped"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_verifies_the_latest_head_and_says_what_is_wrong() {
    let place = Place::start().await;
    let sumdb = place.registry.sumdb();
    let (key, id, url) = (sumdb.key(), sumdb.id(), place.registry.sumdb_url());
    sumdb.fill(9);
    assert_eq!(place.doctor("sumdb"), (true, format!("ok sumdb {id} has 9 records")));
    let (good, upstream) = place.doctor("upstream.go");
    assert!(good && upstream.starts_with("ok upstream.go http://127.0.0.1:"), "{upstream}");

    let correct = "correct `upstream.go.sumdb_key` or `sumdb_url`";
    let no_head = format!("FAIL sumdb what {url} answers is no head of {id}; {correct}: ");
    for (lie, why) in [
        (NoteLie::Forged, format!("a signature by {id} does not verify")),
        (NoteLie::OtherKey, format!("the note is not signed by {id}")),
        (NoteLie::NoNewline, "the note is not a text, an empty line and signatures".to_owned()),
        (NoteLie::Text("go.sum database tree\n09\n".to_owned()), "the note has too few lines".to_owned()),
    ] {
        sumdb.lie(Lie::Note(lie));
        let (good, told) = place.doctor("sumdb");
        assert!(!good && told.starts_with(&format!("{no_head}{why}")), "{told}");
        sumdb.honest();
    }

    let elsewhere = place.registry.origin();
    place.configure(&key, elsewhere.as_str());
    let expected = format!(
        "FAIL sumdb {elsewhere} has no latest; no Go module can be checked; correct `upstream.go.sumdb_url`"
    );
    assert_eq!(place.doctor("sumdb"), (false, expected));

    let other = key.replacen('s', "t", 1);
    place.configure(&other, url.as_str());
    let (good, told) = place.doctor("sumdb");
    assert!(!good && told.starts_with("FAIL sumdb `upstream.go.sumdb_key` is refused: "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_how_far_we_are_and_why_go_is_stopped() {
    let place = Place::start().await;
    let sumdb = place.registry.sumdb();
    let id = sumdb.id();
    sumdb.fill(9);
    let nothing = "ok sumdb.head 0 records; the latest head was not asked for yet".to_owned();
    assert_eq!(place.doctor("sumdb.head"), (true, nothing));

    place.store.advance_sumdb_head(&id, None, &place.head(5)).await.expect("a head");
    place.store.record_sumdb_poll(&id, 9, 5).await.expect("a poll");
    let (good, told) = place.doctor("sumdb.head");
    assert!(good && told.starts_with("ok sumdb.head 5 records, 4 behind; last poll 20"), "{told}");
    assert!(told.ends_with('Z'), "{told}");

    place.store.record_sumdb_poll(&id, 3, 5).await.expect("a poll");
    let (good, told) = place.doctor("sumdb.head");
    let behind = "warn sumdb.head 5 records, and the latest head has only 3 since 20";
    assert!(good && told.starts_with(behind), "{told}");
    assert!(told.ends_with("; Go is stopped when that lasts longer than 1h"), "{told}");

    place.stop(&id, SumdbStopKind::Rollback).await;
    let (good, told) = place.doctor("sumdb.head");
    assert!(!good && told.starts_with("FAIL sumdb.head STOPPED since 20"), "{told}");
    let next = "it ends by itself when the latest tree reaches ours again; until then look at `upstream.go.sumdb_url`. `touchstone trust resume` ends it too, for as long as `sumdb.behind_max`";
    let why = format!("(rollback), and it vouches for nothing new of Go: two heads; {next}");
    assert!(told.ends_with(&why), "{told}");

    place.stop(&id, SumdbStopKind::Fork).await;
    let (_, told) = place.doctor("sumdb.head");
    let next = "compare both signed notes in `touchstone trust show` with what others see, then run `touchstone trust resume`";
    let why = format!("(fork), and it vouches for nothing new of Go: two heads; {next}");
    assert!(told.ends_with(&why), "{told}");
    let (code, told, _) = place.run(&["why", "pkg:golang/code.example/x@v1.0.0"]);
    assert_eq!(code, Some(1), "not on record");
    let stopped = "the checksum database is stopped, and what needs its answer waits\n  rollback    ";
    assert!(told.contains(stopped) && told.contains(&format!("\n  fork        {id}, since 20")), "{told}");
    assert!(told.contains("\n              ours has 5 records, theirs 7\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_shows_the_database_and_why_it_is_stopped() {
    let place = Place::start().await;
    let sumdb = place.registry.sumdb();
    let (key, id, url) = (sumdb.key(), sumdb.id(), place.registry.sumdb_url());
    sumdb.fill(9);
    let (code, page, _) = place.run(&["trust", "show"]);
    assert_eq!(code, Some(0), "{page}");
    let fresh = format!(
        "Go checksum databases\n  {id}\n    key           {key}\n    at            {url}\n    head          none yet\n"
    );
    assert!(page.ends_with(&fresh), "{page}");

    let head = place.head(5);
    place.store.advance_sumdb_head(&id, None, &head).await.expect("a head");
    place.store.record_sumdb_poll(&id, 9, 5).await.expect("a poll");
    let (code, page, _) = place.run(&["trust", "show"]);
    assert_eq!(code, Some(0), "{page}");
    let root = head.root.to_base64();
    assert!(
        page.contains(&format!("\n    head          5 records, root {root}\n    last poll     20")),
        "{page}"
    );

    place.stop(&id, SumdbStopKind::Fork).await;
    place.stop("other.example+01234567", SumdbStopKind::Freeze).await;
    let (code, page, _) = place.run(&["trust", "show"]);
    assert_eq!(code, Some(1), "{page}");
    for words in [
        "\n    STOPPED       fork, since 20",
        "Z: two heads\n    ours          5 records, signed:\n                  go.sum database tree\n",
        "\n    theirs        7 records, signed:\n                  their\u{fffd} note\n",
        "\n  other.example+01234567\n    key           not configured; nothing is asked of it\n",
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    let (code, json, _) = place.run(&["trust", "show", "--json"]);
    assert_eq!(code, Some(1));
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let database = &told["checksum_databases"][0];
    assert_eq!((&database["id"], &database["configured"]["key"]), (&id.into(), &key.into()));
    assert_eq!((&database["head"]["size"], &database["latest_size"]), (&5.into(), &9.into()));
    assert_eq!(database["stop"]["kind"], "fork");
    let sizes = (&database["stop"]["ours"]["size"], &database["stop"]["theirs"]["size"]);
    assert_eq!(sizes, (&5.into(), &7.into()));
    assert_eq!(told["unavailable"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_by_the_word_of_somebody_who_says_why() {
    let place = Place::start().await;
    let sumdb = place.registry.sumdb();
    let id = sumdb.id();
    sumdb.fill(9);
    let resume = |arguments: &[&str]| {
        let (code, told, problem) = place.run(&[&["trust", "resume"], arguments].concat());
        if code == Some(0) { Ok(told) } else { Err(problem) }
    };
    let nothing = Err("error: no checksum database is stopped\n".to_owned());
    assert_eq!(resume(&["--reason", "why not"]), nothing);

    place.store.advance_sumdb_head(&id, None, &place.head(5)).await.expect("a head");
    place.stop(&id, SumdbStopKind::Fork).await;
    place.stop(&id, SumdbStopKind::Freeze).await;
    let empty = "error: --reason is empty; whoever looks at the record of this stop will read it\n";
    assert_eq!(resume(&["--reason", " "]), Err(empty.to_owned()));
    assert!(resume(&[]).is_err_and(|problem| problem.contains("--reason <REASON>")));
    let other = format!("error: other.example+01234567 is not stopped; stopped are: {id}\n");
    assert_eq!(resume(&["--reason", "a test", "--database", "other.example+01234567"]), Err(other));
    assert!(place.store.sumdb_state(&id).await.expect("a state").stop.is_some(), "nothing ended it");

    let goes_on = format!(
        "{id} goes on (fork, freeze ended); a fork that is still there stops it again at the next poll, a rollback or freeze after `sumdb.behind_max` or `sumdb.frozen_after`\n"
    );
    assert_eq!(resume(&["--reason", "a test"]), Ok(goes_on));
    let state = place.store.sumdb_state(&id).await.expect("a state");
    assert_eq!((state.stop, state.head), (None, Some(place.head(5))));
    assert_eq!(resume(&["--reason", "again"]), nothing);

    place.stop(&id, SumdbStopKind::Fork).await;
    place.stop("other.example+01234567", SumdbStopKind::Fork).await;
    let which = format!("error: say which with --database; stopped are: other.example+01234567, {id}\n");
    assert_eq!(resume(&["--reason", "a test"]), Err(which));
    let forgotten = resume(&["--reason", "it began anew", "--database", &id, "--discard-head"]);
    assert!(
        forgotten.as_ref().is_ok_and(|told| told.contains("(fork ended; its head and tiles are forgotten)")),
        "{forgotten:?}"
    );
    let state = place.store.sumdb_state(&id).await.expect("a state");
    assert_eq!((state.stop, state.head), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_names_each_database_that_is_stopped_with_both_heads() {
    let (registry, database) = (Registry::start().await, "other.example+01234567");
    let mirror = MirrorProcesses::start(&registry).await;
    let options = StoreOptions {
        url: mirror.servers.postgres.url(),
        pool_size: 2,
        application_name: "touchstone-test".to_owned(),
    };
    let store = Store::connect(options).await.expect("the database");
    let get = async |path: &str| {
        let url = mirror.console.join(path).expect("a path");
        eventually("the console answers", || async {
            let answer = http().get(url.clone()).send().await.ok()?;
            answer.text().await.ok()
        })
        .await
    };
    let json = async |path| serde_json::from_str::<serde_json::Value>(&get(path).await).expect("JSON");
    assert_eq!(json("api/v1/summary").await["stopped"], serde_json::json!([]));
    let gauge = |kind| format!("touchstone_sumdb_stopped{{database=\"{database}\",kind=\"{kind}\"}}");
    assert!(!get("metrics").await.contains(&gauge("fork")));

    let head = |size, note: &str| SumdbHead { size, root: Sha256([7; 32]), note: note.into() };
    let (ours, theirs) = (head(5, "our note"), head(7, "their note"));
    let stop = NewSumdbStop { kind: SumdbStopKind::Fork, ours, theirs, detail: "two heads".to_owned() };
    assert!(store.stop_sumdb(database, &stop).await.expect("stopped"));
    let metrics = get("metrics").await;
    for (kind, value) in [("fork", 1), ("rollback", 0), ("freeze", 0)] {
        let line = format!("{} {value}", gauge(kind));
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let stopped = &json("api/v1/summary").await["stopped"];
    assert_eq!((&stopped[0]["database"], &stopped[0]["kind"]), (&database.into(), &"fork".into()));
    assert_eq!(
        (&stopped[0]["ours"]["size"], &stopped[0]["theirs"]["note"]),
        (&5.into(), &"their note".into())
    );
    assert_eq!(json("api/v1/artifacts?purl=pkg:golang/code.example/x").await["stopped"], *stopped);
    let elsewhere = json("api/v1/artifacts?purl=pkg:npm/left-pad").await;
    assert_eq!(elsewhere["stopped"], serde_json::json!([]), "it is nothing to other ecosystems");

    let resumed = store.resume_sumdb(database, &[SumdbStopKind::Fork], "a test", false).await;
    assert!(resumed.expect("resumed"));
    assert!(get("metrics").await.contains(&format!("{} 0\n", gauge("fork"))));
    assert_eq!(json("api/v1/summary").await["stopped"], serde_json::json!([]));
}
