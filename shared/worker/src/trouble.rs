//! What happens to a message whose check did not answer: it is written down, and comes again later; a message that
//! breaks the check again and again is given up.

use std::{any::Any, error::Error, time::Duration};

use touchstone_bus::{Delivery, LIVE_STREAM, MAX_DELIVER};
use touchstone_domain::CheckKind;
use touchstone_runtime::Chain;
use touchstone_store::{Attempt, AttemptClass, NewDeadLetter, Store};

use crate::CheckError;

/// Poison is given up at this delivery; what kills the process is given up by the server, a little later.
const POISON_DELIVERIES: i64 = 5;
/// The pause before a second delivery; it doubles each time.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// What is kept of an error's words, in characters.
const DETAIL_CHARS_MAX: usize = 1000;

/// Why there is no finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) class: AttemptClass,
    /// The word in metrics.
    pub(crate) label: &'static str,
    pub(crate) detail: String,
}

impl Trouble {
    pub(crate) fn error(error: &CheckError) -> Self {
        match error {
            CheckError::Retry { .. } => Self::new(AttemptClass::Retry, "retry", &Chain(error).to_string()),
            CheckError::Poison { .. } => Self::new(AttemptClass::Poison, "poison", &Chain(error).to_string()),
        }
    }

    pub(crate) fn timeout(after: Duration) -> Self {
        Self::new(AttemptClass::Retry, "timeout", &format!("the check did not finish within {after:?}"))
    }

    pub(crate) fn panic(what: &str, payload: &(dyn Any + Send)) -> Self {
        let words = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "no message",
        };
        Self::new(AttemptClass::Poison, "panic", &format!("{what} panicked: {words}"))
    }

    /// The answer can never be signed or stored.
    pub(crate) fn poison(error: &dyn Error) -> Self {
        Self::new(AttemptClass::Poison, "poison", &Chain(error).to_string())
    }

    fn new(class: AttemptClass, label: &'static str, detail: &str) -> Self {
        Self { class, label, detail: detail.chars().take(DETAIL_CHARS_MAX).collect() }
    }
}

/// Writes down that a check did not answer, and gives the message back; or gives it up, if it is poison that came too
/// often.
pub(crate) async fn give_back(
    store: &Store,
    check: CheckKind,
    delivery: &Delivery,
    epoch: i32,
    trouble: Trouble,
) {
    let artifact = delivery.event.artifact;
    let deliveries = delivery.deliveries;
    tracing::warn!(
        artifact.id = %artifact, check.kind = %check, deliveries, class = trouble.label, detail = trouble.detail,
        "a check did not answer"
    );
    if trouble.class == AttemptClass::Poison && deliveries >= POISON_DELIVERIES {
        let letter = NewDeadLetter {
            stream: LIVE_STREAM.to_owned(),
            consumer: check.as_str().to_owned(),
            stream_seq: i64::try_from(delivery.stream_seq).unwrap_or(i64::MAX),
            deliveries,
            check: Some(check),
            artifact: Some(artifact),
            epoch: Some(epoch),
            detail: trouble.detail,
        };
        match store.record_dead_letter(&letter).await {
            Ok(_) => settled(delivery.term().await),
            Err(error) => {
                tracing::warn!(artifact.id = %artifact, error = %Chain(&error), "a dead letter is not recorded yet");
                settled(delivery.nak(backoff(deliveries)).await);
            }
        }
        return;
    }
    let attempt = Attempt {
        artifact,
        epoch,
        check,
        delivery: deliveries,
        class: trouble.class,
        detail: trouble.detail,
        service: check.as_str().to_owned(),
    };
    if let Err(error) = store.record_attempt(&attempt).await {
        tracing::warn!(artifact.id = %artifact, error = %Chain(&error), "an attempt is not recorded");
    }
    settled(delivery.nak(backoff(deliveries)).await);
}

/// Gives a message back because something of ours is away; that is no attempt. Its check runs again later.
pub(crate) async fn put_off(delivery: &Delivery, away: &'static str, error: &(dyn Error + Sync)) {
    let (artifact, error) = (delivery.event.artifact, Chain(error).to_string());
    tracing::warn!(artifact.id = %artifact, error, "{away}; a message is put off");
    settled(delivery.nak(backoff(delivery.deliveries)).await);
}

/// An acknowledgement that is lost makes the message come again, which changes nothing.
pub(crate) fn settled(sent: Result<(), touchstone_bus::BusError>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "the message will come again");
    }
}

/// The pause before the delivery after this one, with up to a quarter more or less, so that a crowd spreads out. After the
/// last there is none: the server is to say so at once.
pub(crate) fn backoff(deliveries: i64) -> Duration {
    if deliveries >= MAX_DELIVER {
        return Duration::from_millis(1);
    }
    let doublings = u32::try_from(deliveries.clamp(1, 16) - 1).unwrap_or(0);
    let pause = BACKOFF_MAX.min(BACKOFF_MIN.saturating_mul(2_u32.pow(doublings)));
    pause.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_spread_by_a_quarter() {
        for (deliveries, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0)] {
            let pause = backoff(deliveries).as_secs_f64();
            assert!((seconds * 0.75..seconds * 1.25).contains(&pause), "{deliveries}: {pause}");
        }
        assert_eq!(backoff(MAX_DELIVER), Duration::from_millis(1));
    }

    #[test]
    fn every_cause_is_kept_and_a_panic_is_poison() {
        let error =
            CheckError::retry_because("the blob cannot be opened", std::io::Error::other("disk on fire"));
        let trouble = Trouble::error(&error);
        assert_eq!((trouble.class, trouble.label), (AttemptClass::Retry, "retry"));
        assert_eq!(trouble.detail, "the blob cannot be opened: disk on fire");

        let payload: Box<dyn Any + Send> = Box::new(format!("index {}", 7));
        let trouble = Trouble::panic("the check", &*payload);
        assert_eq!((trouble.class, trouble.label), (AttemptClass::Poison, "panic"));
        assert_eq!(trouble.detail, "the check panicked: index 7");
        assert_eq!(Trouble::error(&CheckError::poison("x".repeat(5000))).detail.len(), DETAIL_CHARS_MAX);
    }
}
