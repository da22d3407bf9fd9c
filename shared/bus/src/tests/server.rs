//! A real nats-server for one test: its own port, its own directory, gone with the test.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Bus, BusOptions, BusUser, Passwords};

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    directory: TempDir,
    port: u16,
    pub(crate) passwords: Passwords,
}

impl Server {
    /// Starts on a port that the kernel picks.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let passwords = Passwords::generate();
        let operator = "users = [\n    { user: operator, password: operator }\n";
        let configuration = passwords.configuration().replacen("users = [\n", operator, 1);
        fs::write(directory.path().join("nats.conf"), configuration).expect("a file");
        let child = spawn(&directory, "-1");
        let mut server = Self { child, directory, port: 0, passwords };
        server.port = server.ready().await;
        server
    }

    /// A connection as a user.
    pub(crate) async fn bus(&self, user: BusUser) -> Bus {
        let url = self.passwords.url(&self.url(), user);
        Bus::connect(BusOptions { url, name: "test".into() }).await.expect("the server is recent enough")
    }

    /// A connection as somebody who may do everything.
    pub(crate) async fn operator(&self) -> Bus {
        let url = self.url().replace("//", "//operator:operator@");
        Bus::connect(BusOptions { url, name: "test".into() }).await.expect("the server is recent enough")
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Stops the server from answering; its connections stay.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Removes everything that JetStream stored.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(self.directory.path().join("jetstream")).expect("the store directory");
    }

    /// Starts again on the same port.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.directory, &self.port.to_string());
        self.ready().await;
    }

    /// Waits for the ports file, which the server writes once it listens.
    async fn ready(&mut self) -> u16 {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        loop {
            poll.tick().await;
            let file = format!("nats-server_{}.ports", self.child.id());
            if let Ok(text) = fs::read_to_string(self.directory.path().join(file))
                && let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text)
            {
                let address = ports["nats"][0].as_str().expect("an address");
                return address.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
            }
            assert_eq!(self.child.try_wait().expect("our own child"), None, "nats-server ended");
            assert!(Instant::now() < deadline, "nats-server is not ready");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(directory: &TempDir, port: &str) -> Child {
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM"])
        .arg(binary())
        .arg("-c")
        .arg(directory.path().join("nats.conf"))
        .args(["-js", "-a", "127.0.0.1", "-p", port, "--ports_file_dir"])
        .arg(directory.path())
        .arg("-sd")
        .arg(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv and nats-server; set TOUCHSTONE_NATS_BIN")
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the server is, is the one thing a test asks the environment"
)]
fn binary() -> PathBuf {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/venv/bin/nats-server");
    match std::env::var("TOUCHSTONE_NATS_BIN") {
        Ok(path) => path.into(),
        Err(_) if fs::exists(installed).unwrap_or(false) => installed.into(),
        Err(_) => "nats-server".into(),
    }
}
