//! `touchstone recheck`.

use std::process::ExitCode;

use anyhow::Result;
use touchstone_domain::{ArtifactState, Purl};
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;
use touchstone_store::Story;

use crate::wiring;

/// How many artifacts are looked at to say why there is nothing to do.
const STORIES_MAX: i64 = 256;

/// Begins a new epoch for what the purl names; promote asks the checks at its next sweep. Exit code 1 when nothing is known.
pub(crate) async fn run(config: &Config, purl: &str, all: bool) -> Result<ExitCode> {
    let purl = normal(purl.parse()?)?;
    let policy = wiring::policy(config.policy.file.as_deref())?;
    let store = super::store(config).await?;
    let changes = store.recheck(&purl, &policy, all).await?;
    if changes.is_empty() {
        let stories = store.stories(&purl, STORIES_MAX).await?;
        if stories.is_empty() {
            eprintln!("{purl} is not on record: nobody has asked this mirror for it, or its fetch failed");
            return Ok(ExitCode::FAILURE);
        }
        super::say(&nothing(&purl, &stories, all));
        return Ok(ExitCode::SUCCESS);
    }
    let (number, digest) = (changes.len(), policy.digest());
    let served = changes.iter().filter(|change| change.was == ArtifactState::Servable).count();
    super::say(&format!(
        "rechecking {number} artifact(s) of {purl}, {served} of them were served\n\
         they are checked by policy sha256:{digest}; promote passes them only if it was started with the same: `touchstone why` shows \
         the outcome\n"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Why there is nothing to recheck of what is on record.
fn nothing(purl: &Purl, stories: &[Story], all: bool) -> String {
    let recalled = stories.iter().filter(|story| story.state() == ArtifactState::Revoked).count();
    if recalled == stories.len() {
        return format!("nothing to recheck: {purl} was recalled, for ever; nothing brings it back\n");
    }
    let left = if recalled == 0 { String::new() } else { format!("; {recalled} were recalled, for ever") };
    let more = if all { "" } else { "; --all also rechecks what is served or pending" };
    format!("nothing to recheck: no artifact of {purl} is held or rejected{left}{more}\n")
}
