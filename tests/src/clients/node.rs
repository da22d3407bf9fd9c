//! What npm, pnpm and yarn share: `package.json`, and packages below `node_modules`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::Packages;

/// The project's manifest.
pub(super) fn manifest(dependencies: &[(String, String)]) -> String {
    let dependencies: Map<String, Value> =
        dependencies.iter().map(|(n, r)| (n.clone(), Value::from(r.as_str()))).collect();
    json!({ "name": "project", "version": "1.0.0", "private": true, "dependencies": dependencies })
        .to_string()
}

/// Every package below a `node_modules` directory, nested ones and pnpm's store of links included.
pub(super) fn installed(modules: &Path) -> Packages {
    let mut packages = Packages::new();
    collect(modules, &mut packages);
    packages
}

fn collect(modules: &Path, packages: &mut Packages) {
    for (name, path) in directories(modules) {
        if name == ".pnpm" {
            for (_, linked) in directories(&path) {
                collect(&linked.join("node_modules"), packages);
            }
        } else if name.starts_with('@') {
            for (_, package) in directories(&path) {
                read(&package, packages);
            }
        } else {
            read(&path, packages);
        }
    }
}

fn read(package: &Path, packages: &mut Packages) {
    let manifest =
        fs::read(package.join("package.json")).ok().and_then(|m| serde_json::from_slice::<Value>(&m).ok());
    if let Some(manifest) = manifest
        && let (Some(name), Some(version)) = (manifest["name"].as_str(), manifest["version"].as_str())
    {
        packages.insert((name.to_owned(), version.to_owned()));
    }
    collect(&package.join("node_modules"), packages);
}

/// Real directories, not links to them.
fn directories(parent: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}
