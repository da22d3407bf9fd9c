//! One look at the log: is the checkpoint signed, does it begin with all that was seen, and what do its new entries say.

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;
use touchstone_custody::{KeyRing, LogEntry};
use touchstone_runtime::Chain;
use touchstone_store::IncidentKind;
use touchstone_tlog::{
    SignedHead, TileError, TreeHead,
    note::{KeyError, VerifierKey},
};
use touchstone_translog::{CheckpointError, LogError, LogKeys, LogReader, log_name};

use super::{Log, Standing, seen::SeenFile};

/// Why nothing is served before the log was read once.
pub(super) const READING: &str = "it is still being read";
/// The entries that count at once.
const ENTRIES_AT_ONCE: usize = 256;

/// Why the log cannot be followed at all.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The environment's name makes no log's name.
    #[error("the environment's name cannot be that of a log")]
    Name(#[source] KeyError),
    /// The last head that was seen cannot be kept, or read.
    #[error("the last head of the log that was seen, {}, cannot be used", path.display())]
    Seen {
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What is known of the log, and where the rest is.
pub(crate) struct Follower {
    environment: Arc<str>,
    log: Log,
    pub(super) standing: watch::Sender<Standing>,
    seen_file: SeenFile,
    /// The largest head that was verified and found consistent with those before it.
    seen: Option<TreeHead>,
    /// The entries that count already: the first so many.
    pub(super) taken: u64,
    /// Those among them that a newer version wrote, and say nothing here.
    unknown: u64,
    /// Whether a checkpoint that counts was found since the start: from then on its entries must be read.
    found: bool,
    /// Whether all entries counted once.
    caught_up: bool,
    /// What was looked at last.
    looked_at: Option<(Vec<u8>, Arc<KeyRing>)>,
    /// Why the log is out of reach, which is said once.
    away: Option<String>,
    /// Whether it contradicts what was seen of it: that does not end by taking it away.
    contradicted: bool,
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The log is followed, or as well as it can be.
    Going,
    /// It is halted by something new.
    Halted(Halt),
}

/// Why nothing is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Halt {
    /// That the log is another one, or that it is withheld.
    pub(super) kind: IncidentKind,
    pub(super) problem: String,
    /// The head that was seen before.
    pub(super) seen: Option<TreeHead>,
    /// The checkpoint that was found, as it came.
    pub(super) note: String,
}

/// Why a look came to nothing.
enum Trouble {
    /// The log contradicts itself or what was seen of it.
    Contradiction(String),
    /// It cannot be read; once all that was seen of it counts, that counts on.
    Away(String),
}

impl Follower {
    /// Goes on from the head in `state_dir`. Nothing is served until the first look.
    pub(crate) fn new(environment: &Arc<str>, log_dir: &Path, state_dir: &Path) -> Result<Self, FollowError> {
        let origin = log_name(environment);
        // Any key would do: it is the name that is tried.
        VerifierKey::new(&origin, [0; 32]).map_err(FollowError::Name)?;
        let at = |source| FollowError::Seen { path: state_dir.to_owned(), source };
        let seen_file = SeenFile::open(state_dir).map_err(at)?;
        let at = |source| FollowError::Seen { path: seen_file.path(), source };
        let seen = seen_file.load(&origin).map_err(at)?;
        let size = seen.map_or(0, |seen| seen.size);
        let standing = watch::Sender::new(Standing { size, halted: Some(READING.into()) });
        let log = Log {
            dir: log_dir.to_owned(),
            origin: origin.into(),
            standing: standing.subscribe(),
            revocations: Arc::new(RwLock::default()),
            sealed: Arc::default(),
        };
        let environment = Arc::clone(environment);
        Ok(Self {
            environment,
            log,
            standing,
            seen_file,
            seen,
            taken: 0,
            unknown: 0,
            found: false,
            caught_up: false,
            looked_at: None,
            away: None,
            contradicted: false,
        })
    }

    /// What requests see.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    pub(super) fn origin(&self) -> &str {
        &self.log.origin
    }

    /// Looks once. `interrupted` ends it early.
    pub(super) fn step(&mut self, ring: &Arc<KeyRing>, interrupted: &dyn Fn() -> bool) -> Step {
        let checkpoint = LogReader::open(&self.log.dir).and_then(|reader| Ok((reader.checkpoint()?, reader)));
        let (note, reader) = match checkpoint {
            Ok((Some(note), reader)) => (note, reader),
            Ok((None, _)) => return self.absent(format!("{} has no checkpoint", self.log.dir.display())),
            Err(error) => return self.absent(Chain(&error).to_string()),
        };
        if let Some((bytes, keys)) = &self.looked_at
            && *bytes == note
            && Arc::ptr_eq(keys, ring)
        {
            return Step::Going;
        }
        match self.follow(&reader, &note, ring, interrupted) {
            Ok(true) => {
                self.looked_at = Some((note, Arc::clone(ring)));
                self.going()
            }
            // Interrupted: it is stopping.
            Ok(false) => Step::Going,
            Err(Trouble::Away(problem)) => self.gone(problem, &note),
            Err(Trouble::Contradiction(problem)) => {
                self.contradicted = true;
                self.halt(IncidentKind::LogRollback, problem, &note)
            }
        }
    }

    /// Verifies the checkpoint, and takes in what it adds; false if that was interrupted.
    fn follow(
        &mut self,
        reader: &LogReader,
        note: &[u8],
        ring: &KeyRing,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool, Trouble> {
        let keys = LogKeys::of(ring, &self.environment).map_err(LogError::from)?;
        let head = keys.verify(note).map_err(LogError::from)?;
        self.found = true;
        if let Some(seen) = &self.seen {
            reader.consistent(&head, seen)?;
        }
        if self.seen != Some(*head.head()) {
            let saved = self.seen_file.save(&self.log.origin, head.head(), head.note());
            saved.map_err(|e| {
                Trouble::Away(format!("{} cannot be written: {e}", self.seen_file.path().display()))
            })?;
            self.seen = Some(*head.head());
        }
        self.take(reader, &head, interrupted)
    }

    /// Takes in the entries that do not count yet, each compared with its leaf.
    fn take(
        &mut self,
        reader: &LogReader,
        head: &SignedHead,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool, Trouble> {
        let mut entries = reader.iterate(head, self.taken, head.head().size);
        while self.taken < head.head().size {
            if interrupted() {
                return Ok(false);
            }
            let (mut parsed, mut read) = (Vec::with_capacity(ENTRIES_AT_ONCE), 0);
            for entry in entries.by_ref().take(ENTRIES_AT_ONCE) {
                let (index, bytes) = entry?;
                let not_understood =
                    |e| Trouble::Contradiction(format!("entry {index} is not understood: {e}"));
                parsed.extend(LogEntry::read(&bytes).map_err(not_understood)?);
                read += 1;
            }
            self.skipped(read - parsed.len() as u64);
            let mut revocations = self.log.revocations.write().unwrap_or_else(PoisonError::into_inner);
            for entry in &parsed {
                revocations.add(entry);
            }
            self.taken += read;
        }
        self.caught_up = true;
        Ok(true)
    }

    /// Counts entries of a newer version.
    fn skipped(&mut self, entries: u64) {
        if entries == 0 {
            return;
        }
        if self.unknown == 0 {
            tracing::warn!(
                log.origin = self.origin(),
                "the transparency log has events that this version does not know; they are skipped: bring this edge up to date"
            );
        }
        self.unknown += entries;
        metrics::counter!("touchstone_log_unknown_entries").increment(entries);
    }

    /// All that there is of the log counts.
    fn going(&mut self) -> Step {
        self.contradicted = false;
        if self.away.take().is_some() {
            tracing::info!(log.dir = %self.log.dir.display(), "the transparency log is followed again");
        }
        self.stand(None);
        Step::Going
    }

    /// Whether there are entries that were seen, also before the start, and do not count yet.
    fn is_behind(&self) -> bool {
        !self.caught_up && (self.found || self.seen.is_some_and(|seen| seen.size > 0))
    }

    /// There is nothing of the log. That explains no contradiction away.
    fn absent(&mut self, problem: String) -> Step {
        if self.contradicted { Step::Going } else { self.gone(problem, &[]) }
    }

    /// The log is out of reach. What is known counts on, but only once all that was seen is: what it ended may be in the rest.
    fn gone(&mut self, problem: String, note: &[u8]) -> Step {
        self.contradicted = false;
        if self.is_behind() {
            let problem = match self.seen {
                Some(TreeHead { size, .. }) => format!(
                    "{problem}. {size} entries of it were seen before, and nothing is served until they can be read again"
                ),
                None => problem,
            };
            return self.halt(IncidentKind::LogFrozen, problem, note);
        }
        if self.away.is_none() {
            tracing::warn!(problem, "the transparency log cannot be read; what is known of it counts on");
        }
        self.away = Some(problem);
        self.looked_at = None;
        self.stand(None);
        Step::Going
    }

    fn halt(&mut self, kind: IncidentKind, problem: String, note: &[u8]) -> Step {
        self.looked_at = None;
        let known = self.standing.borrow().halted.as_deref() == Some(&*problem);
        self.stand(Some(&problem));
        if known {
            return Step::Going;
        }
        let note = String::from_utf8_lossy(note).into_owned();
        Step::Halted(Halt { kind, problem, seen: self.seen, note })
    }

    fn stand(&self, halted: Option<&str>) {
        let size = self.seen.map_or(0, |seen| seen.size);
        let standing = Standing { size, halted: halted.map(Arc::from) };
        self.standing.send_if_modified(|before| {
            let modified = *before != standing;
            *before = standing;
            modified
        });
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        let problem = Chain(&error).to_string();
        match error {
            LogError::Fork { .. } | LogError::Rollback { .. } => Self::Contradiction(format!(
                "{problem}. If the log was begun anew on purpose, remove the head that this edge has seen, and start it again"
            )),
            LogError::Checkpoint(
                CheckpointError::Note(_) | CheckpointError::Unsigned | CheckpointError::Head(_),
            )
            | LogError::Key(_)
            | LogError::Entry { .. }
            | LogError::Tile(TileError::Root { .. } | TileError::Mismatch(_)) => Self::Contradiction(problem),
            // A checkpoint of a key that was revoked since counts for nothing, neither for nor against.
            LogError::Checkpoint(CheckpointError::Revoked(_)) => Self::Away(format!(
                "{problem}: rotate the log key (`touchstone keys rotate log`), and let promote seal once"
            )),
            LogError::Io { .. }
            | LogError::Missing(_)
            | LogError::File(_)
            | LogError::Tile(_)
            | LogError::Sequence { .. }
            | LogError::Signed
            | LogError::Published(_) => Self::Away(problem),
        }
    }
}
