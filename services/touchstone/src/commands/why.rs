//! `touchstone why`: an artifact's story on one screen.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use touchstone_console::{
    Asked, Fix, Standing, Told, answer, awaited, promotion, refused, revocation, short_key, what_ends,
};
use touchstone_domain::{ArtifactState, CheckKind, Evidence, Purl, Sha256, SignedBy};
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;
use touchstone_store::{LedgerEntry, RecallOfIt, RecordedVerdict, Story, SumdbStop};

/// How many artifacts of a purl are told of.
const STORIES_MAX: i64 = 50;

/// Prints the stories; exit code 2 when something is refused, 1 when nothing is known.
pub(crate) async fn run(config: &Config, purl: &str, json: bool) -> Result<ExitCode> {
    let purl = normal(purl.parse()?)?;
    let store = super::store(config).await?;
    let told = Told::read(&store, &purl, STORIES_MAX).await?;
    let stories = &told.stories;
    if json {
        super::say(&format!("{:#}\n", told.json()));
    } else {
        for story in stories {
            let policy = told.policies.get(&story.facts.policy_epoch).copied();
            super::say(&tell(story, policy, &told.fixes(story), Until::of(&told, story)));
        }
        super::say(&ledger(&told.identities));
        super::say(&stopped(&told.stops));
        for incident in store.incidents_about(&purl, STORIES_MAX).await?.iter().filter(|_| stories.is_empty())
        {
            super::say(&format!(
                "incident {}: {} ({} times, last {})\n",
                incident.kind, incident.detail, incident.count, incident.last_at
            ));
        }
    }
    if stories.is_empty() {
        eprintln!("{purl} is not on record: nobody has asked this mirror for it, or its fetch failed");
        return Ok(ExitCode::FAILURE);
    }
    let refused = |story: &Story| !story.state().is_pending() && !story.state().is_servable();
    Ok(if stories.iter().any(refused) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// How long something pending waits.
#[derive(Clone, Copy)]
enum Until {
    /// Until it is its turn.
    Soon,
    /// Until the checksum database is no longer stopped.
    Resumed,
    /// Until a key counts.
    Rotated,
}

impl Until {
    fn of(told: &Told, story: &Story) -> Self {
        match told.waits_for(story) {
            Some(_) => Self::Resumed,
            None if told.needs_keys(story).is_empty() => Self::Soon,
            None => Self::Rotated,
        }
    }
}

/// Lines with a label each, in which nothing from outside moves the cursor.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, text: impl AsRef<str>) {
        let clean: String =
            text.as_ref().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _infallible = writeln!(self.0, "  {label:<11} {clean}");
    }

    /// Lines of a policy file, as they are to be written.
    fn add_policy(&mut self, policy: &str) {
        for line in policy.lines() {
            self.add("", format!("    {line}"));
        }
    }
}

/// One artifact, in lines.
fn tell(story: &Story, policy: Option<Sha256>, fixes: &[Fix], until: Until) -> String {
    let (facts, gate) = (&story.facts, &story.gate);
    let mut lines = Lines::default();
    lines.add("state", format!("{}: {}", story.state().as_str(), next_step(story, until)));
    for fix in fixes {
        lines.add("fix", &fix.what);
        lines.add_policy(fix.policy.as_deref().unwrap_or_default());
    }
    lines.add("sha256", facts.sha256.to_string());
    lines.add("size", format!("{} bytes", facts.size));
    lines.add("fetched", format!("{} from {}", story.fetched_at, facts.upstream_url));
    for (signed, at) in &story.fetches {
        lines.add("", format!("signed by the fetch key {}, on record since {at}", short_key(signed.key)));
    }
    if let Some(published) = facts.published_at {
        lines.add("published", format!("{published}, by the upstream's word"));
    }
    for claim in &facts.claims {
        lines.add("claim", format!("{} = {}", claim.field, claim.value));
    }
    for evidence in &facts.evidence {
        lines.add("evidence", kept(evidence));
    }
    for check in CheckKind::ALL {
        tell_check(&mut lines, story, check);
    }
    tell_history(&mut lines, story);
    let digest = policy.map_or_else(String::new, |digest| format!(", sha256:{digest}"));
    lines.add("policy", format!("number {}{digest}; epoch {} of the gate", facts.policy_epoch, gate.epoch));
    tell_records(&mut lines, story);
    format!("{}\n{}", facts.id, lines.0)
}

