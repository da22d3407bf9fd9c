//! Yarn 4.

use std::path::PathBuf;

use super::{ClientCommand, Driver, Mode, Packages, Place, node};

pub(super) struct Yarn;

impl Driver for Yarn {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        let host = place.mirror.host_str().expect("an address has a host");
        let configuration = [
            format!("npmRegistryServer: {:?}", place.below("npm")),
            format!("unsafeHttpWhitelist: [{host:?}]"),
            format!("globalFolder: {}", place.fresh.join("yarn").display()),
            format!("cacheFolder: {}", place.fresh.join("cache").display()),
            "nodeLinker: node-modules\nenableGlobalCache: false\nenableTelemetry: false\nhttpRetry: 1\n"
                .to_owned(),
        ];
        vec![
            (place.project.join("package.json"), node::manifest(dependencies)),
            (place.project.join(".yarnrc.yml"), configuration.join("\n")),
        ]
    }

    fn lockfile(&self) -> &'static str {
        "yarn.lock"
    }

    fn trees(&self) -> &'static [&'static str] {
        &["node_modules", ".yarn"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let immutable = match mode {
            Mode::Resolve => "--no-immutable",
            Mode::Locked => "--immutable",
        };
        ClientCommand::new(&place.tools.node).arg(&place.tools.yarn).arg("install").arg(immutable)
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        node::installed(&place.project.join("node_modules"))
    }
}
