use super::*;
use crate::{CheckSet, Policy, PolicyError, Requirement};

mod waivers;

const WIDGET: &str = "https://forge.example/acme/widget";

fn package(name: &str) -> PackageName {
    PackageName::new(name).expect(name)
}

fn parse(document: &str) -> Policy {
    Policy::parse(document).expect(document)
}

/// The problem of a document that is not valid.
fn problem(document: &str) -> String {
    match Policy::parse(document) {
        Err(PolicyError::Rule { problem, .. }) => problem,
        other => panic!("{document}: {other:?}"),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
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

fn with(change: impl FnOnce(&mut Identity)) -> Identity {
    let mut changed = identity();
    change(&mut changed);
    changed
}

/// What a pin with these lines says of an identity.
fn checked(lines: &str, identity: &Identity) -> Result<(), Difference> {
    let document = format!(
        "[[pin]]\necosystem = \"npm\"\npackages = [\"*\"]\nissuer = \"https://issuer.example\"\n{lines}\n"
    );
    let policy = parse(&document);
    policy.pin(Ecosystem::Npm, &package("widget")).expect("it names everything").check(identity)
}

fn differs(field: IdentityField, expected: &str, found: &str) -> Result<(), Difference> {
    Err(Difference { field, expected: expected.into(), found: found.into() })
}

/// Everything that a pin can name, and the value of the usual identity.
const EVERYTHING: &str = r#"
signer = "https://forge.example/acme/widget/.github/workflows/release.yml"
repository = "https://forge.example/acme/widget"
repository_id = "100"
owner_id = "7"
workflow = ".github/workflows/release.yml"
ref = "refs/tags/v*"
triggers = ["push", "release"]
runner = "github-hosted"
"#;

#[test]
fn a_pin_compares_each_field_that_it_names() {
    use IdentityField as Field;
    type Change = fn(&mut Identity);
    assert_eq!(checked(EVERYTHING, &identity()), Ok(()));
    let cases: [(Change, Field, &str, &str); 16] = [
        (|i| i.issuer = "x".into(), Field::Issuer, "https://issuer.example", "x"),
        (
            |i| i.signer = "x".into(),
            Field::Signer,
            "https://forge.example/acme/widget/.github/workflows/release.yml",
            "x",
        ),
        (
            |i| i.repository = Some(format!("{WIDGET}s")),
            Field::Repository,
            WIDGET,
            "https://forge.example/acme/widgets",
        ),
        (|i| i.repository = None, Field::Repository, WIDGET, "none"),
        (|i| i.repository_id = Some("101".into()), Field::RepositoryId, "100", "101"),
        (|i| i.repository_id = None, Field::RepositoryId, "100", "none"),
        (|i| i.owner_id = Some("8".into()), Field::OwnerId, "7", "8"),
        (|i| i.owner_id = None, Field::OwnerId, "7", "none"),
        (|i| i.workflow = Some("x.yml".into()), Field::Workflow, ".github/workflows/release.yml", "x.yml"),
        (|i| i.workflow = None, Field::Workflow, ".github/workflows/release.yml", "none"),
        (|i| i.git_ref = Some("refs/heads/v1".into()), Field::GitRef, "refs/tags/v*", "refs/heads/v1"),
        (|i| i.git_ref = None, Field::GitRef, "refs/tags/v*", "none"),
        (|i| i.trigger = Some("schedule".into()), Field::Trigger, "push, release", "schedule"),
        (|i| i.trigger = None, Field::Trigger, "push, release", "none"),
        (|i| i.runner = Some("self-hosted".into()), Field::Runner, "github-hosted", "self-hosted"),
        (|i| i.runner = None, Field::Runner, "github-hosted", "none"),
    ];
    for (change, field, expected, found) in cases {
        let changed = with(change);
        assert_eq!(checked(EVERYTHING, &changed), differs(field, expected, found), "{field}");
        // left out, it is free; the issuer cannot be
        let lines: Vec<&str> = EVERYTHING.lines().filter(|line| !names(line, field)).collect();
        let expected = if field == Field::Issuer { differs(field, expected, found) } else { Ok(()) };
        assert_eq!(checked(&lines.join("\n"), &changed), expected, "without {field}");
    }
    let other_case = with(|i| i.repository = Some("https://forge.example/ACME/Widget".into()));
    assert_eq!(checked(EVERYTHING, &other_case), Ok(()), "forges compare names without case");
    assert_eq!(checked(EVERYTHING, &with(|i| i.trigger = Some("release".into()))), Ok(()));
    assert_eq!(checked(EVERYTHING, &with(|i| i.git_ref = Some("refs/tags/v".into()))), Ok(()));
}

/// Whether a line of a pin is the one about a field.
fn names(line: &str, field: IdentityField) -> bool {
    let key = match field {
        IdentityField::Issuer => "issuer",
        IdentityField::Signer => "signer",
        IdentityField::Repository => "repository",
        IdentityField::RepositoryId => "repository_id",
        IdentityField::OwnerId => "owner_id",
        IdentityField::Workflow => "workflow",
        IdentityField::GitRef => "ref",
        IdentityField::Trigger => "triggers",
        IdentityField::Runner => "runner",
        IdentityField::RefClass | IdentityField::Rank => "none",
    };
    line.split(" = ").next() == Some(key)
}

#[test]
fn a_strangers_build_must_be_allowed_by_name() {
    let (trigger, git_ref) = (IdentityField::Trigger, IdentityField::GitRef);
    let allowed = "one that the pin allows";
    let pull = "refs/pull/7/merge";
    let build = |event: &str, built: &str| {
        with(|i| (i.trigger, i.git_ref) = (Some(event.into()), Some(built.into())))
    };
    let by_id = "repository_id = \"100\"\n";
    let github =
        ["pull_request", "pull_request_target", "issue_comment", "workflow_run", "discussion", "fork"];
    let gitlab = ["merge_request_event", "external_pull_request_event", "external", "chat"];
    for event in github.into_iter().chain(gitlab).chain(["Push", "push ", ""]) {
        let foreign = build(event, "refs/heads/main");
        assert_eq!(foreign.foreign(), Some((trigger, event)));
        assert_eq!(checked(by_id, &foreign), differs(trigger, allowed, event));
        let by_name = format!("{by_id}triggers = [\"push\", \"{event}\"]");
        assert_eq!(checked(&by_name, &foreign), Ok(()));
        assert_eq!(
            checked(&format!("{by_id}triggers = [\"push\"]"), &foreign),
            differs(trigger, "push", event)
        );
        // the trigger alone does not allow the code
        assert_eq!(checked(&by_name, &build(event, pull)), differs(git_ref, allowed, pull));
        let both = format!("{by_name}\nref = \"refs/pull/*\"");
        assert_eq!(checked(&both, &build(event, pull)), Ok(()));
    }
    for built in [pull, "refs/merge-requests/7/head"] {
        let foreign = build("push", built);
        assert_eq!(foreign.foreign(), Some((git_ref, built)));
        assert_eq!(checked(by_id, &foreign), differs(git_ref, allowed, built));
        assert_eq!(checked(&format!("{by_id}ref = \"{built}\""), &foreign), Ok(()));
    }
    let github =
        ["release", "workflow_dispatch", "create", "repository_dispatch", "deployment", "merge_group"];
    let gitlab = ["web", "api", "trigger", "pipeline", "parent_pipeline", "webide"];
    for event in github.into_iter().chain(gitlab).chain(["push", "schedule"]) {
        let own = build(event, "refs/heads/main");
        assert_eq!((own.foreign(), checked(by_id, &own)), (None, Ok(())), "{event}");
    }
    assert_eq!(with(|i| (i.trigger, i.git_ref) = (None, None)).foreign(), None);
}

#[test]
fn the_first_pin_that_names_a_package_counts() {
    let policy = parse(
        r#"
[[pin]]
ecosystem = "npm"
packages = ["@acme/tool", "widget"]
issuer = "https://issuer.example"
repository_id = "1"

[[pin]]
ecosystem = "npm"
packages = ["@acme/*"]
issuer = "https://issuer.example"
repository_id = "2"

[[pin]]
ecosystem = "pypi"
packages = ["acme_*"]
issuer = "https://issuer.example"
signer = "release@acme.example"
"#,
    );
    let wanted = |ecosystem, name| {
        let pin = policy.pin(ecosystem, &package(name))?;
        Some(pin.check(&with(|i| i.repository_id = None)).expect_err("another number").expected)
    };
    assert_eq!(wanted(Ecosystem::Npm, "@acme/tool").as_deref(), Some("1"));
    assert_eq!(wanted(Ecosystem::Npm, "@acme/other").as_deref(), Some("2"));
    assert_eq!(wanted(Ecosystem::Npm, "@ACME/other").as_deref(), Some("2"), "no spelling escapes");
    assert_eq!(wanted(Ecosystem::Pypi, "Acme.Core").as_deref(), Some("release@acme.example"));
    assert_eq!(wanted(Ecosystem::Pypi, "widget"), None);
    assert_eq!(wanted(Ecosystem::Npm, "@acme-evil/tool"), None);
    assert_eq!(policy.exceptions(), (3, 0));
}

#[test]
fn a_pin_that_nothing_or_everybody_could_meet_is_refused() {
    let pin = |lines: &str| format!("[[pin]]\n{lines}");
    for (lines, expected) in [
        ("ecosystem = \"cargo\"\npackages = [\"a\"]\nissuer = \"i\"\nsigner = \"s\"", "no attestations"),
        ("ecosystem = \"npm\"\npackages = []\nissuer = \"i\"\nsigner = \"s\"", "`packages` is empty"),
        ("ecosystem = \"npm\"\npackages = [\"a[b]\"]\nissuer = \"i\"\nsigner = \"s\"", "only `*` is special"),
        ("ecosystem = \"npm\"\npackages = [\"a\"]\nissuer = \"\"\nsigner = \"s\"", "`issuer` is empty"),
        ("ecosystem = \"npm\"\npackages = [\"a\"]\nissuer = \"i\"", "an issuer signs for everybody"),
        (
            "ecosystem = \"npm\"\npackages = [\"a\"]\nissuer = \"i\"\nowner_id = \"7\"",
            "an issuer signs for everybody",
        ),
        (
            "ecosystem = \"npm\"\npackages = [\"a\"]\nissuer = \"i\"\nsigner = \"s\"\ntriggers = []",
            "`triggers` is empty",
        ),
    ] {
        let found = problem(&pin(lines));
        assert!(found.contains(expected), "{lines}: {found}");
    }
    for lines in [
        "ecosystem = \"npm\"\npackages = [\"a\"]\nsigner = \"s\"",
        "packages = [\"a\"]\nissuer = \"i\"\nsigner = \"s\"",
        "ecosystem = \"npm\"\npackages = [\"a\"]\nissuer = \"i\"\nsigner = \"s\"\nbranch = \"main\"",
    ] {
        assert!(matches!(Policy::parse(&pin(lines)), Err(PolicyError::Syntax(_))), "{lines}");
    }
}

#[test]
fn the_mode_is_that_of_the_rule_then_of_the_ecosystem_then_the_ratchet() {
    use AttestationMode::{Observe, Off, Ratchet, Require};
    let default = Policy::default();
    for (ecosystem, mode) in [(Ecosystem::Npm, Ratchet), (Ecosystem::Pypi, Ratchet), (Ecosystem::Cargo, Off)]
    {
        assert_eq!(AttestationMode::default_for(ecosystem), mode);
        assert_eq!(default.attestations(ecosystem, &package("a")), mode);
    }
    let policy = parse(
        r#"
[attestations]
npm = "observe"

[[rule]]
ecosystem = "npm"
packages = ["@strict/*"]
attestations = "require"

[[rule]]
ecosystem = "npm"
packages = ["@named/*"]
require = ["hash", "attest"]

[[rule]]
ecosystem = "npm"
packages = ["@silent/*"]
min_age = "7d"

[[rule]]
ecosystem = "npm"
packages = ["@old/*"]
attestations = "off"

[[rule]]
ecosystem = "npm"
packages = ["@all/*"]
attestations = "ratchet"
"#,
    );
    for (ecosystem, name, mode) in [
        (Ecosystem::Npm, "@strict/a", Require),
        (Ecosystem::Npm, "@named/a", Require),
        (Ecosystem::Npm, "@silent/a", Observe),
        (Ecosystem::Npm, "@old/a", Off),
        (Ecosystem::Npm, "@all/a", Ratchet),
        (Ecosystem::Npm, "other", Observe),
        (Ecosystem::Pypi, "other", Ratchet),
        (Ecosystem::Cargo, "other", Off),
    ] {
        assert_eq!(policy.attestations(ecosystem, &package(name)), mode, "{ecosystem} {name}");
        let (hash, attest) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
        let both = hash.union(attest);
        let expected = match mode {
            Off | Observe => Requirement::new(hash, hash),
            Ratchet => Requirement::new(both, both).and_then(|both| both.tolerating(attest)),
            Require => Requirement::new(both, both),
        };
        assert_eq!(Some(policy.requirement(ecosystem, &package(name))), expected, "{ecosystem} {name}");
    }
}

#[test]
fn a_rule_that_requires_only_attestations_tolerates_nothing() {
    let policy = parse("[[rule]]\necosystem = \"pypi\"\nrequire = [\"attest\"]\n");
    let requirement = policy.requirement(Ecosystem::Pypi, &package("a"));
    assert_eq!(requirement.required(), CheckSet::of(CheckKind::Attest));
    assert_eq!(requirement.tolerated(), CheckSet::EMPTY);
}

#[test]
fn modes_that_contradict_themselves_or_cannot_be_are_refused() {
    for mode in ["off", "observe", "ratchet"] {
        let found = problem(&format!(
            "[[rule]]\necosystem = \"npm\"\nrequire = [\"hash\", \"attest\"]\nattestations = \"{mode}\"\n"
        ));
        assert_eq!(
            found,
            format!("`require` names \"attest\", and `attestations` is {mode:?}; say one or the other")
        );
    }
    parse("[[rule]]\necosystem = \"npm\"\nrequire = [\"hash\", \"attest\"]\nattestations = \"require\"\n");
    for (document, expected) in [
        (
            "[[rule]]\necosystem = \"cargo\"\nattestations = \"ratchet\"",
            "`attestations` needs an `ecosystem` that has some",
        ),
        ("[[rule]]\nattestations = \"off\"", "`attestations` needs an `ecosystem` that has some"),
        ("[[rule]]\nrequire = [\"attest\"]", "needs an `ecosystem` that has attestations"),
        (
            "[[rule]]\necosystem = \"cargo\"\nrequire = [\"hash\", \"attest\"]",
            "needs an `ecosystem` that has attestations",
        ),
    ] {
        let found = problem(document);
        assert!(found.contains(expected), "{document}: {found}");
    }
    for document in [
        "[attestations]\ncargo = \"ratchet\"",
        "[attestations]\nnpm = \"Ratchet\"",
        "[attestations]\nnpm = true",
        "[[rule]]\necosystem = \"npm\"\nattestations = \"maybe\"",
    ] {
        assert!(matches!(Policy::parse(document), Err(PolicyError::Syntax(_))), "{document}");
    }
}
