//! What the two index targets share: the input, the amendments that it chooses, and links.

use bytes::Bytes;
use touchstone_domain::{ArtifactId, Ecosystem, FileName, PackageName};
use touchstone_ecosystems::{
    Adapter, Amendment, Amendments, ArtifactRequest, Index, IndexEntry, IndexError, IndexForm, Located,
    RawRequest, ReadRequest, adapter,
};
use url::Url;

/// The reason of every refusal; with characters that need an escape in JSON and in HTML.
pub(crate) const REASON: &str = "not \"<checked>\" & not served";

/// One package of one ecosystem.
pub(crate) struct Subject {
    ecosystem: Ecosystem,
    pub(crate) package: PackageName,
    public_url: Url,
}

impl Subject {
    pub(crate) fn new(ecosystem: Ecosystem, package: &str) -> Self {
        let package = adapter(ecosystem).package(package).expect("a constant");
        let public_url = format!("https://mirror.example/{ecosystem}/");
        Self { ecosystem, package, public_url: public_url.parse().expect("a constant") }
    }

    pub(crate) fn adapter(&self) -> &'static dyn Adapter {
        adapter(self.ecosystem)
    }

    pub(crate) fn parse(&self, content_type: &str, document: &Bytes) -> Result<Box<dyn Index>, IndexError> {
        self.adapter().parse_index(&self.package, content_type, document.clone())
    }

    pub(crate) fn render(
        &self,
        index: &dyn Index,
        form: &IndexForm,
        amendments: &Amendments,
    ) -> Option<(&'static str, Bytes)> {
        let rendered = index.render(form, &self.public_url, amendments)?;
        assert_eq!(rendered.size(), rendered.body.iter().map(|piece| piece.len() as u64).sum::<u64>());
        Some((rendered.content_type, rendered.body.concat().into()))
    }

    /// A link that we made leads to us, and to the file that it stands at.
    pub(crate) fn leads_to(&self, link: &str, entry: &IndexEntry) {
        let path = link.strip_prefix(self.public_url.as_str());
        let path = path.unwrap_or_else(|| panic!("{link} leads elsewhere"));
        let request = RawRequest { method: "GET", path, accept: "" };
        let id = ArtifactId {
            ecosystem: self.ecosystem,
            package: self.package.clone(),
            version: entry.version.clone(),
            file: entry.file.clone(),
        };
        match self.adapter().parse(&request) {
            Ok(ReadRequest::Artifact(ArtifactRequest { id: found, .. })) => assert_eq!(found, id),
            other => panic!("{link} asks for {other:?}"),
        }
    }
}

/// A document and, after a NUL, which no document has, the one that was seen before it.
pub(crate) fn split(data: &[u8]) -> (Bytes, Option<Bytes>) {
    let nul = data.iter().position(|byte| *byte == 0);
    let before = nul.map(|at| Bytes::copy_from_slice(&data[at + 1..]));
    (Bytes::copy_from_slice(&data[..nul.unwrap_or(data.len())]), before)
}

/// What is amended: the letters of a file's name choose.
pub(crate) fn amendments(index: &dyn Index, before: Option<&dyn Index>) -> Amendments {
    let mut amendments = Amendments::new();
    for entry in index.entries() {
        for file in [Some(entry.file.clone()), sidecar(&entry.file)].into_iter().flatten() {
            let chosen = file.as_str().bytes().fold(0_u8, u8::wrapping_add) % 4;
            let old = before.and_then(|before| before.locate(&entry.version, &file));
            let amendment = match (chosen, old) {
                (0, _) => Amendment::Refuse { reason: REASON.to_owned() },
                (1, Some(old)) => Amendment::Restore { entry: old.evidence },
                _ => continue,
            };
            amendments.insert((entry.version.clone(), file), amendment);
        }
    }
    amendments
}

/// The name of the core metadata sidecar that a distribution may have.
pub(crate) fn sidecar(file: &FileName) -> Option<FileName> {
    FileName::new(format!("{file}.metadata")).ok()
}

pub(crate) fn is_refused(amendments: &Amendments, entry: &IndexEntry) -> bool {
    let amendment = amendments.get(&(entry.version.clone(), entry.file.clone()));
    matches!(amendment, Some(Amendment::Refuse { .. }))
}

/// What must be said of an entry that is shown: what its upstream says now, or what it said before.
pub(crate) fn source(
    index: &dyn Index,
    before: Option<&dyn Index>,
    amendments: &Amendments,
    entry: &IndexEntry,
) -> Located {
    let amendment = amendments.get(&(entry.version.clone(), entry.file.clone()));
    let from = match (amendment, before) {
        (Some(Amendment::Restore { .. }), Some(before)) => before,
        _ => index,
    };
    from.locate(&entry.version, &entry.file).expect("an entry is located")
}
