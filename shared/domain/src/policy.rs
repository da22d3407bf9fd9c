//! The policy file: what is required, what is denied, what is internal. Parsing is strict: an unknown key, an unknown or
//! unavailable check, or an empty requirement is an error, never a default.
//!
//! Patterns are anchored globs in which `*` stands for any run of characters; they are compared with the folded name
//! (lower case; `_` and `.` as `-` where the ecosystem treats them so), so that no spelling escapes a rule.

mod attestation;
mod pattern;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{ArtifactId, CheckKind, CheckSet, Ecosystem, PackageName, Requirement, Sha256, Version};
use attestation::{RawModes, RawPin, RawWaiver};
use pattern::Pattern;

pub use attestation::{AttestationMode, Pin, Waiver};

/// Rules beyond this number are refused; each request walks them.
const RULES_MAX: usize = 10_000;
/// The longest minimum age.
const AGE_MAX: Duration = Duration::from_hours(366 * 24);

/// A parsed policy. The default one requires the hash check of everything, and takes attestations by the ratchet where the
/// ecosystem has them.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    document: String,
    modes: RawModes,
    rules: Vec<PolicyRule>,
    deny: Vec<Deny>,
    internal: Vec<Internal>,
    pins: Vec<Pin>,
    waivers: Vec<Waiver>,
}

/// What one rule asks for; the first rule that matches a package decides.
#[derive(Clone, Debug)]
struct PolicyRule {
    ecosystem: Option<Ecosystem>,
    packages: Vec<Pattern>,
    require: CheckSet,
    attestations: Option<AttestationMode>,
    min_age: SignedDuration,
    weak: WeakDigests,
}

/// What becomes of an artifact for which only broken digests are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum WeakDigests {
    /// It is held.
    #[default]
    Hold,
    /// It is accepted when it was published before the ecosystem's cut-off.
    Legacy,
}

#[derive(Clone, Debug)]
struct Deny {
    target: DenyTarget,
    reason: String,
}

#[derive(Clone, Debug)]
enum DenyTarget {
    Digest(Sha256),
    Package { ecosystem: Ecosystem, package: Pattern, versions: Vec<Version> },
}

#[derive(Clone, Debug)]
struct Internal {
    ecosystem: Ecosystem,
    packages: Vec<Pattern>,
}

/// When a version was published, by the upstream's word, and when we first saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What the upstream declares; unsigned.
    pub published_at: Option<Timestamp>,
    /// Our own clock, when the version was first listed to us.
    pub first_seen: Timestamp,
}

/// Whether a package or version may be asked for at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may be fetched and checked.
    Admitted,
    /// The deny list names it.
    Denied {
        /// The operator's words.
        reason: String,
    },
    /// The name belongs to the organisation and is never asked for upstream.
    Internal,
}

