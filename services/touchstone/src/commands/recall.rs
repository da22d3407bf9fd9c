//! `touchstone recall`.

use std::time::Duration;

use anyhow::{Result, bail};
use touchstone_console::{Recalled, recall};
use touchstone_domain::Sha256;
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;
use touchstone_store::RecallTarget;

/// Revokes what the target names; edges look at each request, so it holds at once. Then says whether the transparency log has it.
pub(crate) async fn run(
    config: &Config,
    target: &str,
    reason: &str,
    patience: Option<Duration>,
) -> Result<()> {
    if reason.trim().is_empty() {
        bail!("--reason is empty; the people who are refused will read it");
    }
    let hex = target.strip_prefix("sha256:").unwrap_or(target).to_ascii_lowercase();
    let recalled = match hex.parse::<Sha256>() {
        Ok(sha256) => RecallTarget::Digest(sha256),
        Err(_) => RecallTarget::Purl(normal(target.parse()?)?),
    };
    let store = super::store(config).await?;
    let Recalled { held, sealed } = recall(&store, &recalled, reason, &super::operator(), patience).await?;
    let served = held.iter().filter(|held| held.was_served).count();
    super::say(&format!(
        "recalled {target}: {} artifact(s) are revoked now, {served} of them had been served; artifacts that come later are held\n{sealed}\n",
        held.len()
    ));
    Ok(())
}
