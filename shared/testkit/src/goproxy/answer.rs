//! The GOPROXY protocol.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{GoProxy, Module, unescape};
use crate::registry::lock;

/// One answer: the content type, the body, and whether its length is announced.
pub(crate) struct Answer {
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) lengthless: bool,
}

/// The answer at a path below `go/`; `None` for what is not there.
pub(crate) fn answer(proxy: &GoProxy, path: &str) -> Option<Answer> {
    let whole = |content_type, body| Some(Answer { content_type, body, lengthless: false });
    if let Some(module) = path.strip_suffix("/@latest") {
        let versions = versions(proxy, &unescape(module)?);
        let latest = versions.iter().rfind(|module| !is_pseudo(&module.version)).or(versions.last());
        return whole("application/json", info(latest?));
    }
    let (module, file) = path.split_once("/@v/")?;
    let module = unescape(module)?;
    let versions = versions(proxy, &module);
    if file == "list" {
        let listed = versions.iter().filter(|module| !is_pseudo(&module.version));
        let lines: String = listed.flat_map(|module| [&module.version, "\n"]).collect();
        return if versions.is_empty() { None } else { whole("text/plain; charset=utf-8", lines.into()) };
    }
    let (version, extension) = file.rsplit_once('.')?;
    let version = unescape(version)?;
    let found = versions.iter().find(|module| module.version == version);
    match extension {
        "info" => {
            let meant = lock(&proxy.revisions).get(&(module, version)).cloned();
            let meant = meant.and_then(|version| versions.iter().find(|module| module.version == version));
            whole("application/json", info(found.or(meant)?))
        }
        "mod" => whole("text/plain; charset=utf-8", found?.go_mod.clone()),
        "zip" => Some(Answer {
            content_type: "application/zip",
            body: found?.zip(),
            lengthless: proxy.lengthless.load(Ordering::SeqCst),
        }),
        _ => None,
    }
}

fn versions(proxy: &GoProxy, path: &str) -> Vec<Module> {
    lock(&proxy.modules).iter().filter(|module| module.path == path).cloned().collect()
}

fn info(module: &Module) -> Vec<u8> {
    json!({ "Version": module.version, "Time": module.time }).to_string().into_bytes()
}

/// Whether a version ends in a time and a commit.
fn is_pseudo(version: &str) -> bool {
    let version = version.split('+').next().unwrap_or_default();
    let mut parts = version.rsplit(['-', '.']);
    let is = |part: Option<&str>, length: usize, digit: fn(char) -> bool| {
        part.is_some_and(|part| part.len() == length && part.chars().all(digit))
    };
    is(parts.next(), 12, |c| c.is_ascii_hexdigit()) && is(parts.next(), 14, |c| c.is_ascii_digit())
}
