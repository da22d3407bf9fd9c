//! What is asked before a key is revoked that much rests on: whoever wants a mirror to stop would have its operators revoke keys.

use anyhow::{Context as _, Result, bail};
use touchstone_custody::KeyKind;
use touchstone_runtime::Config;

use super::{find, refuse_revoked};
use crate::{commands, custody};

/// As many served artifacts may be taken out of service without another word.
const SERVED_MAX: u64 = 100;
/// Counted is up to this number.
const COUNTED_MAX: i64 = 1_000_000;

/// Refuses what is revoked already, what would take many artifacts out of service, or nobody knows how many; and what the log rests on.
pub(crate) async fn confirm(config: &Config, id: &str) -> Result<()> {
    let ring = custody::ring(&config.keyring())?;
    let entry = &ring.entries()[find(ring.entries(), id)?];
    refuse_revoked(entry)?;
    if entry.kind == KeyKind::Log {
        bail!(
            "nothing is revoked: it is a key of the transparency log, and no checkpoint counts that it signed; until promote seals with \
             another one, promotion stops within two minutes, and an edge that is started serves nothing; with --yes it is revoked \
             all the same"
        );
    }
    let key = entry.public.id();
    let counted = async { anyhow::Ok(commands::store(config).await?.served_by_key(key, COUNTED_MAX).await?) };
    let served = counted.await.context(
        "nothing is revoked: it cannot be told how many served artifacts rest on the key; with --yes it is revoked all the same",
    )?;
    if served > SERVED_MAX {
        bail!(
            "nothing is revoked: {served} served artifacts rest on the key, and are out of service until they were checked again; \
             with --yes it is revoked all the same"
        );
    }
    commands::say(&format!("{served} served artifact(s) rest on the key\n"));
    Ok(())
}
