//! Streams and consumers: made when missing, read back, and compared.
//!
//! Old servers drop what they do not know without a word, so what counts is what is read back, not what was accepted.
//! The number of replicas belongs to the operator: an existing stream keeps its own.

use std::{fmt::Debug, time::Duration};

use async_nats::jetstream::{
    ErrorCode,
    consumer::{self, AckPolicy, PullConsumer, pull},
    context::GetStreamErrorKind,
    stream::{self, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, StorageType},
};
use tokio::time::sleep;
use touchstone_domain::CheckKind;

use crate::{
    ADVISORY_STREAM, Bus, BusError, LIVE_STREAM,
    consume::{ACK_WAIT, MAX_DELIVER},
    event::MESSAGE_BYTES_MAX,
    subject,
};

/// How far back live events can be replayed.
const LIVE_AGE_MAX: Duration = Duration::from_hours(30 * 24);
/// The size of the live stream in bytes; the oldest events go first.
const LIVE_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// How long advisories are kept when nobody reads them.
const ADVISORY_AGE_MAX: Duration = Duration::from_hours(90 * 24);
/// The size of the advisory stream in bytes.
const ADVISORY_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// How long a repeated message id is recognised.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);
/// The consumer of the advisories.
pub(crate) const DEAD_LETTERS: &str = "dead-letters";
/// How often promote looks whether everything is still there.
const KEEP_PERIOD: Duration = Duration::from_secs(2);
/// The pause after it could not.
const PROVISION_AGAIN: Duration = Duration::from_millis(500);
/// How many messages all workers of one check together may have in hand.
const ACK_PENDING_MAX: i64 = 8192;

impl Bus {
    /// Makes the streams, and the durable consumer of each of these checks, where they are missing or differ; reads all
    /// of them back and compares. May be called at any time, by any number of processes.
    pub async fn provision(&self, checks: &[CheckKind]) -> Result<(), BusError> {
        self.ready().await?;
        self.provision_stream(LIVE_STREAM, live()).await?;
        self.provision_stream(ADVISORY_STREAM, advisory()).await?;
        for check in checks {
            self.provision_consumer(LIVE_STREAM, check_consumer(*check)).await?;
        }
        Ok(())
    }

    /// For promote, which alone may: provisions at each new connection, and looks every few seconds whether all is still there.
    /// Ends only by being dropped.
    pub async fn keep_provisioned(&self, checks: &[CheckKind]) {
        let mut link = self.link.clone();
        loop {
            link.mark_unchanged();
            let pause = match self.provision(checks).await {
                Ok(()) => KEEP_PERIOD,
                Err(BusError::Disconnected) => {
                    tracing::debug!("waiting for NATS");
                    PROVISION_AGAIN
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot provision NATS");
                    PROVISION_AGAIN
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = link.changed() => {}
            }
        }
    }

    /// The consumer of one check. Promote makes it; until it has, and whenever it is not as it should be, workers wait.
    pub(crate) async fn check_consumer(&self, check: CheckKind) -> Result<PullConsumer, BusError> {
        self.ready().await?;
        let wanted = check_consumer(check);
        match self.existing_consumer(LIVE_STREAM, check.as_str()).await? {
            Some(found) if compare_consumer(&wanted, &found.cached_info().config).is_ok() => Ok(found),
            Some(_) | None => Err(BusError::NotProvisioned { consumer: check.as_str() }),
        }
    }

    /// The consumer of the advisories, made again if it vanished.
    pub(crate) async fn dead_letter_consumer(&self) -> Result<PullConsumer, BusError> {
        self.provision(&[]).await?;
        self.provision_consumer(ADVISORY_STREAM, dead_letter_consumer()).await
    }

    async fn provision_stream(&self, name: &'static str, wanted: stream::Config) -> Result<(), BusError> {
        let failed = |source| BusError::Stream { stream: name, source };
        let existing = match self.jetstream.get_stream(name).await {
            Ok(stream) => Some(stream.cached_info().config.clone()),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => None,
                _ => return Err(failed(error.into())),
            },
        };
        let found = match existing {
            Some(found) if compare_stream(&wanted, &found).is_ok() => return Ok(()),
            Some(found) => {
                tracing::warn!(
                    stream = name,
                    "the stream differs from what this version needs, and is updated"
                );
                let wanted = stream::Config { num_replicas: found.num_replicas, ..wanted.clone() };
                self.jetstream.update_stream(wanted).await.map_err(|e| failed(e.into()))?.config
            }
            None => {
                let made =
                    self.jetstream.create_stream(wanted.clone()).await.map_err(|e| failed(e.into()))?;
                tracing::info!(stream = name, "the stream was missing, and is made");
                made.cached_info().config.clone()
            }
        };
        compare_stream(&wanted, &found)
    }