/// Why a document is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or a key that does not exist.
    #[error("the policy file is not valid")]
    Syntax(#[source] Box<toml::de::Error>),
    /// A rule that contradicts itself or asks for what cannot be.
    #[error("{section} number {number}: {problem}")]
    Rule {
        /// `rule`, `deny` or `internal`.
        section: &'static str,
        /// Counting from 1.
        number: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// More entries than are walked per request.
    #[error("the policy has {found} entries; at most {RULES_MAX} are allowed")]
    TooLong {
        /// How many there are.
        found: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    attestations: RawModes,
    #[serde(default)]
    rule: Vec<RawRule>,
    #[serde(default)]
    deny: Vec<RawDeny>,
    #[serde(default)]
    internal: Vec<RawInternal>,
    #[serde(default)]
    pin: Vec<RawPin>,
    #[serde(default)]
    waiver: Vec<RawWaiver>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    ecosystem: Option<Ecosystem>,
    packages: Option<Vec<String>>,
    require: Option<Vec<String>>,
    attestations: Option<AttestationMode>,
    min_age: Option<String>,
    #[serde(default)]
    weak_digests: WeakDigests,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeny {
    ecosystem: Option<Ecosystem>,
    package: Option<String>,
    versions: Option<Vec<String>>,
    sha256: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInternal {
    ecosystem: Ecosystem,
    packages: Vec<String>,
}

impl Policy {
    /// Parses a policy file. The empty document is the default policy.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        let raw: Document = toml::from_str(document).map_err(|e| PolicyError::Syntax(Box::new(e)))?;
        let found = raw.rule.len() + raw.deny.len() + raw.internal.len() + raw.pin.len() + raw.waiver.len();
        if found > RULES_MAX {
            return Err(PolicyError::TooLong { found });
        }
        Ok(Self {
            document: document.to_owned(),
            modes: raw.attestations,
            rules: numbered("rule", raw.rule, rule)?,
            deny: numbered("deny", raw.deny, deny)?,
            internal: numbered("internal", raw.internal, |raw| internal(&raw))?,
            pins: numbered("pin", raw.pin, Pin::parse)?,
            waivers: numbered("waiver", raw.waiver, Waiver::parse)?,
        })
    }

    /// The text it was parsed from.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The digest of the text, which names the policy in every verdict.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.document.as_bytes())
    }

    /// How many rules, deny entries and internal namespaces there are.
    pub const fn counts(&self) -> (usize, usize, usize) {
        (self.rules.len(), self.deny.len(), self.internal.len())
    }

    /// The versions that the deny list names.
    pub fn denied_versions(&self) -> impl Iterator<Item = (Ecosystem, &Version)> {
        self.deny.iter().flat_map(|deny| match &deny.target {
            DenyTarget::Digest(_) => vec![],
            DenyTarget::Package { ecosystem, versions, .. } => {
                versions.iter().map(|version| (*ecosystem, version)).collect()
            }
        })
    }

    /// What is required of a package's artifacts. Under the ratchet, the attest check may answer that nothing is offered.
    pub fn requirement(&self, ecosystem: Ecosystem, package: &PackageName) -> Requirement {
        let attest = CheckSet::of(CheckKind::Attest);
        let base = self.rule(ecosystem, package).map_or(CheckSet::of(CheckKind::Hash), |rule| rule.require);
        let (checks, tolerated) = match self.attestations(ecosystem, package) {
            AttestationMode::Off | AttestationMode::Observe => (base.minus(attest), CheckSet::EMPTY),
            AttestationMode::Ratchet => (base.union(attest), attest),
            AttestationMode::Require => (base.union(attest), CheckSet::EMPTY),
        };
        Requirement::new(checks, checks)
            .and_then(|requirement| requirement.tolerating(tolerated))
            .expect("a rule that requires nothing but attestations is in no other mode than `require`")
    }

    /// How strictly a package's attestations are taken.
    pub fn attestations(&self, ecosystem: Ecosystem, package: &PackageName) -> AttestationMode {
        if !CheckKind::Attest.applies_to(ecosystem) {
            return AttestationMode::Off;
        }
        let said = self.rule(ecosystem, package).and_then(|rule| rule.attestations);
        said.unwrap_or_else(|| self.modes.of(ecosystem))
    }

    /// Who must sign a package, if the policy pins it; the first pin that names it.
    pub fn pin(&self, ecosystem: Ecosystem, package: &PackageName) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.names(ecosystem, package))
    }

    /// The waiver for these bytes that has not expired.
    pub fn waiver(&self, sha256: Sha256, now: Timestamp) -> Option<&Waiver> {
        self.waivers.iter().find(|waiver| waiver.sha256 == sha256 && now < waiver.expires)
    }

    /// The waivers that have expired, for those who look after the file.
    pub fn expired_waivers(&self, now: Timestamp) -> impl Iterator<Item = &Waiver> {
        self.waivers.iter().filter(move |waiver| waiver.expires <= now)
    }

    /// The minimum age of a package's artifacts; zero when there is none.
    pub fn min_age(&self, ecosystem: Ecosystem, package: &PackageName) -> SignedDuration {
        self.rule(ecosystem, package).map_or(SignedDuration::ZERO, |rule| rule.min_age)
    }

    /// When an artifact is old enough: the later of publish time and our first sight, plus the minimum age. `None` when
    /// no age is asked for.
    pub fn eligible_at(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
        seen: Sighting,
    ) -> Option<Timestamp> {
        let min_age = self.min_age(ecosystem, package);
        if min_age.is_zero() {
            return None;
        }
        let born = seen.published_at.map_or(seen.first_seen, |published| published.max(seen.first_seen));
        Some(born.checked_add(min_age).unwrap_or(Timestamp::MAX))
    }

    /// Whether weak digests are accepted for versions from before the ecosystem's cut-off.
    pub fn accepts_legacy_digests(&self, ecosystem: Ecosystem, package: &PackageName) -> bool {
        self.rule(ecosystem, package).is_some_and(|rule| rule.weak == WeakDigests::Legacy)
    }

    /// Whether the package's metadata may be asked for.
    pub fn admit_package(&self, ecosystem: Ecosystem, package: &PackageName) -> Admission {
        let name = pattern::fold(ecosystem, package.as_str());
        let owned = |i: &Internal| i.ecosystem == ecosystem && i.packages.iter().any(|p| p.matches(&name));
        if self.internal.iter().any(owned) { Admission::Internal } else { Admission::Admitted }
    }

    /// Whether the version may be fetched, listed and served.
    pub fn admit_version(&self, ecosystem: Ecosystem, package: &PackageName, version: &Version) -> Admission {
        if self.admit_package(ecosystem, package) == Admission::Internal {
            return Admission::Internal;
        }
        let name = pattern::fold(ecosystem, package.as_str());
        self.denied(|target| match target {
            DenyTarget::Digest(_) => false,
            DenyTarget::Package { ecosystem: of, package, versions } => {
                *of == ecosystem
                    && package.matches(&name)
                    && (versions.is_empty()
                        || versions
                            .iter()
                            .any(|v| pattern::same_version(ecosystem, v.as_str(), version.as_str())))
            }
        })
    }

    /// Whether these bytes may be served under that coordinate.
    pub fn admit(&self, id: &ArtifactId, sha256: Sha256) -> Admission {
        match self.admit_version(id.ecosystem, &id.package, &id.version) {
            Admission::Admitted => {
                self.denied(|target| matches!(target, DenyTarget::Digest(digest) if *digest == sha256))
            }
            refused => refused,
        }
    }

    fn denied(&self, names: impl Fn(&DenyTarget) -> bool) -> Admission {
        match self.deny.iter().find(|deny| names(&deny.target)) {
            Some(deny) => Admission::Denied { reason: deny.reason.clone() },
            None => Admission::Admitted,
        }
    }

    fn rule(&self, ecosystem: Ecosystem, package: &PackageName) -> Option<&PolicyRule> {
        let name = pattern::fold(ecosystem, package.as_str());
        self.rules.iter().find(|rule| {
            rule.ecosystem.is_none_or(|e| e == ecosystem)
                && (rule.packages.is_empty() || rule.packages.iter().any(|p| p.matches(&name)))
        })
    }
}