/// What a check said, and what it rests on; one that is not required only if it said something.
fn tell_check(lines: &mut Lines, story: &Story, check: CheckKind) {
    let asked = Asked::of(&story.gate, check);
    let found = answer(story, check);
    if asked == Asked::Optional && found.is_none() {
        return;
    }
    let label = format!("{check} check");
    let Some(recorded @ RecordedVerdict { verdict, recorded_at, .. }) = found else {
        lines.add(&label, format!("no answer yet; asked {} time(s) again", story.dispatches));
        lines.add("", asked.as_str());
        return;
    };
    let (outcome, service, software) = (&verdict.outcome, &verdict.service, &verdict.software);
    lines.add(&label, format!("{}: {} ({service} {software}, {recorded_at})", outcome.kind, outcome.reason));
    lines.add("", asked.as_str());
    for digest in &verdict.evidence {
        let known = story.facts.evidence.iter().find(|evidence| evidence.sha256 == *digest);
        let bare = |digest: &Sha256| format!("sha256:{digest}");
        lines.add("", format!("on {}", known.map_or_else(|| bare(digest), kept)));
    }
    for digest in &verdict.trust {
        lines.add("", format!("trusting sha256:{digest}"));
    }
    lines.add("", format!("{}, {}", signer(check, recorded.signed), standing(story, recorded)));
    for other in refused(story, check).filter(|other| *other != recorded) {
        let outcome = other.verdict.outcome.kind;
        let (by, standing) = (signer(check, other.signed), standing(story, other));
        lines.add("", format!("another answer, {outcome} ({}), is {by}, {standing}", other.recorded_at));
    }
}

/// With which key a check's verdict is signed, by its row.
fn signer(check: CheckKind, signed: Option<SignedBy>) -> String {
    match signed {
        Some(signed) => format!("signed by the {check} key {}", short_key(signed.key)),
        None => "not signed".to_owned(),
    }
}

/// Whether a verdict counted, or why not.
fn standing(story: &Story, recorded: &RecordedVerdict) -> String {
    match (Standing::of(story, recorded), &recorded.refused) {
        (Standing::Refused, Some((code, reason))) => format!("and does not count: {reason} ({code})"),
        (Standing::Refused, None) => "and does not count".to_owned(),
        (Standing::Counted, _) => "and counted".to_owned(),
        (Standing::Waiting, _) => "and not counted yet".to_owned(),
    }
}

/// The serve record, and how to get all records.
fn tell_records(lines: &mut Lines, story: &Story) {
    let Some(promotion) = promotion(story) else { return };
    let Some(SignedBy { key, envelope }) = promotion.signed else {
        lines.add("record", "none: it was promoted before promotions were signed");
        return;
    };
    let place = promotion.log_index.map_or_else(
        || "not in the transparency log yet".to_owned(),
        |index| format!("entry {index} of the transparency log"),
    );
    lines.add("record", format!("sha256:{}, {place}", envelope.sha256));
    lines.add("", format!("signed by the promote key {}", short_key(key)));
    if story.state().is_servable() {
        lines.add(
            "",
            format!("for stock in-toto tools: touchstone records '{}' -o DIR", Purl::from(&story.facts.id)),
        );
    }
}

/// Who recalled it, when and why, and since when it is out of service.
fn tell_recalls(lines: &mut Lines, story: &Story) {
    for RecallOfIt { reason, actor, at } in &story.recalls {
        lines.add("recalled", format!("{at}, by {actor}: {reason}"));
    }
    if let Some(revoked) = revocation(story) {
        let place = revoked
            .log_index
            .map_or_else(String::new, |index| format!(", entry {index} of the transparency log"));
        lines.add("revoked", format!("{}{place}", revoked.at));
    }
}

