//! What the operators say: internal names, the deny list, minimum ages, required checks, recalls.

mod age;
mod deny;
mod internal;
mod recall;
mod weak;

use serde_json::Value;

use crate::metadata::{NPM_ABBREVIATED, PYPI_JSON, header, json, refusal, text};

/// The versions that a packument lists, and what `latest` is.
fn listed(packument: &Value) -> (Vec<&str>, &str) {
    let versions = packument["versions"].as_object().expect("versions").keys();
    (versions.map(String::as_str).collect(), packument["dist-tags"]["latest"].as_str().unwrap_or_default())
}
