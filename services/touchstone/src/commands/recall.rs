//! `touchstone recall`.

use std::time::Duration;

use anyhow::{Result, bail};
use touchstone_console::{Recalled, recall};
use touchstone_domain::Sha256;
use touchstone_ecosystems::normal;
use touchstone_runtime::{Chain, Config};
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
    let done = recall(&store, &recalled, reason, &super::operator(), patience).await?;
    super::say(&told(target, &done));
    Ok(())
}

/// What was done, in words. Less than all that is held is called so.
fn told(target: &str, Recalled { held, untold, sealed }: &Recalled) -> String {
    let (revoked, served) = (held.len(), held.iter().filter(|held| held.was_served).count());
    let numbers = match untold {
        None => format!("{revoked} artifact(s) are revoked now, {served} of them had been served"),
        Some(error) => format!(
            "at least {revoked} artifact(s) are revoked now, at least {served} of them had been served; what else is held cannot be told \
             now ({}), `touchstone why PURL` shows it",
            Chain(error)
        ),
    };
    format!("recalled {target}: {numbers}; artifacts that come later are held\n{sealed}\n")
}

#[cfg(test)]
mod tests {
    use touchstone_console::Sealed;
    use touchstone_domain::ArtifactDbId;
    use touchstone_store::{Held, StoreError};

    use super::*;

    #[test]
    fn numbers_that_may_be_larger_are_called_so() {
        let told = |untold| {
            let held = [true, false].map(|was_served| Held { artifact: ArtifactDbId(7), was_served });
            told("pkg:npm/bad", &Recalled { held: held.into(), untold, sealed: Sealed::Entry(3) })
        };
        let after =
            "artifacts that come later are held\nit is entry 3 of the transparency log, which edges follow\n";
        let whole = "recalled pkg:npm/bad: 2 artifact(s) are revoked now, 1 of them had been served; ";
        assert_eq!(told(None), format!("{whole}{after}"));
        let part = "recalled pkg:npm/bad: at least 2 artifact(s) are revoked now, at least 1 of them had been served; what else is held \
             cannot be told now (the schema is not there, or is of an older version; run `touchstone migrate`), `touchstone why PURL` \
             shows it; ";
        assert_eq!(told(Some(StoreError::SchemaMissing)), format!("{part}{after}"));
    }
}
