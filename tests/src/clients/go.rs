//! The go command. It is told one proxy and nothing after it, no version control, no other toolchain, and whose checksum
//! database counts; it reaches that database through the proxy alone.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use url::Url;

use super::{ClientCommand, Driver, Exit, Mode, Packages, Place, RUN_LIMIT, Tools, write};

pub(super) struct Go;

impl Driver for Go {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        let paths = dependencies.iter().map(|(path, _)| path.as_str());
        vec![
            (place.project.join("go.mod"), go_mod(&[])),
            (place.project.join("main.go"), program(paths)),
            (place.project.join("roots"), roots(dependencies)),
        ]
    }

    fn lockfile(&self) -> &'static str {
        "locked.mod"
    }

    fn trees(&self) -> &'static [&'static str] {
        &[]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let script = match mode {
            Mode::Resolve => {
                // What is looked into but not built is thrown away.
                "cp go.mod locked.mod && rm -f locked.sum && go get -modfile=locked.mod $(cat roots) && \
                 go clean -modcache && go build -modfile=locked.mod -o built ."
            }
            Mode::Locked => "go build -modfile=locked.mod -mod=readonly -o built .",
        };
        let command = ClientCommand::new("sh").arg("-c").arg(script);
        environment(command, place.tools, &place.fresh.join("go"), &place.below("go"))
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        downloaded(&place.fresh.join("go"))
    }
}

/// A manifest that requires these versions.
pub fn go_mod(modules: &[(&str, &str)]) -> String {
    let requires = modules.iter().flat_map(|(path, version)| ["\nrequire ", path, " ", version, "\n"]);
    ["module project.example\n\ngo 1.21\n"].into_iter().chain(requires).collect()
}

/// A program that imports these packages.
pub fn program<'a>(packages: impl Iterator<Item = &'a str>) -> String {
    let imports: String = packages.flat_map(|path| ["import _ \"", path, "\"\n"]).collect();
    format!("package main\n\n{imports}\nfunc main() {{}}\n")
}

/// One argument of `go get` a line.
fn roots(dependencies: &[(String, String)]) -> String {
    dependencies.iter().flat_map(|(path, query)| [path, "@", query, "\n"]).collect()
}

/// Everything that go reads from its environment. Only what is compiled outlives a run: no module is in there.
fn environment(command: ClientCommand, tools: &Tools, home: &Path, proxy: &str) -> ClientCommand {
    let mut path = tools.go.parent().expect("a file in a directory").as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    command
        .env("PATH", path)
        .env("GOPATH", home)
        .env("GOMODCACHE", home.join("mod"))
        .env("GOCACHE", &tools.go_cache)
        .env("GOENV", "off")
        .env("GOFLAGS", "-modcacherw")
        .env("GOPROXY", proxy)
        .env("GOTOOLCHAIN", "local")
        .env("GOVCS", "*:off")
        .env("CGO_ENABLED", "0")
}

/// The modules whose zips are in the cache.
fn downloaded(home: &Path) -> Packages {
    let root = home.join("mod/cache/download");
    let mut packages = Packages::new();
    collect(&root, &root, &mut packages);
    packages
}

fn collect(root: &Path, directory: &Path, packages: &mut Packages) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(root, &path, packages);
        } else if path.extension().is_some_and(|extension| extension == "zip") {
            let relative = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            let (module, file) = relative.split_once("/@v/").expect("the cache of go");
            packages.insert((unescaped(module), unescaped(file.trim_end_matches(".zip"))));
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut parts = text.split('!');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (letter, rest) = part.split_at(1);
        text + &letter.to_ascii_uppercase() + rest
    })
}

/// A module of one's own, the go command in it, and a module cache that is empty until something is downloaded.
pub struct GoProject {
    tools: Tools,
    dir: TempDir,
    proxy: Url,
    variables: Vec<(&'static str, String)>,
    emptied: AtomicUsize,
}

/// How a command went.
#[derive(Clone, Debug)]
pub struct GoRun {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote, with the command line first.
    pub output: String,
}

impl GoRun {
    /// Asserts that it succeeded, and gives what it wrote.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.exit, Exit::Code(0), "{}", self.output);
        &self.output
    }

    /// Asserts that it failed and says this.
    #[track_caller]
    pub fn failed(&self, words: &str) -> &str {
        assert!(matches!(self.exit, Exit::Code(code) if code != 0), "{:?}: {}", self.exit, self.output);
        assert!(self.output.contains(words), "does not say {words:?}: {}", self.output);
        &self.output
    }
}

impl GoProject {
    /// A module without requirements, whose go command asks this proxy alone and believes the database of this verifier key.
    ///
    /// # Panics
    /// When the tools are not installed: `./dev setup` does so.
    pub fn new(proxy: Url, sumdb: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("touchstone-go-").tempdir().expect("a temporary directory");
        let variables = vec![("GOSUMDB", sumdb.to_owned())];
        let project = Self { tools: Tools::find(), dir, proxy, variables, emptied: AtomicUsize::new(0) };
        project.write("go.mod", &go_mod(&[]));
        project
    }

    /// Sets a variable of the environment, over what it would be.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Writes a file of the module.
    pub fn write(&self, file: &str, content: &str) {
        write(&self.dir.path().join("project").join(file), content);
    }

    /// A file of the module, if it is there.
    pub fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.dir.path().join("project").join(file)).ok()
    }

    /// Removes a file of the module, if it is there.
    pub fn remove(&self, file: &str) {
        super::remove(&self.dir.path().join("project").join(file));
    }

    /// Goes on with an empty module cache; what go remembers of the database is gone, too.
    pub fn empty_cache(&self) {
        self.emptied.fetch_add(1, Ordering::SeqCst);
    }

    /// The modules whose zips were downloaded.
    pub fn downloaded(&self) -> Packages {
        downloaded(&self.home())
    }

    /// Runs `go` with these words as arguments.
    pub async fn go(&self, arguments: &str) -> GoRun {
        let (project, home) = (self.dir.path().join("project"), self.home());
        fs::create_dir_all(&home).expect("our own directory");
        let place = Place { tools: &self.tools, project: &project, fresh: &home, mirror: &self.proxy };
        let command = ClientCommand::new(&self.tools.go).args(arguments);
        let command = environment(command, &self.tools, &home, self.proxy.as_str().trim_end_matches('/'));
        let command = self.variables.iter().fold(command, |command, (name, value)| command.env(name, value));
        let finished = command.run(&place, RUN_LIMIT).await;
        GoRun { exit: finished.exit, output: finished.output }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join(format!("home-{}", self.emptied.load(Ordering::SeqCst)))
    }
}
