//! What time brings, and what should not be: artifacts that have come of age, and gates that say servable without a serve record.

use jiff::SignedDuration;
use touchstone_custody::{Case, Judged, Withheld};
use touchstone_domain::{HoldReason, HoldSet};
use touchstone_store::Wanted;

use crate::{
    Promote,
    judge::{CountError, judge},
    reopen::{Reopening, Why, reopen},
    sign,
};

/// The store puts off for so long what is not approved although its time has come.
const PUT_OFF: SignedDuration = SignedDuration::from_mins(1);

/// What becomes of an artifact whose hold for age has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ripe {
    /// It is released, and a record is signed if it is servable then.
    Released,
    /// It is looked at again in the next sweep.
    Soon,
    /// It begins a new epoch.
    Reopened(Why),
}

/// Releases at most `limit` artifacts that are old enough by Postgres' clock and by our own, from signed dates.
pub(crate) async fn aged(promote: &Promote, limit: i64) -> Result<(), CountError> {
    let artifacts = promote.store.aged(limit).await?;
    if artifacts.is_empty() || promote.is_halted() || promote.may_sign().is_err() {
        return Ok(());
    }
    let cases = promote.store.cases(&artifacts, Wanted::All).await?;
    let now = promote.clock.now();
    let (mut released, mut approvals, mut reopenings) = (vec![], vec![], vec![]);
    for (case, judged) in judge(promote, cases).await? {
        match ripe(&case, &judged, promote.policy_epoch, now) {
            Ripe::Released => {
                released.push(case.gate.artifact);
                approvals.extend(judged.approval.ok().filter(|_| is_servable_without_age(&case)));
            }
            Ripe::Soon => {}
            Ripe::Reopened(why) => reopenings.push(Reopening::of(&case, why)),
        }
    }
    reopen(promote, &reopenings).await?;
    let promotions = sign::promotions(promote, approvals).await?;
    if !released.is_empty() && !promote.is_halted() {
        let changes = promote.store.release_aged(&released, &promotions, promote.known_seal()).await?;
        promote.tell(&changes).await;
    }
    Ok(())
}

fn ripe(case: &Case, judged: &Judged, policy_epoch: i32, now: jiff::Timestamp) -> Ripe {
    if !is_servable_without_age(case) {
        return Ripe::Released;
    }
    match &judged.approval {
        Err(Withheld::Age(until)) if until.duration_since(now) < PUT_OFF => Ripe::Soon,
        // a failure that is about to be counted
        Err(Withheld::Rejected { .. }) => Ripe::Soon,
        Err(Withheld::Checks { missing }) => Ripe::Reopened(Why::Unbacked { checks: *missing }),
        Err(Withheld::Policy { missing }) if policy_epoch > case.policy_epoch => {
            Ripe::Reopened(Why::Policy { missing: *missing })
        }
        Err(Withheld::Policy { missing }) if policy_epoch == case.policy_epoch => {
            Ripe::Reopened(Why::Lowered { missing: *missing })
        }
        Err(Withheld::Fetch(_)) if policy_epoch >= case.policy_epoch => Ripe::Reopened(Why::Fetch),
        // what is not approved is put off by the store
        Ok(_)
        | Err(
            Withheld::Age(_)
            | Withheld::Policy { .. }
            | Withheld::Fetch(_)
            | Withheld::Held(_)
            | Withheld::NotAdmitted,
        ) => Ripe::Released,
    }
}

fn is_servable_without_age(case: &Case) -> bool {
    let hold = HoldSet::from_mask(case.gate.hold.mask() & !HoldSet::of(HoldReason::Age).mask());
    touchstone_domain::Gate { hold, ..case.gate }.is_servable()
}

/// Looks at gates that say servable without a promotion of their epoch, which promote itself never lets arise: what signatures
/// approve is signed, and everything else is judged anew, and people are told.
pub(crate) async fn unpromoted(promote: &Promote, limit: i64) -> Result<(), CountError> {
    let artifacts = promote.store.unpromoted(limit).await?;
    if artifacts.is_empty() || promote.is_halted() || promote.may_sign().is_err() {
        return Ok(());
    }
    let cases = promote.store.cases(&artifacts, Wanted::All).await?;
    let (mut approvals, mut reopenings) = (vec![], vec![]);
    for (case, judged) in judge(promote, cases).await? {
        match judged.approval {
            Ok(approval) => approvals.push(approval),
            Err(reason) => {
                tracing::error!(
                    artifact = %case.gate.artifact, artifact.id = %case.id, error = &reason as &dyn std::error::Error,
                    "a gate says servable, and no signatures approve that"
                );
                reopenings.push(Reopening::of(&case, Why::Unpromoted));
            }
        }
    }
    reopen(promote, &reopenings).await?;
    let promotions = sign::promotions(promote, approvals).await?;
    if !promotions.is_empty() && !promote.is_halted() {
        let applied = promote.store.apply(&[], &promotions, promote.known_seal()).await?;
        promote.tell(&applied.changes).await;
    }
    Ok(())
}
