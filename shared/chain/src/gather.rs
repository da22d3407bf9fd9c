//! From rows to records that verify. Signatures are verified off the async threads.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use touchstone_custody::{
    Approver, FETCH_STEP, FetchStatement, KeyKind, KeyRing, Layout, Refused, ServeRecord, VerdictStatement,
    link_file_name,
};
use touchstone_domain::{ArtifactId, CheckKind, CheckSet, KeyId, Purl, Requirement, Sha256, SignedBy};
use touchstone_records::{RecordError, RecordStore};
use touchstone_store::{Chain, Store, StoreError, StoredLayout};

use crate::{LogPlace, Records};

/// The most artifacts whose records are gathered at once.
pub const ARTIFACTS_MAX: usize = 64;

/// What records are gathered from.
#[derive(Clone)]
pub struct Sources {
    /// Postgres.
    pub store: Store,
    /// The envelopes.
    pub records: RecordStore,
    /// The keys that count.
    pub ring: Arc<KeyRing>,
    /// This installation.
    pub environment: String,
}

/// Whose records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of all that a purl names.
    Purl(Purl),
    /// Those of the artifacts that have these bytes.
    Digest(Sha256),
}

impl Sources {
    /// The records of each artifact that is meant, the latest first, at most [`ARTIFACTS_MAX`].
    pub async fn gather(&self, wanted: &Wanted) -> Result<Vec<Records>, StoreError> {
        let mut chains = match wanted {
            Wanted::Purl(purl) => self.store.chains(purl).await?,
            Wanted::Digest(sha256) => self.store.chains_of_digest(*sha256).await?,
        };
        chains.truncate(ARTIFACTS_MAX);
        let mut all = Vec::with_capacity(chains.len());
        for chain in &chains {
            all.push(self.gather_one(chain).await?);
        }
        Ok(all)
    }

    async fn gather_one(&self, chain: &Chain) -> Result<Records, StoreError> {
        let mut records = Records::of(&chain.id, chain.sha256, chain.epoch, &self.environment);
        let Some(promotion) = chain.promotion else {
            records
                .misses(format!("it is not promoted; `touchstone why '{}'` says why", Purl::from(&chain.id)));
            return Ok(records);
        };
        let Some(record) = self.serve_record(chain, promotion, &mut records).await else {
            return Ok(records);
        };
        records.serial = Some(record.serial());
        records.log = chain.log_index.map(|index| LogPlace { index });
        for approver in record.rests_on() {
            self.link(chain, approver, &mut records).await;
        }
        let signers: Vec<KeyId> = record.rests_on().iter().map(|approver| approver.key).collect();
        self.layout(chain, &signers, &mut records).await?;
        Ok(records)
    }

    /// Adds the serve record.
    async fn serve_record(
        &self,
        chain: &Chain,
        signed: SignedBy,
        records: &mut Records,
    ) -> Option<ServeRecord> {
        let what = "the serve record";
        let envelope = records.found(what, self.read(signed).await)?;
        let verified = self.verify(&envelope, ServeRecord::verify).await;
        let record = records.verified(what, verified)?;
        let fits = record.environment() == self.environment
            && *record.id() == chain.id
            && record.sha256() == chain.sha256
            && record.epoch() == chain.epoch;
        if !fits {
            records.misses(format!("{what} on record is that of something else"));
            return None;
        }
        let envelope = records.json(what, &envelope)?;
        records.vsa.insert(format!("{}.vsa.json", chain.id.file), envelope);
        records.record_key = self.key(record.key(), records);
        Some(record)
    }

    /// Adds the link of a step that the promotion rests on.
    async fn link(&self, chain: &Chain, approver: &Approver, records: &mut Records) {
        let step = approver.check.map_or(FETCH_STEP, CheckKind::as_str);
        let what = format!("the link {}", link_file_name(step, approver.key));
        let mut on_record = chain.fetches.iter().chain(chain.verdicts.iter().map(|(_, signed)| signed));
        let signed = on_record.find(|signed| signed.envelope.sha256 == approver.envelope);
        let Some(signed) = signed else {
            records.misses(format!("{what} is not on record, and the serve record rests on it"));
            return;
        };
        let Some(envelope) = records.found(&what, self.read(*signed).await) else { return };
        let check = approver.check;
        let subject = self.verify(&envelope, move |envelope, ring| subject(check, envelope, ring)).await;
        let Some((environment, id, sha256, key)) = records.verified(&what, subject) else { return };
        if environment != self.environment || id != chain.id || sha256 != chain.sha256 || key != approver.key
        {
            records.misses(format!("{what} on record is that of something else"));
            return;
        }
        let Some(envelope) = records.json(&what, &envelope) else { return };
        records.links.insert(link_file_name(step, key), envelope);
        self.key(key, records);
    }

