//! Layouts: the in-toto document that says which steps a chain must have, and whose signatures count for each. Stock tools start
//! from it, and the key that promote signs it with is all that they must be given.
//!
//! A layout depends on nothing but the key ring and on what was required, so that one serves every artifact with that requirement.
//!
//! *Invariant:* stock tools accept a chain only where every required check approved. A link lists the file as its product when it
//! approves, below [`ABSENT_DIR`] when it found that nothing was offered to it, and not at all when it refuses; the products of each
//! step must be those of the next, round to the first.

use std::collections::BTreeMap;

use in_toto::models::{
    inspection::Inspection,
    rule::{Artifact, ArtifactRule},
    step::{Command, Step},
};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};
use touchstone_domain::{CheckKind, CheckSet, Ecosystem, KeyId, Requirement};

use crate::{
    KeyEntry, KeyKind, KeyRing, Refused, SignError, Signed, Signing, StatementError,
    dsse::{self, Statement},
};

/// For how long a layout holds.
pub const LAYOUT_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Where the product of a check is that found nothing which it could check.
pub const ABSENT_DIR: &str = "not-offered";
/// The first step.
pub const FETCH_STEP: &str = "fetch";
/// The inspection that looks at a copy of the artifact; stock tools leave its link in the working directory.
pub const COPY_INSPECTION: &str = "copy";
/// The most keys of a kind in a layout, the youngest: an envelope is bounded.
const KEYS_PER_KIND_MAX: usize = 24;

/// A layout, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The keys whose links count, in the order of their numbers.
    pub keys: Vec<KeyId>,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    readme: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "_type")]
    kind: String,
    expires: String,
    readme: String,
    keys: BTreeMap<String, PublicKeyDocument>,
    steps: Vec<Step>,
    inspect: Vec<Inspection>,
}

/// A key as securesystemslib writes one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyDocument {
    keyid: KeyId,
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    public: String,
}

impl Layout {
    /// Signs the layout of what is required, with promote's key; returns the envelope.
    pub fn sign(
        requirement: Requirement,
        ring: &KeyRing,
        signing: &Signing,
        at: Timestamp,
    ) -> Result<Vec<u8>, SignError> {
        let document = Document::new(requirement, ring, &signing.environment, at);
        let payload = serde_json::to_vec(&document).expect("a layout is JSON");
        dsse::sign(signing.signer.as_ref(), &payload)
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        dsse::verify(envelope, ring)
    }

    /// Whether it is that of this installation and requirement.
    pub fn is_for(&self, environment: &str, requirement: Requirement) -> bool {
        self.readme == readme(environment, requirement)
    }
}

/// Every requirement that a policy can have, with the checks that there are.
pub fn requirements() -> Vec<Requirement> {
    let available: CheckSet = CheckKind::ALL.into_iter().filter(|check| check.is_available()).collect();
    let sets = || (0..1 << CheckKind::ALL.len()).map(CheckSet::from_mask);
    let possible = |set: &CheckSet| available.contains_all(*set);
    let tolerating = |required: CheckSet| {
        let base = Requirement::new(required, CheckSet::EMPTY);
        sets()
            .filter(move |tolerated| required.contains_all(*tolerated))
            .filter_map(move |tolerated| base?.tolerating(tolerated))
    };
    sets().filter(possible).flat_map(tolerating).collect()
}

impl Document {
    fn new(requirement: Requirement, ring: &KeyRing, environment: &str, at: Timestamp) -> Self {
        let checks: Vec<CheckKind> = requirement.required().iter().collect();
        let names: Vec<&str> =
            std::iter::once(FETCH_STEP).chain(checks.iter().map(|check| check.as_str())).collect();
        let kinds: Vec<KeyKind> =
            std::iter::once(KeyKind::Fetch).chain(checks.iter().map(|check| KeyKind::from(*check))).collect();
        let tolerated = |step: usize| step > 0 && requirement.tolerated().contains(checks[step - 1]);
        let steps = (0..names.len()).map(|step| {
            let next = (step + 1) % names.len();
            let mut made = Step::new(names[step]).threshold(1);
            if step > 0 {
                made.expected_materials.push(matching(None, None, FETCH_STEP));
                made.expected_materials.push(ArtifactRule::Allow("evidence/*".into()));
                made.expected_materials.push(ArtifactRule::Allow("trust/*".into()));
            }
            made.expected_materials.push(ArtifactRule::Disallow("*".into()));
            made.expected_products = same_products(tolerated(step), names[next], tolerated(next));
            made.pub_keys = counting(ring, kinds[step]).map(|key| in_toto_id(key.public.id())).collect();
            made
        });
        let keys = kinds.iter().flat_map(|kind| counting(ring, *kind)).map(|key| {
            let document = PublicKeyDocument::from(key);
            (document.keyid.to_string(), document)
        });
        Self {
            kind: "layout".to_owned(),
            expires: seconds(at + LAYOUT_LIFE),
            readme: readme(environment, requirement),
            keys: keys.collect(),
            steps: steps.collect(),
            inspect: vec![inspection()],
        }
    }
}

