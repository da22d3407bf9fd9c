//! What pip and uv share: requirements, and `*.dist-info` directories.

use std::{fs, path::Path};

use super::Packages;

/// Requirements as PEP 508 writes them.
pub(super) fn requirements(dependencies: &[(String, String)]) -> Vec<String> {
    dependencies.iter().map(|(name, requirement)| format!("{name}{requirement}")).collect()
}

/// Every distribution in a `site-packages` directory, by normalised name.
pub(super) fn installed(site: &Path) -> Packages {
    let entries = fs::read_dir(site).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let stems = names.filter_map(|name| name.strip_suffix(".dist-info").map(str::to_owned));
    stems
        .filter_map(|stem| stem.split_once('-').map(|(name, version)| (normal(name), version.to_owned())))
        .collect()
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}