fn numbered<R, T>(
    section: &'static str,
    raw: Vec<R>,
    parse: impl Fn(R) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    let named =
        |(at, entry)| parse(entry).map_err(|problem| PolicyError::Rule { section, number: at + 1, problem });
    raw.into_iter().enumerate().map(named).collect()
}

fn rule(raw: RawRule) -> Result<PolicyRule, String> {
    let (require, attestations) = required(&raw)?;
    let min_age = raw.min_age.as_deref().map(age).transpose()?.unwrap_or(SignedDuration::ZERO);
    let patterns = raw.packages.unwrap_or_default();
    if raw.ecosystem.is_none() && patterns.iter().any(|p| p != "*") {
        return Err("`packages` needs an `ecosystem`, since each spells names in its own way".into());
    }
    let packages = match raw.ecosystem {
        Some(ecosystem) => compile(ecosystem, &patterns)?,
        None => vec![],
    };
    Ok(PolicyRule {
        ecosystem: raw.ecosystem,
        packages,
        require,
        attestations,
        min_age,
        weak: raw.weak_digests,
    })
}

/// The checks that a rule requires, and how it takes attestations: to require the attest check is the mode `require`.
fn required(raw: &RawRule) -> Result<(CheckSet, Option<AttestationMode>), String> {
    let attest = CheckSet::of(CheckKind::Attest);
    let applies = raw.ecosystem.is_some_and(|ecosystem| CheckKind::Attest.applies_to(ecosystem));
    if raw.attestations.is_some() && !applies {
        return Err("`attestations` needs an `ecosystem` that has some: \"npm\" or \"pypi\"".into());
    }
    let Some(names) = &raw.require else {
        return Ok((CheckSet::of(CheckKind::Hash), raw.attestations));
    };
    let checks: CheckSet = names.iter().map(|n| available(n)).collect::<Result<_, _>>()?;
    if checks.is_empty() {
        return Err("`require` is empty; leave it out, or name a check such as \"hash\"".into());
    }
    if !checks.contains_all(attest) {
        return Ok((checks, raw.attestations));
    }
    if !applies {
        return Err(
            "the check \"attest\" needs an `ecosystem` that has attestations: \"npm\" or \"pypi\"".into()
        );
    }
    match raw.attestations {
        None | Some(AttestationMode::Require) => Ok((checks, Some(AttestationMode::Require))),
        Some(mode @ (AttestationMode::Off | AttestationMode::Observe | AttestationMode::Ratchet)) => {
            Err(format!(
                "`require` names \"attest\", and `attestations` is {:?}; say one or the other",
                mode.as_str()
            ))
        }
    }
}

