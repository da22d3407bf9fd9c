use super::*;

mod absence;
mod order;

const WIDGET: &str = "https://forge.example/acme/widget";

fn version(text: &str) -> Version {
    Version::new(text).expect(text)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
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

/// The usual identity with one thing changed.
fn with(change: impl FnOnce(&mut Identity)) -> Identity {
    let mut changed = identity();
    change(&mut changed);
    changed
}

const fn ranked(identity: Identity, rank: TrustRank) -> Observed {
    Observed { identity, rank }
}

const fn observed(identity: Identity) -> Observed {
    ranked(identity, TrustRank::Provenance)
}

/// A line whose entries are for these versions, the last of them the latest, the first made in second 1000.
fn line(number: i64, versions: &[&str], latest: Observed) -> LineHistory {
    let versions: Vec<Version> = versions.iter().map(|v| version(v)).collect();
    let latest_version = versions.last().expect("a version").clone();
    LineHistory { line: ReleaseLine(number), latest, latest_version, versions, since: at(1000), own: None }
}

/// Judges a release that is newly listed and not lower than any.
fn judge<'o>(
    history: &[LineHistory],
    line: i64,
    observed: &'o [Observed],
) -> Result<(&'o Observed, Basis), Discontinuity> {
    judge_attested(history, ReleaseLine(line), observed, None, &|_| false)
}

fn differs(since: &str, field: IdentityField, expected: &str, found: &str) -> Discontinuity {
    let difference = Difference { field, expected: expected.into(), found: found.into() };
    Discontinuity::Changed { since: version(since), difference }
}

type Judged = Result<Basis, Discontinuity>;

/// What becomes of one identity after another in the same line.
fn judged(was: Observed, now: &Observed) -> Judged {
    let history = [line(1, &["1.0.0"], was)];
    judge(&history, 1, std::slice::from_ref(now)).map(|(found, basis)| {
        assert_eq!(found, now);
        basis
    })
}

fn same_as(since: &str) -> Basis {
    Basis::Continued { since: version(since) }
}

#[test]
fn the_first_use_is_accepted_as_it_comes_and_no_identity_is_never_accepted() {
    let both = [observed(identity()), observed(with(|i| i.repository_id = Some("1".into())))];
    assert_eq!(judge(&[], 1, &both), Ok((&both[0], Basis::FirstUse)));
    assert_eq!(judge(&[], 1, &[]), Err(Discontinuity::Withdrawn));
    let history = [line(1, &["1.0.0"], observed(identity()))];
    assert_eq!(judge(&history, 1, &[]), Err(Discontinuity::Withdrawn));
}

