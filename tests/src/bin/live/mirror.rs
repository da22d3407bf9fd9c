//! The mirror: the binary, its configuration and its data, all in one directory.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};
use touchstone_testkit::{Port, touchstone_binary};
use url::Url;

/// The mirror's own start, with a new database; and its end.
const MIRROR_LIMIT: Duration = Duration::from_mins(2);
/// Between two questions whether the mirror is ready.
const READY_POLL: Duration = Duration::from_millis(200);

/// A mirror that can be started again, with what it has.
pub(crate) struct Mirror {
    /// Configuration, data and log.
    pub(crate) directory: PathBuf,
    pub(crate) binary: PathBuf,
    /// Where clients find it.
    pub(crate) url: Url,
    /// Those of edge and console, also while it does not run.
    pub(crate) _ports: Vec<Port>,
}

impl Mirror {
    /// An empty one, in an empty directory.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let ports = vec![Port::take(), Port::take()];
        let [edge, console] = [ports[0].address(), ports[1].address()];
        let url = format!("http://{edge}/").parse()?;
        let (directory, binary) = (directory.to_owned(), touchstone_binary());
        let mirror = Self { directory, binary, url, _ports: ports };
        let text = format!(
            "data_dir = \"data\"\n\n[edge]\nlisten = \"{edge}\"\npublic_url = \"http://{edge}\"\n\n\
             [console]\nlisten = \"{console}\"\n"
        );
        fs::write(mirror.config(), text)?;
        Ok(mirror)
    }

    fn config(&self) -> PathBuf {
        self.directory.join("touchstone.toml")
    }

    /// Writes the registries of this machine's package clients into the configuration.
    pub(crate) async fn discover(&self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.config()).args(["upstreams", "discover", "--write"]);
        let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await?;
        ensure!(status.success(), "`touchstone upstreams discover` ended with {status}");
        Ok(())
    }

    /// Starts it, and waits until it says that it is ready. It ends when this process does.
    pub(crate) async fn start(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.directory.join("mirror.log"))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(&self.binary);
        command.arg("--config").arg(self.config()).arg("standalone").stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let ready = self.url.join("readyz")?;
        let http = http()?;
        let wait = async {
            loop {
                if let Some(status) = child.try_wait()? {
                    bail!("the mirror ended with {status}");
                }
                match http.get(ready.clone()).send().await {
                    Ok(answer) if answer.status().is_success() => return Ok(()),
                    Ok(_) | Err(_) => sleep(READY_POLL).await,
                }
            }
        };
        let waited = timeout(MIRROR_LIMIT, wait).await.context("the mirror is not ready").flatten();
        if let Err(problem) = waited {
            stop(child).await.context(problem)?;
            bail!("the mirror was never ready");
        }
        Ok(child)
    }

    /// Asks for a package that no project has, so that nothing can come but from the upstream.
    pub(crate) async fn expect_nothing_new(&self) -> Result<()> {
        let status = http()?.get(self.url.join("npm/is-odd")?).send().await?.status();
        ensure!(
            status == StatusCode::BAD_GATEWAY,
            "the mirror answers {status} for what only an upstream has"
        );
        Ok(())
    }
}

/// Asks the mirror to end, as a supervisor does.
pub(crate) async fn stop(mut running: Child) -> Result<()> {
    let id = running.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(id.context("the mirror ended by itself")?, rustix::process::Signal::TERM)?;
    let status = timeout(MIRROR_LIMIT, running.wait()).await.context("the mirror does not end")??;
    ensure!(status.success(), "the mirror ended with {status}");
    Ok(())
}

/// Asks the mirror on loopback, whatever proxies the environment names.
fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}
