use touchstone_domain::{Ecosystem, Identity, IdentityField, PackageName, Policy, TrustRank};

use super::*;

fn observed(repository: &str) -> Observed {
    let url = format!("https://forge.example/{repository}");
    let identity = Identity {
        issuer: "https://issuer.example".into(),
        signer: format!("{url}/release.yml"),
        repository: Some(url),
        repository_id: None,
        owner_id: None,
        workflow: Some("release.yml".into()),
        git_ref: Some("refs/tags/v1".into()),
        trigger: Some("push".into()),
        runner: None,
    };
    Observed { identity, rank: TrustRank::Provenance }
}

fn history(of: &Observed) -> [LineHistory; 1] {
    let version = Version::new("1.0.0").expect("a version");
    let since = "2026-01-01T00:00:00Z".parse().expect("a time");
    [LineHistory {
        line: ReleaseLine(1),
        latest: of.clone(),
        latest_version: version.clone(),
        versions: vec![version],
        since,
        own: None,
    }]
}

fn policy(more: &str) -> Policy {
    let pin = "[[pin]]\necosystem = \"npm\"\npackages = [\"*\"]\nissuer = \"https://issuer.example\"\n";
    Policy::parse(&format!("{pin}repository = \"https://forge.example/org/name\"\n{more}")).expect("a policy")
}

fn pin(policy: &Policy) -> Option<&Pin> {
    policy.pin(Ecosystem::Npm, &PackageName::new("x").expect("a name"))
}

const LINE: ReleaseLine = ReleaseLine(1);

/// Judges a release that is newly listed and not lower than any.
fn attested<'o>(
    pin: Option<&Pin>,
    history: &[LineHistory],
    line: ReleaseLine,
    observed: &'o [Observed],
) -> Result<(&'o Observed, Basis), Broken> {
    super::attested(pin, history, line, observed, None, &|_| false)
}

#[test]
fn without_a_pin_the_ledger_decides() {
    let (ours, theirs) = (observed("org/name"), observed("other/name"));
    let both = [theirs.clone(), ours.clone()];
    assert_eq!(attested(None, &[], LINE, &both[..1]), Ok((&both[0], Basis::FirstUse)));
    let since = Version::new("1.0.0").expect("a version");
    let continued = Basis::Continued { since };
    assert_eq!(attested(None, &history(&ours), LINE, &both), Ok((&both[1], continued)));
    let changed = attested(None, &history(&ours), LINE, &both[..1]).expect_err("another repository");
    let Broken::Discontinued(Discontinuity::Changed { difference, .. }) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!(difference.field, IdentityField::Repository);
}

#[test]
fn a_pin_outweighs_the_ledger_in_both_directions() {
    let (policy, ours, theirs) = (policy(""), observed("org/name"), observed("other/name"));
    let both = [theirs.clone(), ours.clone()];
    assert_eq!(attested(pin(&policy), &history(&theirs), LINE, &both), Ok((&both[1], Basis::Pinned)));
    let unmet = attested(pin(&policy), &history(&theirs), LINE, &both[..1]).expect_err("not pinned");
    let Broken::Discontinued(Discontinuity::NotPinned { difference }) = unmet else { panic!("{unmet:?}") };
    let url = |name: &str| format!("https://forge.example/{name}");
    assert_eq!((difference.expected, difference.found), (url("org/name"), url("other/name")));
}

/// A-36, 4.1.6: what a stranger started or wrote is refused, also at first use, unless a pin names it.
#[test]
fn a_foreign_build_is_refused_unless_a_pin_allows_it() {
    let (allows, silent) = (policy("triggers = [\"pull_request_target\"]\n"), policy(""));
    for (trigger, git_ref, field) in [
        ("pull_request", "refs/tags/v1", IdentityField::Trigger),
        ("discussion_comment", "refs/heads/main", IdentityField::Trigger),
        ("pull_request_target", "refs/heads/main", IdentityField::Trigger),
        ("push", "refs/pull/7/merge", IdentityField::GitRef),
    ] {
        let mut foreign = observed("org/name");
        foreign.identity.trigger = Some(trigger.into());
        foreign.identity.git_ref = Some(git_ref.into());
        let releases = [observed("org/name"), foreign];
        for history in [vec![], history(&releases[1]).to_vec()] {
            let broken = attested(None, &history, LINE, &releases).expect_err("foreign");
            let Broken::Foreign(difference) = broken.clone() else { panic!("{broken:?}") };
            assert_eq!(difference.field, field);
            let reason = broken.outcome();
            assert_eq!((reason.kind.as_str(), reason.reason.code()), ("fail", "foreign_build"));
        }
        let by_pin = attested(pin(&silent), &[], LINE, &releases[1..]);
        assert!(matches!(by_pin, Err(Broken::Discontinued(Discontinuity::NotPinned { .. }))), "{by_pin:?}");
        let allowed = attested(pin(&allows), &[], LINE, &releases[1..]).is_ok();
        assert_eq!(allowed, trigger == "pull_request_target");
    }
}

#[test]
fn absence_is_for_the_ledger_to_judge_and_never_meets_a_pin() {
    let (policy, ours) = (policy(""), observed("org/name"));
    let absence = Absence { listed_with: false, first_seen: None };
    let judge = |pin, history: &[LineHistory]| absent(pin, history, LINE, absence, &|_| false);
    assert_eq!(judge(None, &[]), Ok(()));
    assert_eq!(judge(pin(&policy), &[]), Err(Discontinuity::PinUnmet));
    let downgrade = judge(None, &history(&ours)).expect_err("it had one");
    assert!(matches!(downgrade, Discontinuity::Downgrade { .. }), "{downgrade:?}");
}
