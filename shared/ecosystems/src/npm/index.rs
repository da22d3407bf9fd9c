//! Packuments: one document for all versions of a package, tens of megabytes for some.
//!
//! The document is read once, in place: what is kept are positions in it. A render cuts, replaces and inserts at those
//! positions, and shares the rest.
//!
//! *Invariant:* `integrity`, `shasum` and `signatures` of a listed version reach the client as the upstream wrote them.

mod entry;
mod render;

use std::{borrow::Cow, collections::HashMap, ops::Range};

use bytes::Bytes;
use jiff::Timestamp;
use touchstone_domain::{Claim, ClaimField, FileName, PackageName, Version};
use url::Url;

use super::{name, protocol};
use crate::{
    Amendments, Index, IndexEntry, IndexError, IndexForm, Located, Rendered,
    index::{expect_media_type, shortened},
    json::{self, Member},
};
use entry::Entry;

/// More versions than any package has; each costs a few hundred bytes of memory.
const VERSIONS_MAX: usize = 100_000;
/// More dist-tags than any package has.
const TAGS_MAX: usize = 100_000;

/// A parsed packument.
#[derive(Debug)]
pub(super) struct Packument {
    document: Bytes,
    package: PackageName,
    /// The listed versions, in the document's order.
    entries: Vec<IndexEntry>,
    /// The places of the same versions.
    places: Vec<Entry>,
    by_version: HashMap<Version, usize>,
    /// The members of `versions`: where, and which entry it is unless it is left out.
    versions: Vec<Slot>,
    /// The members of `time`.
    times: Vec<Slot>,
    tags: Tags,
    top: Top,
}

/// A member of `versions` or `time`.
#[derive(Debug)]
struct Slot {
    whole: Range<usize>,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It belongs to this entry.
    Entry(usize),
    /// It belongs to a version that is not listed, and goes too.
    LeftOut,
    /// It belongs to no version, as `time.created`.
    Other,
}

/// `dist-tags`: where the object is, and what it says.
#[derive(Debug, Default)]
struct Tags {
    at: Option<Range<usize>>,
    tags: Vec<(String, String)>,
}

/// What a render needs of the document's outermost object.
#[derive(Debug)]
struct Top {
    /// What the abbreviated form leaves out.
    cuts: Vec<Range<usize>>,
    /// The value of `time.modified`, which the abbreviated form has as `modified`, unless it is there already.
    modified: Option<Range<usize>>,
    /// Where the closing brace is.
    end: usize,
}

impl Packument {
    /// Reads a document about `package`. What could mean two things is an error; versions that are not of the grammar, or
    /// that say something else inside than their key, are left out.
    pub(super) fn parse(
        package: &PackageName,
        content_type: &str,
        document: &Bytes,
    ) -> Result<Self, IndexError> {
        expect_media_type(content_type, &[protocol::JSON, protocol::ABBREVIATED])?;
        json::check(document)?;
        let top = members(document, 0..document.len(), "the packument")?;
        let found: String = match unique(&top, "name")? {
            Some(name) => text(document, &name.value, "`name`")?,
            None => String::new(),
        };
        if found != package.as_str() {
            return Err(IndexError::OtherPackage { expected: package.to_string(), found: shortened(&found) });
        }
        let versions = object(document, unique(&top, "versions")?)?;
        let times = object(document, unique(&top, "time")?)?;
        if versions.len() > VERSIONS_MAX {
            let problem = format!("{} versions, of {VERSIONS_MAX} at most", versions.len());
            return Err(IndexError::Limit { problem });
        }
        let mut parsed = Self {
            package: package.clone(),
            entries: vec![],
            places: vec![],
            by_version: HashMap::new(),
            versions: Vec::with_capacity(versions.len()),
            times: vec![],
            tags: tags(document, unique(&top, "dist-tags")?)?,
            top: Top::of(document, &top, &times),
            document: document.clone(),
        };
        let roles = parsed.read_versions(document, versions)?;
        parsed.read_times(document, &times, &roles)?;
        Ok(parsed)
    }

    fn read_versions<'a>(
        &mut self,
        document: &'a [u8],
        versions: Vec<Member<'a>>,
    ) -> Result<HashMap<Cow<'a, str>, Role>, IndexError> {
        let mut roles = HashMap::with_capacity(versions.len());
        for Member { key, whole, value } in versions {
            let role = match self.listed(document, &key, value)? {
                Some((version, file, place)) => {
                    self.by_version.insert(version.clone(), self.entries.len());
                    let attested = place.is_attested;
                    self.entries.push(IndexEntry { version, file, published_at: None, attested });
                    self.places.push(place);
                    Role::Entry(self.entries.len() - 1)
                }
                None => Role::LeftOut,
            };
            self.versions.push(Slot { whole, role });
            if roles.insert(key.clone(), role).is_some() {
                return Err(twice("version", &key));
            }
        }
        Ok(roles)
    }

    fn listed(
        &self,
        document: &[u8],
        key: &str,
        value: Range<usize>,
    ) -> Result<Option<(Version, FileName, Entry)>, IndexError> {
        let Ok(version) = name::version(key) else { return Ok(None) };
        let Ok(file) = name::file(&self.package, &version) else { return Ok(None) };
        let place = Entry::scan(document, value, &self.package, &version)?;
        Ok(place.map(|place| (version, file, place)))
    }

    fn read_times(
        &mut self,
        document: &[u8],
        times: &[Member<'_>],
        roles: &HashMap<Cow<'_, str>, Role>,
    ) -> Result<(), IndexError> {
        let mut seen = vec![false; self.entries.len()];
        for Member { key, whole, value } in times {
            let role = roles.get(key).copied().unwrap_or(Role::Other);
            if let Role::Entry(i) = role {
                if std::mem::replace(&mut seen[i], true) {
                    return Err(twice("time", key));
                }
                let at = json::value::<String>(document, value).ok();
                self.entries[i].published_at = at.and_then(|at| at.parse::<Timestamp>().ok());
            }
            self.times.push(Slot { whole: whole.clone(), role });
        }
        Ok(())
    }
}