    async fn provision_consumer(
        &self,
        stream: &'static str,
        wanted: pull::Config,
    ) -> Result<PullConsumer, BusError> {
        let name = wanted.durable_name.clone().expect("our consumers are durable");
        if let Some(found) = self.existing_consumer(stream, &name).await?
            && compare_consumer(&wanted, &found.cached_info().config).is_ok()
        {
            return Ok(found);
        }
        // What differs is updated, and the answer is what the server keeps.
        let made: PullConsumer = self
            .jetstream
            .create_consumer_on_stream(wanted.clone(), stream)
            .await
            .map_err(|e| BusError::Consumer { stream, consumer: name, source: e.into() })?;
        compare_consumer(&wanted, &made.cached_info().config)?;
        Ok(made)
    }
}

impl Bus {
    /// A consumer as it is; `None` where it, or its stream, is missing.
    pub(crate) async fn existing_consumer(
        &self,
        stream: &'static str,
        name: &str,
    ) -> Result<Option<PullConsumer>, BusError> {
        match self.jetstream.get_consumer_from_stream(name, stream).await {
            Ok(consumer) => Ok(Some(consumer)),
            Err(error) => match error.kind() {
                ConsumerErrorKind::JetStream(e)
                    if [ErrorCode::CONSUMER_NOT_FOUND, ErrorCode::STREAM_NOT_FOUND]
                        .contains(&e.error_code()) =>
                {
                    Ok(None)
                }
                _ => Err(BusError::Consumer { stream, consumer: name.to_owned(), source: error.into() }),
            },
        }
    }
}

fn live() -> stream::Config {
    stream::Config {
        name: LIVE_STREAM.to_owned(),
        subjects: vec![
            subject::FETCHED_ALL.into(),
            subject::RECHECK_ALL.into(),
            subject::DECISION_ALL.into(),
        ],
        max_age: LIVE_AGE_MAX,
        max_bytes: LIVE_BYTES_MAX,
        ..stream_defaults()
    }
}

fn advisory() -> stream::Config {
    stream::Config {
        name: ADVISORY_STREAM.to_owned(),
        subjects: vec![subject::MAX_DELIVERIES.into(), subject::TERMINATED.into()],
        max_age: ADVISORY_AGE_MAX,
        max_bytes: ADVISORY_BYTES_MAX,
        ..stream_defaults()
    }
}

fn stream_defaults() -> stream::Config {
    stream::Config {
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        max_message_size: i32::try_from(MESSAGE_BYTES_MAX).expect("a constant below 2 GiB"),
        num_replicas: 1,
        ..stream::Config::default()
    }
}

fn check_consumer(check: CheckKind) -> pull::Config {
    pull::Config {
        durable_name: Some(check.as_str().to_owned()),
        filter_subjects: subject::heard_by(check),
        max_deliver: MAX_DELIVER,
        max_ack_pending: ACK_PENDING_MAX,
        ..consumer_defaults()
    }
}

fn dead_letter_consumer() -> pull::Config {
    pull::Config {
        durable_name: Some(DEAD_LETTERS.to_owned()),
        max_deliver: -1,
        max_ack_pending: 64,
        ..consumer_defaults()
    }
}

