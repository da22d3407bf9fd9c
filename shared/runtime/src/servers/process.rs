//! One server process: how it is started, watched and ended.

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, Command},
    runtime::Handle,
    sync::oneshot,
};
use tokio_util::task::TaskTracker;

use super::{SERVER_UID, ServerError, directory};

/// How much of a server's standard error is kept for error messages.
const TAIL_BYTES_MAX: usize = 4096;
/// How long a server may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait for the last words of a process that ended.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(1);
/// Starts that may wait for the starting thread.
const ORDERS_MAX: usize = 64;
/// The servers get no environment but this: variables such as PGDATA must not reach them.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to start.
pub(super) struct Program {
    pub(super) file: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// What makes it stop gracefully; the kernel sends the same when this process dies.
    pub(super) stop: Stop,
}

/// The two signals in use.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// Postgres: a fast shutdown.
    Interrupt,
    /// nats-server.
    Terminate,
}

impl Stop {
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }
}

/// A running server. Dropping it asks it to stop and does not wait.
pub(super) struct Process {
    program: Program,
    child: Child,
    pid: Pid,
    tail: Arc<Mutex<Vec<u8>>>,
    reader: TaskTracker,
}

impl Process {
    /// Starts it from the starting thread.
    pub(super) async fn start(program: Program) -> Result<Self, ServerError> {
        Self::spawn(program, Stdio::null()).await
    }

    async fn spawn(program: Program, stdin: Stdio) -> Result<Self, ServerError> {
        let mut command = command(&program);
        command.stdin(stdin);
        let failed = |source| ServerError::Spawn { program: program.file.clone(), source };
        let mut child = launch(command).await.map_err(failed)?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .expect("a child not waited for has an id");
        let (tail, reader) = (Arc::default(), TaskTracker::new());
        if let Some(stderr) = child.stderr.take() {
            reader.spawn(read_stderr(stderr, Arc::clone(&tail)));
        }
        reader.close();
        Ok(Self { program, child, pid, tail, reader })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> String {
        describe(self.child.wait().await)
    }

    /// Waits for `ready`, but no longer than the process lives, and no longer than `deadline`.
    pub(super) async fn ready<T>(
        &mut self,
        deadline: Duration,
        ready: impl Future<Output = T>,
    ) -> Result<T, ServerError> {
        tokio::select! {
            value = ready => Ok(value),
            status = self.child.wait() => Err(self.ended(describe(status)).await),
            () = tokio::time::sleep(deadline) => {
                Err(ServerError::Deadline { program: self.program.file.clone(), after: deadline, tail: self.tail() })
            }
        }
    }

    /// Asks it to stop, waits, and kills it if it does not.
    pub(super) async fn stop(mut self) {
        self.signal(self.program.stop.signal());
        if tokio::time::timeout(STOP_DEADLINE, self.child.wait()).await.is_err() {
            tracing::warn!(program = %self.program.file.display(), pid = self.id(), "does not stop; killing it");
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.wait().await;
        }
    }

    /// Runs a program to its end, with `input` on its standard input.
    pub(super) async fn run(program: Program, input: &[u8], deadline: Duration) -> Result<(), ServerError> {
        let mut process = Self::spawn(program, Stdio::piped()).await?;
        if let Some(mut stdin) = process.child.stdin.take() {
            // One that ends without reading says why by its status.
            let _ = stdin.write_all(input).await;
        }
        let status = tokio::time::timeout(deadline, process.child.wait()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(process.ended(describe(status)).await),
            Err(_) => {
                let (program, tail) = (process.program.file.clone(), process.tail());
                process.stop().await;
                Err(ServerError::Deadline { program, after: deadline, tail })
            }
        }
    }

    async fn ended(&self, status: String) -> ServerError {
        // A grandchild may hold the pipe open, so this is bounded.
        let _ = tokio::time::timeout(LAST_WORDS_DEADLINE, self.reader.wait()).await;
        ServerError::Ended { program: self.program.file.clone(), status, tail: self.tail() }
    }

    fn tail(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    fn signal(&self, signal: Signal) {
        // Only while it has not been waited for: afterwards the number may be somebody else's.
        if self.child.id().is_some() {
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.program.stop.signal());
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// `setpriv` asks the kernel for the signal at our death, gives up root, and becomes the program: the same process id.
fn command(program: &Program) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", program.stop.name()]);
    if directory::is_root() {
        command.args([
            format!("--reuid={SERVER_UID}"),
            format!("--regid={SERVER_UID}"),
            "--clear-groups".to_owned(),
        ]);
    }
    command.arg("--").arg(&program.file).args(&program.arguments);
    command.current_dir("/").env_clear().envs([("PATH", PATH), ("LC_ALL", "C"), ("TZ", "UTC")]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    // A Ctrl-C on the terminal reaches us, not the servers; we stop them when the roles are done with them.
    command.process_group(0);
    command
}

/// One process to start, and where the result goes.
struct Order {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts a process from the one thread that lives as long as this process does.
async fn launch(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<SyncSender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let thread = std::thread::Builder::new().name("touchstone-servers".to_owned());
        thread
            .spawn(move || take_orders(&inbox))
            .expect("a process that cannot start one thread cannot go on");
        orders
    });
    let (reply, result) = oneshot::channel();
    orders.try_send(Order { command, runtime: Handle::current(), reply }).map_err(io::Error::other)?;
    result.await.map_err(io::Error::other)?
}

fn take_orders(inbox: &Receiver<Order>) {
    for Order { mut command, runtime, reply } in inbox {
        let _inside = runtime.enter();
        if let Err(Ok(mut unwanted)) = reply.send(command.spawn()) {
            let _ = unwanted.start_kill();
        }
    }
}

async fn read_stderr(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let bytes = &buffer[..length];
        for line in String::from_utf8_lossy(bytes).lines() {
            tracing::debug!(target: "touchstone_runtime::servers", "{line}");
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes);
        let excess = tail.len().saturating_sub(TAIL_BYTES_MAX);
        tail.drain(..excess);
    }
}