#[test]
fn each_field_of_an_identity_is_compared_in_its_line() {
    use IdentityField as Field;
    type Change = fn(&mut Identity);
    let cases: [(Change, Field, &str, &str); 15] = [
        (
            |i| i.issuer = "https://other.example".into(),
            Field::Issuer,
            "https://issuer.example",
            "https://other.example",
        ),
        (|i| i.repository_id = Some("101".into()), Field::RepositoryId, "100", "101"),
        (|i| i.repository_id = None, Field::RepositoryId, "100", "none"),
        (|i| i.owner_id = Some("8".into()), Field::OwnerId, "7", "8"),
        (|i| i.owner_id = None, Field::OwnerId, "7", "none"),
        (
            |i| i.workflow = Some(".github/workflows/evil.yml".into()),
            Field::Workflow,
            ".github/workflows/release.yml",
            ".github/workflows/evil.yml",
        ),
        (|i| i.workflow = None, Field::Workflow, ".github/workflows/release.yml", "none"),
        (|i| i.git_ref = Some("refs/heads/main".into()), Field::RefClass, "tag", "branch"),
        (|i| i.git_ref = Some("refs/pull/7/merge".into()), Field::RefClass, "tag", "pull"),
        (|i| i.git_ref = Some("0123456789abcdef".into()), Field::RefClass, "tag", "other"),
        (|i| i.git_ref = None, Field::RefClass, "tag", "none"),
        (|i| i.trigger = Some("workflow_dispatch".into()), Field::Trigger, "push", "workflow_dispatch"),
        (|i| i.trigger = None, Field::Trigger, "push", "none"),
        (|i| i.runner = Some("self-hosted".into()), Field::Runner, "github-hosted", "self-hosted"),
        (|i| i.runner = None, Field::Runner, "github-hosted", "none"),
    ];
    let was = || observed(identity());
    assert_eq!(judged(was(), &was()), Ok(same_as("1.0.0")));
    for (change, field, expected, found) in cases {
        assert_eq!(judged(was(), &observed(with(change))), Err(differs("1.0.0", field, expected, found)));
        // what was never there does not appear either
        let without_ids = |change: Change| {
            observed(with(|i| {
                (i.repository_id, i.owner_id) = (None, None);
                change(i);
            }))
        };
        let back = judged(observed(with(change)), &was());
        match field {
            Field::RepositoryId | Field::OwnerId if found == "none" => {
                assert_eq!(back, Ok(same_as("1.0.0")), "{field}");
            }
            _ => assert_eq!(back, Err(differs("1.0.0", field, found, expected)), "{field}"),
        }
        let nameless = judged(without_ids(|_| {}), &without_ids(change));
        match field {
            Field::RepositoryId | Field::OwnerId => {}
            _ => assert_eq!(nameless, Err(differs("1.0.0", field, expected, found)), "{field}"),
        }
    }
    let next_tag = with(|i| i.git_ref = Some("refs/tags/v2.0.0".into()));
    assert_eq!(
        judged(was(), &observed(next_tag)),
        Ok(same_as("1.0.0")),
        "another tag is the same kind of ref"
    );
}

#[test]
fn a_renamed_repository_is_the_same_and_one_registered_again_is_not() {
    let rename = |i: &mut Identity| {
        i.repository = Some("https://forge.example/acme/gadget".into());
        i.signer = "https://forge.example/acme/gadget/.github/workflows/release.yml".into();
    };
    let renamed = Ok(Basis::Renamed { since: version("1.0.0"), was: WIDGET.into() });
    let was = || observed(identity());
    assert_eq!(judged(was(), &observed(with(rename))), renamed);
    let other_case = with(|i| {
        i.repository = Some("https://forge.example/ACME/Widget".into());
        i.signer = "https://forge.example/ACME/Widget/.github/workflows/release.yml".into();
    });
    assert_eq!(
        judged(was(), &observed(other_case)),
        Ok(same_as("1.0.0")),
        "forges compare names without case"
    );

    let registered_again = with(|i| i.repository_id = Some("999".into()));
    let field = IdentityField::RepositoryId;
    assert_eq!(judged(was(), &observed(registered_again)), Err(differs("1.0.0", field, "100", "999")));
    let transferred = with(|i| {
        rename(i);
        i.owner_id = Some("8".into());
    });
    assert_eq!(
        judged(was(), &observed(transferred)),
        Err(differs("1.0.0", IdentityField::OwnerId, "7", "8"))
    );

    // without numbers, the name is all there is
    let unnumbered = |change: fn(&mut Identity)| {
        observed(with(|i| {
            i.repository_id = None;
            change(i);
        }))
    };
    let name = IdentityField::Repository;
    let gadget = "https://forge.example/acme/gadget";
    assert_eq!(judged(unnumbered(|_| {}), &unnumbered(rename)), Err(differs("1.0.0", name, WIDGET, gadget)));
    let gone = unnumbered(|i| i.repository = None);
    assert_eq!(judged(unnumbered(|_| {}), &gone), Err(differs("1.0.0", name, WIDGET, "none")));
    assert_eq!(judged(gone, &unnumbered(|_| {})), Err(differs("1.0.0", name, "none", WIDGET)));
    let other_owner = unnumbered(|i| i.owner_id = Some("8".into()));
    let owner = differs("1.0.0", IdentityField::OwnerId, "7", "8");
    assert_eq!(judged(unnumbered(|_| {}), &other_owner), Err(owner));
}