impl Index for Packument {
    fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    fn locate(&self, version: &Version, file: &FileName) -> Option<Located> {
        let i = *self.by_version.get(version)?;
        let (entry, place) = (self.entries.get(i).filter(|entry| entry.file == *file)?, self.places.get(i)?);
        let claim =
            |field, at: &Option<Range<usize>>| Some(Claim { field, value: self.declared(at.as_ref()?)? });
        let claims =
            [claim(ClaimField::NpmIntegrity, &place.integrity), claim(ClaimField::NpmShasum, &place.shasum)];
        Some(Located {
            url: json::value(&self.document, &place.tarball).ok()?,
            claims: claims.into_iter().flatten().collect(),
            published_at: entry.published_at,
            evidence: Bytes::copy_from_slice(&self.document[place.value.clone()]),
        })
    }

    fn render(&self, form: &IndexForm, public_url: &Url, amendments: &Amendments) -> Option<Rendered> {
        render::render(self, form, public_url, amendments)
    }
}

impl Packument {
    /// The text of a declared value. `null` declares nothing; what is no string is passed on as it stands, and is malformed.
    fn declared(&self, at: &Range<usize>) -> Option<String> {
        match &self.document[at.clone()] {
            b"null" => None,
            raw => Some(
                json::value(&self.document, at).unwrap_or_else(|_| String::from_utf8_lossy(raw).into_owned()),
            ),
        }
    }
}

impl Top {
    fn of(document: &[u8], top: &[Member<'_>], times: &[Member<'_>]) -> Self {
        let kept = |i: usize| ["name", "dist-tags", "versions", "modified"].contains(&&*top[i].key);
        let cuts = json::cuts(top.iter().map(|member| &member.whole), kept);
        let missing = !top.iter().any(|member| member.key == "modified");
        let modified = times.iter().find(|member| missing && member.key == "modified");
        let modified = modified.map(|member| member.value.clone());
        let end = document.iter().rposition(|b| *b == b'}').unwrap_or_default();
        Self { cuts, modified, end }
    }
}

fn tags(document: &[u8], member: Option<&Member<'_>>) -> Result<Tags, IndexError> {
    let Some(member) = member else { return Ok(Tags::default()) };
    let members = members(document, member.value.clone(), "`dist-tags`")?;
    if members.len() > TAGS_MAX {
        return Err(IndexError::Limit { problem: format!("{} dist-tags", members.len()) });
    }
    let mut tags = HashMap::new();
    for Member { key, value, .. } in members {
        let version = text(document, &value, "a dist-tag")?;
        if tags.insert(key.to_string(), version).is_some() {
            return Err(twice("dist-tag", &key));
        }
    }
    let mut tags: Vec<_> = tags.into_iter().collect();
    tags.sort();
    Ok(Tags { at: Some(member.value.clone()), tags })
}

/// The members of an optional object.
fn object<'a>(document: &'a [u8], member: Option<&Member<'a>>) -> Result<Vec<Member<'a>>, IndexError> {
    member.map_or(Ok(vec![]), |member| members(document, member.value.clone(), &member.key))
}

/// The members of an object that must be one.
fn members<'a>(document: &'a [u8], at: Range<usize>, what: &str) -> Result<Vec<Member<'a>>, IndexError> {
    json::members(document, at).map_err(|e| malformed(what, &e))
}

/// The member with that key; two of them could mean different things to different readers.
fn unique<'m, 'a>(members: &'m [Member<'a>], key: &str) -> Result<Option<&'m Member<'a>>, IndexError> {
    let mut found = members.iter().filter(|member| member.key == key);
    let first = found.next();
    if found.next().is_some() { Err(twice("key", key)) } else { Ok(first) }
}

fn text(document: &[u8], at: &Range<usize>, what: &str) -> Result<String, IndexError> {
    json::value(document, at).map_err(|e| malformed(what, &e))
}

fn malformed(what: &str, error: &serde_json::Error) -> IndexError {
    IndexError::Malformed { problem: format!("{what}: {error}") }
}

fn twice(what: &str, name: &str) -> IndexError {
    IndexError::Malformed { problem: format!("the {what} {:?} is there twice", shortened(name)) }
}

#[cfg(test)]
mod tests;
