//! What the tests of this folder share.

use bytes::Bytes;
use touchstone_domain::{ClaimField, FileName, PackageName, Version};
use url::Url;

use super::{
    index::{self, Project},
    name, protocol,
};
use crate::{Amendments, Index as _, IndexError, IndexForm, Located, Rendered};

pub(super) const WHEEL: &str = "foo-1.0-py3-none-any.whl";
pub(super) const SDIST: &str = "foo-1.0.tar.gz";
pub(super) const A: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
pub(super) const B: &str = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";

pub(super) fn foo() -> PackageName {
    name::package("foo").expect("plain")
}

pub(super) fn root() -> Url {
    "https://mirror.example/pypi/".parse().expect("a constant")
}

pub(super) fn parsed(document: &str) -> Result<Project, IndexError> {
    index::parse(&foo(), protocol::JSON, &Bytes::copy_from_slice(document.as_bytes()))
}

pub(super) fn with_files(files: &str) -> Result<Project, IndexError> {
    parsed(&format!(r#"{{"meta":{{"api-version":"1.1"}},"name":"foo","files":[{files}]}}"#))
}

pub(super) fn problem(found: Result<Project, IndexError>) -> String {
    match found {
        Err(IndexError::Malformed { problem }) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}

pub(super) fn text(rendered: &Rendered) -> String {
    String::from_utf8(rendered.body.concat()).expect("text")
}

pub(super) fn shown(project: &Project, form: &IndexForm, amendments: &Amendments) -> String {
    text(&project.render(form, &root(), amendments).expect("a form of this ecosystem"))
}

pub(super) fn key(file: &str) -> (Version, FileName) {
    (Version::new("1.0").expect("plain"), FileName::new(file).expect("plain"))
}

pub(super) fn locate(project: &Project, file: &str) -> Option<Located> {
    let (version, file) = key(file);
    project.locate(&version, &file)
}

pub(super) fn values(located: &Located) -> Vec<(ClaimField, &str)> {
    located.claims.iter().map(|c| (c.field, c.value.as_str())).collect()
}

pub(super) fn sample() -> String {
    format!(
        r#"{{
  "meta": {{"api-version": "1.4", "_last-serial": 7}},
  "name": "Foo", "versions": ["0.9", "1.0"],
  "files": [
    {{"filename": "{WHEEL}", "url": "https://files.example/a/{WHEEL}", "hashes": {{"sha256": "{A}", "md5": "acbd18db4cc2f85cedef654fccc4a4d8"}},
      "requires-python": ">=3.9,<4", "size": 3, "upload-time": "2026-01-02T03:04:05.678901Z", "yanked": false,
      "core-metadata": {{"sha256": "{B}"}}, "data-dist-info-metadata": {{"sha256": "{B}"}},
      "provenance": "https://pypi.example/integrity/foo/1.0/{WHEEL}/provenance", "x-new": [1.10, {{"k": "\u00e9"}}]}},
    {{"filename": "foo-0.9.egg", "url": "foo-0.9.egg", "hashes": {{}}}},
    {{"url":"../../a/{SDIST}","hashes":{{}},"filename":"{SDIST}","core-metadata":true,"provenance":null}}
  ],
  "alternate-locations": []
}}"#
    )
}

pub(super) fn html(page: &str) -> Result<Project, IndexError> {
    index::parse(&foo(), "text/html; charset=utf-8", &Bytes::copy_from_slice(page.as_bytes()))
}
