//! What an operator can do about an artifact that is not served: in words, and ready for the policy file.
//!
//! *Invariant:* nothing here suggests to let pass what does not verify.

use std::fmt::Write as _;

use jiff::{SignedDuration, tz::TimeZone};
use touchstone_custody::KeyKind;
use touchstone_domain::{
    ArtifactState, CheckKind, Difference, Discontinuity, Ecosystem, HoldReason, Identity, IdentityField,
    OutcomeKind, Policy, Purl, Reason, RefClass, Version,
};
use touchstone_store::{LedgerEntry, RecordedVerdict, Story};

use crate::story::{Asked, answer};

/// How long a suggested waiver lasts.
const WAIVER_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One thing that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What, when and why, in words.
    pub what: String,
    /// The lines for the policy file, if it is one of those.
    pub policy: Option<String>,
}

/// What can be done about a story; nothing where nothing is refused, or where nothing should be done.
pub(crate) fn fixes(story: &Story, identities: &[LedgerEntry]) -> Vec<Fix> {
    let mut all = Vec::new();
    match story.state() {
        ArtifactState::Held | ArtifactState::Rejected => {}
        ArtifactState::Fetched
        | ArtifactState::Verifying
        | ArtifactState::Servable
        | ArtifactState::Revoked => return all,
    }
    if let (true, Some(at)) = (story.gate.hold.contains(HoldReason::Age), story.eligible_at) {
        all.push(Fix::words(format!(
            "wait until {at}, or lower `min_age` in the rule that names the package"
        )));
    }
    for check in CheckKind::ALL {
        let asked = Asked::of(&story.gate, check);
        let counts = |found: &&RecordedVerdict| asked != Asked::Optional && found.refused.is_none();
        let Some(found) = answer(story, check).filter(counts) else { continue };
        let outcome = &found.verdict.outcome;
        let refused = match outcome.kind {
            OutcomeKind::Pass => false,
            OutcomeKind::NotOffered => asked == Asked::Required,
            OutcomeKind::Inconclusive | OutcomeKind::Fail => true,
        };
        if refused {
            all.extend(for_reason(&outcome.reason, story, identities));
        }
    }
    if all.iter().any(|fix| fix.policy.is_some()) {
        let purl = Purl::from(&story.facts.id);
        all.push(Fix::words(format!(
            "after a change of the policy: restart, and run `touchstone recheck {purl}`"
        )));
    }
    all
}

/// What ends that a key which is signed with does not count.
pub(crate) fn unblock(kind: KeyKind) -> Fix {
    let (so, role) = match kind {
        KeyKind::Promote | KeyKind::Log => ("nothing is promoted", "promote"),
        KeyKind::Fetch => ("nothing is fetched", "the edge"),
        KeyKind::Hash | KeyKind::Attest | KeyKind::Sumdb | KeyKind::Peer => {
            ("nothing is checked with it", "the worker")
        }
    };
    Fix::words(format!(
        "the {kind} key in use does not count, so {so}: run `touchstone keys rotate {kind}`, then start {role} again; `touchstone \
         incidents` says why"
    ))
}

impl Fix {
    fn words(what: impl Into<String>) -> Self {
        Self { what: what.into(), policy: None }
    }

    fn policy(what: impl Into<String>, lines: &[String]) -> Self {
        Self { what: what.into(), policy: Some(lines.join("\n")) }
    }
}

