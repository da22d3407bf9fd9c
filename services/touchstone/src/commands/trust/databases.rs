//! The Go checksum databases: how they stand, and going on with one that was stopped.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;
use touchstone_runtime::Config;
use touchstone_store::{Store, SumdbHead, SumdbState, SumdbStop, SumdbStopKind};

use crate::{
    commands::{operator, say, store},
    wiring,
};

/// One database, as it is shown.
#[derive(Serialize)]
pub(super) struct Database {
    /// The name in its key, and the key's hash.
    id: String,
    /// Its verifier key and its address, if it is the configured one.
    configured: Option<Configured>,
    head: Option<Head>,
    latest_size: Option<u64>,
    polled_at: Option<Timestamp>,
    grown_at: Option<Timestamp>,
    behind_since: Option<Timestamp>,
    stop: Option<Stop>,
}

#[derive(Serialize)]
struct Configured {
    key: String,
    url: String,
}

#[derive(Serialize)]
struct Head {
    size: u64,
    /// As the note writes it.
    root: String,
    note: String,
}

#[derive(Serialize)]
struct Stop {
    kind: &'static str,
    detail: String,
    at: Timestamp,
    ours: Head,
    theirs: Head,
}

impl Database {
    fn new(id: String, configured: Option<Configured>, state: SumdbState) -> Self {
        let SumdbState { head, stop, poll, lineage: _ } = state;
        Self {
            id,
            configured,
            head: head.map(Head::from),
            latest_size: poll.map(|poll| poll.latest_size),
            polled_at: poll.map(|poll| poll.polled_at),
            grown_at: poll.map(|poll| poll.grown_at),
            behind_since: poll.and_then(|poll| poll.behind_since),
            stop: stop.map(Stop::from),
        }
    }

    /// Whether it is the configured one, and stopped: then nothing of Go can be verified.
    pub(super) const fn stops_go(&self) -> bool {
        self.configured.is_some() && self.stop.is_some()
    }
}

impl From<SumdbHead> for Head {
    fn from(head: SumdbHead) -> Self {
        let SumdbHead { size, root, note } = head;
        Self { size, root: root.to_base64(), note: String::from_utf8_lossy(&note).into_owned() }
    }
}

impl From<SumdbStop> for Stop {
    fn from(stop: SumdbStop) -> Self {
        let SumdbStop { kind, ours, theirs, detail, at } = stop;
        Self { kind: kind.as_str(), detail, at, ours: ours.into(), theirs: theirs.into() }
    }
}

/// The configured database first, then every other that was ever asked.
pub(super) async fn read(config: &Config, store: &Store) -> Result<Vec<Database>> {
    let mut known = store.sumdb_status().await?;
    let mut databases = vec![];
    if let Some((key, url)) = wiring::checksum_database(config)? {
        let id = key.id();
        let at = known.iter().position(|(known, _)| *known == id);
        let state = at.map(|at| known.remove(at).1).unwrap_or_default();
        let configured = Configured { key: key.text().to_owned(), url: url.into() };
        databases.push(Database::new(id, Some(configured), state));
    }
    databases.extend(known.into_iter().map(|(id, state)| Database::new(id, None, state)));
    Ok(databases)
}

/// The databases on the page about trust; nothing where there is none.
pub(super) fn page(databases: &[Database]) -> String {
    let mut out = if databases.is_empty() { String::new() } else { "Go checksum databases\n".to_owned() };
    for database in databases {
        let _infallible = writeln!(out, "  {}", plain(&database.id));
        let mut line = |label: &str, text: &str| {
            let _infallible = writeln!(out, "    {label:<14}{}", plain(text));
        };
        match &database.configured {
            Some(Configured { key, url }) => {
                line("key", key);
                line("at", url);
            }
            None => line("key", "not configured; nothing is asked of it"),
        }
        match &database.head {
            Some(head) => line("head", &format!("{} records, root {}", head.size, head.root)),
            None => line("head", "none yet"),
        }
        if let (Some(at), Some(size)) = (database.polled_at, database.latest_size) {
            line("last poll", &format!("{at:.0}, {size} records"));
        }
        if let Some(since) = database.behind_since {
            line("behind", &format!("since {since:.0}: its latest head is smaller than ours"));
        }
        let Some(Stop { kind, detail, at, ours, theirs }) = &database.stop else { continue };
        line("STOPPED", &format!("{kind}, since {at:.0}: {detail}"));
        for (whose, head) in [("ours", ours), ("theirs", theirs)] {
            line(whose, &format!("{} records, signed:", head.size));
            head.note.lines().for_each(|text| line("", text));
        }
    }
    out
}

/// Text from outside moves no cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Goes on with a database that is stopped.
pub(crate) async fn resume(
    config: &Config,
    named: Option<&str>,
    reason: &str,
    discard_head: bool,
) -> Result<()> {
    if reason.trim().is_empty() {
        bail!("--reason is empty; whoever looks at the record of this stop will read it");
    }
    let store = store(config).await?;
    let stops = store.sumdb_stops().await?;
    let mut stopped: Vec<&str> = stops.iter().map(|(database, _)| database.as_str()).collect();
    stopped.sort_unstable();
    stopped.dedup();
    let database = match (named, stopped.as_slice()) {
        (Some(named), stopped) if stopped.contains(&named) => named,
        (None, [only]) => *only,
        (_, []) => bail!("no checksum database is stopped"),
        (Some(named), stopped) => bail!("{named} is not stopped; stopped are: {}", stopped.join(", ")),
        (None, stopped) => bail!("say which with --database; stopped are: {}", stopped.join(", ")),
    };
    let signed = format!("{} ({})", reason.trim(), operator());
    if !store.resume_sumdb(database, &SumdbStopKind::ALL, &signed, discard_head).await? {
        bail!("{database} is not stopped any more");
    }
    let ended = stops.iter().filter(|(stopped, _)| stopped == database).map(|(_, stop)| stop.kind.as_str());
    let forgot = if discard_head { "; its head and tiles are forgotten" } else { "" };
    say(&format!(
        "{database} goes on ({} ended{forgot}); a fork that is still there stops it again at the next poll, a rollback or freeze after `sumdb.behind_max` or `sumdb.frozen_after`\n",
        ended.collect::<Vec<_>>().join(", ")
    ));
    Ok(())
}
