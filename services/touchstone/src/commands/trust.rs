//! `touchstone trust`: whose signatures count, new documents from a mirror or a directory, and the Go checksum databases.

mod databases;

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use touchstone_attest::trust::{
    ConcernLevel, Origin, Renewed, Standing, TrustOptions, TrustReport, TufReport, TufRole, import, refresh,
    report,
};
use touchstone_attestation::AuthorityKind;
use touchstone_runtime::{Clock as _, Config, SystemClock};

pub(crate) use databases::resume;

/// The document of a TUF repository that changes most often, and is the first to be asked for.
pub(super) const TIMESTAMP: &str = "timestamp.json";

/// Prints everything about trust; exit code 1 when nothing can be verified, or nothing of Go.
pub(crate) async fn show(config: &Config, json: bool) -> Result<ExitCode> {
    let options = TrustOptions::load(config)?;
    let store = super::store(config).await?;
    let told = report(&options, &store, SystemClock.now()).await?;
    let databases = databases::read(config, &store).await?;
    if json {
        let mut document = serde_json::to_value(&told)?;
        document["checksum_databases"] = serde_json::to_value(&databases)?;
        super::say(&format!("{document:#}\n"));
    } else {
        super::say(&page(&told));
        super::say(&databases::page(&databases));
    }
    let is_usable = told.unavailable.is_none() && !databases.iter().any(databases::Database::stops_go);
    Ok(if is_usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes an offline copy of the TUF repository.
pub(crate) async fn take(config: &Config, directory: &Path) -> Result<()> {
    refuse_no_copy(directory)?;
    let options = TrustOptions::load(config)?;
    let store = super::store(config).await?;
    let renewed = import(&options, &store, directory, SystemClock.now()).await;
    let renewed = renewed.with_context(|| format!("{} is not imported", directory.display()))?;
    super::say(&changes(&renewed));
    Ok(())
}

/// What is no copy at all is told apart from one that does not verify.
fn refuse_no_copy(directory: &Path) -> Result<()> {
    let shown = directory.display();
    ensure!(directory.exists(), "nothing is imported: there is no directory {shown}");
    ensure!(directory.is_dir(), "nothing is imported: {shown} is no directory");
    ensure!(
        ["metadata", ""].iter().any(|place| directory.join(place).join(TIMESTAMP).symlink_metadata().is_ok()),
        "nothing is imported: {shown} has neither metadata/{TIMESTAMP} nor {TIMESTAMP}, so it is no copy of a TUF repository"
    );
    Ok(())
}

/// Asks the configured mirror.
pub(crate) async fn renew(config: &Config) -> Result<()> {
    let options = TrustOptions::load(config)?;
    let store = super::store(config).await?;
    let renewed = refresh(&options, &store, SystemClock.now()).await.context("trust is not refreshed")?;
    super::say(&changes(&renewed));
    Ok(())
}

/// What a refresh or an import changed.
fn changes(renewed: &Renewed) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _infallible = writeln!(out, "{text}");
    };
    if let Some(why) = &renewed.stored_refused {
        line(format!("what was stored before is refused, and replaced: {why}"));
    }
    let mut changed = false;
    for role in &renewed.after {
        let before = renewed.before.iter().find(|before| before.name == role.name);
        let TufRole { name, version, expires } = role;
        match before {
            Some(before) if before == role => continue,
            Some(before) => line(format!("{name}: {} -> {version}, expires {expires}", before.version)),
            None => line(format!("{name}: {version}, expires {expires}")),
        }
        changed = true;
    }
    let (root, keys) = (renewed.sigstore_root, renewed.npm_keys);
    for (what, before, now) in [("sigstore root", root.0, Some(root.1)), ("npm keys", keys.0, keys.1)] {
        match now {
            Some(now) if before == Some(now) => {}
            Some(now) => line(format!("{what}: sha256:{now}")),
            None => line(format!("{what}: the repository has none; the file's or the embedded ones count")),
        }
    }
    if !changed {
        line("nothing new: this is what was stored already".to_owned());
    }
    line(words(&renewed.standing));
    out
}

