use jiff::Timestamp;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, Basis, CheckSet, Ecosystem, FileName, Gate, HoldSet, Observed, Outcome,
    PackageName, Policy, ReleaseLine, Requirement, Sha256, Sha512, SignatureNote, TrustRank, Verdict,
};
use touchstone_store::{Facts, RecordedVerdict};

use super::*;
use crate::story::Told;

const WIDGET: &str = "https://forge.example/acme/widget";

fn version(text: &str) -> Version {
    Version::new(text).expect(text)
}

fn identity() -> Identity {
    Identity {
        issuer: "https://issuer.example".into(),
        signer: format!("{WIDGET}/.github/workflows/release.yml"),
        repository: Some(WIDGET.into()),
        repository_id: Some("100".into()),
        owner_id: Some("7".into()),
        workflow: Some(".github/workflows/release.yml".into()),
        git_ref: Some("refs/tags/v1.0.0".into()),
        trigger: Some("push".into()),
        runner: Some("github-hosted".into()),
    }
}

fn entry(at: &str, identity: Identity) -> LedgerEntry {
    LedgerEntry {
        artifact: ArtifactDbId(1),
        version: version(at),
        file: FileName::new("widget.tgz").expect("a name"),
        line: ReleaseLine(1),
        observed: Observed { identity, rank: TrustRank::Provenance },
        basis: Basis::FirstUse,
        at: Timestamp::UNIX_EPOCH,
    }
}

/// The story of an artifact whose hash check passed and whose attest check answered this.
pub(crate) fn story(outcome: Outcome, tolerated: CheckSet) -> Story {
    let sha256 = Sha256::of("bytes");
    let (hash, attest) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
    let requirement =
        Requirement::new(hash.union(attest), CheckSet::EMPTY).and_then(|r| r.tolerating(tolerated));
    let verdict = |check, outcome| RecordedVerdict {
        verdict: Verdict {
            artifact: ArtifactDbId(1),
            sha256,
            chunk_root: None,
            epoch: 0,
            check,
            check_revision: 1,
            policy_epoch: 1,
            outcome,
            evidence: vec![Sha256::of("entry"), Sha256::of("unknown")],
            trust: vec![Sha256::of("root")],
            service: check.to_string(),
            software: "test".into(),
            decided_at: Timestamp::UNIX_EPOCH,
        },
        recorded_at: Timestamp::UNIX_EPOCH,
        signed: None,
        refused: None,
    };
    let mut gate = Gate {
        artifact: ArtifactDbId(1),
        sha256,
        chunk_root: sha256,
        epoch: 0,
        requirement: requirement.expect("a check"),
        ok: hash,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    };
    match outcome.kind {
        OutcomeKind::Pass => gate.ok = hash.union(attest),
        OutcomeKind::NotOffered if !tolerated.is_empty() => gate.ok = hash.union(attest),
        OutcomeKind::Fail => gate.deny = attest,
        OutcomeKind::NotOffered | OutcomeKind::Inconclusive => gate.undecided = attest,
    }
    let id = ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("@acme/widget").expect("a name"),
        version: version("1.1.0"),
        file: FileName::new("widget-1.1.0.tgz").expect("a name"),
    };
    Story {
        facts: facts(id, sha256),
        gate,
        eligible_at: None,
        fetched_at: Timestamp::UNIX_EPOCH,
        dispatches: 0,
        dispatch_due: None,
        verdicts: vec![
            verdict(CheckKind::Attest, outcome),
            verdict(CheckKind::Hash, Outcome::pass(Reason::DigestsMatch { claims: 1 })),
        ],
        log: vec![],
        promotions: vec![],
        attempts: vec![],
        dead_letters: vec![],
        incidents: vec![],
        fetches: vec![],
        recalls: vec![],
        told_at: "2027-01-31T23:00:00Z".parse().expect("a time"),
    }
}

fn facts(id: ArtifactId, sha256: Sha256) -> Facts {
    Facts {
        artifact: ArtifactDbId(1),
        id,
        sha256,
        sha512: Sha512::of("bytes"),
        size: 5,
        chunk_root: sha256,
        upstream_url: "https://registry.example/widget.tgz".into(),
        published_at: None,
        claims: vec![],
        evidence: vec![touchstone_domain::Evidence {
            kind: touchstone_domain::EvidenceKind::MetadataEntry,
            url: "https://registry.example/widget".into(),
            sha256: Sha256::of("entry"),
            size: 5,
            seen_at: Timestamp::UNIX_EPOCH,
        }],
        epoch: 0,
        policy_epoch: 1,
        answered: CheckSet::EMPTY,
        required: CheckSet::EMPTY,
    }
}

