mod lag;

use super::*;

const PATIENCE: Patience =
    Patience { behind_max: Duration::from_hours(1), frozen_after: Some(Duration::from_hours(24)) };

fn poll(behind_since: Option<&str>, grown_at: &str) -> SumdbPoll {
    let at = |time: &str| format!("2026-11-22T{time}Z").parse().unwrap();
    SumdbPoll {
        latest_size: 90,
        polled_at: at("12:00:00"),
        grown_at: grown_at.parse().unwrap_or_else(|_| at(grown_at)),
        behind_since: behind_since.map(at),
        now: at("12:00:00"),
    }
}

/// The kinds that there is to stop for, and the kinds that end.
fn kinds(poll: &SumdbPoll, behind: bool, patience: Patience) -> (Vec<SumdbStopKind>, Vec<SumdbStopKind>) {
    let Watched { stop, end } = watched(poll, behind, patience);
    (stop.into_iter().map(|(kind, _)| kind).collect(), end)
}

#[test]
fn a_rollback_is_a_stop_once_it_lasts() {
    use SumdbStopKind::{Freeze, Rollback};
    for (behind, since, expected) in [
        (false, None, (vec![], vec![Rollback, Freeze])),
        // Short, and neither a stop nor the end of one.
        (true, Some("11:00:01"), (vec![], vec![Freeze])),
        (true, Some("11:00:00"), (vec![Rollback], vec![Freeze])),
        // The clock of Postgres went back.
        (true, Some("13:00:01"), (vec![], vec![Freeze])),
        (true, None, (vec![], vec![Freeze])),
        // Our head has moved on since the database was asked, and it was not behind then.
        (false, Some("01:00:00"), (vec![], vec![Rollback, Freeze])),
    ] {
        assert_eq!(kinds(&poll(since, "11:59:00"), behind, PATIENCE), expected, "{behind} {since:?}");
    }
}

#[test]
fn a_freeze_is_a_stop_once_it_lasts() {
    use SumdbStopKind::{Freeze, Rollback};
    let never = Patience { frozen_after: None, ..PATIENCE };
    for (grown_at, patience, expected) in [
        ("2026-11-21T12:00:01Z", PATIENCE, (vec![], vec![Rollback, Freeze])),
        ("2026-11-21T12:00:00Z", PATIENCE, (vec![Freeze], vec![Rollback])),
        ("2026-11-21T12:00:00Z", never, (vec![], vec![Rollback, Freeze])),
        ("2020-11-21T12:00:00Z", never, (vec![], vec![Rollback, Freeze])),
        ("2026-11-23T12:00:00Z", PATIENCE, (vec![], vec![Rollback, Freeze])),
    ] {
        assert_eq!(kinds(&poll(None, grown_at), false, patience), expected, "{grown_at} {patience:?}");
    }
    let both = kinds(&poll(Some("10:00:00"), "2026-11-20T12:00:00Z"), true, PATIENCE);
    assert_eq!(both, (vec![Rollback, Freeze], vec![]));
}

#[test]
fn the_facts_of_a_stop_say_since_when() {
    let Watched { stop, .. } = watched(&poll(Some("10:00:00"), "2026-11-20T12:00:00Z"), true, PATIENCE);
    let told: Vec<&str> = stop.iter().map(|(_, detail)| detail.as_str()).collect();
    assert_eq!(
        told,
        [
            "the latest head, of size 90, is behind the one accepted before, since 2026-11-22T10:00:00Z",
            "the latest head, of size 90, has not grown since 2026-11-20T12:00:00Z",
        ]
    );
}