/// How TUF documents stand.
pub(super) fn words(standing: &Standing) -> String {
    match standing {
        Standing::Lasting => "nothing expires by itself".to_owned(),
        Standing::Current { first } => format!("current until {} ({})", first.expires, first.name),
        Standing::Expiring { first } => format!("expires soon, at {} ({})", first.expires, first.name),
        Standing::Grace { first, until } => {
            format!("EXPIRED at {} ({}); counts until {until}", first.expires, first.name)
        }
        Standing::Expired { first } => {
            format!("EXPIRED at {} ({}); counts no longer", first.expires, first.name)
        }
    }
}

/// Everything on one page.
fn page(told: &TrustReport) -> String {
    let mut out = String::from("Whose signatures count\n");
    let mut line = |text: String| {
        let _infallible = writeln!(out, "  {text}");
    };
    for source in &told.sources {
        let origin = match source.origin {
            Origin::File => "the configured file; does not expire by itself",
            Origin::Tuf => "the TUF repository",
            Origin::Embedded if told.tuf.url.is_none() => {
                "this program; does not expire by itself, and is as old as the release: configure `trust.tuf_url`, or import"
            }
            Origin::Embedded => "this program; does not expire by itself, and is as old as the release",
        };
        line(format!("{:<16}sha256:{}  from {origin}", source.document, source.sha256));
    }
    if let Some(why) = &told.unavailable {
        line(format!("NOTHING CAN BE VERIFIED: {why}"));
    }
    for concern in &told.concerns {
        let word = match concern.level {
            ConcernLevel::Warning => "warning",
            ConcernLevel::Alarm => "ALARM",
        };
        line(format!("{word}: {}", concern.text));
    }
    out += &repository(&told.tuf);
    out.push_str("Authorities\n");
    for authority in &told.authorities {
        let kind = match authority.kind {
            AuthorityKind::CertificateAuthority => "certificates",
            AuthorityKind::CertificateLog => "certificate log",
            AuthorityKind::SignatureLog => "signature log",
            AuthorityKind::TimestampAuthority => "timestamps",
        };
        let window = window(Some(authority.start), authority.end);
        let _infallible = writeln!(out, "  {kind:<16}{window}  {}  {}", authority.id, authority.uri);
    }
    out.push_str("npm keys\n");
    for key in &told.keys {
        let usage = serde_json::to_value(key.usage).unwrap_or_default();
        let usage = usage.as_str().unwrap_or_default();
        let _infallible = writeln!(out, "  {usage:<18}{}  {}", window(key.start, key.end), key.id);
    }
    out.push_str("History (what ever counted, the latest first)\n");
    for entry in &told.history {
        let (at, kind, sha256, origin) = (entry.at, entry.kind, entry.sha256, &entry.origin);
        let _infallible = writeln!(out, "  {at:.0}  {kind:<14}sha256:{sha256}  {origin}");
    }
    out
}

fn repository(tuf: &TufReport) -> String {
    let mut out = String::from("TUF repository\n");
    let mut line = |label: &str, text: &str| {
        let _infallible = writeln!(out, "  {label:<16}{text}");
    };
    line("mirror", tuf.url.as_deref().unwrap_or("none; `touchstone trust import` brings news"));
    line("pinned root", &format!("sha256:{} ({})", tuf.pinned_root, tuf.pin.as_str()));
    line("npm keys target", tuf.keys_target.as_deref().unwrap_or("none: no npm upstream is configured"));
    for role in &tuf.roles {
        line(&role.name, &format!("version {}, expires {}", role.version, role.expires));
    }
    match (&tuf.refused, &tuf.standing) {
        (Some(why), _) => line("stored", &format!("REFUSED: {why}")),
        (None, Some(standing)) => line("stored", &words(standing)),
        (None, None) => line("stored", "nothing yet"),
    }
    if let Some(at) = tuf.stored_at {
        line("stored at", &format!("{at:.0}"));
    }
    out
}

/// From when until when, both inclusive.
fn window(start: Option<Timestamp>, end: Option<Timestamp>) -> String {
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    let (start, end) = (start.map(day).unwrap_or_default(), end.map(day).unwrap_or_default());
    format!("{start:<10} .. {end:<10}")
}
