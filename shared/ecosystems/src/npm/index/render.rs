//! Packuments as clients get them.

use std::collections::BTreeMap;

use bytes::Bytes;
use touchstone_domain::Version;
use url::Url;

use super::{
    super::protocol::{ABBREVIATED, JSON},
    Entry, Packument, Role, Slot,
};
use crate::{Amendment, Amendments, IndexForm, Rendered, json, splice::Edits};

/// The part of an attestation address that registries share; what is before it is the registry's own.
const ATTESTATIONS: &str = "-/npm/v1/attestations/";

/// What becomes of a listed version.
enum Fate {
    Listed,
    Hidden,
    /// Another entry stands in its place.
    Replaced(Entry, Bytes),
}

#[derive(Clone, Copy)]
enum Form {
    Full,
    Abbreviated,
}

struct View<'a> {
    packument: &'a Packument,
    public_url: &'a str,
    fates: Vec<Fate>,
}

pub(super) fn render(
    packument: &Packument,
    form: &IndexForm,
    public_url: &Url,
    amendments: &Amendments,
) -> Option<Rendered> {
    let fates = (0..packument.entries.len()).map(|i| fate(packument, i, amendments)).collect();
    let view = View { packument, public_url: public_url.as_str(), fates };
    match form {
        IndexForm::NpmFull => Some(Rendered { content_type: JSON, body: view.document(Form::Full) }),
        IndexForm::NpmAbbreviated => {
            Some(Rendered { content_type: ABBREVIATED, body: view.document(Form::Abbreviated) })
        }
        IndexForm::NpmManifest(reference) => {
            Some(Rendered { content_type: JSON, body: view.manifest(reference)? })
        }
        IndexForm::PypiHtml
        | IndexForm::PypiHtmlV1
        | IndexForm::PypiJson
        | IndexForm::CargoSparse
        | IndexForm::GoList => None,
    }
}

fn fate(packument: &Packument, i: usize, amendments: &Amendments) -> Fate {
    let entry = &packument.entries[i];
    if amendments.is_empty() {
        return Fate::Listed;
    }
    match amendments.get(&(entry.version.clone(), entry.file.clone())) {
        None => Fate::Listed,
        Some(Amendment::Refuse { .. }) => Fate::Hidden,
        Some(Amendment::Restore { entry: old }) => {
            // What is on record was an entry once; if it is none, nothing can be said for the version.
            match Entry::scan(old, 0..old.len(), &packument.package, &entry.version) {
                Ok(Some(place)) if old.ends_with(b"}") => Fate::Replaced(place, old.clone()),
                Ok(_) | Err(_) => Fate::Hidden,
            }
        }
    }
}

