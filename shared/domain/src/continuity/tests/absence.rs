use super::*;

/// Judges the absence of an attestation from `asked`, whose versions have the order of their numbers.
fn absent(history: &[LineHistory], asked: &str, absence: Absence) -> Result<(), Discontinuity> {
    let parts = |text: &str| -> Vec<u64> { text.split('.').map(|n| n.parse().expect(text)).collect() };
    let major = i64::try_from(parts(asked)[0]).expect("small");
    judge_absent(history, ReleaseLine(major), absence, &|other| parts(asked) < parts(other.as_str()))
}

const fn seen(second: Option<i64>) -> Absence {
    let first_seen = match second {
        Some(second) => Some(Timestamp::constant(second, 0)),
        None => None,
    };
    Absence { listed_with: false, first_seen }
}

fn downgrade(since: &str) -> Result<(), Discontinuity> {
    Err(Discontinuity::Downgrade { since: version(since), identity: Box::new(identity()) })
}

#[test]
fn a_missing_attestation_is_held_where_there_was_one() {
    let history = [
        line(3, &["3.5.0", "3.7.0", "3.6.0"], observed(identity())),
        line(5, &["5.0.0"], observed(identity())),
    ];
    let early = seen(Some(10));
    for (asked, expected) in [
        // lines that never had any, below the first that had
        ("1.0.0", Ok(())),
        ("2.9.9", Ok(())),
        // older than every attested version of the line
        ("3.0.0", Ok(())),
        ("3.4.9", Ok(())),
        ("3.5.0", downgrade("3.6.0")),
        ("3.5.1", downgrade("3.6.0")),
        ("3.8.0", downgrade("3.6.0")),
        // a new line is no way out
        ("4.0.0", downgrade("3.6.0")),
        ("5.0.0", downgrade("5.0.0")),
        ("6.0.0", downgrade("5.0.0")),
    ] {
        assert_eq!(absent(&history, asked, early), expected, "{asked}");
    }
    assert_eq!(absent(&[], "1.0.0", early), Ok(()));
    assert_eq!(absent(&[], "1.0.0", seen(None)), Ok(()));
}

#[test]
fn what_is_older_must_also_have_been_listed_before() {
    let history = [line(3, &["3.5.0"], observed(identity()))];
    for (listed, expected) in [
        (Some(0), Ok(())),
        (Some(999), Ok(())),
        (Some(1000), Ok(())),
        (Some(1001), downgrade("3.5.0")),
        (None, downgrade("3.5.0")),
    ] {
        assert_eq!(absent(&history, "3.4.0", seen(listed)), expected, "{listed:?}");
        assert_eq!(absent(&history, "2.0.0", seen(listed)), Ok(()), "a line below never had any");
        assert_eq!(absent(&history, "3.6.0", seen(listed)), downgrade("3.5.0"), "{listed:?}");
    }
    let incomparable = |_: &Version| false;
    let judged = judge_absent(&history, ReleaseLine(3), seen(Some(0)), &incomparable);
    assert_eq!(judged, downgrade("3.5.0"), "what does not compare is not older");
}

#[test]
fn what_was_listed_with_an_attestation_must_have_it_whatever_the_history() {
    let withdrawn = Absence { listed_with: true, ..seen(Some(0)) };
    let history = [line(3, &["3.5.0"], observed(identity()))];
    for (history, asked) in
        [(&[][..], "1.0.0"), (&history[..], "2.0.0"), (&history[..], "3.0.0"), (&history[..], "9.0.0")]
    {
        assert_eq!(absent(history, asked, withdrawn), Err(Discontinuity::Withdrawn), "{asked}");
    }
}
