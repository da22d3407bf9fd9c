//! cargo, with its default source replaced by the mirror.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{ClientCommand, Driver, Mode, Packages, Place};

pub(super) struct Cargo;

impl Driver for Cargo {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        let dependencies: Vec<_> = dependencies.iter().map(|(n, r)| format!("{n} = {r:?}")).collect();
        let manifest = "[package]\nname = \"project\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[profile.dev]\ndebug = false\n";
        let registry = format!("sparse+{}", place.below("cargo/"));
        let configuration = format!(
            "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\nregistry = {registry:?}\n\n[net]\nretry = 1\n"
        );
        vec![
            (
                place.project.join("Cargo.toml"),
                format!("{manifest}\n[dependencies]\n{}\n", dependencies.join("\n")),
            ),
            (place.project.join("src/main.rs"), "fn main() {}\n".to_owned()),
            (home(place).join("config.toml"), configuration),
        ]
    }

    fn lockfile(&self) -> &'static str {
        "Cargo.lock"
    }

    fn trees(&self) -> &'static [&'static str] {
        &["target"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let verb = match mode {
            Mode::Resolve => "fetch --target host-tuple",
            Mode::Locked => "check --locked",
        };
        let command = ClientCommand::new("cargo").args(verb).env("CARGO_HOME", home(place));
        let command = command.env("RUSTUP_HOME", rustup_home());
        match env::var_os("RUSTUP_TOOLCHAIN") {
            Some(toolchain) => command.env("RUSTUP_TOOLCHAIN", toolchain),
            None => command,
        }
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        let registries = directories(&home(place).join("registry/src"));
        let crates = registries.iter().flat_map(|registry| directories(registry));
        crates.filter_map(|root| coordinates(&root.join("Cargo.toml"))).collect()
    }
}

/// Cargo's own home, empty at first.
fn home(place: &Place<'_>) -> PathBuf {
    place.fresh.join("cargo")
}

/// The toolchains stay where they are: `HOME` is another one for the client.
fn rustup_home() -> PathBuf {
    let default = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".rustup");
    env::var_os("RUSTUP_HOME").map_or_else(default, PathBuf::from)
}

fn coordinates(manifest: &Path) -> Option<(String, String)> {
    let manifest: toml::Table = fs::read_to_string(manifest).ok()?.parse().ok()?;
    let field = |name: &str| Some(manifest.get("package")?.get(name)?.as_str()?.to_owned());
    Some((field("name")?, field("version")?))
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
