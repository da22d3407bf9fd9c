//! Witnesses that are asked over HTTP: C2SP tlog-witness.
//!
//! ```text
//! POST <url>/add-checkpoint
//!     old <size that the witness saw last>
//!     <consistency proof, a base64 hash per line>
//!                                                    200  cosignature lines
//!     <checkpoint>                                   409  the size that it did see last
//!                                                    422  the proof does not verify
//! GET <url>/<SHA-256 of the origin>/checkpoint       200  the checkpoint that it saw last
//! ```
//!
//! *Invariant:* the word of a witness stops nothing: it may lie, and so may whoever is between us and it. Promotion stops for a
//! checkpoint that a key of ours signed, and that shows more than we have, or another tree.
//!
//! *Invariant:* one that is of no help is asked again ever more rarely.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use touchstone_domain::Sha256;
use touchstone_store::{IncidentKind, LogTip};
use touchstone_tlog::{SignedHead, TreeHead, Wanted, proof::consistency};
use touchstone_translog::LogReader;
use touchstone_upstream::{FetchError, Limits, Mirror, Posted};
use url::Url;

use super::{
    SealError, Sealer, blocking,
    compare::{checked, stop},
};

/// The longest answer of a witness, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is below a witness' address.
const PATH: &str = "add-checkpoint";
/// How long a witness that was of no help is left alone: at first, then twice as long each time, and at most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_mins(1);

/// One witness.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    mirror: Mirror,
    /// Its host and port, as a file's name.
    name: String,
    /// The size that it saw last, as far as it is known.
    size: Option<u64>,
    /// A head of ours that it showed, and that we do not have, or could not compare.
    shown: Option<TreeHead>,
    /// Until when it is left alone, and for how long.
    rest: Option<(Instant, Duration)>,
}

/// What a witness said to a checkpoint.
enum Answer {
    /// These cosignature lines.
    Cosigned(String),
    /// That it saw so many entries last.
    Saw(u64),
    /// That the proof does not verify.
    Refuted,
}