#[test]
fn a_workflow_of_another_repository_is_compared_by_its_own_address() {
    let calls = |signer: &str| observed(with(|i| i.signer = signer.into()));
    let shared = "https://forge.example/shared/actions/.github/workflows/publish.yml";
    let own = format!("{WIDGET}/.github/workflows/other.yml");
    let look_alike = format!("{WIDGET}-evil/.github/workflows/release.yml");
    let signer = IdentityField::Signer;
    let usual = identity().signer;
    for (was, now, expected) in [
        (shared, shared, Ok(same_as("1.0.0"))),
        (&usual, &own, Ok(same_as("1.0.0"))),
        (&usual, shared, Err(differs("1.0.0", signer, &usual, shared))),
        (shared, &usual, Err(differs("1.0.0", signer, shared, &usual))),
        (&usual, &look_alike, Err(differs("1.0.0", signer, &usual, &look_alike))),
    ] {
        assert_eq!(judged(calls(was), &calls(now)), expected, "{was} then {now}");
    }
    // in the line above too: the workflow's file does not bind there, the signer does
    let history = [line(2, &["2.0.0"], calls(shared))];
    let below = |now: &Observed| judge(&history, 1, std::slice::from_ref(now)).map(|(_, basis)| basis);
    assert_eq!(below(&calls(shared)), Ok(same_as("2.0.0")));
    assert_eq!(below(&calls(&usual)), Err(differs("2.0.0", signer, shared, &usual)));
}

#[test]
fn a_person_is_compared_by_address() {
    let person = |signer: &str| {
        let unnamed =
            with(|i| *i = Identity { repository: None, repository_id: None, owner_id: None, ..i.clone() });
        observed(Identity {
            signer: signer.into(),
            workflow: None,
            git_ref: None,
            trigger: None,
            runner: None,
            ..unnamed
        })
    };
    let [alice, mallory] = ["alice@acme.example", "mallory@acme.example"];
    assert_eq!(judged(person(alice), &person(alice)), Ok(same_as("1.0.0")));
    let other = differs("1.0.0", IdentityField::Signer, alice, mallory);
    assert_eq!(judged(person(alice), &person(mallory)), Err(other));
}

#[test]
fn a_rank_may_rise_and_never_fall() {
    for was in TrustRank::ALL {
        for now in TrustRank::ALL {
            let expected = if now < was {
                Err(differs("1.0.0", IdentityField::Rank, was.as_str(), now.as_str()))
            } else {
                Ok(same_as("1.0.0"))
            };
            assert_eq!(
                judged(ranked(identity(), was), &ranked(identity(), now)),
                expected,
                "{was} then {now}"
            );
        }
    }
}

#[test]
fn one_of_several_identities_suffices_and_the_first_difference_is_told() {
    let [one, other, good] = [
        observed(with(|i| i.repository_id = Some("1".into()))),
        observed(with(|i| i.runner = Some("self-hosted".into()))),
        observed(identity()),
    ];
    let history = [line(1, &["1.0.0"], observed(identity()))];
    let all = [one.clone(), other.clone(), good.clone()];
    assert_eq!(judge(&history, 1, &all), Ok((&good, same_as("1.0.0"))));
    let expected = differs("1.0.0", IdentityField::RepositoryId, "100", "1");
    assert_eq!(judge(&history, 1, &[one, other]), Err(expected));
}

