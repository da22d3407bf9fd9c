//! The policy file: what is required, what is denied, what is internal. Parsing is strict: an unknown key, an unknown or
//! unavailable check, or an empty requirement is an error, never a default.
//!
//! Patterns are anchored globs in which `*` stands for any run of characters; they are compared with the folded name
//! (lower case; `_` and `.` as `-` where the ecosystem treats them so), so that no spelling escapes a rule. Go's patterns are
//! those of `GOPRIVATE`; where they excuse a module from something, case counts.
//!
//! *Invariant:* every Go module is checked against the checksum database, unless `[sumdb] private` names it; the toolchain is,
//! whatever a pattern says.
//!
//! *Invariant:* the `go.mod` of a module names the path that was asked for, unless `[go] forks` names the module; that of the
//! toolchain does, whatever a pattern says.

mod attestation;
mod document;
mod pattern;

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{ArtifactId, CheckKind, CheckSet, Ecosystem, PackageName, Requirement, Sha256, Version};
use attestation::RawModes;
use document::Document;
use pattern::Pattern;

pub use attestation::{AttestationMode, Pin, Waiver};

/// Rules beyond this number are refused; each request walks them.
const RULES_MAX: usize = 10_000;
/// The module that the go command fetches itself from; always checked against the checksum database, and no fork.
const GO_TOOLCHAIN: &str = "golang.org/toolchain";

/// A parsed policy. The default one requires the hash check of everything, and takes attestations by the ratchet where the
/// ecosystem has them.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    document: String,
    digest: OnceLock<Sha256>,
    modes: RawModes,
    private_modules: Vec<Pattern>,
    forks: Vec<Pattern>,
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

impl Policy {
    /// Parses a policy file. The empty document is the default policy.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        let raw: Document = toml::from_str(document).map_err(|e| PolicyError::Syntax(Box::new(e)))?;
        let found = raw.rule.len()
            + raw.deny.len()
            + raw.internal.len()
            + raw.pin.len()
            + raw.waiver.len()
            + raw.sumdb.private.len()
            + raw.go.forks.len();
        if found > RULES_MAX {
            return Err(PolicyError::TooLong { found });
        }
        let modules = |pattern: String| Pattern::of_modules(&pattern);
        Ok(Self {
            document: document.to_owned(),
            digest: OnceLock::new(),
            private_modules: numbered("sumdb.private", raw.sumdb.private, modules)?,
            forks: numbered("go.forks", raw.go.forks, modules)?,
            modes: raw.attestations,
            rules: numbered("rule", raw.rule, document::rule)?,
            deny: numbered("deny", raw.deny, document::deny)?,
            internal: numbered("internal", raw.internal, |raw| document::internal(&raw))?,
            pins: numbered("pin", raw.pin, Pin::parse)?,
            waivers: numbered("waiver", raw.waiver, Waiver::parse)?,
        })
    }

    /// The text it was parsed from.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The digest of the text, which names the policy in every serve record; computed once.
    pub fn digest(&self) -> Sha256 {
        *self.digest.get_or_init(|| Sha256::of(self.document.as_bytes()))
    }

    /// How many rules, deny entries and internal namespaces there are.
    pub const fn counts(&self) -> (usize, usize, usize) {
        (self.rules.len(), self.deny.len(), self.internal.len())
    }

    /// How many pins and waivers there are, expired ones included.
    pub const fn exceptions(&self) -> (usize, usize) {
        (self.pins.len(), self.waivers.len())
    }

    /// How many patterns name private Go modules.
    pub const fn private_patterns(&self) -> usize {
        self.private_modules.len()
    }

    /// How many patterns name Go modules that are forks.
    pub const fn fork_patterns(&self) -> usize {
        self.forks.len()
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
        let sumdb = CheckSet::of(CheckKind::Sumdb);
        let base = self.rule(ecosystem, package).map_or(CheckSet::of(CheckKind::Hash), |rule| rule.require);
        let logged = CheckKind::Sumdb.applies_to(ecosystem) && !self.is_private_module(package);
        let base = match (ecosystem, logged) {
            (_, true) => base.union(sumdb),
            (Ecosystem::Go, false) => base.minus(sumdb).union(CheckSet::of(CheckKind::Hash)),
            (Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi, false) => base.minus(sumdb),
        };
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

    /// Whether a Go module is private: no checksum database knows it, and none may be asked for it.
    pub fn is_private_module(&self, module: &PackageName) -> bool {
        names_module(&self.private_modules, module)
    }

    /// Whether the `go.mod` of a Go module may name another path, as that of a fork does which is required through a `replace`
    /// directive.
    pub fn allows_fork(&self, module: &PackageName) -> bool {
        names_module(&self.forks, module)
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

    /// Whether the package's metadata may be asked for. Of Go modules, what is above an internal path is internal as well: the go
    /// command asks for every parent of a path, and their names would tell.
    pub fn admit_package(&self, ecosystem: Ecosystem, package: &PackageName) -> Admission {
        let name = pattern::fold(ecosystem, package.as_str());
        let owns = |p: &Pattern| p.matches(&name) || p.is_below(&name);
        let owned = |i: &Internal| i.ecosystem == ecosystem && i.packages.iter().any(owns);
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

/// Whether one of the patterns names a Go module, case included: paths that differ in case are two modules, and one must not be
/// excused for the other. None ever names the toolchain, however it is spelled.
fn names_module(patterns: &[Pattern], module: &PackageName) -> bool {
    let name = module.as_str();
    !name.eq_ignore_ascii_case(GO_TOOLCHAIN) && patterns.iter().any(|pattern| pattern.matches(name))
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

#[cfg(test)]
mod tests;