fn changed(field: IdentityField, found: &str) -> Difference {
    Difference { field, expected: "x".into(), found: found.into() }
}

fn broken(discontinuity: Discontinuity) -> Story {
    story(Outcome::inconclusive(Reason::Discontinued { discontinuity }), CheckSet::of(CheckKind::Attest))
}

/// The policy of a fix, which must be a valid one.
fn policy(fix: &Fix) -> Policy {
    let text = fix.policy.as_deref().expect("lines for the policy");
    Policy::parse(text).expect(text)
}

fn waives(fix: &Fix, story: &Story) -> bool {
    let waived = |at| policy(fix).waiver(story.facts.sha256, at).is_some();
    waived(story.told_at) && !waived("2027-03-03T00:00:00Z".parse().expect("a time"))
}

#[test]
fn what_changed_can_be_pinned_or_waived_and_the_lines_are_ready() {
    use IdentityField as Field;
    type Change = fn(&mut Identity);
    let cases: [(Field, &str, Change); 10] = [
        (Field::RepositoryId, "101", |i| i.repository_id = Some("101".into())),
        (Field::Repository, "https://forge.example/b/c", |i| {
            i.repository = Some("https://forge.example/b/c".into());
        }),
        (Field::Signer, "a\"b\\\u{7f}", |i| i.signer = "a\"b\\\u{7f}".into()),
        (Field::OwnerId, "8", |i| i.owner_id = Some("8".into())),
        (Field::Workflow, "x.yml", |i| i.workflow = Some("x.yml".into())),
        (Field::Runner, "self-hosted", |i| i.runner = Some("self-hosted".into())),
        (Field::RefClass, "branch", |i| i.git_ref = Some("refs/heads/main".into())),
        (Field::RefClass, "none", |i| i.git_ref = None),
        (Field::Trigger, "workflow_dispatch", |i| i.trigger = Some("workflow_dispatch".into())),
        (Field::Rank, "provenance", |_| {}),
    ];
    let ledger = [
        entry("1.2.0", Identity { repository_id: Some("9".into()), ..identity() }),
        entry("1.0.0", identity()),
    ];
    for (field, found, change) in cases {
        let since = version("1.0.0");
        let story = broken(Discontinuity::Changed { since, difference: changed(field, found) });
        let all = fixes(&story, &ledger);
        assert_eq!(all.len(), 3, "{field}: {all:?}");
        if found == "none" {
            assert_eq!(all[0].policy, None, "{all:?}");
        } else {
            assert!(all[0].what.starts_with(&format!("ask the publisher whether the {field} has changed")));
            let mut now = identity();
            change(&mut now);
            let (parsed, id) = (policy(&all[0]), &story.facts.id);
            let pin = parsed.pin(id.ecosystem, &id.package).expect("it names the package");
            assert_eq!(pin.check(&now), Ok(()), "{field}");
            if field != Field::Rank {
                assert!(pin.check(&identity()).is_err(), "{field}: the old one is not meant any more");
            }
        }
        assert!(waives(&all[1], &story), "{field}");
        let again = "after a change of the policy: restart, and run `touchstone recheck pkg:npm/%40acme/widget@1.1.0`";
        assert_eq!(all[2], Fix::words(again));
    }
    let issuer = Discontinuity::Changed { since: version("1.0.0"), difference: changed(Field::Issuer, "x") };
    let forgotten =
        Discontinuity::Changed { since: version("0.9.0"), difference: changed(Field::OwnerId, "8") };
    for guess in [issuer, forgotten] {
        let all = fixes(&broken(guess), &ledger);
        assert!(
            all[0].policy.is_none()
                && all[0].what.ends_with("with a [[pin]] that names issuer and repository")
        );
    }
}

