//! A private nats-server with JetStream on the loopback address.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
};

use super::{
    ServerError, directory,
    process::{Process, Program, Stop},
    supervise::{Recipe, Server},
};
use crate::Shutdown;

/// How long a start may take; reading back a large stream is part of it.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// How often to look whether it is ready.
const READY_PERIOD: Duration = Duration::from_millis(5);
/// The greeting is one line; a longer one is not from nats-server.
const GREETING_BYTES_MAX: u64 = 64 * 1024;

/// Where a private nats-server keeps its files, and which program it is.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Its directory; created if it is not there.
    pub data_dir: PathBuf,
    /// The `nats-server` program, see [`super::Search::nats_server`].
    pub binary: PathBuf,
}

/// A private nats-server. Dropping it asks it to stop without waiting.
pub struct Nats(Server<NatsRecipe>);

impl Nats {
    /// Starts it on a free port and waits until it greets.
    pub async fn start(options: NatsOptions) -> Result<Self, ServerError> {
        Self::launch(options, None).await
    }

    /// The same, with a configuration that says who may log in, and do what.
    pub async fn start_with_users(options: NatsOptions, configuration: String) -> Result<Self, ServerError> {
        Self::launch(options, Some(configuration)).await
    }

    async fn launch(options: NatsOptions, configuration: Option<String>) -> Result<Self, ServerError> {
        let prepare = move || NatsRecipe::prepare(options, configuration.as_deref());
        let recipe = tokio::task::spawn_blocking(prepare).await.expect(NO_PANIC)?;
        let server = Server::start(recipe).await?;
        directory::record_url(&server.recipe().base, &server.recipe().url())?;
        Ok(Self(server))
    }

    /// `nats://127.0.0.1:port`, without a user; the port stays the same over restarts.
    pub fn url(&self) -> String {
        self.0.recipe().url()
    }

    /// The process id; `None` while it is being started again.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// From now on, starts it again whenever it ends, until [`Nats::stop`] or the hard stage of the shutdown.
    pub fn supervise(&self, shutdown: &Shutdown) {
        self.0.supervise(shutdown);
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(&self) {
        self.0.stop().await;
        directory::forget_url(&self.0.recipe().base);
    }
}

const NO_PANIC: &str = "preparing a directory does not panic";

struct NatsRecipe {
    base: PathBuf,
    store: PathBuf,
    ports: PathBuf,
    binary: PathBuf,
    /// The file with its users, if it has any.
    configuration: Option<PathBuf>,
    /// 0 until the first start; the kernel picks one then.
    port: AtomicU16,
}

/// The file in which nats-server says where it listens.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl NatsRecipe {
    fn prepare(
        NatsOptions { data_dir, binary }: NatsOptions,
        configuration: Option<&str>,
    ) -> Result<Self, ServerError> {
        directory::reachable(&binary)?;
        let base = directory::private(&data_dir)?;
        let store = directory::private(&base.join("jetstream"))?;
        let ports = directory::private_and_empty(&base.join("ports"))?;
        let configuration =
            configuration.map(|text| directory::private_file(&base.join("nats.conf"), text)).transpose()?;
        Ok(Self { base, store, ports, binary, configuration, port: AtomicU16::new(0) })
    }

    fn url(&self) -> String {
        format!("nats://{}:{}", Ipv4Addr::LOCALHOST, self.port.load(Ordering::Acquire))
    }

    fn program(&self) -> Program {
        let port = match self.port.load(Ordering::Acquire) {
            0 => "-1".to_owned(),
            port => port.to_string(),
        };
        let mut arguments: Vec<OsString> = vec!["-js".into(), "-sd".into(), self.store.clone().into()];
        arguments.extend(["-a".into(), Ipv4Addr::LOCALHOST.to_string().into(), "-p".into(), port.into()]);
        if let Some(file) = &self.configuration {
            arguments.extend(["-c".into(), file.clone().into()]);
        }
        arguments.extend(["--ports_file_dir".into(), self.ports.clone().into()]);
        Program { file: self.binary.clone(), arguments, stop: Stop::Terminate }
    }
}

impl Recipe for NatsRecipe {
    const NAME: &'static str = "nats-server";

    async fn launch(&self) -> Result<Process, ServerError> {
        let mut process = Process::start(self.program()).await?;
        let file = self.ports.join(format!("nats-server_{}.ports", process.id()));
        let port = process.ready(READY_DEADLINE, greeted(&file)).await?;
        self.port.store(port, Ordering::Release);
        Ok(process)
    }
}

/// Waits until the file names a port on which nats-server greets; returns the port.
async fn greeted(file: &Path) -> u16 {
    loop {
        if let Some(port) = port_in(file).await
            && greets(port).await
        {
            return port;
        }
        tokio::time::sleep(READY_PERIOD).await;
    }
}

async fn port_in(file: &Path) -> Option<u16> {
    let text = tokio::fs::read(file).await.ok()?;
    // Half-written at first.
    let ports: Ports = serde_json::from_slice(&text).ok()?;
    ports.nats.iter().find_map(|url| url.rsplit(':').next()?.parse().ok())
}

async fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else {
        return false;
    };
    let mut greeting = String::new();
    let read = BufReader::new(stream.take(GREETING_BYTES_MAX)).read_line(&mut greeting).await;
    read.is_ok() && greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true")
}