fn for_reason(reason: &Reason, story: &Story, identities: &[LedgerEntry]) -> Vec<Fix> {
    match reason {
        Reason::Discontinued { discontinuity } => for_break(discontinuity, story, identities),
        Reason::ForeignBuild { difference } => {
            let what = "only if the publisher really releases like this, pin who may";
            let base = identities.first().map(|entry| &entry.observed.identity);
            vec![pin(what, story, base, difference)]
        }
        Reason::Unattested { .. } | Reason::AttestationsOff => {
            let mut lines = rule(story);
            lines.push("attestations = \"ratchet\"".to_owned());
            vec![
                waiver(
                    "the policy requires an attestation here; to let only these bytes pass without",
                    story,
                ),
                Fix::policy(
                    "or to require attestations only where there were some, before all other rules",
                    &lines,
                ),
            ]
        }
        Reason::AttestationIncomplete { .. } => {
            vec![waiver(
                "if the publisher confirms that it is missing by mistake, let only these bytes pass",
                story,
            )]
        }
        Reason::AttestationRefused { .. } | Reason::RegistrySignatureRefused { .. } => vec![Fix::words(
            "nothing excuses evidence that does not verify: choose another version, and tell the publisher",
        )],
        Reason::WeakOnly { .. } => {
            let mut lines = rule(story);
            lines.push("weak_digests = \"legacy\"".to_owned());
            vec![Fix::policy("to accept weak digests for its age, before all other rules", &lines)]
        }
        Reason::NoClaim => {
            vec![Fix::words("the upstream has to declare a digest; without one there is nothing to compare")]
        }
        Reason::CoordinateMismatch { part, found, .. } => for_rename(part, found, story),
        Reason::SumdbAbsent { .. } => for_absence(story),
        Reason::SumdbRefused { .. } => vec![Fix::words(format!(
            "nothing excuses an answer that does not prove itself: look at the incidents, and ask again with `touchstone recheck {}`",
            Purl::from(&story.facts.id)
        ))],
        Reason::SumdbMismatch { .. } => vec![Fix::words(
            "nothing excuses bytes that the checksum database contradicts: choose another version, and look at the incidents",
        )],
        Reason::DigestMismatch { .. }
        | Reason::SizeMismatch { .. }
        | Reason::ClaimMalformed { .. }
        | Reason::ArchiveRejected { .. }
        | Reason::DigestsMatch { .. }
        | Reason::WeakAccepted { .. }
        | Reason::Attested { .. }
        | Reason::Waived { .. }
        | Reason::Undeclared
        | Reason::SumdbRecorded { .. }
        | Reason::SumdbPrivate
        | Reason::Trivial
        | Reason::Unreadable { .. } => vec![],
    }
}

/// A module that the checksum database does not know: private, if the policy can say so, or new.
fn for_absence(story: &Story) -> Vec<Fix> {
    let module = &story.facts.id.package;
    let lines = ["[sumdb]".to_owned(), format!("private = [{}]", quoted(module.as_str()))];
    let may_be_private =
        Policy::parse(&lines.join("\n")).is_ok_and(|policy| policy.is_private_module(module));
    let private = may_be_private
        .then(|| Fix::policy("if the module is private, name it in the policy's [sumdb] section", &lines));
    let public = Fix::words(format!(
        "if it is public, and the database knows it by now, run `touchstone recheck {}`",
        Purl::from(&story.facts.id)
    ));
    private.into_iter().chain([public]).collect()
}

/// A module whose `go.mod` names another one: a fork, if the policy can say so.
fn for_rename(part: &str, found: &str, story: &Story) -> Vec<Fix> {
    let id = &story.facts.id;
    let lines = ["[go]".to_owned(), format!("forks = [{}]", quoted(id.package.as_str()))];
    let may_be_fork = id.ecosystem == Ecosystem::Go
        && part == "module"
        && Policy::parse(&lines.join("\n")).is_ok_and(|policy| policy.allows_fork(&id.package));
    let what = format!(
        "only if it is your fork of {}, for `replace` directives, name it in the policy's [go] section",
        quoted(found)
    );
    may_be_fork.then(|| Fix::policy(what, &lines)).into_iter().collect()
}

fn for_break(discontinuity: &Discontinuity, story: &Story, identities: &[LedgerEntry]) -> Vec<Fix> {
    let before = |since: &Version| {
        identities.iter().find(|entry| entry.version == *since).map(|entry| &entry.observed.identity)
    };
    match discontinuity {
        Discontinuity::Downgrade { .. } | Discontinuity::Withdrawn => vec![waiver(
            "ask the publisher why it has no attestation; if that is meant, let only these bytes pass",
            story,
        )],
        Discontinuity::PinUnmet => vec![
            Fix::words("remove the [[pin]] that names the package, if its publisher has stopped signing"),
            waiver("or let only these bytes pass", story),
        ],
        Discontinuity::Changed { since, difference } => {
            let what = format!(
                "ask the publisher whether the {} has changed; if it has, pin who signs from now on",
                difference.field
            );
            vec![pin(&what, story, before(since), difference), waiver("or let only these bytes pass", story)]
        }
        Discontinuity::NotPinned { difference } => vec![
            Fix::words(format!(
                "ask the publisher whether the {} has changed; if it has, write {} into the [[pin]] that names the package",
                difference.field,
                quoted(&difference.found)
            )),
            waiver("or let only these bytes pass", story),
        ],
    }
}

