//! What an operator should know about trust: why nothing can be verified, and what to worry about although something can.
//!
//! *Invariant:* a worry names no present moment, so the same one reads the same until it is over.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    choice::{Choice, Loaded, Origin, Standing, TrustUnavailable, at, standing},
    options::TrustOptions,
    renew::judged_at,
};

/// How far two clocks may be apart before it is worth a word.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(5);

/// Something to worry about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// How bad it is.
    pub level: ConcernLevel,
    /// What it is, and what to do.
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcernLevel {
    /// Somebody should look.
    Warning,
    /// Nothing can be verified, or something is wrong with this machine.
    Alarm,
}

/// How trust stands at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Why nothing can be verified, if so.
    pub(crate) unavailable: Option<TrustUnavailable>,
    /// What there is to worry about.
    pub(crate) concerns: Vec<Concern>,
    /// Whether the mirror, if one is configured for anything, was ever heard of.
    pub(crate) refreshed: Option<bool>,
}

/// Looks at what was loaded, what was chosen from it, and when it was stored, by the database's clock.
pub(crate) fn tell(
    options: &TrustOptions,
    (loaded, choice): (&Loaded, &Result<Choice, TrustUnavailable>),
    stored: Option<Timestamp>,
    now: Timestamp,
) -> Told {
    let judged = judged_at(now, stored);
    let current = choice.as_ref().map_err(Clone::clone).and_then(|choice| at(choice, judged, options));
    let unavailable = current.err();
    let mut concerns = vec![];
    let mut add = |level, text| concerns.push(Concern { level, text });
    match (&unavailable, choice) {
        (Some(unavailable), _) => {
            add(ConcernLevel::Alarm, format!("no attestation can be verified: {unavailable}"));
        }
        (None, Ok(choice)) => {
            let first = choice.expires.as_ref();
            let worries = [expiry(&standing(first, judged, options)), stand_in(options, loaded, choice)];
            worries.into_iter().flatten().for_each(|text| add(ConcernLevel::Warning, text));
        }
        (None, Err(_)) => {}
    }
    if let Some(text) = clock(stored, now) {
        add(ConcernLevel::Alarm, text);
    }
    let refreshed = options.mirror.is_some().then_some(!matches!(loaded, Ok(None)));
    Told { unavailable, concerns, refreshed }
}

/// What expires, although it counts still.
fn expiry(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Grace { first, until } => Some(format!(
            "the TUF {} metadata expired at {}; it counts until {until}, and nothing is verified afterwards",
            first.name, first.expires
        )),
        Standing::Expiring { first } => {
            Some(format!("the TUF {} metadata expires at {}", first.name, first.expires))
        }
        Standing::Lasting | Standing::Current { .. } | Standing::Expired { .. } => None,
    }
}

/// What stands in for what the TUF repository should say.
fn stand_in(options: &TrustOptions, loaded: &Loaded, choice: &Choice) -> Option<String> {
    let built_in = [choice.root_origin, choice.keys_origin].contains(&Origin::Embedded);
    match (loaded, &options.pin.keys) {
        (Err(why), _) => {
            Some(format!("the stored TUF documents are refused, and files stand in for them: {why}"))
        }
        (Ok(None), _) if built_in && options.mirror.is_some() => Some(
            "the mirror at `trust.tuf_url` has never answered with what can be used; what came with the program, and is as \
             old as it, stands in"
                .to_owned(),
        ),
        (Ok(Some(_)), Some(target)) if choice.keys_origin == Origin::Embedded => Some(format!(
            "the TUF repository has no target {}; the npm keys that came with the program, and are as old as it, stand in: \
             name the target in `trust.npm_keys_target`, or a file in `trust.npm_keys`",
            target.path
        )),
        (Ok(_), _) => None,
    }
}

/// Whether this machine's clock says that the past is the present.
fn clock(stored: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let stored = stored
        .filter(|stored| stored.duration_since(now).unsigned_abs() > CLOCKS_APART_MAX && *stored > now)?;
    Some(format!(
        "this machine's clock is behind the database's, which stored TUF documents at {stored}: set it right; what expires is \
         judged by the later of both"
    ))
}

#[cfg(test)]
mod tests;
