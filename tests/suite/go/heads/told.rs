//! A fork, as operators come to know of it and go on after it: `doctor`, `why`, the metrics, `trust show` and `trust resume`.

use std::process::Output;

use touchstone_testkit::{Lie, MirrorProcesses, Module, Registry, eventually};

use super::publish;

struct World {
    registry: Registry,
    mirror: MirrorProcesses,
    client: reqwest::Client,
}

impl World {
    async fn status(&self, module: &Module) -> u16 {
        let url = self.mirror.url.join(&module.at("zip")).expect("a path");
        self.client.get(url).send().await.expect("an answer").status().as_u16()
    }

    async fn promoted(&self, module: &Module) {
        eventually("it is served", || async { (self.status(module).await == 200).then_some(()) }).await;
    }

    async fn metrics(&self) -> String {
        let url = self.mirror.console.join("metrics").expect("a path");
        self.client.get(url).send().await.expect("an answer").text().await.expect("text")
    }

    /// What a command says, and how it ends.
    fn said(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.mirror.command(arguments);
        (status.code(), String::from_utf8([stdout, stderr].concat()).expect("UTF-8"))
    }

    fn doctor(&self) -> String {
        let (_, report) = self.said(&["doctor"]);
        let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some("sumdb.head"));
        line.unwrap_or_else(|| panic!("{report}")).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_told_of_a_fork_and_go_on_after_it() {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    let mirror = MirrorProcesses::start(&registry).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let world = World { registry, mirror, client };
    let (first, asked) = (publish(&world.registry, "first"), publish(&world.registry, "asked"));
    world.promoted(&first).await;
    let sumdb = world.registry.sumdb();
    let (id, size) = (sumdb.id(), sumdb.size());
    assert!(world.doctor().starts_with("ok "), "{}", world.doctor());
    let stopped =
        |value: u8| format!("touchstone_sumdb_stopped{{database=\"{id}\",kind=\"fork\"}} {value}\n");
    assert!(world.metrics().await.contains(&stopped(0)), "{}", world.metrics().await);

    // The second tree stays: it is what the database is from now on.
    sumdb.lie(Lie::Fork { record: 17, more: 40 });
    let (ours, theirs) = (sumdb.note(size), size + 40);
    let ours = String::from_utf8(ours).expect("text");
    let url = world.mirror.url.join(&asked.at("zip")).expect("a path");
    let pending = world.client.get(url).timeout(std::time::Duration::from_secs(2)).send();
    assert!(pending.await.is_err(), "the request is held");
    eventually("the gauge says so", || async { world.metrics().await.contains(&stopped(1)).then_some(()) })
        .await;
    let doctor = world.doctor();
    assert!(doctor.starts_with("FAIL") && doctor.contains("(fork)"), "{doctor}");
    let (_, why) = world.said(&["why", "pkg:golang/example.com/asked@v1.0.0"]);
    let facts = format!("ours has {size} records, theirs {theirs}");
    for words in [id.as_str(), "two signed heads contradict each other", &facts, "touchstone trust resume"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    let (code, shown) = world.said(&["trust", "show"]);
    assert!(shown.contains("STOPPED") && code == Some(1), "{code:?}: {shown}");
    let of_theirs = format!("{theirs}");
    for line in ours.lines().chain([of_theirs.as_str()]).filter(|line| !line.is_empty()) {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    let (code, said) = world.said(&["trust", "resume", "--reason", "it began anew", "--discard-head"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with(&format!("{id} goes on (fork ended; its head and tiles are forgotten)")),
        "{said}"
    );
    world.promoted(&asked).await;
    assert_eq!(world.status(&first).await, 200);
    assert!(world.metrics().await.contains(&stopped(0)));
    let tree = format!("touchstone_sumdb_tree_size{{database=\"{id}\"}} {theirs}\n");
    assert!(world.metrics().await.contains(&tree), "{}", world.metrics().await);
    assert!(world.doctor().starts_with("ok "), "{}", world.doctor());
}