fn consumer_defaults() -> pull::Config {
    pull::Config { ack_policy: AckPolicy::Explicit, ack_wait: ACK_WAIT, ..pull::Config::default() }
}

fn compare_stream(wanted: &stream::Config, found: &stream::Config) -> Result<(), BusError> {
    let same = Comparison { name: &wanted.name };
    same.field("subjects", &sorted(&wanted.subjects), &sorted(&found.subjects))?;
    same.field("retention", &wanted.retention, &found.retention)?;
    same.field("discard", &wanted.discard, &found.discard)?;
    same.field("storage", &wanted.storage, &found.storage)?;
    same.field("max_age", &wanted.max_age, &found.max_age)?;
    same.field("max_bytes", &wanted.max_bytes, &found.max_bytes)?;
    same.field("max_msg_size", &wanted.max_message_size, &found.max_message_size)?;
    same.field("duplicate_window", &wanted.duplicate_window, &found.duplicate_window)
}

fn compare_consumer(wanted: &pull::Config, found: &consumer::Config) -> Result<(), BusError> {
    let same = Comparison { name: wanted.durable_name.as_deref().unwrap_or_default() };
    same.field("durable_name", &wanted.durable_name, &found.durable_name)?;
    same.field("filter_subjects", &sorted(&wanted.filter_subjects), &sorted(&found.filter_subjects))?;
    same.field("filter_subject", &wanted.filter_subject, &found.filter_subject)?;
    same.field("deliver_policy", &wanted.deliver_policy, &found.deliver_policy)?;
    same.field("ack_policy", &wanted.ack_policy, &found.ack_policy)?;
    same.field("ack_wait", &wanted.ack_wait, &found.ack_wait)?;
    same.field("max_deliver", &wanted.max_deliver, &found.max_deliver)?;
    same.field("max_ack_pending", &wanted.max_ack_pending, &found.max_ack_pending)
}

struct Comparison<'a> {
    name: &'a str,
}

impl Comparison<'_> {
    fn field<T: PartialEq + Debug>(
        &self,
        field: &'static str,
        wanted: &T,
        found: &T,
    ) -> Result<(), BusError> {
        if wanted == found {
            return Ok(());
        }
        Err(BusError::NotAsConfigured {
            name: self.name.to_owned(),
            field,
            wanted: format!("{wanted:?}"),
            found: format!("{found:?}"),
        })
    }
}

fn sorted(subjects: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = subjects.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::consumer::IntoConsumerConfig as _;

    use super::*;

    #[test]
    fn what_a_server_drops_is_found_by_reading_back() {
        let wanted = check_consumer(CheckKind::Hash);
        let kept = (&wanted).into_consumer_config();
        compare_consumer(&wanted, &kept).expect("as asked");
        // nats-server 2.9 keeps the consumer, and leaves the filters out.
        let dropped = consumer::Config { filter_subjects: vec![], ..kept.clone() };
        let found = compare_consumer(&wanted, &dropped).expect_err("no filters");
        assert_eq!(
            found.to_string(),
            "the server keeps hash with filter_subjects = [], though it was given \
             [\"touchstone.v1.artifact-fetched.>\", \"touchstone.v1.recheck.hash.>\"]; use a supported nats-server"
        );
        let unbounded = consumer::Config { max_deliver: -1, ..kept };
        let found = compare_consumer(&wanted, &unbounded).expect_err("no bound");
        assert!(matches!(found, BusError::NotAsConfigured { field: "max_deliver", .. }), "{found}");

        let wanted = live();
        compare_stream(&wanted, &stream::Config { num_replicas: 3, ..wanted.clone() })
            .expect("replicas are free");
        let found = compare_stream(&wanted, &stream::Config { max_age: Duration::ZERO, ..wanted.clone() });
        assert!(matches!(found, Err(BusError::NotAsConfigured { field: "max_age", .. })));
    }
}
