//! One run of a client: a bounded time, an environment of its own, and everything that it said.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::Place;

/// How a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By a signal.
    Signal,
    /// It was killed, because it took too long.
    TimedOut,
}

/// What to run; the place where it runs adds the rest.
pub(super) struct ClientCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

pub(super) struct Finished {
    pub(super) exit: Exit,
    pub(super) output: String,
    pub(super) elapsed: Duration,
}

impl ClientCommand {
    pub(super) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: vec![], environment: vec![] }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Arguments that are words of their own.
    pub(super) fn args(mut self, words: &str) -> Self {
        self.arguments.extend(words.split_whitespace().map(OsString::from));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Runs it to its end, or kills it and all that it started.
    pub(super) async fn run(&self, place: &Place<'_>, limit: Duration) -> Finished {
        let started = Instant::now();
        let log = place.fresh.join("output.log");
        let mut child = self.spawn(place, &log);
        let exit = match timeout(limit, child.wait()).await {
            Ok(status) => Exit::from(status.expect("our own child")),
            Err(_elapsed) => {
                kill_group(&child);
                let _killed = child.wait().await;
                Exit::TimedOut
            }
        };
        let said = tokio::fs::read(&log).await.expect("our own log");
        let output = format!("$ {}\n{}", self.line(), String::from_utf8_lossy(&said));
        Finished { exit, output, elapsed: started.elapsed() }
    }

    /// Output goes to a file: both streams stay in order, and nobody waits for a pipe that a grandchild holds open.
    fn spawn(&self, place: &Place<'_>, log: &Path) -> Child {
        let temporary = place.fresh.join("tmp");
        std::fs::create_dir_all(&temporary).expect("our own directory");
        let log = std::fs::File::create(log).expect("our own log");
        let mut path = OsString::from(place.tools.node.parent().expect("a file in a directory"));
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(place.project)
            .env_clear()
            .env("PATH", path)
            .env("HOME", place.fresh)
            .env("TMPDIR", temporary)
            .env("LANG", "C.UTF-8")
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("our own log"))
            .stdout(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.program.display()))
    }

    fn line(&self) -> String {
        let words =
            std::iter::once(self.program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str));
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        status.code().map_or(Self::Signal, Self::Code)
    }
}

fn kill_group(child: &Child) {
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(leader) = leader {
        let _gone = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Place, Tools},
        *,
    };

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_and_what_it_said_is_kept() {
        let fresh = tempfile::tempdir().expect("a directory");
        let mirror = "http://127.0.0.1:9/".parse().expect("an address");
        let place =
            Place { tools: &Tools::find(), project: fresh.path(), fresh: fresh.path(), mirror: &mirror };
        let shell = |script: &str| ClientCommand::new("sh").arg("-c").arg(script);

        let finished = shell("echo so far; sleep 600 & wait").run(&place, Duration::from_millis(300)).await;
        assert_eq!(finished.exit, Exit::TimedOut);
        assert!(finished.output.ends_with("so far\n"), "{}", finished.output);

        let finished = shell("echo so far; exit 3").run(&place, Duration::from_mins(1)).await;
        assert_eq!(finished.exit, Exit::Code(3));
        assert!(finished.output.ends_with("so far\n"), "{}", finished.output);
    }
}