#[test]
fn a_missing_attestation_can_only_be_waived() {
    for discontinuity in [
        Discontinuity::Downgrade { since: version("1.0.0"), identity: Box::new(identity()) },
        Discontinuity::Withdrawn,
        Discontinuity::PinUnmet,
        Discontinuity::NotPinned { difference: changed(IdentityField::OwnerId, "8") },
    ] {
        let story = broken(discontinuity.clone());
        let all = fixes(&story, &[]);
        let ready: Vec<&Fix> = all.iter().filter(|fix| fix.policy.is_some()).collect();
        assert_eq!(ready.len(), 1, "{discontinuity:?}");
        assert!(waives(ready[0], &story), "{discontinuity:?}");
    }
    let unattested = || Outcome {
        kind: OutcomeKind::NotOffered,
        reason: Reason::Unattested { registry_signature: SignatureNote::Verified },
    };
    let required = story(unattested(), CheckSet::EMPTY);
    let all = fixes(&required, &[]);
    assert_eq!(all.len(), 3);
    assert!(waives(&all[0], &required));
    let id = &required.facts.id;
    let relaxed = policy(&all[1]).requirement(id.ecosystem, &id.package);
    assert_eq!(relaxed.tolerated(), CheckSet::of(CheckKind::Attest));
    let tolerated = story(unattested(), CheckSet::of(CheckKind::Attest));
    assert_eq!((tolerated.state(), fixes(&tolerated, &[])), (ArtifactState::Servable, vec![]));
}

#[test]
fn nothing_is_suggested_that_lets_pass_what_does_not_verify() {
    let text = || "x".to_owned();
    let refused = Reason::AttestationRefused { document: text(), problem: text(), detail: text() };
    let signature = Reason::RegistrySignatureRefused { problem: text(), detail: text() };
    for reason in [refused, signature, Reason::SizeMismatch { declared: 1, computed: 2 }] {
        let all =
            fixes(&story(Outcome::fail(reason.clone()), CheckSet::EMPTY), &[entry("1.0.0", identity())]);
        assert!(all.iter().all(|fix| fix.policy.is_none()), "{reason:?}: {all:?}");
    }
    let difference = changed(IdentityField::Trigger, "pull_request");
    let foreign = story(Outcome::fail(Reason::ForeignBuild { difference }), CheckSet::EMPTY);
    let all = fixes(&foreign, &[entry("1.0.0", identity())]);
    let id = &foreign.facts.id;
    let parsed = policy(&all[0]);
    let pin = parsed.pin(id.ecosystem, &id.package).expect("it names the package");
    assert_eq!(pin.check(&Identity { trigger: Some("pull_request".into()), ..identity() }), Ok(()));
    assert_eq!(fixes(&foreign, &[])[0].policy, None, "whose build it is cannot be guessed");
}

#[test]
fn the_answer_tells_requirement_evidence_trust_and_ledger() {
    let missing = Discontinuity::Downgrade { since: version("1.0.0"), identity: Box::new(identity()) };
    let told = Told {
        stories: vec![broken(missing)],
        identities: vec![entry("1.0.0", identity())],
        ..Told::default()
    };
    let answer = told.json();
    let artifact = &answer["artifacts"][0];
    assert_eq!((&artifact["state"], &artifact["file"]), (&"held".into(), &"widget-1.1.0.tgz".into()));
    let [hash, attest] = [&artifact["checks"][0], &artifact["checks"][1]];
    assert_eq!((&hash["requirement"], &hash["absence_tolerated"]), (&"required".into(), &false.into()));
    assert_eq!((&attest["requirement"], &attest["absence_tolerated"]), (&"required".into(), &true.into()));
    assert_eq!((&attest["outcome"], &attest["code"]), (&"inconclusive".into(), &"discontinued".into()));
    assert_eq!(attest["detail"]["discontinuity"]["break"], "downgrade");
    assert_eq!(attest["evidence"][0]["url"], "https://registry.example/widget");
    assert_eq!(attest["evidence"][0]["kind"], "metadata_entry");
    let digest = |of: &str| serde_json::json!(Sha256::of(of));
    assert_eq!(attest["evidence"][1], serde_json::json!({ "sha256": digest("unknown") }));
    assert_eq!(attest["trust"], serde_json::json!([digest("root")]));
    assert!(artifact["fixes"][0]["policy"].as_str().is_some_and(|lines| lines.starts_with("[[waiver]]\n")));
    let identity = &answer["identities"][0];
    assert_eq!(
        (&identity["line"], &identity["version"], &identity["rank"]),
        (&1.into(), &"1.0.0".into(), &"provenance".into())
    );
    assert_eq!((&identity["identity"]["repository"], &identity["binding"]), (&WIDGET.into(), &true.into()));
    assert_eq!(
        (&identity["basis"]["basis"], &identity["words"]),
        (&"first_use".into(), &"the first of its package, pinned now".into())
    );
}

