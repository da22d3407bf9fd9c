//! PyPI's indexes: PEP 691 JSON, and PEP 503 HTML, which is turned into it.

use serde_json::{Value, json};
use touchstone_domain::{Claim, ClaimField, Ecosystem};
use touchstone_ecosystems::{Amendments, Index, IndexEntry, IndexForm, Located};

use crate::index::{REASON, Subject, amendments, is_refused, sidecar, source, split};

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const HTML: &str = "text/html";

/// What is accepted renders, in every form, to an index of the same files with the same claims; the refused ones are
/// yanked with the reason, links lead to us, and to render it again changes nothing. Whether it is accepted as either.
pub fn check(data: &[u8]) -> bool {
    let subject = Subject::new(Ecosystem::Pypi, "foo");
    let (document, before) = split(data);
    let before = before.and_then(|before| subject.parse(JSON, &before).ok());
    let mut accepted = false;
    for content_type in [JSON, HTML] {
        let Ok(index) = subject.parse(content_type, &document) else { continue };
        let chosen = amendments(&*index, before.as_deref());
        for amendments in [Amendments::new(), chosen] {
            let shown = Shown { subject: &subject, index: &*index, before: before.as_deref(), amendments };
            shown.json();
            shown.html(&IndexForm::PypiHtml);
            shown.html(&IndexForm::PypiHtmlV1);
        }
        accepted = true;
    }
    accepted
}

struct Shown<'a> {
    subject: &'a Subject,
    index: &'a dyn Index,
    before: Option<&'a dyn Index>,
    amendments: Amendments,
}

impl Shown<'_> {
    fn json(&self) {
        let render = |index: &dyn Index, amendments: &Amendments| {
            self.subject.render(index, &IndexForm::PypiJson, amendments).expect("a form of PyPI")
        };
        let (content_type, body) = render(self.index, &self.amendments);
        let again = self.subject.parse(content_type, &body).expect("what is rendered can be read");
        self.same_files(&*again);
        for entry in self.index.entries() {
            let source = self.source(entry);
            let found = again.locate(&entry.version, &entry.file).expect("listed");
            assert_eq!(found.published_at, source.published_at);
            assert_eq!(found.claims, self.claims(entry, &source));
            self.yanked(entry, &source, &found);
            self.link(&*again, entry, &found);
        }
        assert_eq!(render(&*again, &Amendments::new()).1, body, "rendered again");
    }

    fn html(&self, form: &IndexForm) {
        let (content_type, body) =
            self.subject.render(self.index, form, &self.amendments).expect("a form of PyPI");
        if self.index.entries().is_empty() {
            return; // A page without links is any page.
        }
        let again = self.subject.parse(content_type, &body).expect("what is rendered can be read");
        self.same_files(&*again);
        for entry in self.index.entries() {
            let source = self.source(entry);
            let found = again.locate(&entry.version, &entry.file).expect("listed");
            let (may, hashes) = (self.claims(entry, &source), |claims: &[Claim]| {
                claims.iter().filter(|claim| claim.field == ClaimField::PypiHash && is_known(claim)).count()
            });
            // A page can say one hash, and white space for control characters. Which of two `=` ends the name of an
            // algorithm, nobody can tell; no digest has any, so that such a claim is malformed.
            let is_plain = |claim: &Claim| {
                !claim.value.contains(char::is_control) && claim.value.matches('=').count() < 2
            };
            if may.iter().all(is_plain) {
                assert_eq!(hashes(&found.claims), hashes(&may).min(1));
                assert!(found.claims.iter().all(|claim| may.contains(claim)), "{:?}", found.claims);
            }
            self.yanked(entry, &source, &found);
            self.link(&*again, entry, &found);
        }
    }

    fn same_files(&self, again: &dyn Index) {
        let files = |index: &dyn Index| -> Vec<_> {
            index.entries().iter().map(|e| (e.version.clone(), e.file.clone())).collect()
        };
        assert_eq!(files(again), files(self.index));
    }

    fn source(&self, entry: &IndexEntry) -> Located {
        source(self.index, self.before, &self.amendments, entry)
    }

    /// The claims that must be shown: all but that of a sidecar which may not be asked for.
    fn claims(&self, entry: &IndexEntry, source: &Located) -> Vec<Claim> {
        let withheld = self.is_sidecar_withheld(entry);
        let shown = |claim: &&Claim| !(withheld && claim.field == ClaimField::PypiCoreMetadata);
        source.claims.iter().filter(shown).cloned().collect()
    }

    fn is_sidecar_withheld(&self, entry: &IndexEntry) -> bool {
        sidecar(&entry.file).is_none_or(|s| self.amendments.contains_key(&(entry.version.clone(), s)))
    }

    /// A refused file is yanked, for this reason; another is or is not, as its upstream says.
    fn yanked(&self, entry: &IndexEntry, source: &Located, found: &Located) {
        let yanked = |located: &Located| {
            let object: Option<Value> = serde_json::from_slice(&located.evidence).ok();
            object.map(|object| object["yanked"].clone())
        };
        let (Some(found), Some(source)) = (yanked(found), yanked(source)) else { return };
        if is_refused(&self.amendments, entry) {
            assert_eq!(found, json!(REASON));
        } else {
            assert_eq!(is_true(&found), is_true(&source), "{found} of {source}");
        }
    }

    /// The link leads to us, and so does the sidecar's, which is offered only if it may be asked for.
    fn link(&self, again: &dyn Index, entry: &IndexEntry, found: &Located) {
        self.subject.leads_to(&found.url, entry);
        let Some(name) = sidecar(&entry.file) else { return };
        if let Some(found) = again.locate(&entry.version, &name) {
            assert!(!self.is_sidecar_withheld(entry), "{name} is offered");
            self.subject.leads_to(&found.url, &IndexEntry { file: name, ..entry.clone() });
        }
    }
}

/// Whether a page can say the hash.
fn is_known(claim: &Claim) -> bool {
    ["sha256=", "sha512=", "sha384=", "sha1=", "md5="].iter().any(|known| claim.value.starts_with(known))
}

/// A reason, an empty one too, is as good as `true`.
fn is_true(yanked: &Value) -> bool {
    !matches!(yanked, Value::Null | Value::Bool(false))
}
