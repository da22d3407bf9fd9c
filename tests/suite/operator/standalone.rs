//! `touchstone standalone`: everything in one process, with servers of its own that never outlive it.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use touchstone_domain::Ecosystem;
use touchstone_testkit::{Fault, Port, Registry, eventually, npm_package};
use url::Url;

use super::{http, run, touchstone};

const TARBALL: &str = "npm/left-pad/-/left-pad-1.3.0.tgz";

/// A standalone in a directory of its own.
pub(super) struct Standalone {
    directory: TempDir,
    pub(super) url: Url,
    console: Url,
    child: Option<Child>,
    /// Its own, also while it does not run.
    _ports: [Port; 2],
}

impl Standalone {
    pub(super) fn new(registry: &Registry) -> Self {
        let directory = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
        let ports = [Port::take(), Port::take()];
        let [edge, console] = [ports[0].address(), ports[1].address()];
        let npm = registry.url(Ecosystem::Npm);
        let config = format!(
            "[edge]\nlisten = \"{edge}\"\nmetadata_ttl = \"0s\"\nhold = \"12s\"\n[console]\nlisten = \"{console}\"\n\
             [upstream.npm]\nurl = \"{npm}\"\n"
        );
        fs::write(directory.path().join("touchstone.toml"), config).expect("written");
        let url = |address| format!("http://{address}/").parse().expect("an address");
        Self { directory, url: url(edge), console: url(console), child: None, _ports: ports }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) async fn start(&mut self) {
        let log = |name: &str| fs::File::create(self.path().join(name)).expect("a log");
        let mut command = touchstone(self.path());
        command.arg("standalone").env("RUST_LOG", "info").stdin(Stdio::null());
        command.stdout(log("stdout")).stderr(log("stderr"));
        self.child = Some(command.spawn().expect("it starts"));
        eventually("standalone is ready", || async {
            let answer = http().get(self.url.join("readyz").expect("a path")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    pub(super) async fn status(&self, path: &str) -> u16 {
        let answer = http().get(self.url.join(path).expect("a path")).send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Sends a signal, and waits for the end: the exit code, if it was not the signal.
    pub(super) fn end(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.wait()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("not zero");
        kill_process(pid, signal).expect("signalled");
    }

    fn wait(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("it ends").code()
    }

    /// The processes that work on the directory.
    fn servers(&self) -> Vec<u32> {
        let name = self.path().to_str().expect("UTF-8").to_owned();
        let mine = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&name)
        };
        let processes = fs::read_dir("/proc")
            .expect("Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        processes.filter(mine).collect()
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        if std::thread::panicking() {
            for name in ["stdout", "stderr"] {
                eprintln!("{name}:\n{}", fs::read_to_string(self.path().join(name)).unwrap_or_default());
            }
        }
    }
}

/// What a command says where no standalone runs, whether one has run there or not.
fn stopped(directory: &Path) -> String {
    let directory = directory.canonicalize().expect("a directory");
    format!(
        "error: no [database] url is configured, and no standalone is running on {0}/data (the configuration is {0}/touchstone.toml); \
         start `touchstone standalone`, or name another one with --config\n",
        directory.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standalone_starts_in_an_empty_directory_and_leaves_nothing_running() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mut standalone = Standalone::new(&registry);
    let (code, _, problem) = run(standalone.path(), &["why", "pkg:npm/left-pad@1.3.0"]);
    assert_eq!(code, Some(1));
    assert_eq!(problem, stopped(standalone.path()));

    standalone.start().await;
    assert_eq!(standalone.status(TARBALL).await, 200);
    let (code, story, problem) = run(standalone.path(), &["why", "pkg:npm/left-pad@1.3.0"]);
    assert_eq!((code, problem.as_str()), (Some(0), ""));
    assert!(story.contains("  state       servable: it is served\n"), "{story}");
    let (code, report, _) = run(standalone.path(), &["doctor"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("ok    database            1 artifact(s), 0 stuck"), "{report}");
    let metrics = http().get(standalone.console.join("metrics").expect("a path")).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("a body");
    for what_may_never_happen in [
        "touchstone_log_failures ",
        "touchstone_log_witness_failures 0",
        "touchstone_rejections_not_remembered 0",
        "touchstone_ingest_batch_count ",
        "touchstone_verdict_batch_count{check=\"attest\"} ",
    ] {
        let is_there = metrics.lines().any(|line| line.starts_with(what_may_never_happen));
        assert!(is_there, "{what_may_never_happen}: {metrics}");
    }
    let said = fs::read_to_string(standalone.path().join("stdout")).expect("read");
    for setting in [
        format!("Touchstone serves {}\n", standalone.url),
        format!("npm config set registry {}npm/\n", standalone.url),
        "No upstream for cargo, go, pypi: run `touchstone upstreams discover --write`.\n".to_owned(),
    ] {
        assert!(said.contains(&setting), "{setting}: {said}");
    }
    let running = standalone.servers();
    assert!(running.len() >= 2, "Postgres and nats-server: {running:?}");
    let (code, _, problem) = run(standalone.path(), &["standalone"]);
    assert_eq!(code, Some(1), "a second one in the same directory");
    assert!(problem.contains(" already runs on "), "{problem}");
    assert_eq!(standalone.status(TARBALL).await, 200);

    assert_eq!(standalone.end(Signal::TERM), Some(0));
    assert_eq!(standalone.servers(), Vec::<u32>::new());
    let (code, _, problem) = run(standalone.path(), &["why", "pkg:npm/left-pad@1.3.0"]);
    assert_eq!(code, Some(1));
    assert_eq!(problem, stopped(standalone.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_at_the_edge_is_still_decided_when_standalone_stops() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    let mut standalone = Standalone::new(&registry);
    standalone.start().await;
    let go = Arc::new(Semaphore::new(0));
    registry.fault(&package.file, Fault::Hold(Arc::clone(&go)));
    let stopping = async {
        eventually("the artifact is fetched", || async {
            (registry.asked_for(&package.file) > 0).then_some(())
        })
        .await;
        standalone.signal(Signal::TERM);
        let console = standalone.console.join("healthz").expect("a path");
        eventually("the edge listens no more", || async {
            let refused = http().get(standalone.url.clone()).send().await.is_err();
            refused.then_some(())
        })
        .await;
        assert_eq!(http().get(console).send().await.expect("the others work on").status(), 200);
        go.add_permits(1);
    };
    let (status, ()) = tokio::join!(standalone.status(TARBALL), stopping);
    assert_eq!(status, 200);
    assert_eq!(standalone.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_standalone_leaves_no_server_and_its_data_heal() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mut standalone = Standalone::new(&registry);
    standalone.start().await;
    assert_eq!(standalone.status(TARBALL).await, 200);
    assert_eq!(standalone.end(Signal::KILL), None);
    eventually("the servers are gone", || async { standalone.servers().is_empty().then_some(()) }).await;
    let (code, _, problem) = run(standalone.path(), &["why", "pkg:npm/left-pad@1.3.0"]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("is `touchstone standalone` running?"), "{problem}");

    registry.set_down(true);
    standalone.start().await;
    assert_eq!(standalone.status(TARBALL).await, 200, "kept, with the registry down");
    registry.set_down(false);
    registry.publish(npm_package("right-pad", "1.0.0", &[], 10));
    assert_eq!(standalone.status("npm/right-pad/-/right-pad-1.0.0.tgz").await, 200, "and it works on");
    assert_eq!(standalone.end(Signal::INT), Some(0));
    assert_eq!(standalone.servers(), Vec::<u32>::new());
}
