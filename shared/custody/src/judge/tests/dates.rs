//! Ages, and what is dated in the future.

use touchstone_domain::{HoldReason, HoldSet};

use super::{
    super::{NotSigned, Withheld},
    given::{Given, time},
};
use crate::KeyKind;

#[test]
fn ages_count_from_signed_dates_by_the_policy_whatever_the_row_holds() {
    let old = "[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n";
    let mut given = Given::new().policy(old);
    assert_eq!(given.withheld(), Withheld::Age(time("2026-11-24T00:00:00Z")), "the row does not hold it");
    given.case.gate.hold = HoldSet::of(HoldReason::Age);
    assert_eq!(given.withheld(), Withheld::Age(time("2026-11-24T00:00:00Z")));
    given.now = time("2026-11-23T23:59:59.999999999Z");
    assert_eq!(given.withheld(), Withheld::Age(time("2026-11-24T00:00:00Z")));
    given.now = time("2026-11-24T00:00:00Z");
    assert!(given.judged().approval.is_ok(), "the store releases it, with the record");
    let published = time("2026-11-23T09:00:00Z");
    let given = given.fetched(KeyKind::Fetch, |fetch| fetch.published_at = Some(published));
    assert_eq!(given.withheld(), Withheld::Age(time("2026-11-25T09:00:00Z")));
}

#[test]
fn an_age_counts_from_the_later_of_the_signed_date_and_that_of_the_row() {
    let old = "[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n";
    let (early, late) = (time("2026-11-20T00:00:00Z"), time("2026-11-23T10:00:00Z"));
    let of = |signed, row| {
        let given = Given::new().policy(old).fetched(KeyKind::Fetch, |fetch| fetch.first_seen = signed);
        given.rows(|case| case.first_seen = row)
    };
    let until = time("2026-11-25T10:00:00Z");
    assert_eq!(of(early, late).withheld(), Withheld::Age(until), "an edge that lies");
    assert_eq!(of(late, early).withheld(), Withheld::Age(until), "a database that lies");
    assert!(of(early, early).judged().approval.is_ok(), "both say so");
}

#[test]
fn what_is_dated_ahead_of_our_own_clock_does_not_count() {
    let limit = time("2026-11-23T12:05:00Z");
    let over = time("2026-11-23T12:05:00.000001Z");
    let decided = |at| {
        let given = Given::new().signed(|statement| statement.verdict.decided_at = at);
        given.row(|row| row.decided_at = at)
    };
    assert!(decided(limit).judged().approval.is_ok(), "clocks differ");
    let given = decided(over);
    assert_eq!((given.refused(), given.refused().code()), (NotSigned::Ahead(over), "ahead"));
    let said = "it is dated 2026-11-23T12:05:00.000001Z, which is still to come";
    assert_eq!(given.refused().to_string(), said);

    let fetched = |at| Given::new().fetched(KeyKind::Fetch, |fetch| fetch.fetched_at = at);
    assert!(fetched(limit).judged().approval.is_ok());
    let given = fetched(over);
    assert_eq!(given.withheld(), Withheld::Fetch(NotSigned::Ahead(over)));
    let refused: Vec<_> = given.judged().refused_fetches.iter().map(|(_, why)| why.code()).collect();
    assert_eq!(refused, ["ahead"]);
}
