//! The envelopes: JSON with a schema number, row numbers and nothing that is decided by.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckSet, Ecosystem};

/// The schema that this version writes, and the only one that it reads.
const SCHEMA: u16 = 1;
/// The largest message, in bytes; the stream refuses larger ones.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How many row numbers go into one doorbell: well below [`MESSAGE_BYTES_MAX`].
pub(crate) const BATCH_MAX: usize = 512;

/// An artifact that checks should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactEvent {
    /// The row.
    pub artifact: ArtifactDbId,
    /// Its ecosystem, which is also in the subject.
    pub ecosystem: Ecosystem,
    /// The epoch of its gate when the event was made; workers judge under the epoch that they read from Postgres.
    pub epoch: i32,
    /// How often it was dispatched before; with row and epoch, the key of de-duplication.
    pub dispatch: i16,
}

impl ArtifactEvent {
    /// An event about an artifact, in the present schema.
    pub const fn new(artifact: ArtifactDbId, ecosystem: Ecosystem, epoch: i32, dispatch: i16) -> Self {
        Self { artifact, ecosystem, epoch, dispatch }
    }

    /// What JetStream de-duplicates by.
    pub(crate) fn message_id(&self) -> String {
        format!("{}:{}:{}", self.artifact, self.epoch, self.dispatch)
    }
}

/// A decision about an artifact: a hint to look at Postgres, never permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The row.
    pub artifact: ArtifactDbId,
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// The state that it reached.
    pub state: ArtifactState,
}

/// A verdict was recorded: a hint to look at Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The row.
    pub artifact: ArtifactDbId,
    /// The checks whose answers are still to come, as far as the worker knows, before looking may lead to a decision.
    pub others: CheckSet,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Larger than anything that we write.
    #[error("the message has {found} bytes; at most {MESSAGE_BYTES_MAX} are read")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// Not JSON of the expected form.
    #[error("the message is not an event")]
    Malformed(#[source] serde_json::Error),
    /// Written by another version.
    #[error("the message has schema {found}; this version reads {SCHEMA}")]
    Schema {
        /// The schema it names.
        found: u16,
    },
}

#[derive(Serialize)]
struct Outgoing<'a, T: ?Sized> {
    schema: u16,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: u16,
}

/// Several doorbells in one message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    artifacts: Vec<ArtifactDbId>,
    /// The masks of [`Rung::others`], in the same order; of the last ones, or all, there may be none.
    #[serde(default)]
    others: Vec<i64>,
}

impl Recorded {
    pub(crate) fn of(rung: &[Rung]) -> Self {
        Self {
            artifacts: rung.iter().map(|rung| rung.artifact).collect(),
            others: rung.iter().map(|rung| rung.others.mask()).collect(),
        }
    }

    pub(crate) fn rung(self) -> Vec<Rung> {
        let others =
            self.others.into_iter().map(CheckSet::from_mask).chain(std::iter::repeat(CheckSet::EMPTY));
        self.artifacts.into_iter().zip(others).map(|(artifact, others)| Rung { artifact, others }).collect()
    }
}

/// Several decisions in one message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decisions {
    pub(crate) decided: Vec<Decided>,
}

/// Writes an envelope.
pub(crate) fn encode<T: Serialize>(body: &T) -> bytes::Bytes {
    serde_json::to_vec(&Outgoing { schema: SCHEMA, body }).expect("events are plain structs").into()
}

/// Reads an envelope. The schema is looked at first, so that a newer message is named as such.
pub(crate) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, EventError> {
    if payload.len() > MESSAGE_BYTES_MAX {
        return Err(EventError::TooLarge { found: payload.len() });
    }
    let SchemaOnly { schema } = serde_json::from_slice(payload).map_err(EventError::Malformed)?;
    if schema != SCHEMA {
        return Err(EventError::Schema { found: schema });
    }
    serde_json::from_slice(payload).map_err(EventError::Malformed)
}

#[cfg(test)]
mod tests {
    use touchstone_domain::CheckKind;

    use super::*;

    fn event() -> ArtifactEvent {
        ArtifactEvent { artifact: ArtifactDbId(7), ecosystem: Ecosystem::Npm, epoch: 1, dispatch: 2 }
    }

    #[test]
    fn an_event_round_trips_and_each_defect_is_named() {
        let good = r#"{"schema":1,"artifact":7,"ecosystem":"npm","epoch":1,"dispatch":2}"#;
        assert_eq!(encode(&event()), good.as_bytes());
        assert_eq!(decode::<ArtifactEvent>(good.as_bytes()).expect("good"), event());

        let schema = good.replace("\"schema\":1", "\"schema\":2");
        let found = decode::<ArtifactEvent>(schema.as_bytes()).expect_err("another schema");
        assert_eq!(found.to_string(), "the message has schema 2; this version reads 1");
        for bad in [
            good.replace("\"schema\":1,", ""),
            good.replace("npm", "gem"),
            good.replace(":7", ":\"7\""),
            good.replace('}', ""),
            String::new(),
        ] {
            let found = decode::<ArtifactEvent>(bad.as_bytes()).expect_err(&bad);
            assert!(matches!(found, EventError::Malformed(_)), "{bad}: {found}");
        }
        let large = format!("{good}{}", " ".repeat(MESSAGE_BYTES_MAX));
        let found = decode::<ArtifactEvent>(large.as_bytes()).expect_err("too large");
        assert!(matches!(found, EventError::TooLarge { .. }), "{found}");
    }

    #[test]
    fn a_full_batch_stays_below_the_limit_of_a_message() {
        let row = ArtifactDbId(i64::MAX);
        let decided = Decided { artifact: row, ecosystem: Ecosystem::Cargo, state: ArtifactState::Verifying };
        assert!(encode(&Decisions { decided: vec![decided; BATCH_MAX] }).len() < MESSAGE_BYTES_MAX);
        let rung = Rung { artifact: row, others: CheckSet::from_mask(i64::MIN) };
        assert!(encode(&Recorded::of(&[rung; BATCH_MAX])).len() < MESSAGE_BYTES_MAX);
    }

    #[test]
    fn doorbells_round_trip_and_those_of_older_versions_wait_for_nobody() {
        let rung = |artifact, others| Rung { artifact: ArtifactDbId(artifact), others };
        let both = [rung(7, CheckSet::of(CheckKind::Attest)), rung(8, CheckSet::EMPTY)];
        let message = encode(&Recorded::of(&both));
        assert_eq!(decode::<Recorded>(&message).expect("good").rung(), both);
        let older = decode::<Recorded>(br#"{"schema":1,"artifacts":[7,8]}"#).expect("good").rung();
        assert_eq!(older, [rung(7, CheckSet::EMPTY), rung(8, CheckSet::EMPTY)]);
    }
}
