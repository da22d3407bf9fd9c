//! `touchstone incidents`: what should be looked at, and that it was.

use anyhow::{Context as _, Result, bail};
use touchstone_runtime::Config;
use touchstone_store::Incident;

/// How many of each kind are listed.
const LISTED_MAX: i64 = 100;

/// Prints the latest open incidents, then the latest open dead letters.
pub(crate) async fn list(config: &Config) -> Result<()> {
    let store = super::store(config).await?;
    let (incidents, letters) = (store.incidents(LISTED_MAX).await?, store.dead_letters(LISTED_MAX).await?);
    for incident in &incidents {
        let Incident { id, kind, detail, count, last_at, .. } = incident;
        let about = about(incident);
        super::say(&format!("{id}  {kind}  {about}{detail} ({count} times, last {last_at})\n"));
    }
    for letter in &letters {
        let about =
            letter.letter.artifact.map_or_else(String::new, |artifact| format!("artifact {artifact}: "));
        super::say(&format!(
            "L{}  dead letter  {about}{} ({})\n",
            letter.id, letter.letter.detail, letter.at
        ));
    }
    if incidents.is_empty() && letters.is_empty() {
        super::say("nothing is open\n");
    }
    Ok(())
}

/// The package that an incident is about; nothing for one about the whole installation.
fn about(incident: &Incident) -> String {
    let Incident { ecosystem, package, version, .. } = incident;
    let version = version.as_ref().map_or_else(String::new, |version| format!("@{version}"));
    if incident.is_of_installation() { String::new() } else { format!("{ecosystem} {package}{version}  ") }
}

/// Settles one, or all.
pub(crate) async fn resolve(config: &Config, which: &str) -> Result<()> {
    let number = |text: &str| {
        text.parse::<i64>()
            .with_context(|| format!("{which:?} is neither a number, L and a number, nor `all`"))
    };
    let (incident, letter) = match which.strip_prefix('L') {
        _ if which == "all" => (Some(None), Some(None)),
        Some(text) => (None, Some(Some(number(text)?))),
        None => (Some(Some(number(which)?)), None),
    };
    let store = super::store(config).await?;
    let mut settled = 0;
    if let Some(id) = incident {
        settled += store.resolve_incidents(id).await?;
    }
    if let Some(id) = letter {
        settled += store.resolve_dead_letters(id).await?;
    }
    if settled == 0 && which != "all" {
        bail!("{which} is not open; `touchstone incidents` lists what is");
    }
    super::say(&format!("{settled} settled\n"));
    Ok(())
}
