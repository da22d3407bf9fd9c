//! A mirror of separate processes, one per role, that tests can kill.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use touchstone_bus::BusUser;
use touchstone_domain::{Ecosystem, Sha256};
use touchstone_store::{DatabaseRole, Store};
use url::Url;

use crate::{Port, Registry, Servers, eventually};

/// The `touchstone` binary of this workspace, built when first asked for, in the profile of the caller.
pub fn touchstone_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
        let mut command = Command::new("cargo");
        command
            .args(["build", "--quiet", "--package", "touchstone", "--message-format", "json"])
            .current_dir(root);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let built = command.stderr(Stdio::inherit()).output().expect("cargo");
        assert!(built.status.success(), "the touchstone binary does not build");
        let messages = String::from_utf8(built.stdout).expect("JSON lines");
        let executable = |line: &str| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        };
        messages.lines().filter_map(executable).next_back().expect("an executable")
    };
    BINARY.get_or_init(build).clone()
}

/// A role of the mirror, by the name of its command; the number tells processes of one role apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `touchstone edge`
    Edge,
    /// `touchstone hash`
    Hash(u8),
    /// `touchstone attest`
    Attest(u8),
    /// `touchstone sumdb`
    Sumdb(u8),
    /// `touchstone promote`
    Promote,
    /// `touchstone console`
    Console,
}

impl Role {
    const fn command(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Hash(_) => "hash",
            Self::Attest(_) => "attest",
            Self::Sumdb(_) => "sumdb",
            Self::Promote => "promote",
            Self::Console => "console",
        }
    }

    fn database(self) -> DatabaseRole {
        self.command().parse().expect("each has a login")
    }

    fn bus_user(self) -> BusUser {
        self.command().parse().expect("each has a user")
    }
}

/// The processes, and the servers that they use.
pub struct MirrorProcesses {
    /// Postgres and NATS, supervised by the test if it wants.
    pub servers: Servers,
    /// The address of the edge.
    pub url: Url,
    /// The address of the console.
    pub console: Url,
    /// The configuration file.
    pub config: PathBuf,
    children: BTreeMap<Role, Child>,
    /// Those of edge and console, also while they do not run.
    _ports: [Port; 2],
}

impl MirrorProcesses {
    /// Starts the servers, migrates, and starts every role, with two hash workers, an attest worker and a sumdb worker.
    pub async fn start(registry: &Registry) -> Self {
        let servers = Servers::start().await;
        Store::migrate(&servers.postgres.url()).await.expect("migrated");
        let ports = [Port::take(), Port::take()];
        let [edge, console] = [ports[0].address(), ports[1].address()];
        let config = servers.directory.path().join("touchstone.toml");
        fs::write(&config, configuration(&servers, registry, edge, console)).expect("written");
        let url = |address| format!("http://{address}/").parse().expect("an address");
        let (url, console) = (url(edge), url(console));
        let mut mirror = Self { servers, url, console, config, children: BTreeMap::new(), _ports: ports };
        let keys = mirror.command(&["keys", "init"]);
        assert!(keys.status.success(), "{}", String::from_utf8_lossy(&keys.stderr));
        let workers = [Role::Hash(0), Role::Hash(1), Role::Attest(0), Role::Sumdb(0)];
        for role in [Role::Promote].into_iter().chain(workers).chain([Role::Console, Role::Edge]) {
            mirror.spawn(role);
        }
        mirror.ready().await;
        mirror
    }

    /// Waits until the edge serves.
    pub async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        eventually("the edge is ready", || async {
            let answer = client.get(self.url.join("readyz").expect("a path")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Starts a role that does not run.
    pub fn spawn(&mut self, role: Role) {
        let log = File::options().create(true).append(true).open(self.log(role)).expect("a log");
        let child = Command::new(touchstone_binary())
            .args(["--config".as_ref(), self.config.as_os_str(), role.command().as_ref()])
            .env("RUST_LOG", "info")
            .env("TOUCHSTONE__DATABASE__URL", role.database().url(&self.servers.postgres.url()))
            .env("TOUCHSTONE__NATS__URL", self.servers.nats_url(role.bus_user()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the role starts");
        let before = self.children.insert(role, child);
        assert!(before.is_none(), "{role:?} runs already");
    }

    /// Ends a role without warning.
    pub fn kill(&mut self, role: Role) {
        let mut child = self.children.remove(&role).expect("a running role");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// Asks a role to stop, and waits until it has; whether it ended well.
    pub fn stop(&mut self, role: Role) -> bool {
        let mut child = self.children.remove(&role).expect("a running role");
        let pid = i32::try_from(child.id()).expect("a process id");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).expect("not zero"),
            rustix::process::Signal::TERM,
        )
        .expect("signalled");
        child.wait().expect("ended").success()
    }

    /// Runs a command of the operator's with the same configuration.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(touchstone_binary());
        command.arg("--config").arg(&self.config).args(arguments).output().expect("the command runs")
    }

    /// The process id of a running role.
    pub fn pid(&self, role: Role) -> u32 {
        self.children[&role].id()
    }

    /// Where a blob is on disk.
    pub fn blob(&self, sha256: Sha256) -> PathBuf {
        let hex = sha256.to_string();
        let blobs = self.servers.directory.path().join("data/blobs");
        blobs.join("sha256").join(&hex[..2]).join(&hex[2..4]).join(hex)
    }

    /// The file that a role logs to.
    pub fn log(&self, role: Role) -> PathBuf {
        self.servers.directory.path().join(format!("{role:?}.log").replace(['(', ')'], ""))
    }
}

impl Drop for MirrorProcesses {
    fn drop(&mut self) {
        for (role, mut child) in std::mem::take(&mut self.children) {
            let _gone = child.kill();
            let _gone = child.wait();
            if std::thread::panicking() {
                let log = fs::read_to_string(self.log(role)).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("{role:?}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
    }
}

fn configuration(servers: &Servers, registry: &Registry, edge: SocketAddr, console: SocketAddr) -> String {
    let mut text = format!(
        "data_dir = \"data\"\nshutdown_grace = \"5s\"\n\n[database]\nurl = \"{}\"\n\n[nats]\nurl = \"{}\"\n\n\
         [edge]\nlisten = \"{edge}\"\nmetadata_ttl = \"0s\"\n\n[console]\nlisten = \"{console}\"\n\n\
         [promote]\nsweep_period = \"200ms\"\n",
        DatabaseRole::Console.url(&servers.postgres.url()),
        servers.nats_url(BusUser::Console)
    );
    for ecosystem in Ecosystem::ALL {
        let _infallible = write!(text, "\n[upstream.{ecosystem}]\nurl = \"{}\"\n", registry.url(ecosystem));
        if ecosystem == Ecosystem::Go {
            let (key, url) = (registry.sumdb().key(), registry.sumdb_url());
            let _infallible = write!(text, "sumdb_key = \"{key}\"\nsumdb_url = \"{url}\"\n");
        }
    }
    text
}