fn kept(evidence: &Evidence) -> String {
    let Evidence { kind, url, sha256, size, .. } = evidence;
    format!("{kind} sha256:{sha256} ({size} bytes) from {url}")
}

/// What has happened to the artifact besides.
fn tell_history(lines: &mut Lines, story: &Story) {
    for recorded in &story.attempts {
        let attempt = &recorded.attempt;
        lines.add(
            "attempt",
            format!("{} could not answer: {} ({})", attempt.check, attempt.detail, recorded.at),
        );
    }
    for promotion in &story.promotions {
        lines.add(
            "promoted",
            format!(
                "number {} under policy {}, {}",
                promotion.serial, promotion.policy_epoch, promotion.promoted_at
            ),
        );
    }
    tell_recalls(lines, story);
    for incident in &story.incidents {
        lines.add(
            "incident",
            format!(
                "{}: {} ({} times, last {})",
                incident.kind, incident.detail, incident.count, incident.last_at
            ),
        );
    }
    for letter in &story.dead_letters {
        lines.add("dead letter", &letter.letter.detail);
    }
}

/// Who signed the package, the latest first; nothing where nobody did.
fn ledger(identities: &[LedgerEntry]) -> String {
    let mut lines = Lines::default();
    for LedgerEntry { line, version, observed, basis, at, .. } in identities {
        let identity = &observed.identity;
        lines.add(
            &format!("line {}", line.0),
            format!("{identity}, {}; version {version}, since {at}", observed.rank),
        );
        lines.add("", format!("issuer {}, signer {}", identity.issuer, identity.signer));
        let ids = [("repository id", &identity.repository_id), ("owner id", &identity.owner_id)];
        let ids: Vec<String> =
            ids.iter().filter_map(|(label, id)| id.as_ref().map(|id| format!("{label} {id}"))).collect();
        let numbered = if ids.is_empty() { String::new() } else { format!("{}; ", ids.join(", ")) };
        lines.add("", format!("{numbered}{basis}"));
    }
    if identities.is_empty() { String::new() } else { format!("who signed this package\n{}", lines.0) }
}

/// Why Go modules wait for ever: a checksum database that is stopped; nothing where none is.
fn stopped(stops: &[(String, SumdbStop)]) -> String {
    let mut lines = Lines::default();
    for (database, SumdbStop { kind, ours, theirs, detail, at }) in stops {
        lines.add(kind.as_str(), format!("{database}, since {at:.0}: {detail}"));
        lines.add("", format!("ours has {} records, theirs {}", ours.size, theirs.size));
        lines.add("", what_ends(*kind));
    }
    let what = "the checksum database is stopped, and what needs its answer waits";
    if stops.is_empty() { String::new() } else { format!("{what}\n{}", lines.0) }
}

/// What a state means for the person who asks.
fn next_step(story: &Story, until: Until) -> String {
    match story.state() {
        ArtifactState::Servable => "it is served".to_owned(),
        ArtifactState::Fetched | ArtifactState::Verifying => match until {
            Until::Soon => format!("waiting for {}; try again in a few seconds", answerers(story)),
            Until::Resumed => {
                format!("waiting for {}; the checksum database is stopped, see below", answerers(story))
            }
            Until::Rotated => {
                format!("waiting for {}; nothing goes on until a key counts again", answerers(story))
            }
        },
        ArtifactState::Held => match story.eligible_at {
            Some(at) if story.gate.hold.contains(touchstone_domain::HoldReason::Age) => {
                format!("too young until {at}")
            }
            Some(_) | None => format!(
                "a required check did not approve it; change the policy, restart, and run `touchstone recheck {}`",
                Purl::from(&story.facts.id)
            ),
        },
        ArtifactState::Rejected => "it will not be served; choose another version".to_owned(),
        ArtifactState::Revoked => {
            let reason = story.recalls.first().map(|recall| recall.reason.as_str());
            format!("recalled: {}", reason.unwrap_or("no reason is on record"))
        }
    }
}

