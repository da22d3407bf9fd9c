//! A mirror of release processes, and a registry beside it.

use std::time::Duration;

use touchstone_testkit::{MirrorProcesses, Package, Registry, Role};

/// The processes and their upstream.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) mirror: MirrorProcesses,
    client: reqwest::Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        let registry = Registry::start().await;
        let mirror = MirrorProcesses::start(&registry).await;
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { registry, mirror, client }
    }

    /// The path of an npm package's file at the edge.
    pub(crate) fn path(package: &Package) -> String {
        format!("/npm/{}/-/{}", package.name, package.file)
    }

    /// The address and port of the edge.
    pub(crate) fn edge(&self) -> String {
        format!("127.0.0.1:{}", self.mirror.url.port().expect("a port"))
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.mirror.url.join(path).expect("a path")).send().await.expect("an answer")
    }

    /// Asks until the artifact is served, and throws the bytes away; their number.
    pub(crate) async fn fetch(&self, path: &str) -> u64 {
        loop {
            let mut response = self.get(path).await;
            if response.status().is_success() {
                let mut size = 0;
                while let Some(piece) = response.chunk().await.expect("whole") {
                    size += piece.len() as u64;
                }
                return size;
            }
            assert_eq!(response.status(), 503, "{path}: {:?}", response.text().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The most memory that a role has ever had resident, in MiB.
    pub(crate) fn peak(&self, role: Role) -> u64 {
        status_mib(self.mirror.pid(role), "VmHWM:")
    }
}

/// A field of `/proc/PID/status`, in MiB.
fn status_mib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
