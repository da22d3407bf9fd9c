//! Runs of npm and pip as the tests of attestations need them: one package of many, whose dependencies nobody has here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};
use touchstone_tests::clients::Tools;
use url::Url;

/// Longer than a run takes on a busy machine.
const RUN_LIMIT: Duration = Duration::from_mins(2);
/// What stands in for a project's dependencies: packages on disk, which npm installs from there and audits not.
const DEPENDENCIES: [(&str, &str); 6] = [
    ("@sigstore/bundle", "5.0.0"),
    ("@sigstore/core", "4.0.0"),
    ("@sigstore/protobuf-specs", "0.5.0"),
    ("@sigstore/sign", "5.0.0"),
    ("@sigstore/tuf", "5.0.0"),
    ("@sigstore/verify", "4.0.0"),
];
/// A build backend that knows what the sdist says of itself, so that pip needs no other index to ask for it.
const BACKEND: &str = "\
import email, os, shutil
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    with open('PKG-INFO') as file:
        said = email.message_from_file(file)
    info = '{}-{}.dist-info'.format(said['Name'], said['Version'])
    os.mkdir(os.path.join(directory, info))
    shutil.copy('PKG-INFO', os.path.join(directory, info, 'METADATA'))
    return info
def build_wheel(directory, config_settings=None, metadata_directory=None):
    raise RuntimeError('nothing is built here')
";

/// A directory in which clients run, with caches and homes of its own.
pub(super) struct Workplace {
    directory: TempDir,
    tools: Tools,
}

/// How a run ended.
pub(super) struct Ran {
    pub(super) succeeded: bool,
    /// Standard output and standard error.
    pub(super) said: String,
    /// Standard output.
    pub(super) output: String,
}

impl Workplace {
    pub(super) fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("touchstone-attested-").tempdir().expect("a directory");
        Self { directory, tools: Tools::find() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `npm install sigstore@…`, in a project where its dependencies are on disk.
    pub(super) async fn npm_install(&self, mirror: &Url, package: &str) -> Ran {
        let project = self.path("project");
        let mut overrides = Map::new();
        for (name, version) in DEPENDENCIES {
            let stub = self.path("stubs").join(name);
            let manifest = json!({ "name": name, "version": version });
            write(&stub.join("package.json"), &manifest.to_string());
            overrides.insert(name.to_owned(), Value::from(format!("file:{}", stub.display())));
        }
        let manifest =
            json!({ "name": "project", "version": "1.0.0", "private": true, "overrides": overrides });
        write(&project.join("package.json"), &manifest.to_string());
        self.npm(mirror, &["install", package, "--no-audit", "--no-fund"], &[]).await
    }

    /// Any command of npm's in the same project.
    pub(super) async fn npm(&self, mirror: &Url, words: &[&str], environment: &[(&str, &Path)]) -> Ran {
        let mut command = self.command(self.tools.node());
        command.arg(self.tools.npm()).args(words).current_dir(self.path("project"));
        command
            .arg(format!("--registry={mirror}npm/"))
            .arg(format!("--cache={}", self.path("cache").display()));
        command.args(["--fetch-retries=0", "--no-update-notifier"]);
        command.arg(format!("--globalconfig={}", self.path("npmrc").display()));
        command.envs(environment.iter().copied());
        run(command).await
    }

    /// `pip download` of one requirement; the downloads are in `downloads`.
    pub(super) async fn pip_download(&self, mirror: &Url, requirement: &str) -> Ran {
        write(&self.path("backend/setuptools/__init__.py"), "");
        write(&self.path("backend/setuptools/build_meta.py"), BACKEND);
        let mut command = self.command(self.tools.python());
        command.args(["-m", "pip", "download", requirement, "--no-deps", "--no-build-isolation"]);
        command.args(["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=0"]);
        command.arg(format!("--index-url={mirror}pypi/simple/")).arg("--cache-dir").arg(self.path("cache"));
        command.arg("--dest").arg(self.path("downloads"));
        command.env("PYTHONPATH", self.path("backend")).env("PIP_CONFIG_FILE", "/dev/null");
        run(command).await
    }

    /// A client that knows this directory only, and whose way out leads nowhere: loopback is asked directly.
    fn command(&self, program: &Path) -> Command {
        let home = self.path("home");
        fs::create_dir_all(&home).expect("our own directory");
        let mut path = program.parent().expect("a file in a directory").as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        let mut command = Command::new(program);
        command.current_dir(&home).env_clear().env("HOME", &home).env("PATH", path).env("NO_COLOR", "1");
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "127.0.0.1").env("LANG", "C.UTF-8");
        command
    }
}

async fn run(mut command: Command) -> Ran {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let finished = timeout(RUN_LIMIT, command.output()).await.expect("it ends in time").expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = text(&finished.stdout);
    Ran { succeeded: finished.status.success(), said: format!("{output}{}", text(&finished.stderr)), output }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a file in a directory")).expect("our own directory");
    fs::write(path, content).expect("our own file");
}