impl View<'_> {
    fn document(&self, form: Form) -> Vec<Bytes> {
        let Packument { document, top, .. } = self.packument;
        let mut edits = Edits::default();
        for (i, place) in self.packument.places.iter().enumerate() {
            match &self.fates[i] {
                Fate::Listed => self.edit(&mut edits, document, place, i, form),
                Fate::Hidden => {}
                Fate::Replaced(..) => edits.replace(place.value.clone(), self.entry(i, form).concat()),
            }
        }
        self.cut(&mut edits, &self.packument.versions);
        let tags = self.tags();
        if let Some(at) = self.packument.tags.at.clone().filter(|_| !self.has_same_tags(&tags)) {
            edits.replace(at, serde_json::json!(tags).to_string());
        }
        match form {
            Form::Full => self.cut(&mut edits, &self.packument.times),
            Form::Abbreviated => {
                for cut in &top.cuts {
                    edits.cut(cut.clone());
                }
                if let Some(modified) = top.modified.clone() {
                    edits.replace(top.end..top.end, [b",\"modified\":", &document[modified]].concat());
                }
            }
        }
        edits.apply(document, 0..document.len())
    }

    /// One version's object.
    fn entry(&self, i: usize, form: Form) -> Vec<Bytes> {
        let mut edits = Edits::default();
        let (place, document) = match &self.fates[i] {
            Fate::Listed | Fate::Hidden => (&self.packument.places[i], &self.packument.document),
            Fate::Replaced(place, document) => (place, document),
        };
        self.edit(&mut edits, document, place, i, form);
        edits.apply(document, place.value.clone())
    }

    /// What changes inside a version's object.
    fn edit(&self, edits: &mut Edits, document: &[u8], place: &Entry, i: usize, form: Form) {
        let (root, file) = (self.public_url, &self.packument.entries[i].file);
        let tarball = format!("{root}{}/-/{file}", self.packument.package);
        edits.replace(place.tarball.clone(), serde_json::json!(tarball).to_string());
        if let Some(at) = &place.attestations_url {
            let url: String = json::value(document, at).unwrap_or_default();
            if let Some((_, rest)) = url.split_once(ATTESTATIONS) {
                let url = format!("{root}{ATTESTATIONS}{rest}");
                edits.replace(at.clone(), serde_json::json!(url).to_string());
            }
        }
        match form {
            Form::Full => {}
            Form::Abbreviated => {
                for cut in &place.cuts {
                    edits.cut(cut.clone());
                }
                if place.adds_install_script {
                    let end = place.value.end - 1;
                    edits.replace(end..end, ",\"hasInstallScript\":true");
                }
            }
        }
    }

    fn cut(&self, edits: &mut Edits, slots: &[Slot]) {
        let kept = |i: usize| match slots[i].role {
            Role::Entry(entry) => self.is_listed(entry),
            Role::LeftOut => false,
            Role::Other => true,
        };
        for cut in json::cuts(slots.iter().map(|slot| &slot.whole), kept) {
            edits.cut(cut);
        }
    }

    fn is_listed(&self, i: usize) -> bool {
        match &self.fates[i] {
            Fate::Listed | Fate::Replaced(..) => true,
            Fate::Hidden => false,
        }
    }

    /// The dist-tags that point to listed versions, and `latest` whenever a version is listed.
    fn tags(&self) -> BTreeMap<&str, &str> {
        let listed = |text: &str| self.listed(text).is_some();
        let tags = self.packument.tags.tags.iter().filter(|(_, version)| listed(version));
        let mut tags: BTreeMap<&str, &str> = tags.map(|(tag, at)| (tag.as_str(), at.as_str())).collect();
        if let Some(latest) = tags.get("latest").copied().or_else(|| self.highest()) {
            tags.insert("latest", latest);
        }
        tags
    }

    fn has_same_tags(&self, tags: &BTreeMap<&str, &str>) -> bool {
        let original = &self.packument.tags.tags;
        original.len() == tags.len()
            && original.iter().all(|(tag, at)| tags.get(tag.as_str()) == Some(&at.as_str()))
    }

    /// The highest listed release, or the highest prerelease when there is none.
    fn highest(&self) -> Option<&str> {
        let listed = (0..self.fates.len()).filter(|i| self.is_listed(*i));
        let versions = listed.filter_map(|i| {
            let text = self.packument.entries[i].version.as_str();
            let version = semver::Version::parse(text).ok()?;
            Some((version.pre.is_empty(), version, text))
        });
        versions.max().map(|(_, _, text)| text)
    }

    fn listed(&self, version: &str) -> Option<usize> {
        let version = Version::new(version).ok()?;
        self.packument.by_version.get(&version).copied().filter(|i| self.is_listed(*i))
    }

    /// The manifest of a version or, if there is no such version, of a dist-tag.
    fn manifest(&self, reference: &str) -> Option<Vec<Bytes>> {
        let at = if semver::Version::parse(reference).is_ok() {
            reference
        } else {
            self.tags().get(reference).copied()?
        };
        self.listed(at).map(|i| self.entry(i, Form::Full))
    }
}
