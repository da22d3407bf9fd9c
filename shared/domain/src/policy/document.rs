//! The text of a policy file into its rules. Strict: what is not understood is an error.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use super::{
    AttestationMode, Deny, DenyTarget, Internal, PolicyRule, WeakDigests,
    attestation::{RawModes, RawPin, RawWaiver},
    pattern::Pattern,
};
use crate::{CheckKind, CheckSet, Ecosystem, Version};

/// The longest minimum age.
const AGE_MAX: Duration = Duration::from_hours(366 * 24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) attestations: RawModes,
    #[serde(default)]
    pub(super) sumdb: RawSumdb,
    #[serde(default)]
    pub(super) go: RawGo,
    #[serde(default)]
    pub(super) rule: Vec<RawRule>,
    #[serde(default)]
    pub(super) deny: Vec<RawDeny>,
    #[serde(default)]
    pub(super) internal: Vec<RawInternal>,
    #[serde(default)]
    pub(super) pin: Vec<RawPin>,
    #[serde(default)]
    pub(super) waiver: Vec<RawWaiver>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSumdb {
    #[serde(default)]
    pub(super) private: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGo {
    #[serde(default)]
    pub(super) forks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
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
pub(super) struct RawDeny {
    ecosystem: Option<Ecosystem>,
    package: Option<String>,
    versions: Option<Vec<String>>,
    sha256: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInternal {
    ecosystem: Ecosystem,
    packages: Vec<String>,
}

pub(super) fn rule(raw: RawRule) -> Result<PolicyRule, String> {
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
    let foreign = |check: &CheckKind| {
        *check == CheckKind::Sumdb && !raw.ecosystem.is_some_and(|ecosystem| check.applies_to(ecosystem))
    };
    if checks.iter().any(|check| foreign(&check)) {
        return Err("the check \"sumdb\" needs `ecosystem = \"go\"`, which is checked by it anyway".into());
    }
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

pub(super) fn deny(raw: RawDeny) -> Result<Deny, String> {
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

pub(super) fn internal(raw: &RawInternal) -> Result<Internal, String> {
    if raw.packages.is_empty() {
        return Err("`packages` is empty; name patterns such as \"@acme/*\"".into());
    }
    Ok(Internal { ecosystem: raw.ecosystem, packages: compile(raw.ecosystem, &raw.packages)? })
}

pub(super) fn compile(ecosystem: Ecosystem, patterns: &[String]) -> Result<Vec<Pattern>, String> {
    patterns.iter().map(|p| Pattern::compile(ecosystem, p)).collect()
}