/// A waiver for the bytes, for a month from now.
fn waiver(what: &str, story: &Story) -> Fix {
    let end = story.told_at.checked_add(WAIVER_LIFE).unwrap_or(story.told_at);
    let expires = end.to_zoned(TimeZone::UTC).date();
    let lines = [
        "[[waiver]]".to_owned(),
        format!("sha256 = \"{}\"", story.facts.sha256),
        "reason = \"say who confirmed it, and how\"".to_owned(),
        format!("expires = \"{expires}\""),
    ];
    Fix::policy(what, &lines)
}

/// The head of a rule for the package.
fn rule(story: &Story) -> Vec<String> {
    vec!["[[rule]]".to_owned(), ecosystem(story), packages(story)]
}

fn ecosystem(story: &Story) -> String {
    format!("ecosystem = \"{}\"", story.facts.id.ecosystem)
}

fn packages(story: &Story) -> String {
    format!("packages = [{}]", quoted(story.facts.id.package.as_str()))
}

/// A pin on the identity of before with one thing changed; in words alone where too little is known to write one.
fn pin(what: &str, story: &Story, before: Option<&Identity>, changed: &Difference) -> Fix {
    let lines = before.and_then(|before| expected(before, changed));
    let Some(expected) = lines else {
        return Fix::words(format!("{what}, with a [[pin]] that names issuer and repository"));
    };
    let mut lines = vec!["[[pin]]".to_owned(), ecosystem(story), packages(story)];
    lines.extend(expected);
    Fix::policy(format!("{what} (what the pin leaves out is free)"), &lines)
}

/// Issuer, repository and what has changed, as a pin names them. `None` when the repository would be a guess.
fn expected(before: &Identity, changed: &Difference) -> Option<Vec<String>> {
    let mut lines = vec![format!("issuer = {}", quoted(&before.issuer))];
    let found = Some(changed.found.as_str()).filter(|found| *found != "none");
    let anchor = [
        ("repository_id", &before.repository_id),
        ("repository", &before.repository),
        ("signer", &Some(before.signer.clone())),
    ]
    .into_iter()
    .find_map(|(key, value)| value.as_ref().map(|value| format!("{key} = {}", quoted(value))));
    let named = |key: &str| found.map(|found| format!("{key} = {}", quoted(found)));
    match changed.field {
        // another issuer numbers and names repositories in its own way
        IdentityField::Issuer => return None,
        IdentityField::RepositoryId => lines.push(named("repository_id")?),
        IdentityField::Repository => lines.push(named("repository")?),
        IdentityField::Signer => lines.push(named("signer")?),
        IdentityField::OwnerId => lines.extend(anchor.into_iter().chain(named("owner_id"))),
        IdentityField::Workflow => lines.extend(anchor.into_iter().chain(named("workflow"))),
        IdentityField::Runner => lines.extend(anchor.into_iter().chain(named("runner"))),
        IdentityField::GitRef => lines.extend(anchor.into_iter().chain(named("ref"))),
        IdentityField::RefClass => lines.extend(anchor.into_iter().chain(refs(found?))),
        IdentityField::Trigger => {
            lines.extend(anchor);
            lines.extend(found.map(|found| format!("triggers = [{}]", quoted(found))));
        }
        IdentityField::Rank => lines.extend(anchor),
    }
    Some(lines)
}

/// The refs of a class, as a pin names them.
fn refs(class: &str) -> Option<String> {
    [(RefClass::Tag, "refs/tags/*"), (RefClass::Branch, "refs/heads/*"), (RefClass::Pull, "refs/pull/*")]
        .into_iter()
        .find(|(known, _)| known.as_str() == class)
        .map(|(_, glob)| format!("ref = \"{glob}\""))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
pub(crate) mod tests;