/// Whom a pending artifact waits for: the required checks without an answer on record, or else promote, which has to count them.
fn answerers(story: &Story) -> String {
    let unanswered: Vec<&str> = awaited(story).into_iter().map(CheckKind::as_str).collect();
    if unanswered.is_empty() { "promote".to_owned() } else { unanswered.join(", ") }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{
        ArtifactDbId, Basis, FileName, Identity, Observed, ReleaseLine, TrustRank, Version,
    };
    use touchstone_store::{SumdbHead, SumdbStopKind};

    use super::*;

    fn entry(identity: Identity, basis: Basis) -> LedgerEntry {
        LedgerEntry {
            artifact: ArtifactDbId(1),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("widget.tgz").expect("a name"),
            line: ReleaseLine(1),
            observed: Observed { identity, rank: TrustRank::TrustedPublisher },
            basis,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_stop_is_told_with_its_end() {
        let head = |size| SumdbHead { size, root: Sha256([1; 32]), note: vec![] };
        let stop = |kind, detail: &str| {
            let (detail, at) = (detail.to_owned(), jiff::Timestamp::UNIX_EPOCH);
            (
                "sums.example+01234567".to_owned(),
                SumdbStop { kind, ours: head(8), theirs: head(9), detail, at },
            )
        };
        let told = stopped(&[stop(SumdbStopKind::Fork, "two\nheads"), stop(SumdbStopKind::Freeze, "old")]);
        let expected = "the checksum database is stopped, and what needs its answer waits
  fork        sums.example+01234567, since 1970-01-01T00:00:00Z: two\u{fffd}heads
              ours has 8 records, theirs 9
              compare both signed notes in `touchstone trust show` with what others see, then run `touchstone trust resume`
  freeze      sums.example+01234567, since 1970-01-01T00:00:00Z: old
              ours has 8 records, theirs 9
              it ends by itself when the latest tree grows; until then look at `upstream.go.sumdb_url`, and at `sumdb.frozen_after`, for as long as which `touchstone trust resume` ends it too
";
        assert_eq!(told, expected);
        assert_eq!(stopped(&[]), "");
    }

    #[test]
    fn the_ledger_names_who_signed_since_when_and_why_it_was_accepted() {
        let workflow = Identity {
            issuer: "https://issuer.example".into(),
            signer: "https://forge.example/acme/widget/release.yml".into(),
            repository: Some("https://forge.example/acme/widget".into()),
            repository_id: Some("100".into()),
            owner_id: Some("7".into()),
            workflow: Some("release.yml".into()),
            git_ref: Some("refs/tags/v1.0.0".into()),
            trigger: None,
            runner: None,
        };
        let person = Identity {
            signer: "mallory@acme.example\n  state       servable".into(),
            repository: None,
            repository_id: None,
            owner_id: None,
            workflow: None,
            git_ref: None,
            ..workflow.clone()
        };
        let earlier = Basis::Earlier { since: Version::new("1.3.0").expect("a version") };
        let told = ledger(&[entry(workflow, Basis::FirstUse), entry(person, earlier)]);
        let expected = "who signed this package
  line 1      https://forge.example/acme/widget (release.yml) at refs/tags/v1.0.0, trusted_publisher; version 1.0.0, since 1970-01-01T00:00:00Z
              issuer https://issuer.example, signer https://forge.example/acme/widget/release.yml
              repository id 100, owner id 7; the first of its package, pinned now
  line 1      mallory@acme.example\u{fffd}  state       servable (https://issuer.example), trusted_publisher; version 1.0.0, since 1970-01-01T00:00:00Z
              issuer https://issuer.example, signer mallory@acme.example\u{fffd}  state       servable
              the same repository as version 1.3.0, and older
";
        assert_eq!(told, expected);
        assert_eq!(ledger(&[]), "");
    }
}
