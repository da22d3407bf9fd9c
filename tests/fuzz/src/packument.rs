//! npm's packuments.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};
use touchstone_domain::Ecosystem;
use touchstone_ecosystems::{Amendments, Index, IndexEntry, IndexForm};

use crate::index::{Subject, amendments, is_refused, source, split};

const JSON: &str = "application/json";

/// What is accepted renders to a packument that lists the same versions with the same claims, all but the refused ones;
/// no dist-tag dangles, links lead to us, and to render it again changes nothing. Whether it is accepted.
pub fn check(data: &[u8]) -> bool {
    let subject = Subject::new(Ecosystem::Npm, "@s/p");
    let (document, before) = split(data);
    let Ok(index) = subject.parse(JSON, &document) else { return false };
    let before = before.and_then(|before| subject.parse(JSON, &before).ok());
    let chosen = amendments(&*index, before.as_deref());
    for amendments in [Amendments::new(), chosen] {
        let shown = Shown { subject: &subject, index: &*index, before: before.as_deref(), amendments };
        shown.document(&IndexForm::NpmFull);
        shown.document(&IndexForm::NpmAbbreviated);
        shown.manifests();
    }
    true
}

struct Shown<'a> {
    subject: &'a Subject,
    index: &'a dyn Index,
    before: Option<&'a dyn Index>,
    amendments: Amendments,
}

impl Shown<'_> {
    fn document(&self, form: &IndexForm) {
        let render = |index: &dyn Index, amendments: &Amendments| {
            self.subject.render(index, form, amendments).expect("a form of npm")
        };
        let (content_type, body) = render(self.index, &self.amendments);
        serde_json::from_slice::<&RawValue>(&body).expect("JSON");
        let again = self.subject.parse(content_type, &body).expect("what is rendered can be read");
        let listed: Vec<&IndexEntry> =
            self.index.entries().iter().filter(|e| !is_refused(&self.amendments, e)).collect();
        assert_eq!(again.entries().len(), listed.len());
        for (found, entry) in again.entries().iter().zip(&listed) {
            assert_eq!((&found.version, &found.file), (&entry.version, &entry.file));
            if *form == IndexForm::NpmFull {
                assert_eq!(found.published_at, entry.published_at);
            }
            self.entry(&*again, entry, form);
        }
        self.names(&body, &listed);
        assert_eq!(render(&*again, &Amendments::new()).1, body, "rendered again");
    }

    /// An entry has our link, and else what its upstream says.
    fn entry(&self, again: &dyn Index, entry: &IndexEntry, form: &IndexForm) {
        let source = source(self.index, self.before, &self.amendments, entry);
        let found = again.locate(&entry.version, &entry.file).expect("listed");
        assert_eq!(found.claims, source.claims);
        self.subject.leads_to(&found.url, entry);
        let values = (object(&found.evidence), object(&source.evidence));
        let (Some(mut found), Some(mut source)) = values else { return };
        for value in [&mut found, &mut source] {
            value["dist"]["tarball"] = Value::Null;
            if value["dist"]["attestations"]["url"].is_string() {
                value["dist"]["attestations"]["url"] = Value::Null;
            }
        }
        match form {
            IndexForm::NpmFull => assert_eq!(found, source),
            _ => assert_eq!(found["dist"], source["dist"]),
        }
    }

    /// As another reader sees it: these versions, no refused one anywhere, and tags that lead to one of them.
    fn names(&self, body: &[u8], listed: &[&IndexEntry]) {
        let Some(shown) = object(body) else { return };
        let keys = |name: &str| -> BTreeSet<&str> {
            shown[name].as_object().into_iter().flat_map(|o| o.keys()).map(String::as_str).collect()
        };
        let listed: BTreeSet<&str> = listed.iter().map(|entry| entry.version.as_str()).collect();
        assert_eq!(keys("versions"), listed);
        for entry in self.index.entries().iter().filter(|e| is_refused(&self.amendments, e)) {
            assert!(!keys("time").contains(entry.version.as_str()), "{} has a time", entry.version);
        }
        if let Some(tags) = shown["dist-tags"].as_object() {
            for (tag, version) in tags {
                assert!(version.as_str().is_some_and(|v| listed.contains(v)), "{tag} dangles");
            }
            assert_eq!(tags.contains_key("latest"), !listed.is_empty());
        }
    }

    /// A version has a manifest if it is listed, and that is its entry.
    fn manifests(&self) {
        for entry in self.index.entries().iter().take(8) {
            let form = IndexForm::NpmManifest(entry.version.to_string());
            let manifest = self.subject.render(self.index, &form, &self.amendments);
            assert_eq!(manifest.is_none(), is_refused(&self.amendments, entry), "{}", entry.version);
            if let Some((content_type, manifest)) = manifest {
                let name = json!(self.subject.package);
                let version = json!(entry.version);
                let mut document = format!("{{\"name\":{name},\"versions\":{{{version}:").into_bytes();
                document.extend_from_slice(&manifest);
                document.extend_from_slice(b"}}");
                let again = self.subject.parse(content_type, &Bytes::from(document)).expect("a packument");
                self.entry(&*again, entry, &IndexForm::NpmFull);
            }
        }
    }
}

/// A document as another reader sees it, if that one can: numbers may be too large for it, and escapes half a character.
fn object(document: &[u8]) -> Option<Value> {
    serde_json::from_slice(document).ok()
}
