//! Witnesses that are asked over HTTP: C2SP tlog-witness.
//!
//! ```text
//! POST <url>/add-checkpoint
//!     old <size that the witness saw last>
//!     <consistency proof, a base64 hash per line>
//!                                                    200  cosignature lines
//!     <checkpoint>                                   409  the size that it did see last
//! ```
//!
//! *Invariant:* a witness that does not answer stops nothing. One that saw more than we have, or another tree, stops promotion.

use std::{sync::Arc, time::Duration};

use touchstone_store::{IncidentKind, LogTip};
use touchstone_tlog::{SignedHead, Wanted, proof::consistency};
use touchstone_translog::LogReader;
use touchstone_upstream::{FetchError, Limits, Mirror, Posted};
use url::Url;

use super::{SealError, Sealer, blocking, compare::stop};

/// The longest answer of a witness, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is below a witness' address.
const PATH: &str = "add-checkpoint";

/// One witness.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    mirror: Mirror,
    /// Its host and port, as a file's name.
    name: String,
    /// The size that it saw last, as far as it is known.
    size: Option<u64>,
}

/// What a witness said to a checkpoint.
enum Answer {
    /// These cosignature lines.
    Cosigned(String),
    /// That it saw so many entries last.
    Saw(u64),
    /// That the proof does not verify.
    Contradicts,
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
            Ok(mirror) => Some(Self { mirror, name, size: None }),
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

    /// Sends a checkpoint; `proof` is from `old` to it. None if the witness is of no help now.
    async fn send(&self, old: u64, proof: &str, head: &[u8]) -> Option<Answer> {
        let mut body = format!("old {old}\n{proof}\n").into_bytes();
        body.extend(head);
        match self.mirror.post(PATH, "text/plain; charset=utf-8", body.into(), ANSWER_BYTES_MAX).await {
            Ok(Posted::Taken(lines)) => match String::from_utf8(lines.to_vec()) {
                Ok(lines) if is_cosigned(&lines) => Some(Answer::Cosigned(lines)),
                _ => self.unusable("its answer has no cosignature"),
            },
            Ok(Posted::Conflict(size)) => {
                match str::from_utf8(&size).ok().and_then(|text| text.trim_end().parse().ok()) {
                    Some(size) => Some(Answer::Saw(size)),
                    None => self.unusable("its answer has no size"),
                }
            }
            Err(FetchError::Status { status: 422, .. }) => Some(Answer::Contradicts),
            Err(error) => self.unusable(&error.to_string()),
        }
    }

    fn unusable(&self, problem: &str) -> Option<Answer> {
        metrics::counter!("touchstone_log_witness_failures").increment(1);
        tracing::warn!(witness = self.name, problem, "a witness of the log is of no help now");
        None
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
        for witness in &mut self.witnesses {
            match witness.send(seal.size, "", &seal.note).await {
                Some(Answer::Cosigned(_)) => witness.size = Some(seal.size),
                Some(Answer::Saw(size)) if size < seal.size => witness.size = Some(size),
                Some(Answer::Saw(size)) => {
                    // Another process may have sealed more in the meantime.
                    let now = self.promote.store.log_tip().await?.size();
                    if size > now || size == seal.size {
                        return Err(knows_more(&witness.name, size, seal.size));
                    }
                }
                Some(Answer::Contradicts) => return Err(contradicts(&witness.name, seal.size)),
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
            let witness = &self.witnesses[position];
            let mut old = witness.size.unwrap_or(0);
            // Again with the size that it says.
            for _ in 0..3 {
                if witness.size == Some(size) || old > size {
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
                    Some(Answer::Saw(seen)) if seen > size || (seen == size && old == size) => {
                        return Err(knows_more(&witness.name, seen, size));
                    }
                    Some(Answer::Saw(seen)) => old = seen,
                    Some(Answer::Contradicts) => return Err(contradicts(&witness.name, old)),
                    None => break,
                }
            }
        }
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

fn knows_more(witness: &str, seen: u64, ours: u64) -> SealError {
    if seen == ours {
        return contradicts(witness, seen);
    }
    stop(
        IncidentKind::DatabaseRollback,
        format!(
            "the database has {ours} entries of the transparency log, and the witness {witness} saw {seen}: an older backup was \
             restored; `touchstone log recover` brings it back"
        ),
    )
}

fn contradicts(witness: &str, size: u64) -> SealError {
    stop(
        IncidentKind::LogRollback,
        format!(
            "the witness {witness} saw another transparency log: the first {size} entries differ; history was rewritten"
        ),
    )
}
