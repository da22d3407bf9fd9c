//! `touchstone recheck`.

use anyhow::Result;
use touchstone_domain::ArtifactState;
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;

use crate::wiring;

/// Begins a new epoch for what the purl names; promote asks the checks at its next sweep.
pub(crate) async fn run(config: &Config, purl: &str, all: bool) -> Result<()> {
    let purl = normal(purl.parse()?)?;
    let policy = wiring::policy(config.policy.file.as_deref())?;
    let store = super::store(config).await?;
    let changes = store.recheck(&purl, &policy, all).await?;
    let served = changes.iter().filter(|change| change.was == ArtifactState::Servable).count();
    super::say(&match changes.len() {
        0 => format!("nothing to recheck: no artifact of {purl} is held or rejected\n"),
        number => format!(
            "rechecking {number} artifact(s) of {purl}, {served} of them were served; the hash workers judge by the policy \
             that they were started with\n"
        ),
    });
    Ok(())
}