/// As [`story`], for a Go module whose sumdb check answered this.
pub(crate) fn module_story(name: &str, outcome: Outcome) -> Story {
    let mut story = story(outcome, CheckSet::EMPTY);
    let id = &mut story.facts.id;
    (id.ecosystem, id.package) = (Ecosystem::Go, PackageName::new(name).expect(name));
    (id.version, id.file) = (version("v1.1.0"), FileName::new("v1.1.0.zip").expect("a name"));
    story.verdicts[0].verdict.check = CheckKind::Sumdb;
    let of = |set: CheckSet| {
        if set.contains(CheckKind::Attest) {
            set.minus(CheckSet::of(CheckKind::Attest)).union(CheckSet::of(CheckKind::Sumdb))
        } else {
            set
        }
    };
    let gate = &mut story.gate;
    let checks = of(gate.requirement.required());
    gate.requirement = Requirement::new(checks, checks).expect("a check");
    (gate.ok, gate.deny, gate.undecided) = (of(gate.ok), of(gate.deny), of(gate.undecided));
    story
}

#[test]
fn a_module_that_the_database_lacks_is_private_or_new_and_a_toolchain_is_never_private() {
    let absent = || Outcome::fail(Reason::SumdbAbsent { database: "sum.example+1".into(), status: 404 });
    let module = module_story("corp.example/team/tool", absent());
    let all = fixes(&module, &[]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(policy(&all[0]).is_private_module(&module.facts.id.package));
    let purl = "pkg:golang/corp.example/team/tool@v1.1.0?file_name=v1.1.0.zip";
    let again = format!("if it is public, and the database knows it by now, run `touchstone recheck {purl}`");
    assert_eq!(all[1], Fix::words(again));
    assert!(all[2].what.ends_with(&format!("run `touchstone recheck {purl}`")), "{all:?}");
    let toolchain = fixes(&module_story("golang.org/toolchain", absent()), &[]);
    assert_eq!(toolchain.len(), 1, "{toolchain:?}");
    assert!(toolchain[0].policy.is_none() && toolchain[0].what.starts_with("if it is public,"));
}

#[test]
fn a_module_whose_go_mod_names_another_may_be_a_fork_and_a_toolchain_never_is() {
    let renamed = |part: &str| {
        let (expected, found) = ("code.example/team/fork".to_owned(), "code.example/a".to_owned());
        Outcome::fail(Reason::CoordinateMismatch { part: part.to_owned(), expected, found })
    };
    let module = module_story("code.example/team/fork", renamed("module"));
    let all = fixes(&module, &[]);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0].policy.as_deref(), Some("[go]\nforks = [\"code.example/team/fork\"]"));
    assert!(policy(&all[0]).allows_fork(&module.facts.id.package));
    assert!(all[0].what.starts_with("only if it is your fork of \"code.example/a\""), "{all:?}");
    for (name, part) in [("golang.org/toolchain", "module"), ("code.example/team/fork", "go.mod")] {
        assert_eq!(fixes(&module_story(name, renamed(part)), &[]), [], "{name} {part}");
    }
}

#[test]
fn nothing_excuses_what_the_database_contradicts_or_does_not_prove() {
    let text = |text: &str| text.to_owned();
    let mismatch =
        Reason::SumdbMismatch { what: text("zip"), recorded: text("h1:a"), computed: text("h1:b") };
    let (database, problem, detail) = (text("sum.example+1"), text("other_module"), text("no such line"));
    let refused = Reason::SumdbRefused { database, problem, detail };
    for (reason, code) in [(mismatch, "sumdb_mismatch"), (refused, "sumdb_refused")] {
        let story = module_story("code.example/tool", Outcome::fail(reason.clone()));
        let all = fixes(&story, &[]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].policy.is_none() && all[0].what.starts_with("nothing excuses "), "{all:?}");
        let told = Told { stories: vec![story], ..Told::default() }.json();
        let artifact = &told["artifacts"][0];
        assert_eq!(
            (&artifact["state"], &artifact["reason"]),
            (&"rejected".into(), &reason.to_string().into())
        );
        let check = &artifact["checks"][1];
        assert_eq!((&check["kind"], &check["code"]), (&"sumdb".into(), &code.into()));
        assert_eq!(check["detail"], serde_json::json!(reason));
    }
}