fn available(name: &str) -> Result<CheckKind, String> {
    let check: CheckKind = name.parse().map_err(|e: crate::UnknownCheck| e.to_string())?;
    if check.is_available() {
        Ok(check)
    } else {
        Err(format!("the check {name:?} has no worker in this version, so nothing could ever pass it"))
    }
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let raw: HumanDuration = toml::Value::String(text.to_owned())
        .try_into()
        .map_err(|_| format!("min_age {text:?} is not a duration such as \"7d\" or \"36h\""))?;
    if raw.0 > AGE_MAX {
        return Err(format!("min_age {text:?} is over a year"));
    }
    SignedDuration::try_from(raw.0).map_err(|e| e.to_string())
}

#[derive(Deserialize)]
struct HumanDuration(#[serde(with = "humantime_serde")] Duration);

fn deny(raw: RawDeny) -> Result<Deny, String> {
    let target = match (raw.ecosystem, raw.package, raw.sha256) {
        (None, None, Some(digest)) if raw.versions.is_none() => {
            DenyTarget::Digest(digest.parse().map_err(|e| format!("sha256: {e}"))?)
        }
        (Some(ecosystem), Some(package), None) => DenyTarget::Package {
            ecosystem,
            package: Pattern::compile(ecosystem, &package)?,
            versions: versions(raw.versions)?,
        },
        _ => return Err("give either `ecosystem` and `package` (and `versions`), or `sha256`".into()),
    };
    if raw.reason.trim().is_empty() {
        return Err("`reason` is empty; the people who are refused will read it".into());
    }
    Ok(Deny { target, reason: raw.reason })
}

fn versions(raw: Option<Vec<String>>) -> Result<Vec<Version>, String> {
    match raw {
        None => Ok(vec![]),
        Some(list) if list.is_empty() => Err("`versions` is empty; leave it out to deny all of them".into()),
        Some(list) => list.into_iter().map(|v| Version::new(v).map_err(|e| e.to_string())).collect(),
    }
}

fn internal(raw: &RawInternal) -> Result<Internal, String> {
    if raw.packages.is_empty() {
        return Err("`packages` is empty; name patterns such as \"@acme/*\"".into());
    }
    Ok(Internal { ecosystem: raw.ecosystem, packages: compile(raw.ecosystem, &raw.packages)? })
}

fn compile(ecosystem: Ecosystem, patterns: &[String]) -> Result<Vec<Pattern>, String> {
    patterns.iter().map(|p| Pattern::compile(ecosystem, p)).collect()
}

#[cfg(test)]
mod tests;
