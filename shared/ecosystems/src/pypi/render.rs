//! The index as clients get it: our addresses, refused files yanked with the reason, everything else as it came.

use std::{collections::HashMap, fmt::Write as _};

use bytes::Bytes;
use touchstone_domain::FileName;
use url::Url;

use super::{
    file::{File, Yanked},
    index::Project,
    name, protocol,
};
use crate::{Amendment, Amendments, IndexEntry, Rendered, json as slices, splice::Edits};

/// The JSON form (PEP 691). What is outside the `files` array is passed on byte for byte.
pub(super) fn json(project: &Project, public_url: &Url, amendments: &Amendments) -> Rendered {
    let document = &project.document;
    let mut body = Vec::with_capacity(document.len() + 64 * project.listed().count());
    body.extend_from_slice(&document[..project.files.start]);
    body.push(b'[');
    let mut separator = "";
    for link in links(project, public_url, amendments) {
        body.extend_from_slice(separator.as_bytes());
        link.object().iter().for_each(|piece| body.extend_from_slice(piece));
        separator = ",";
    }
    body.push(b']');
    body.extend_from_slice(&document[project.files.end..]);
    Rendered::of(protocol::JSON, body)
}

/// The HTML form (PEP 503), as either media type.
pub(super) fn html(
    project: &Project,
    content_type: &'static str,
    public_url: &Url,
    amendments: &Amendments,
) -> Rendered {
    let mut page = String::from("<!DOCTYPE html>\n<html>\n<head>\n");
    let mut meta = |name: &str, content: &str| {
        let _ = writeln!(page, "<meta name=\"{name}\" content=\"{}\">", Escaped(content));
    };
    meta("pypi:repository-version", &project.api_version);
    if let Some(status) = &project.status {
        meta("pypi:project-status", &status.status);
        if let Some(reason) = &status.reason {
            meta("pypi:project-status-reason", reason);
        }
    }
    let title = format!("Links for {}", project.package);
    let _ = writeln!(page, "<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>");
    for link in links(project, public_url, amendments) {
        link.anchor(&mut page);
    }
    page.push_str("</body>\n</html>\n");
    Rendered::of(content_type, page)
}

/// A file as it is listed.
struct Link<'a> {
    entry: &'a IndexEntry,
    /// The object in the upstream's index, or the one that was first seen.
    raw: &'a Bytes,
    file: File<'a>,
    url: String,
    provenance: Option<String>,
    /// Why it is refused.
    refused: Option<&'a str>,
    /// Whether the sidecar may be asked for: its digest is known, and it was neither refused nor changed.
    sidecar: bool,
}

fn links<'a>(
    project: &'a Project,
    public_url: &'a Url,
    amendments: &'a Amendments,
) -> impl Iterator<Item = Link<'a>> {
    let by_name: HashMap<&FileName, &Amendment> = amendments.iter().map(|((_, file), a)| (file, a)).collect();
    project.listed().filter_map(move |(entry, raw)| {
        let amendment = by_name.get(&entry.file).copied();
        let (raw, refused) = match amendment {
            None => (raw, None),
            Some(Amendment::Refuse { reason }) => (raw, Some(reason.as_str())),
            // what was on record cannot be read: the file is not listed, since the upstream's entry is about other bytes
            Some(Amendment::Restore { entry }) => (entry, None),
        };
        let file = File::parse(raw).ok().filter(|f| f.filename == entry.file.as_str())?;
        let sidecar = !file.sidecar_claims().is_empty()
            && name::sidecar_of(&entry.file).is_some_and(|s| !by_name.contains_key(&s));
        let provenance = file.provenance.is_some();
        Some(Link {
            entry,
            raw,
            url: protocol::file_url(public_url, file.sha256(), &project.package, &entry.file),
            provenance: provenance
                .then(|| protocol::provenance_url(public_url, &project.package, &entry.version, &entry.file)),
            file,
            refused,
            sidecar,
        })
    })
}

impl Link<'_> {
    /// The JSON object: the upstream's bytes, with new values spliced in.
    fn object(&self) -> Vec<Bytes> {
        let mut edits = Edits::default();
        let mut replace = |old: &str, new: String| {
            edits.replace(slices::span(self.raw, old).expect("a borrowed value is in its object"), new);
        };
        replace(self.file.url.raw, quoted(&self.url));
        if let (Some(old), Some(new)) = (&self.file.provenance, &self.provenance) {
            replace(old.raw, quoted(new));
        }
        if !self.sidecar {
            self.file.offers().for_each(|offer| replace(offer, "false".to_owned()));
        }
        match (self.refused, &self.file.yanked) {
            (Some(reason), Some(yanked)) => replace(yanked.raw, quoted(reason)),
            (Some(reason), None) => {
                let end = self.raw.trim_ascii_end().len() - 1;
                edits.replace(end..end, format!(",\"yanked\":{}", quoted(reason)));
            }
            (None, _) => {}
        }
        edits.apply(self.raw, 0..self.raw.len())
    }

    /// The HTML link.
    fn anchor(&self, page: &mut String) {
        page.push_str("<a");
        let mut attribute = |name: &str, value: &str| {
            let _ = write!(page, " {name}=\"{}\"", Escaped(value));
        };
        let hashes = &self.file.hashes.0;
        let named = |algorithm: &&str| hashes.contains_key(*algorithm);
        let fragment = ["sha256", "sha512", "sha384", "sha1", "md5"].iter().find(|a| named(a));
        let fragment = fragment.map_or_else(String::new, |a| format!("#{a}={}", hashes[*a]));
        attribute("href", &format!("{}{fragment}", self.url));
        if let Some(requires_python) = &self.file.requires_python {
            attribute("data-requires-python", requires_python);
        }
        let yanked = self.file.yanked.as_ref().and_then(|y| y.value.as_ref());
        match (self.refused, yanked) {
            (Some(reason), _) => attribute("data-yanked", reason),
            (None, Some(Yanked::Reason(reason))) => attribute("data-yanked", reason),
            (None, Some(Yanked::Flag(true))) => attribute("data-yanked", ""),
            (None, Some(Yanked::Flag(false)) | None) => {}
        }
        if self.sidecar
            && let Some(claim) = self.file.sidecar_claims().first()
        {
            attribute("data-core-metadata", &claim.value);
            attribute("data-dist-info-metadata", &claim.value);
        }
        if let Some(provenance) = &self.provenance {
            attribute("data-provenance", provenance);
        }
        let _ = writeln!(page, ">{}</a><br>", Escaped(self.entry.file.as_str()));
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string serialises")
}

/// Text for an attribute or between tags.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#x27;"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests;