#[test]
fn a_line_answers_to_itself_then_to_the_nearest_below_then_loosely_to_the_nearest_above() {
    let numbered = |number: &str| observed(with(|i| i.repository_id = Some(number.into())));
    let history = [
        line(2, &["2.0.0"], numbered("2")),
        line(6, &["6.0.0"], numbered("6")),
        line(4, &["4.0.0", "4.1.0"], numbered("4")),
    ];
    for (asked, number, since) in [
        (1, "2", "2.0.0"),
        (-1, "2", "2.0.0"),
        (2, "2", "2.0.0"),
        (3, "2", "2.0.0"),
        (4, "4", "4.1.0"),
        (5, "4", "4.1.0"),
        (6, "6", "6.0.0"),
        (i64::MAX, "6", "6.0.0"),
    ] {
        let ask = |now: Observed| judge(&history, asked, &[now]).map(|(_, basis)| basis);
        assert_eq!(ask(numbered(number)), Ok(same_as(since)), "{asked}");
        let other = differs(since, IdentityField::RepositoryId, number, "99");
        assert_eq!(ask(numbered("99")), Err(other), "{asked}");

        let loose = asked < 2;
        let other_workflow = observed(with(|i| {
            i.repository_id = Some(number.into());
            i.workflow = Some("old.yml".into());
            (i.git_ref, i.trigger, i.runner) = (Some("refs/heads/main".into()), None, None);
        }));
        let field = IdentityField::Workflow;
        let strict = differs(since, field, ".github/workflows/release.yml", "old.yml");
        let expected = if loose { Ok(same_as(since)) } else { Err(strict) };
        assert_eq!(ask(other_workflow), expected, "{asked}");
    }
    let published = ranked(identity(), TrustRank::TrustedPublisher);
    let history = [line(2, &["2.0.0"], published)];
    let lower = [observed(identity())];
    let ask = |asked| judge(&history, asked, &lower).map(|(_, basis)| basis);
    assert_eq!(ask(1), Ok(same_as("2.0.0")), "the rank of a later line does not bind an earlier one");
    let rank = differs("2.0.0", IdentityField::Rank, "trusted_publisher", "provenance");
    assert_eq!(ask(3), Err(rank));
}

#[test]
fn bases_and_discontinuities_say_what_they_are() {
    let difference = Difference { field: IdentityField::OwnerId, expected: "7".into(), found: "8".into() };
    let since = || version("1.0.0");
    for (basis, words) in [
        (Basis::FirstUse, "the first of its package, pinned now"),
        (Basis::Continued { since: since() }, "the same as version 1.0.0"),
        (
            Basis::Renamed { since: since(), was: "a".into() },
            "the same repository as version 1.0.0, which was called a",
        ),
        (Basis::Pinned, "pinned by the policy"),
        (Basis::Earlier { since: since() }, "the same repository as version 1.0.0, and older"),
    ] {
        assert_eq!(basis.to_string(), words);
        let stored = serde_json::to_string(&basis).expect("JSON");
        assert_eq!(serde_json::from_str::<Basis>(&stored).expect(&stored), basis);
    }
    for (discontinuity, words) in [
        (
            Discontinuity::Downgrade { since: since(), identity: Box::new(identity()) },
            "it has no attestation, and version 1.0.0 had one of https://forge.example/acme/widget \
             (.github/workflows/release.yml) at refs/tags/v1.0.0",
        ),
        (Discontinuity::Withdrawn, "it has no attestation, and was listed with one before"),
        (Discontinuity::PinUnmet, "it has no attestation, and the policy pins who signs this package"),
        (
            Discontinuity::Changed { since: since(), difference: difference.clone() },
            "the owner id is \"8\", and was \"7\" (version 1.0.0)",
        ),
        (
            Discontinuity::NotPinned { difference },
            "the policy pins another identity: the owner id is \"8\", and was \"7\"",
        ),
    ] {
        assert_eq!(discontinuity.to_string(), words);
        let stored = serde_json::to_string(&discontinuity).expect("JSON");
        assert_eq!(serde_json::from_str::<Discontinuity>(&stored).expect(&stored), discontinuity);
    }
}
