//! The part of the policy file about attestations: how strictly each ecosystem is taken, who must sign which package, and
//! which bytes an operator lets pass.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::pattern::{self, Pattern};
use crate::{
    CheckKind, Difference, Ecosystem, Identity, IdentityField, PackageName, Sha256, continuity::difference,
};

/// How strictly attestations of a package are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttestationMode {
    /// Nobody looks at them.
    Off,
    /// They are verified and written down, and decide nothing.
    Observe,
    /// What is offered must verify, and what was offered once must go on: the default where registries have attestations.
    Ratchet,
    /// Nothing is served without.
    Require,
}

impl AttestationMode {
    /// The word in the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Ratchet => "ratchet",
            Self::Require => "require",
        }
    }

    /// What holds where the policy file says nothing.
    pub const fn default_for(ecosystem: Ecosystem) -> Self {
        if CheckKind::Attest.applies_to(ecosystem) { Self::Ratchet } else { Self::Off }
    }
}

/// Who must sign a package, in an operator's words; outweighs the ledger.
#[derive(Clone, Debug)]
pub struct Pin {
    ecosystem: Ecosystem,
    packages: Vec<Pattern>,
    expected: RawPin,
}

/// An operator's word that these very bytes may pass although their attestations are missing or those of somebody else. It
/// never excuses one that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The bytes.
    pub sha256: Sha256,
    /// Why.
    pub reason: String,
    /// Until when it helps.
    pub expires: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModes {
    npm: Option<AttestationMode>,
    pypi: Option<AttestationMode>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPin {
    ecosystem: Ecosystem,
    packages: Vec<String>,
    issuer: String,
    signer: Option<String>,
    repository: Option<String>,
    repository_id: Option<String>,
    owner_id: Option<String>,
    workflow: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    triggers: Option<Vec<String>>,
    runner: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWaiver {
    sha256: String,
    reason: String,
    expires: String,
}

impl RawModes {
    pub(super) fn of(&self, ecosystem: Ecosystem) -> AttestationMode {
        let said = match ecosystem {
            Ecosystem::Npm => self.npm,
            Ecosystem::Pypi => self.pypi,
            Ecosystem::Cargo | Ecosystem::Go => None,
        };
        said.unwrap_or(AttestationMode::default_for(ecosystem))
    }
}

impl Pin {
    pub(super) fn parse(raw: RawPin) -> Result<Self, String> {
        if !CheckKind::Attest.applies_to(raw.ecosystem) {
            return Err(format!("{} has no attestations, so no pin can ever be met", raw.ecosystem));
        }
        if raw.packages.is_empty() {
            return Err("`packages` is empty; name patterns such as \"@acme/*\"".into());
        }
        if raw.issuer.is_empty() {
            return Err("`issuer` is empty; `touchstone why` shows the issuer of what was seen".into());
        }
        if raw.signer.is_none() && raw.repository.is_none() && raw.repository_id.is_none() {
            return Err(
                "name `repository`, `repository_id` or `signer`; an issuer signs for everybody".into()
            );
        }
        if raw.triggers.as_ref().is_some_and(Vec::is_empty) {
            return Err("`triggers` is empty; leave it out to allow the usual ones".into());
        }
        let packages = super::document::compile(raw.ecosystem, &raw.packages)?;
        Ok(Self { ecosystem: raw.ecosystem, packages, expected: raw })
    }

    pub(super) fn names(&self, ecosystem: Ecosystem, package: &PackageName) -> bool {
        let name = pattern::fold(ecosystem, package.as_str());
        self.ecosystem == ecosystem && self.packages.iter().any(|p| p.matches(&name))
    }

    /// Whether the identity is the one that is pinned. Whatever the pin leaves out is free, except that a build on what may be
    /// a stranger's doing must be allowed by name ([`Identity::foreign`]).
    pub fn check(&self, identity: &Identity) -> Result<(), Difference> {
        use IdentityField as Field;
        let pin = &self.expected;
        let exact = |field, wanted: Option<&String>, found: Option<&str>| match wanted {
            Some(wanted) if found != Some(wanted) => Err(difference(field, Some(wanted), found)),
            Some(_) | None => Ok(()),
        };
        exact(Field::Issuer, Some(&pin.issuer), Some(&identity.issuer))?;
        exact(Field::Signer, pin.signer.as_ref(), Some(&identity.signer))?;
        exact(Field::RepositoryId, pin.repository_id.as_ref(), identity.repository_id.as_deref())?;
        exact(Field::OwnerId, pin.owner_id.as_ref(), identity.owner_id.as_deref())?;
        exact(Field::Workflow, pin.workflow.as_ref(), identity.workflow.as_deref())?;
        exact(Field::Runner, pin.runner.as_ref(), identity.runner.as_deref())?;
        let found = identity.repository.as_deref();
        if let Some(wanted) = &pin.repository
            && !found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        {
            return Err(difference(Field::Repository, Some(wanted), found));
        }
        let found = identity.git_ref.as_deref();
        if let Some(wanted) = &pin.git_ref
            && !found.is_some_and(|found| pattern::anchored(wanted, found))
        {
            return Err(difference(Field::GitRef, Some(wanted), found));
        }
        let found = identity.trigger.as_deref();
        if let Some(wanted) = &pin.triggers
            && !found.is_some_and(|found| wanted.iter().any(|wanted| wanted == found))
        {
            return Err(difference(Field::Trigger, Some(&wanted.join(", ")), found));
        }
        // Each by its own name: a pin that allows the trigger does not yet allow a stranger's code.
        let allowed = "one that the pin allows";
        if let (None, Some(found)) = (&pin.triggers, identity.foreign_trigger()) {
            return Err(difference(Field::Trigger, Some(allowed), Some(found)));
        }
        if let (None, Some(found)) = (&pin.git_ref, identity.foreign_ref()) {
            return Err(difference(Field::GitRef, Some(allowed), Some(found)));
        }
        Ok(())
    }
}

impl Waiver {
    pub(super) fn parse(raw: RawWaiver) -> Result<Self, String> {
        if raw.reason.trim().is_empty() {
            return Err("`reason` is empty; whoever asks why it was let pass will read it".into());
        }
        let sha256 = raw.sha256.parse().map_err(|e| format!("sha256: {e}"))?;
        let text = raw.expires.as_str();
        let expires = text.parse::<Timestamp>().ok().or_else(|| day(text)).ok_or_else(|| {
            format!("expires {text:?} is neither a date such as 2027-01-31 nor a time with its offset")
        })?;
        Ok(Self { sha256, reason: raw.reason, expires })
    }
}

/// The beginning of a day, UTC. A time of day without an offset is no date, though it begins like one.
fn day(text: &str) -> Option<Timestamp> {
    let date: Date = text.parse().ok().filter(|_| !text.contains([':', 'T', 't', ' ']))?;
    date.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp())
}

#[cfg(test)]
mod tests;
