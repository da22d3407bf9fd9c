//! `touchstone recall`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use touchstone_console::{Recalled, recall};
use touchstone_domain::{Purl, Sha256};
use touchstone_ecosystems::normal;
use touchstone_runtime::{Chain, Config};
use touchstone_store::RecallTarget;

/// Which versions of a package may be recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// The one that is named.
    Named,
    /// All of them, also those to come.
    All,
}

/// Revokes what the target names; edges look at each request, so it holds at once. Then says whether the transparency log has it.
pub(crate) async fn run(
    config: &Config,
    target: &str,
    versions: Versions,
    reason: &str,
    patience: Option<Duration>,
) -> Result<()> {
    if reason.trim().is_empty() {
        bail!("--reason is empty; the people who are refused will read it");
    }
    let named = named(target, versions)?;
    let store = super::store(config).await?;
    let done = recall(&store, &named, reason, &super::operator(), patience).await?;
    super::say(&told(target, &done));
    if done.held.is_empty() && done.untold.is_none() {
        eprintln!(
            "warning: nothing on record matches {target}. The recall is in force for what comes, and cannot be taken back; if it is a typo, \
             recall what was meant"
        );
    }
    Ok(())
}

/// What is to be recalled. A recall is for ever: a version that was forgotten is not taken for all of them.
fn named(target: &str, versions: Versions) -> Result<RecallTarget> {
    let hex = target.strip_prefix("sha256:").unwrap_or(target).to_ascii_lowercase();
    let named = match hex.parse::<Sha256>() {
        Ok(sha256) => RecallTarget::Digest(sha256),
        Err(_) => RecallTarget::Purl(normal(purl(target)?)?),
    };
    let names_all = matches!(&named, RecallTarget::Purl(purl) if purl.version.is_none());
    match versions {
        Versions::Named if names_all => bail!(
            "{target} names no version, so that every version would be recalled, also those to come, for ever; add @VERSION to the \
             name, or give --all-versions if that is meant. Nothing was recalled"
        ),
        Versions::All if !names_all => bail!(
            "--all-versions is for a package URL without a version, and {target} names certain artifacts; leave one of them out. Nothing \
             was recalled"
        ),
        Versions::Named | Versions::All => Ok(named),
    }
}

fn purl(target: &str) -> Result<Purl> {
    let parsed = target.parse::<Purl>();
    if target.starts_with("pkg:") {
        return Ok(parsed?);
    }
    parsed.with_context(|| {
        format!("{target:?} is neither a SHA-256, of 64 hexadecimal digits, nor a package URL")
    })
}

/// What was done, in words. Less than all that is held is called so.
fn told(target: &str, Recalled { held, untold, before, sealed }: &Recalled) -> String {
    let (revoked, served) = (held.len(), held.iter().filter(|held| held.was_served).count());
    let what = match before {
        None => format!("recalled {target}"),
        Some(at) => format!("{target} was recalled already, at {at:.0}; it is on record once more"),
    };
    let numbers = match untold {
        None => format!("{revoked} artifact(s) are revoked now, {served} of them had been served"),
        Some(error) => format!(
            "at least {revoked} artifact(s) are revoked now, at least {served} of them had been served; what else is held cannot be told \
             now ({}), `touchstone why PURL` shows it",
            Chain(error)
        ),
    };
    format!("{what}: {numbers}; what comes later is revoked as well\n{sealed}\n")
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
            told(
                "pkg:npm/bad",
                &Recalled { held: held.into(), untold, before: None, sealed: Sealed::Entry(3) },
            )
        };
        let after = "what comes later is revoked as well\nit is entry 3 of the transparency log, which edges follow\n";
        let whole = "recalled pkg:npm/bad: 2 artifact(s) are revoked now, 1 of them had been served; ";
        assert_eq!(told(None), format!("{whole}{after}"));
        let part = "recalled pkg:npm/bad: at least 2 artifact(s) are revoked now, at least 1 of them had been served; what else is held \
             cannot be told now (the schema is not there, or is of an older version; run `touchstone migrate`), `touchstone why PURL` \
             shows it; ";
        assert_eq!(told(Some(StoreError::SchemaMissing)), format!("{part}{after}"));
    }

    #[test]
    fn what_was_recalled_already_is_called_so() {
        let before = Some("2026-11-22T12:00:00.5Z".parse().expect("a time"));
        let again = Recalled { held: vec![], untold: None, before, sealed: Sealed::Entry(3) };
        let expected = "pkg:npm/bad was recalled already, at 2026-11-22T12:00:00Z; it is on record once more: 0 artifact(s) are revoked now, \
             0 of them had been served; what comes later is revoked as well\nit is entry 3 of the transparency log, which edges follow\n";
        assert_eq!(told("pkg:npm/bad", &again), expected);
    }

    #[test]
    fn every_version_is_recalled_only_where_that_is_said() {
        let refused = |target, versions| format!("{:#}", named(target, versions).expect_err(target));
        for target in ["pkg:npm/bad", "pkg:pypi/bad?file_name=bad.whl"] {
            assert!(refused(target, Versions::Named).contains("give --all-versions if that is meant"));
            assert!(named(target, Versions::All).is_ok());
        }
        let digests = ["0a".repeat(32), format!("sha256:{}", "0A".repeat(32))];
        for target in ["pkg:npm/bad@1.0.0", &digests[0], &digests[1]] {
            assert!(
                refused(target, Versions::All).starts_with("--all-versions is for a package URL without")
            );
            assert!(named(target, Versions::Named).is_ok());
        }
        let neither = "\"deadbeef\" is neither a SHA-256, of 64 hexadecimal digits, nor a package URL: not a package URL such as ";
        assert!(refused("deadbeef", Versions::Named).starts_with(neither));
        assert!(!refused("pkg:nmp/bad@1.0.0", Versions::Named).contains("SHA-256"));
    }
}
