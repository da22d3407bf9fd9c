//! The metadata of each ecosystem, made from the published packages.

use std::{fmt::Write as _, net::SocketAddr, sync::atomic::Ordering};

use serde_json::{Map, Value, json};
use touchstone_domain::{Ecosystem, Sha256};

use super::{Shared, attestations, lock};
use crate::Package;

const NPM_ABBREVIATED: &str = "application/vnd.npm.install-v1+json";
const PYPI_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// The metadata document at a path; `None` if there is none.
pub(super) fn metadata(
    shared: &Shared,
    address: SocketAddr,
    path: &str,
    accept: &str,
) -> Option<(&'static str, Vec<u8>)> {
    if path == "cargo/config.json" {
        let config = json!({ "dl": format!("http://{address}/cargo/dl/{{crate}}/{{version}}") });
        return Some(("application/json", bytes(&config)));
    }
    let of = |ecosystem, is: &dyn Fn(&str) -> bool| -> Vec<Package> {
        lock(&shared.packages).iter().filter(|p| p.ecosystem == ecosystem && is(&p.name)).cloned().collect()
    };
    if let Some(name) = path.strip_prefix("npm/").filter(|rest| !rest.contains("/-/")) {
        let versions = of(Ecosystem::Npm, &|n| n == name);
        return (!versions.is_empty()).then(|| packument(shared, &versions, address, accept));
    }
    if let Some(name) = path.strip_prefix("pypi/simple/").and_then(|rest| rest.strip_suffix('/')) {
        let files = of(Ecosystem::Pypi, &|n| normal(n) == name);
        let html = shared.html_only.load(Ordering::SeqCst) || !accept.contains(PYPI_JSON);
        return (!files.is_empty()).then(|| {
            if html { html_page(shared, &files, address) } else { project(shared, &files, name, address) }
        });
    }
    let name = path.strip_prefix("cargo/").filter(|rest| !rest.starts_with("dl/"))?.rsplit('/').next()?;
    let versions = of(Ecosystem::Cargo, &|n| n.to_ascii_lowercase() == name);
    (!versions.is_empty()).then(|| ("text/plain", index_lines(&versions)))
}

fn packument(
    shared: &Shared,
    versions: &[Package],
    address: SocketAddr,
    accept: &str,
) -> (&'static str, Vec<u8>) {
    let mut listed = Map::new();
    let mut time = Map::from_iter([("created".to_owned(), Value::from("2020-01-01T00:00:00.000Z"))]);
    for package in versions {
        let mut manifest = package.npm_manifest();
        manifest["_id"] = Value::from(format!("{}@{}", package.name, package.version));
        manifest["dist"] = json!({
            "integrity": package.integrity(),
            "shasum": package.shasum(),
            "tarball": format!("http://{address}/npm/{}/-/{}", package.name, package.file),
        });
        attestations::describe(shared, package, address, &mut manifest);
        listed.insert(package.version.clone(), manifest);
        time.insert(package.version.clone(), Value::from(package.published.clone()));
    }
    let last = versions.last().map(|p| p.version.clone());
    let mut document =
        json!({ "name": versions[0].name, "dist-tags": { "latest": last }, "versions": listed });
    if accept.contains(NPM_ABBREVIATED) {
        document["modified"] = Value::from("2024-01-01T00:00:00.000Z");
        return (NPM_ABBREVIATED, bytes(&document));
    }
    document["time"] = Value::from(time);
    ("application/json", bytes(&document))
}

fn project(shared: &Shared, files: &[Package], name: &str, address: SocketAddr) -> (&'static str, Vec<u8>) {
    let listed: Vec<Value> = files
        .iter()
        .map(|p| {
            let core = p.metadata.as_ref().map_or(Value::from(false), |m| json!({ "sha256": Sha256::of(m).to_string() }));
            json!({
                "filename": p.file, "url": format!("http://{address}/pypi/files/{}", p.file), "size": p.bytes.len(),
                "hashes": { "sha256": p.sha256().to_string() }, "requires-python": ">=3.8", "yanked": false,
                "upload-time": p.published, "core-metadata": core, "data-dist-info-metadata": core,
                "provenance": attestations::provenance_url(shared, p, address),
            })
        })
        .collect();
    let mut versions: Vec<&str> = files.iter().map(|p| p.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let document =
        json!({ "meta": { "api-version": "1.4" }, "name": name, "versions": versions, "files": listed });
    (PYPI_JSON, bytes(&document))
}

fn html_page(shared: &Shared, files: &[Package], address: SocketAddr) -> (&'static str, Vec<u8>) {
    let mut page = String::from("<!DOCTYPE html>\n<html><body>\n");
    for p in files {
        let provenance = attestations::provenance_url(shared, p, address)
            .map_or_else(String::new, |url| format!(" data-provenance=\"{url}\""));
        let _infallible = writeln!(
            page,
            "<a href=\"http://{address}/pypi/files/{}#sha256={}\" data-requires-python=\"&gt;=3.8\"{provenance}>{}</a><br>",
            p.file,
            p.sha256(),
            p.file
        );
    }
    page.push_str("</body></html>\n");
    ("text/html", page.into_bytes())
}

fn index_lines(versions: &[Package]) -> Vec<u8> {
    let mut lines = Vec::new();
    for p in versions {
        let deps: Vec<Value> = p
            .dependencies
            .iter()
            .map(|(name, req)| {
                json!({ "name": name, "req": req, "features": [], "optional": false, "default_features": true,
                        "target": null, "kind": "normal" })
            })
            .collect();
        let line = json!({ "name": p.name, "vers": p.version, "deps": deps, "cksum": p.sha256().to_string(),
                           "features": {}, "yanked": false });
        lines.extend(bytes(&line));
        lines.push(b'\n');
    }
    lines
}

pub(super) fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("json")
}
