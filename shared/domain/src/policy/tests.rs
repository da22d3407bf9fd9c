use super::*;

fn package(name: &str) -> PackageName {
    PackageName::new(name).expect(name)
}

fn version(text: &str) -> Version {
    Version::new(text).expect(text)
}

const SAMPLE: &str = r#"
[[rule]]
ecosystem = "npm"
packages = ["@trusted/*"]
min_age = "0s"

[[rule]]
ecosystem = "npm"
min_age = "7d"
require = ["hash"]
weak_digests = "legacy"

[[deny]]
ecosystem = "npm"
package = "event-stream"
versions = ["3.3.6"]
reason = "malware"

[[deny]]
sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
reason = "bad bytes"

[[internal]]
ecosystem = "pypi"
packages = ["acme-*"]
"#;

#[test]
fn the_first_matching_rule_decides() {
    let policy = Policy::parse(SAMPLE).expect("sample");
    assert_eq!(policy.min_age(Ecosystem::Npm, &package("@trusted/x")), SignedDuration::ZERO);
    assert_eq!(policy.min_age(Ecosystem::Npm, &package("left-pad")), SignedDuration::from_hours(7 * 24));
    assert_eq!(policy.min_age(Ecosystem::Cargo, &package("serde")), SignedDuration::ZERO);
    assert!(policy.accepts_legacy_digests(Ecosystem::Npm, &package("left-pad")));
    assert!(!policy.accepts_legacy_digests(Ecosystem::Npm, &package("@trusted/x")));
    assert_eq!(policy.counts(), (2, 2, 1));
}

#[test]
fn age_counts_from_the_later_of_publishing_and_first_sight() {
    let policy = Policy::parse(SAMPLE).expect("sample");
    let at = |text: &str| text.parse::<Timestamp>().expect("timestamp");
    let seen = |published_at| Sighting { published_at, first_seen: at("2026-01-10T00:00:00Z") };
    let eligible = |published| policy.eligible_at(Ecosystem::Npm, &package("a"), seen(published));
    assert_eq!(eligible(Some(at("2014-01-01T00:00:00Z"))), Some(at("2026-01-17T00:00:00Z")));
    assert_eq!(eligible(Some(at("2026-01-12T00:00:00Z"))), Some(at("2026-01-19T00:00:00Z")));
    assert_eq!(eligible(None), Some(at("2026-01-17T00:00:00Z")));
    assert_eq!(policy.eligible_at(Ecosystem::Cargo, &package("a"), seen(None)), None);
}

#[test]
fn denied_versions_digests_and_internal_names_are_not_admitted() {
    let policy = Policy::parse(SAMPLE).expect("sample");
    let id = |ecosystem, name: &str, at: &str| ArtifactId {
        ecosystem,
        package: package(name),
        version: version(at),
        file: crate::FileName::new("f.tgz").expect("file"),
    };
    let digest = Sha256::of(b"x");
    let admit = |ecosystem, name, at| policy.admit(&id(ecosystem, name, at), digest);
    assert_eq!(admit(Ecosystem::Npm, "left-pad", "1.0.0"), Admission::Denied { reason: "bad bytes".into() });
    let other = |name, at| policy.admit(&id(Ecosystem::Npm, name, at), Sha256::of(b"y"));
    assert_eq!(other("left-pad", "1.0.0"), Admission::Admitted);
    assert_eq!(other("event-stream", "3.3.6"), Admission::Denied { reason: "malware".into() });
    assert_eq!(other("Event-Stream", "3.3.6"), Admission::Denied { reason: "malware".into() });
    assert_eq!(other("event-stream", "3.3.5"), Admission::Admitted);
    for spelling in ["acme-core", "ACME_core", "acme.core"] {
        assert_eq!(
            policy.admit_package(Ecosystem::Pypi, &package(spelling)),
            Admission::Internal,
            "{spelling}"
        );
    }
    assert_eq!(policy.admit_package(Ecosystem::Npm, &package("acme-core")), Admission::Admitted);
}