impl Witness {
    pub(super) fn new(url: &Url) -> Option<Self> {
        let limits = Limits {
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            total_timeout: PATIENCE,
            attempts_max: 1,
            ..Limits::default()
        };
        let host =
            format!("{}-{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0));
        let name = host.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'), "-");
        match Mirror::new(url, limits) {
            Ok(mirror) => Some(Self { mirror, name, size: None, shown: None, rest: None }),
            Err(error) => {
                tracing::error!(
                    witness = name,
                    error = &error as &dyn std::error::Error,
                    "a witness cannot be used as configured"
                );
                None
            }
        }
    }

    /// A head of ours that it showed, and that was not found in our tree then; and who says so.
    pub(super) fn shown(&self) -> Option<(TreeHead, String)> {
        self.shown.map(|head| (head, format!("the witness {} has", self.name)))
    }

    fn is_resting(&self) -> bool {
        self.rest.is_some_and(|(until, _)| Instant::now() < until)
    }

    /// Leaves it alone for a while.
    fn put_off(&mut self) {
        metrics::counter!("touchstone_log_witness_failures").increment(1);
        let rest = self.rest.map_or(REST, |(_, rest)| (rest * 2).min(REST_MAX));
        self.rest = Some((Instant::now() + rest, rest));
    }

    /// Sends a checkpoint; `proof` is from `old` to it. None if the witness is of no help now.
    async fn send(&mut self, old: u64, proof: &str, head: &[u8]) -> Option<Answer> {
        let mut body = format!("old {old}\n{proof}\n").into_bytes();
        body.extend(head);
        match self.mirror.post(PATH, "text/plain; charset=utf-8", body.into(), ANSWER_BYTES_MAX).await {
            Ok(Posted::Taken(lines)) => match String::from_utf8(lines.to_vec()) {
                Ok(lines) if is_cosigned(&lines) => {
                    self.rest = None;
                    Some(Answer::Cosigned(lines))
                }
                _ => self.unusable("its answer has no cosignature"),
            },
            Ok(Posted::Conflict(size)) => {
                match str::from_utf8(&size).ok().and_then(|text| text.trim_end().parse().ok()) {
                    Some(size) => Some(Answer::Saw(size)),
                    None => self.unusable("its answer has no size"),
                }
            }
            Err(FetchError::Status { status: 422, .. }) => Some(Answer::Refuted),
            Err(error) => self.unusable(&error.to_string()),
        }
    }

    fn unusable(&mut self, problem: &str) -> Option<Answer> {
        tracing::warn!(witness = self.name, problem, "a witness of the log is of no help now");
        self.put_off();
        None
    }

    /// The checkpoint that it saw last, if it shows it.
    async fn checkpoint(&self, origin: &str) -> Option<Vec<u8>> {
        let path = format!("{}/checkpoint", Sha256::of(origin));
        let found = self.mirror.document(&path, ANSWER_BYTES_MAX).await.ok().flatten()?;
        Some(found.to_vec())
    }
}

/// Whether it is lines of signatures, each ended by a newline.
fn is_cosigned(lines: &str) -> bool {
    lines.ends_with('\n') && lines.lines().all(|line| line.starts_with("\u{2014} "))
}

impl Sealer {
    /// Asks every witness, before anything is promoted, whether it saw more than Postgres has.
    pub(super) async fn ask_first(&mut self, tip: &LogTip) -> Result<(), SealError> {
        let Some((seal, _)) = &tip.seal else { return Ok(()) };
        for position in 0..self.witnesses.len() {
            let witness = &mut self.witnesses[position];
            if witness.is_resting() {
                continue;
            }
            match witness.send(seal.size, "", &seal.note).await {
                Some(Answer::Cosigned(_)) => witness.size = Some(seal.size),
                Some(Answer::Saw(size)) if size < seal.size => witness.size = Some(size),
                Some(Answer::Saw(size)) => self.weigh(position, size, seal.size).await?,
                Some(Answer::Refuted) => self.weigh(position, seal.size, seal.size).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Sends the published checkpoint to every witness that has not seen it, and keeps what they sign.
    pub(super) async fn ask_witnesses(&mut self) -> Result<(), SealError> {
        let keys = self.keys()?;
        let Some(published) =
            self.copies[0].writer().and_then(|writer| writer.published().map(<[u8]>::to_vec))
        else {
            return Ok(());
        };
        let head = Arc::new(keys.verify(&published).map_err(SealError::Signer)?);
        let (dir, size) = (self.copies[0].dir().to_owned(), head.head().size);
        for position in 0..self.witnesses.len() {
            let mut old = self.witnesses[position].size.unwrap_or(0);
            // Again with the size that it says.
            for _ in 0..3 {
                let witness = &mut self.witnesses[position];
                if witness.size == Some(size) || old > size || witness.is_resting() {
                    break;
                }
                let (dir, head) = (dir.clone(), Arc::clone(&head));
                let proof = blocking(move || LogReader::open(&dir).map(|reader| proof(&reader, &head, old)))
                    .await???;
                match witness.send(old, &proof, &published).await {
                    Some(Answer::Cosigned(lines)) => {
                        self.keep(position, size, &published, &lines).await?;
                        break;
                    }
                    Some(Answer::Saw(seen)) if seen < size || (seen == size && old < size) => old = seen,
                    Some(Answer::Saw(seen)) => self.weigh(position, seen, size).await?,
                    Some(Answer::Refuted) => self.weigh(position, old, size).await?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// A witness says that it saw more entries than the `sent` ones, or others. Whether it did, a checkpoint of ours shows, and
    /// nothing else does.
    async fn weigh(&mut self, position: usize, seen: u64, sent: u64) -> Result<(), SealError> {
        let keys = self.keys()?;
        let witness = &self.witnesses[position];
        let name = witness.name.clone();
        tracing::warn!(witness = name, seen, sent, "a witness of the log says that it saw more, or others");
        let note = witness.checkpoint(keys.origin()).await;
        // Postgres after the witness: another process may have sealed more in the meantime.
        let tip = self.promote.store.log_tip().await?;
        // Only now: while Postgres fails, nothing was weighed, and the next cycle asks again.
        self.witnesses[position].put_off();
        if let Some(shown) = note.and_then(|note| keys.verify(&note).ok()) {
            let compared = match checked(&tip, &keys) {
                Ok(ours) => self.is_older(&ours, shown.head(), &format!("the witness {name} has")).await,
                Err(stop) => Err(SealError::Stop(stop)),
            };
            if compared.is_err() {
                self.witnesses[position].shown = Some(*shown.head());
            }
            return compared;
        }
        if seen > sent && seen <= tip.size() {
            return Ok(());
        }
        // Without its numbers, so that one that lies on and on is told once.
        let problem = format!(
            "the witness {name} says that it saw another transparency log, or more of it, and shows no checkpoint of ours to \
             prove it; if it is to be trusted, an older backup was restored, or history was rewritten"
        );
        self.complain(IncidentKind::LogRollback, &problem).await;
        Ok(())
    }

    /// Keeps the cosigned checkpoint beside the published one.
    async fn keep(&mut self, position: usize, size: u64, note: &[u8], lines: &str) -> Result<(), SealError> {
        let witness = &mut self.witnesses[position];
        witness.size = Some(size);
        let (name, cosigned) = (format!("witness/{}", witness.name), [note, lines.as_bytes()].concat());
        let dir = self.copies[0].dir().to_owned();
        Ok(blocking(move || touchstone_translog::write_beside(&dir, &name, &cosigned)).await??)
    }
}

/// The proof that the tree of the head begins with that of the older size, a line per hash.
fn proof(reader: &LogReader, head: &SignedHead, old: u64) -> Result<String, SealError> {
    let wanted = Wanted { leaves: old.checked_sub(1).into_iter().collect(), prefixes: vec![old] };
    let tiles = reader.authenticate(head, &wanted)?;
    let hashes = consistency(&tiles, head.head().size, old).map_err(|missing| {
        stop(IncidentKind::LogRollback, format!("there is no consistency proof: {missing}"))
    })?;
    Ok(hashes.iter().map(|hash| hash.to_base64() + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_witness_of_no_help_is_left_alone_for_twice_as_long_each_time_and_never_for_ever() {
        let url = "https://witness.example/".parse().expect("an address");
        let mut witness = Witness::new(&url).expect("a witness");
        assert!(!witness.is_resting());
        let mut rests = vec![];
        for _ in 0..8 {
            witness.put_off();
            let (_, rest) = witness.rest.expect("it rests");
            rests.push(rest.as_secs());
            tokio::time::advance(rest.saturating_sub(Duration::from_millis(1))).await;
            assert!(witness.is_resting());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!witness.is_resting());
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
