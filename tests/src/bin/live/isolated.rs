//! The half without network: this program again, in a network namespace where only loopback is up.
//!
//! *Invariant:* no process of the second half, mirror or client, has another network than loopback.

use std::{
    fs, io,
    process::{self, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{process::Command, time::timeout};
use touchstone_tests::clients::{Run, Tools};

use crate::mirror::Mirror;

/// The first argument of the process in the namespace; the mirror's directory, its binary and its address follow.
pub(crate) const FLAG: &str = "--unreachable";

/// All of the second half. Each of its runs is bounded, too.
const HALF_LIMIT: Duration = Duration::from_mins(30);
/// A command that only asks the kernel for something.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// What iproute2 does for `ip link set lo up`, where it is not installed: SIOCGIFFLAGS, then SIOCSIFFLAGS with IFF_UP.
const LOOPBACK_UP: &str = "
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    name, flags = struct.unpack('16sh', fcntl.ioctl(s, 0x8913, struct.pack('16sh14x', b'lo', 0))[:18])
    fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', name, flags | 1))
";

/// Whether this process may make a network namespace: asked before anything else, since the first half takes minutes.
pub(crate) async fn permitted() -> Result<()> {
    let tried = async {
        let output = step(namespace().arg("true")).await.context("`unshare` or `setpriv` does not run")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    };
    tried.await.context(
        "`live` makes a network namespace, to run its second half without network: \
         it must be run as root, with CAP_SYS_ADMIN, on Linux with util-linux installed",
    )
}

/// Runs the second half to its end, and takes what it hands back.
pub(crate) async fn run(mirror: &Mirror) -> Result<Vec<Run>> {
    let mut command = namespace();
    // The very file that runs here: its name may stand for a newer build by now.
    command.arg(format!("/proc/{}/exe", process::id())).arg(FLAG);
    command.args([&mirror.directory, &mirror.binary]).arg(mirror.url.as_str());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    // Dropped when the time is over, and killed by that; the mirror in there is asked to end by the kernel.
    let output = timeout(HALF_LIMIT, child.wait_with_output()).await;
    let output = output.context("the half without network does not end")??;
    ensure!(output.status.success(), "the half without network ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("the half without network handed back something else")
}

/// Brings loopback up, and nothing else: a new namespace has nothing that is up. One that is not new is refused.
pub(crate) async fn enter() -> Result<()> {
    let parent = rustix::process::getppid().context("nobody started this process")?;
    let theirs = fs::read_link(format!("/proc/{}/ns/net", parent.as_raw_nonzero()))?;
    let ours = fs::read_link("/proc/self/ns/net")?;
    ensure!(ours != theirs, "`{FLAG}` is only for the network namespace that `live` makes");
    let raised = match step(Command::new("ip").args(["link", "set", "lo", "up"])).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            step(Command::new(Tools::find().python()).args(["-c", LOOPBACK_UP])).await?
        }
        raised => raised?,
    };
    let said = String::from_utf8_lossy(&raised.stderr);
    ensure!(raised.status.success(), "loopback does not come up: {}", said.trim());
    Ok(())
}

/// A command in a network namespace of its own; it is killed when this process ends. The process id stays the same all along.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "setpriv", "--pdeathsig", "KILL", "--"]).kill_on_drop(true);
    command
}

async fn step(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(STEP_LIMIT, output).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}
