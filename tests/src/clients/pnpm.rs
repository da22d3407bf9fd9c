//! pnpm.

use std::path::PathBuf;

use super::{ClientCommand, Driver, Mode, Packages, Place, node};

pub(super) struct Pnpm;

impl Driver for Pnpm {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        vec![(place.project.join("package.json"), node::manifest(dependencies))]
    }

    fn lockfile(&self) -> &'static str {
        "pnpm-lock.yaml"
    }

    fn trees(&self) -> &'static [&'static str] {
        &["node_modules"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let frozen = match mode {
            Mode::Resolve => "--no-frozen-lockfile",
            Mode::Locked => "--frozen-lockfile",
        };
        ClientCommand::new(&place.tools.node)
            .arg(&place.tools.pnpm)
            .arg("install")
            .arg(frozen)
            .arg("--reporter=append-only")
            .env("pnpm_config_registry", place.below("npm/"))
            .env("pnpm_config_store_dir", place.fresh.join("store"))
            .env("pnpm_config_cache_dir", place.fresh.join("cache"))
            .env("pnpm_config_update_notifier", "false")
            .env("pnpm_config_fetch_retry_mintimeout", "50")
            .env("pnpm_config_fetch_retry_maxtimeout", "500")
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        node::installed(&place.project.join("node_modules"))
    }
}
