//! A miniature module proxy: modules made on the spot as the go command accepts them, below `/go/` of the registry.
//!
//! Digests are computed here from what the modules hold, by the specification alone, so that the product's are checked
//! against something else than themselves.

mod answer;
mod escape;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::Sha256;

use crate::{
    Registry,
    registry::lock,
    zip::{self, ZipEntry},
};

pub(crate) use answer::{Answer, answer};
pub(crate) use escape::{escape, unescape};

/// The module that the go command fetches itself from.
const TOOLCHAIN: &str = "golang.org/toolchain";

/// One version of a module.
#[derive(Clone, Debug)]
pub struct Module {
    /// The module path.
    pub path: String,
    /// The version.
    pub version: String,
    /// The `.mod` file.
    pub go_mod: Vec<u8>,
    /// What is in the zip, in order.
    pub entries: Vec<ZipEntry>,
    /// When it was committed, by the proxy's word.
    pub time: String,
}

impl Module {
    /// A module with one package at its root, whose `Name` is the module path.
    pub fn new(path: &str, version: &str) -> Self {
        Self { entries: vec![], ..Self::bare(path, version) }.requiring(&[])
    }

    /// A module that requires others, and imports their root packages.
    #[must_use]
    pub fn requiring(self, modules: &[(&str, &str)]) -> Self {
        let mut go_mod = format!("module {}\n\ngo 1.21\n", self.path);
        let mut source = format!("package {}\n\n", package_name(&self.path));
        for (path, version) in modules {
            let _infallible = write!(go_mod, "\nrequire {path} {version}\n");
            let _infallible = writeln!(source, "import _ \"{path}\"");
        }
        let _infallible =
            write!(source, "\n// Name says which module this is.\nconst Name = {:?}\n", self.path);
        self.with_go_mod(&go_mod).file("module.go", source)
    }

    /// A toolchain whose `bin/go` is a script that says its version and its arguments: `go1.99.0`, `linux-amd64`.
    pub fn toolchain(go: &str, platform: &str) -> Self {
        let script = format!("#!/bin/sh\necho \"{go} of the registry: $*\"\n");
        let module = Self::bare(TOOLCHAIN, &format!("v0.0.1-{go}.{platform}"));
        // What the go command makes executable has to be there.
        let tool = format!("pkg/tool/{}/tool", platform.replace('-', "_"));
        let programs = ["bin/gofmt", &tool, "lib/none"];
        let module = programs.into_iter().fold(module, |module, name| module.file(name, ""));
        module.file("bin/go", script).file("VERSION", format!("{go}\n"))
    }

    fn bare(path: &str, version: &str) -> Self {
        let (path, version) = (path.to_owned(), version.to_owned());
        let go_mod = format!("module {path}\n").into_bytes();
        Self { path, version, go_mod, entries: vec![], time: "2024-01-02T03:04:05Z".to_owned() }
    }

    /// Adds a file of the module, or replaces it.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        let entry = ZipEntry::file(self.below(name), content);
        match self.entries.iter_mut().find(|there| there.name == entry.name) {
            Some(there) => *there = entry,
            None => self.entries.push(entry),
        }
        self
    }

    /// Takes a file of the module away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let name = self.below(name);
        self.entries.retain(|entry| entry.name != name);
        self
    }

    /// Adds an entry to the zip, whatever it is called.
    #[must_use]
    pub fn entry(mut self, entry: ZipEntry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Sets the `go.mod`: the one in the zip and the `.mod` file.
    #[must_use]
    pub fn with_go_mod(self, text: &str) -> Self {
        self.with_mod_file(text).file("go.mod", text)
    }

    /// Sets the `.mod` file alone.
    #[must_use]
    pub fn with_mod_file(mut self, text: &str) -> Self {
        self.go_mod = text.into();
        self
    }

    /// The zip.
    pub fn zip(&self) -> Vec<u8> {
        zip::stored(&self.entries)
    }

    /// The digest of the zip: `h1:` and base64.
    pub fn zip_h1(&self) -> String {
        h1(self.entries.iter().map(|entry| (entry.name.as_str(), &entry.content[..])))
    }

    /// The digest of the `.mod` file.
    pub fn mod_h1(&self) -> String {
        mod_h1(&self.go_mod)
    }

    /// The path of one of its files at the registry, without leading slash: `zip`, `mod` or `info`. The name for
    /// [`Registry::fault`].
    pub fn at(&self, extension: &str) -> String {
        format!("go/{}/@v/{}.{extension}", escape(&self.path), escape(&self.version))
    }

    /// The path of its lookup at the registry, without leading slash.
    pub fn lookup(&self) -> String {
        format!("sumdb/lookup/{}@{}", escape(&self.path), escape(&self.version))
    }

    fn below(&self, name: &str) -> String {
        format!("{}@{}/{name}", self.path, self.version)
    }
}

/// The digest of a `go.mod`: `h1:` and base64.
pub fn mod_h1(go_mod: &[u8]) -> String {
    h1([("go.mod", go_mod)].into_iter())
}

/// SHA-256 over a line for each file, in the order of their names.
fn h1<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let files: BTreeMap<&str, Sha256> = files.map(|(name, content)| (name, Sha256::of(content))).collect();
    let lines =
        files.iter().fold(String::new(), |lines, (name, digest)| lines + &format!("{digest}  {name}\n"));
    format!("h1:{}", STANDARD.encode(Sha256::of(lines.as_bytes()).0))
}

/// The last element of a module path that is no major version, as an identifier.
fn package_name(path: &str) -> String {
    let is_major = |element: &&str| {
        element.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let element = path.rsplit('/').find(|element| !is_major(element)).unwrap_or("module");
    let letters: String = element.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("m{}", letters.to_ascii_lowercase())
}

/// What the registry has of Go.
#[derive(Default)]
pub(crate) struct GoProxy {
    modules: std::sync::Mutex<Vec<Module>>,
    /// What branches and commits mean, by module path and query.
    revisions: std::sync::Mutex<HashMap<(String, String), String>>,
    lengthless: AtomicBool,
}

impl Registry {
    /// Publishes a version of a module, and records it in the checksum database; what was there is replaced, the record
    /// stays.
    pub fn publish_module(&self, module: Module) {
        self.sumdb().record(&module.path, &module.version, &module.zip_h1(), &module.mod_h1());
        self.serve_module(module);
    }

    /// Publishes a version of a module of which the checksum database knows nothing, or something else.
    pub fn serve_module(&self, module: Module) {
        let mut modules = lock(&self.go().modules);
        modules.retain(|there| (&there.path, &there.version) != (&module.path, &module.version));
        modules.push(module);
    }

    /// Deletes every version of a module from the proxy.
    pub fn withdraw_module(&self, path: &str) {
        lock(&self.go().modules).retain(|module| module.path != path);
    }

    /// Says which version a branch or a commit is now.
    pub fn tag_module(&self, path: &str, query: &str, version: &str) {
        lock(&self.go().revisions).insert((path.to_owned(), query.to_owned()), version.to_owned());
    }

    /// Sends every zip without saying how long it is.
    pub fn set_lengthless_zips(&self, lengthless: bool) {
        self.go().lengthless.store(lengthless, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