impl From<&KeyEntry> for PublicKeyDocument {
    fn from(entry: &KeyEntry) -> Self {
        use std::fmt::Write as _;
        let mut public = String::with_capacity(64);
        for byte in entry.public.raw() {
            let _infallible = write!(public, "{byte:02x}");
        }
        let scheme = "ed25519".to_owned();
        Self { keyid: entry.public.id(), keytype: scheme.clone(), scheme, keyval: KeyValue { public } }
    }
}

/// The keys of a kind that were not revoked, the youngest first. Windows are for those who know when something was signed.
fn counting(ring: &KeyRing, kind: KeyKind) -> impl Iterator<Item = &KeyEntry> {
    let mut keys: Vec<&KeyEntry> =
        ring.entries().iter().filter(|key| key.kind == kind && key.revoked.is_none()).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.not_before));
    keys.into_iter().take(KEYS_PER_KIND_MAX)
}

fn in_toto_id(key: KeyId) -> in_toto::crypto::KeyId {
    key.to_string().parse().expect("64 digits")
}

/// `MATCH * [IN source] WITH PRODUCTS [IN destination] FROM step`
fn matching(source: Option<&str>, destination: Option<&str>, step: &str) -> ArtifactRule {
    ArtifactRule::Match {
        pattern: "*".into(),
        in_src: source.map(str::to_owned),
        with: Artifact::Products,
        in_dst: destination.map(str::to_owned),
        from: step.to_owned(),
    }
}

/// A step's products must be those of the next one. Where absence is tolerated, the file may be below [`ABSENT_DIR`].
fn same_products(may_be_absent: bool, next: &str, next_may_be_absent: bool) -> Vec<ArtifactRule> {
    let ours = std::iter::once(None).chain(may_be_absent.then_some(Some(ABSENT_DIR)));
    let mut rules: Vec<ArtifactRule> = ours
        .flat_map(|source| {
            let theirs = std::iter::once(None).chain(next_may_be_absent.then_some(Some(ABSENT_DIR)));
            theirs.map(move |destination| matching(source, destination, next))
        })
        .collect();
    rules.push(ArtifactRule::Disallow("*".into()));
    rules
}

/// Whatever lies in the working directory with the name of a package file must be the fetched one. Anything else there, and all
/// that is below it, is no business of ours: people verify from where they are.
fn inspection() -> Inspection {
    let mut inspection = Inspection::new(COPY_INSPECTION).run(Command::from("true"));
    let rules = &mut inspection.expected_materials;
    rules.push(matching(None, None, FETCH_STEP));
    rules.push(ArtifactRule::Allow("*/*".into()));
    let patterns = Ecosystem::ALL.into_iter().flat_map(file_patterns);
    rules.extend(patterns.map(|pattern| ArtifactRule::Disallow((*pattern).into())));
    rules.push(ArtifactRule::Allow("*".into()));
    inspection
}

/// How package files of an ecosystem are named: all of them.
const fn file_patterns(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Cargo => &["*.crate"],
        Ecosystem::Go => &["v*.mod", "v*.zip"],
        Ecosystem::Npm => &["*.tgz"],
        Ecosystem::Pypi => &["*.whl", "*.tar.gz", "*.zip", "*.metadata"],
    }
}

fn readme(environment: &str, requirement: Requirement) -> String {
    let words = |checks: CheckSet| {
        let words: Vec<&str> = checks.iter().map(CheckKind::as_str).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    format!(
        "Touchstone {environment}: a file was fetched, and approved by: {}. Of these may find nothing to check: {}.",
        words(requirement.required()),
        words(requirement.tolerated())
    )
}

/// A date as in-toto wants it: in whole seconds, and not before the key that signs it counts.
fn seconds(at: Timestamp) -> String {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    at.round(whole).expect("no date is at the end of time").to_string()
}

impl Statement for Layout {
    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let refused = |field, problem: String| StatementError { field, problem };
        let document: Document =
            serde_json::from_slice(payload).map_err(|e| refused("layout", e.to_string()))?;
        if document.kind != "layout" {
            return Err(refused("_type", document.kind));
        }
        let expires: Timestamp =
            document.expires.parse().map_err(|e: jiff::Error| refused("expires", e.to_string()))?;
        let signed_at = expires.checked_sub(LAYOUT_LIFE).map_err(|e| refused("expires", e.to_string()))?;
        let mut keys = Vec::with_capacity(document.keys.len());
        for (name, key) in document.keys {
            if name != key.keyid.to_string() {
                return Err(refused("keys", name));
            }
            keys.push(key.keyid);
        }
        Ok(Self { keys, signed_at, expires, readme: document.readme })
    }

    fn kind(&self) -> KeyKind {
        KeyKind::Promote
    }

    fn dated(&self) -> Timestamp {
        self.signed_at
    }
}

#[cfg(test)]
mod tests;
