//! PEP 503 HTML, turned into the JSON of PEP 691, so that there is one model behind both.
//!
//! The tokenizer is a WHATWG one. Only links are read, and of the head only what PEP 629 and PEP 792 define.

use std::collections::BTreeMap;

use bytes::Bytes;
use html5gum::{DefaultEmitter, Error, StartTag, Token, Tokenizer};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use touchstone_domain::PackageName;

use super::index::{FILES_MAX, malformed, utf8};
use crate::IndexError;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Page {
    meta: Value,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_status: Option<Value>,
    files: Vec<Link>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Link {
    filename: String,
    url: String,
    hashes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dist_info_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<String>,
}

/// The page as JSON of version 1.0, which is all that HTML can say.
pub(super) fn to_json(package: &PackageName, document: &Bytes) -> Result<Bytes, IndexError> {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut page = Page {
        meta: json!({ "api-version": "1.0" }),
        name: package.to_string(),
        project_status: None,
        files: vec![],
    };
    let (mut status, mut reason) = (None, None);
    for Ok(token) in Tokenizer::new_with_emitter(utf8(document)?, emitter) {
        let tag = match token {
            Token::StartTag(tag) => tag,
            Token::Error(error) if error.value == Error::DuplicateAttribute => {
                return Err(malformed("an attribute comes twice in one tag"));
            }
            Token::EndTag(_) | Token::String(_) | Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {
                continue;
            }
        };
        match tag.name.as_slice() {
            b"base" => return Err(malformed("a <base> element would change every link")),
            b"meta" => match attribute(&tag, "name").as_deref() {
                Some("pypi:repository-version") => {
                    check_version(&attribute(&tag, "content").unwrap_or_default())?;
                }
                Some("pypi:project-status") => status = attribute(&tag, "content"),
                Some("pypi:project-status-reason") => reason = attribute(&tag, "content"),
                _ => {}
            },
            b"a" => page.files.extend(link(&tag)),
            _ => {}
        }
        if page.files.len() > FILES_MAX {
            return Err(IndexError::Limit { problem: format!("more than {FILES_MAX} links") });
        }
    }
    page.project_status = status.map(|status| json!({ "status": status, "reason": reason }));
    Ok(serde_json::to_vec(&page).expect("strings serialise").into())
}

fn check_version(version: &str) -> Result<(), IndexError> {
    if version.starts_with("1.") {
        Ok(())
    } else {
        Err(malformed(format!("repository version {version:?} is not 1.x")))
    }
}

/// A link to a file: the file's name is the last segment of the address, as clients read it, and not the text.
fn link(tag: &StartTag<()>) -> Option<Link> {
    let href = attribute(tag, "href")?;
    let (url, fragment) = href.split_once('#').unwrap_or((&href, ""));
    let segment = url.split('?').next()?.rsplit('/').next()?;
    let filename = percent_decode_str(segment).decode_utf8().ok().filter(|name| !name.is_empty())?;
    let hashes = fragment.split_once('=').map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned()));
    Some(Link {
        filename: filename.into_owned(),
        url: url.to_owned(),
        hashes: hashes.into_iter().collect(),
        requires_python: attribute(tag, "data-requires-python"),
        core_metadata: attribute(tag, "data-core-metadata").map(|value| core_metadata(&value)),
        data_dist_info_metadata: attribute(tag, "data-dist-info-metadata").map(|value| core_metadata(&value)),
        yanked: attribute(tag, "data-yanked")
            .map(|reason| if reason.is_empty() { true.into() } else { reason.into() }),
        provenance: attribute(tag, "data-provenance"),
    })
}

/// `true`, or `algorithm=hex`.
fn core_metadata(value: &str) -> Value {
    match value.split_once('=') {
        Some((algorithm, hex)) => json!({ algorithm: hex }),
        None => Value::Bool(value == "true"),
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    String::from_utf8(value.value.0.clone()).ok()
}

#[cfg(test)]
mod tests;