    /// Adds the layout of what was required, if it names these signers.
    async fn layout(
        &self,
        chain: &Chain,
        signers: &[KeyId],
        records: &mut Records,
    ) -> Result<(), StoreError> {
        let what = "the layout";
        let requirement = Requirement::new(chain.required, CheckSet::EMPTY)
            .and_then(|requirement| requirement.tolerating(chain.tolerated));
        let Some(requirement) = requirement else {
            records.misses(format!("{what}: nothing is required"));
            return Ok(());
        };
        let Some(StoredLayout { signed, expires_at, has_ended, .. }) = self.store.layout(requirement).await?
        else {
            records.misses(format!("{what} is not on record; promote signs it when it starts: does it run?"));
            return Ok(());
        };
        let Some(envelope) = records.found(what, self.read(signed).await) else { return Ok(()) };
        let verified = self.verify(&envelope, Layout::verify).await;
        let Some(layout) = records.verified(what, verified) else { return Ok(()) };
        let statement = layout.statement();
        if !statement.is_for(&self.environment, requirement) || statement.expires != expires_at {
            records.misses(format!("{what} on record is that of something else"));
        } else if has_ended {
            records
                .misses(format!("{what} ended at {expires_at}; promote signs one every day: does it run?"));
        } else if let Some(key) = signers.iter().find(|key| !statement.keys.contains(key)) {
            records.misses(format!(
                "{what} does not name the key {key}; promote signs one when the key ring changes"
            ));
        } else if let Some(envelope) = records.json(what, &envelope) {
            records.layout = Some(envelope);
            records.layout_key = self.key(layout.key(), records);
        }
        Ok(())
    }

    async fn read(&self, signed: SignedBy) -> Result<Bytes, RecordError> {
        self.records.read(&[signed.envelope]).await.pop().unwrap_or(Err(RecordError::Missing))
    }

    /// Runs what verifies an envelope with the ring on the blocking pool; its panic is the caller's.
    async fn verify<T: Send + 'static>(
        &self,
        envelope: &Bytes,
        work: impl FnOnce(&[u8], &KeyRing) -> T + Send + 'static,
    ) -> T {
        let (envelope, ring) = (envelope.clone(), Arc::clone(&self.ring));
        match tokio::task::spawn_blocking(move || work(&envelope, &ring)).await {
            Ok(verified) => verified,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is being stopped, and nobody waits any more.
                Err(_stopped) => std::future::pending().await,
            },
        }
    }

    /// Adds a key that has signed; the name of its file.
    fn key(&self, key: KeyId, records: &mut Records) -> Option<String> {
        let entry = self.ring.entry(key)?;
        let name = key_file_name(entry.kind, key);
        records.keys.insert(name.clone(), entry.public.to_pem());
        Some(name)
    }
}

impl Records {
    fn misses(&mut self, what: String) {
        self.missing.push(what);
    }

    fn found(&mut self, what: &str, read: Result<Bytes, RecordError>) -> Option<Bytes> {
        read.map_err(|error| {
            // What the storage says is for whoever runs it.
            self.misses(format!("{what}: {error}"));
        })
        .ok()
    }

    fn verified<T>(&mut self, what: &str, verified: Result<T, Refused>) -> Option<T> {
        verified.map_err(|refused| self.misses(format!("{what} does not count: {refused}"))).ok()
    }

    /// An envelope as it is handed out: the bytes that were signed and stored.
    fn json(&mut self, what: &str, envelope: &Bytes) -> Option<Box<RawValue>> {
        let read = serde_json::from_slice(envelope);
        read.map_err(|error| self.misses(format!("{what} is no JSON: {error}"))).ok()
    }
}

/// What a link is about, and who signed it; without a check, it is that of a fetch.
fn subject(
    check: Option<CheckKind>,
    envelope: &[u8],
    ring: &KeyRing,
) -> Result<(String, ArtifactId, Sha256, KeyId), Refused> {
    match check {
        None => FetchStatement::verify(envelope, ring).map(|signed| {
            let FetchStatement { environment, id, sha256, .. } = signed.statement().clone();
            (environment, id, sha256, signed.key())
        }),
        Some(_) => VerdictStatement::verify(envelope, ring).map(|signed| {
            let VerdictStatement { environment, id, verdict, .. } = signed.statement().clone();
            (environment, id, verdict.sha256, signed.key())
        }),
    }
}

/// The name of a public key's file: what it signs, and the first eight digits of its number.
pub fn key_file_name(kind: KeyKind, key: KeyId) -> String {
    format!("{kind}.{}.pub", &key.to_string()[..8])
}
