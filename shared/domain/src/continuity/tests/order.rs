use super::*;

/// A time before the lines' first entry, which is in second 1000.
const BEFORE: Option<i64> = Some(999);

/// Judges `asked`, whose versions have the order of their numbers, first listed in that second.
fn attested(history: &[LineHistory], asked: &str, listed: Option<i64>, identity: Identity) -> Judged {
    let parts = |text: &str| -> Vec<u64> { text.split('.').map(|n| n.parse().expect(text)).collect() };
    let line = ReleaseLine(i64::try_from(parts(asked)[0]).expect("small"));
    let lower = |other: &Version| parts(asked) < parts(other.as_str());
    judge_attested(history, line, &[observed(identity)], listed.map(at), &lower).map(|(_, basis)| basis)
}

fn earlier(since: &str) -> Basis {
    Basis::Earlier { since: version(since) }
}

/// What a release of years ago may look like.
fn long_ago() -> Identity {
    with(|i| {
        i.workflow = Some("old.yml".into());
        i.git_ref = Some("refs/heads/main".into());
        (i.trigger, i.runner) = (Some("workflow_dispatch".into()), Some("self-hosted".into()));
    })
}

#[test]
fn what_is_older_and_was_listed_before_answers_by_its_repository_alone() {
    let ranked = ranked(identity(), TrustRank::StagedPublish);
    let history = [line(1, &["1.3.0"], ranked)];
    let workflow = differs("1.3.0", IdentityField::Workflow, ".github/workflows/release.yml", "old.yml");
    for (asked, listed, expected) in [
        ("1.2.0", BEFORE, Ok(earlier("1.3.0"))),
        ("1.2.0", Some(1000), Ok(earlier("1.3.0"))),
        ("1.2.0", Some(1001), Err(workflow.clone())),
        ("1.2.0", None, Err(workflow.clone())),
        ("1.3.0", BEFORE, Err(workflow.clone())),
        ("1.4.0", BEFORE, Err(workflow.clone())),
        ("2.0.0", BEFORE, Err(workflow)),
    ] {
        assert_eq!(attested(&history, asked, listed, long_ago()), expected, "{asked} {listed:?}");
    }
    let incomparable = |_: &Version| false;
    let observed = [observed(long_ago())];
    let judged = judge_attested(&history, ReleaseLine(1), &observed, Some(at(0)), &incomparable);
    assert!(matches!(judged, Err(Discontinuity::Changed { .. })), "what does not compare is not older");
}

#[test]
fn what_is_older_is_still_of_the_same_issuer_repository_owner_and_signer() {
    let history = [line(1, &["1.3.0"], observed(identity()))];
    let ask = |change: fn(&mut Identity)| attested(&history, "1.2.0", BEFORE, with(change));
    let shared = "https://forge.example/shared/actions/.github/workflows/publish.yml";
    let signer = identity().signer;
    assert_eq!(ask(|_| {}), Ok(earlier("1.3.0")), "it binds nobody, even if it is the same");
    let before_it_was_renamed = |i: &mut Identity| {
        i.repository = Some("https://forge.example/acme/before".into());
        i.signer = "https://forge.example/acme/before/.github/workflows/release.yml".into();
    };
    assert_eq!(ask(before_it_was_renamed), Ok(earlier("1.3.0")));
    for (field, expected, found, change) in [
        (
            IdentityField::Issuer,
            "https://issuer.example",
            "https://other.example",
            (|i| i.issuer = "https://other.example".into()) as fn(&mut Identity),
        ),
        (IdentityField::RepositoryId, "100", "101", |i| i.repository_id = Some("101".into())),
        (IdentityField::OwnerId, "7", "8", |i| i.owner_id = Some("8".into())),
        (IdentityField::Signer, &signer, shared, |i| {
            i.signer = "https://forge.example/shared/actions/.github/workflows/publish.yml".into();
        }),
    ] {
        assert_eq!(ask(change), Err(differs("1.3.0", field, expected, found)), "{field}");
        for (asked, listed) in [("1.2.0", Some(2000)), ("1.3.1", BEFORE), ("1.3.1", Some(2000))] {
            let judged = attested(&history, asked, listed, with(change));
            assert_eq!(judged, Err(differs("1.3.0", field, expected, found)), "{field} {asked}");
        }
    }
}

#[test]
fn the_same_artifact_is_accepted_again_for_the_same_reason() {
    let pinned = Basis::Pinned;
    let since = || version("1.0.0");
    let renamed = Basis::Renamed { since: since(), was: "a".into() };
    for basis in
        [Basis::FirstUse, Basis::Continued { since: since() }, renamed, Basis::Earlier { since: since() }]
    {
        let mut of = line(1, &["1.0.0", "1.1.0"], observed(with(|i| i.workflow = Some("new.yml".into()))));
        of.own = Some((observed(identity()), basis.clone()));
        let history = [line(0, &["0.9.0"], observed(identity())), of];
        assert_eq!(attested(&history, "1.1.0", None, identity()), Ok(basis.clone()));
        let other_tag = with(|i| i.git_ref = Some("refs/tags/v9".into()));
        assert_eq!(attested(&history, "1.1.0", None, other_tag), Ok(basis));
        let other = attested(&history, "1.1.0", None, with(|i| i.git_ref = Some("refs/heads/main".into())));
        assert!(matches!(other, Err(Discontinuity::Changed { .. })), "{other:?}");
    }
    let mut of = line(1, &["1.0.0"], observed(identity()));
    of.own = Some((observed(identity()), pinned));
    assert_eq!(attested(&[of], "1.0.0", None, identity()), Ok(same_as("1.0.0")), "no pin names it now");
}