#[test]
fn nothing_that_is_unknown_empty_or_impossible_parses() {
    for (document, expected) in [
        ("[[rule]]\nrequire = []", "`require` is empty"),
        ("[[rule]]\nrequire = [\"hahs\"]", "unknown check"),
        ("[[rule]]\nrequire = [\"peer\"]", "no worker"),
        ("[[rule]]\nrequire = [\"sumdb\"]", "needs `ecosystem = \"go\"`"),
        ("[[rule]]\necosystem = \"npm\"\nrequire = [\"sumdb\"]", "needs `ecosystem = \"go\"`"),
        ("[sumdb]\nprivate = [\"corp.example/\"]", "empty element"),
        ("[[rule]]\nmin_age = \"soon\"", "not a duration"),
        ("[[rule]]\nmin_age = \"400d\"", "over a year"),
        ("[[rule]]\npackages = [\"a\"]", "needs an `ecosystem`"),
        ("[[deny]]\nreason = \"x\"", "give either"),
        (
            "[[deny]]\necosystem = \"npm\"\npackage = \"a\"\nversions = []\nreason = \"x\"",
            "`versions` is empty",
        ),
        ("[[deny]]\nsha256 = \"ABC\"\nreason = \"x\"", "hexadecimal"),
        ("[[deny]]\necosystem = \"npm\"\npackage = \"a\"\nreason = \" \"", "`reason` is empty"),
        ("[[internal]]\necosystem = \"npm\"\npackages = []", "`packages` is empty"),
    ] {
        let problem = Policy::parse(document).expect_err(document).to_string();
        assert!(problem.contains(expected), "{document}: {problem}");
    }
    for document in ["[[rule]]\nrequires = [\"hash\"]", "[defaults]", "[[rule]]\necosystem = \"nmp\"", "x"] {
        assert!(matches!(Policy::parse(document), Err(PolicyError::Syntax(_))), "{document}");
    }
}

#[test]
fn the_default_policy_requires_the_hash_check_and_takes_attestations_by_the_ratchet() {
    let (hash, attest) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
    for (ecosystem, required, tolerated) in [
        (Ecosystem::Npm, hash.union(attest), attest),
        (Ecosystem::Pypi, hash.union(attest), attest),
        (Ecosystem::Cargo, hash, CheckSet::EMPTY),
        (Ecosystem::Go, hash.union(CheckSet::of(CheckKind::Sumdb)), CheckSet::EMPTY),
    ] {
        let requirement = Policy::default().requirement(ecosystem, &package("a"));
        assert_eq!((requirement.required(), requirement.veto()), (required, required), "{ecosystem}");
        assert_eq!(requirement.tolerated(), tolerated, "{ecosystem}");
    }
}

#[test]
fn only_a_private_module_goes_without_the_checksum_database() {
    let (hash, sumdb) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Sumdb));
    let document = "[sumdb]\nprivate = [\"corp.example\", \"golang.org/*\"]\n[[rule]]\necosystem = \"go\"\nrequire = [\"hash\"]";
    let policy = Policy::parse(document).expect("policy");
    for (module, required) in [
        ("corp.example/tool", hash),
        ("corp.example", hash),
        ("corp.example.evil.example/tool", hash.union(sumdb)),
        ("code.example/tool", hash.union(sumdb)),
        ("Corp.example/tool", hash.union(sumdb)),
        ("golang.org/other", hash),
        ("golang.org/toolchain", hash.union(sumdb)),
    ] {
        assert_eq!(policy.requirement(Ecosystem::Go, &package(module)).required(), required, "{module}");
    }
    let document = "[sumdb]\nprivate = [\"*\"]\n[[rule]]\necosystem = \"go\"\nrequire = [\"sumdb\"]";
    let requirement =
        Policy::parse(document).expect("policy").requirement(Ecosystem::Go, &package("a.example"));
    assert_eq!(requirement.required(), hash, "what is asked for is never nothing");
}

#[test]
fn only_a_module_that_the_policy_names_is_a_fork_and_never_the_toolchain() {
    let policy = Policy::parse("[go]\nforks = [\"code.example/team/*\", \"golang.org\"]").expect("policy");
    for (module, allowed) in [
        ("code.example/team/fork", true),
        ("code.example/team/fork/v2", true),
        ("code.example/team", false),
        ("code.example/other/fork", false),
        ("golang.org/other", true),
        ("golang.org/toolchain", false),
    ] {
        assert_eq!(policy.allows_fork(&package(module)), allowed, "{module}");
        assert!(!policy.is_private_module(&package(module)), "{module}");
        assert!(!Policy::default().allows_fork(&package(module)), "{module}");
    }
    let problem = Policy::parse("[go]\nforks = [\"a.example\", \"b.example/\"]").expect_err("refused");
    let expected =
        "go.forks number 2: the pattern \"b.example/\" has an empty element; write it as GOPRIVATE does";
    assert_eq!(problem.to_string(), expected);
    assert!(matches!(Policy::parse("[go]\nfork = []"), Err(PolicyError::Syntax(_))));
}
