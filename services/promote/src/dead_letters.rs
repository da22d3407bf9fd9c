//! Messages that JetStream gave up on, kept where people see them. The artifact simply stays unservable.

use touchstone_bus::DeadLetter;
use touchstone_store::NewDeadLetter;

use crate::Promote;

/// How long to wait before listening again when NATS is away.
const LISTEN_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Writes down each dead letter, then acknowledges it, until told to stop.
pub(crate) async fn keep(promote: &Promote) {
    let mut connected = promote.bus.clone();
    let bus = promote.stop.run_until_cancelled(connected.wait_for(Option::is_some)).await;
    let Some(bus) = bus.and_then(Result::ok).and_then(|bus| bus.clone()) else { return };
    while !promote.stop.is_cancelled() {
        match bus.dead_letters().await {
            Ok(mut letters) => {
                while let Some(letter) = promote.stop.run_until_cancelled(letters.next()).await {
                    tracing::error!(stream = %letter.stream, seq = letter.stream_seq, deliveries = letter.deliveries, "a message was given up");
                    metrics::counter!("touchstone_dead_letters").increment(1);
                    match promote.store.record_dead_letter(&row(&letter)).await {
                        Ok(_new) => {
                            if let Err(error) = letter.ack().await {
                                tracing::debug!(%error, "an advisory comes again");
                            }
                        }
                        Err(error) => tracing::warn!(%error, "cannot record a dead letter; it comes again"),
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen to advisories"),
        }
        promote.stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
    }
}

fn row(letter: &DeadLetter) -> NewDeadLetter {
    NewDeadLetter {
        stream: letter.stream.clone(),
        consumer: letter.consumer.clone(),
        stream_seq: i64::try_from(letter.stream_seq).unwrap_or(i64::MAX),
        deliveries: letter.deliveries,
        check: letter.check,
        artifact: letter.event.as_ref().map(|event| event.artifact),
        epoch: letter.event.as_ref().map(|event| event.epoch),
        detail: format!("JetStream gave the message up: {:?}", letter.cause),
    }
}
