//! npm.

use std::path::PathBuf;

use super::{ClientCommand, Driver, Mode, Packages, Place, node};

pub(super) struct Npm;

impl Driver for Npm {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        vec![(place.project.join("package.json"), node::manifest(dependencies))]
    }

    fn lockfile(&self) -> &'static str {
        "package-lock.json"
    }

    fn trees(&self) -> &'static [&'static str] {
        &["node_modules"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let verb = match mode {
            Mode::Resolve => "install",
            Mode::Locked => "ci",
        };
        ClientCommand::new(&place.tools.node)
            .arg(&place.tools.npm)
            .arg(verb)
            .args("--no-fund --no-update-notifier")
            .arg(format!("--globalconfig={}", place.fresh.join("npmrc").display()))
            .args("--fetch-retry-mintimeout=50 --fetch-retry-maxtimeout=500")
            .arg(format!("--registry={}", place.below("npm/")))
            .arg(format!("--cache={}", place.fresh.join("cache").display()))
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        node::installed(&place.project.join("node_modules"))
    }
}
