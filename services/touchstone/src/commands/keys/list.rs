//! `touchstone keys list`: every key, whether it counts, and which of them are here.

use std::fmt::Write as _;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use touchstone_custody::{KeyEntry, KeyKind, KeyRing, Signer as _};
use touchstone_domain::KeyId;
use touchstone_runtime::{Clock as _, Config, SystemClock};

use crate::custody;

/// Prints the ring.
pub(crate) fn list(config: &Config, json: bool) -> Result<()> {
    let ring = custody::ring(&config.keyring())?;
    let here: Vec<KeyId> = KeyKind::ALL
        .into_iter()
        .filter_map(|kind| custody::signer(config, kind, None).ok().map(|signer| signer.key_id()))
        .collect();
    let now = SystemClock.now();
    if json {
        let keys: Vec<_> = ring.entries().iter().map(|key| key_json(key, &here, now)).collect();
        super::super::say(&format!(
            "{:#}\n",
            json!({ "ring": config.keyring(), "sha256": ring.digest(), "keys": keys })
        ));
    } else {
        super::super::say(&page(&ring, &here, now));
        super::super::say(&format!("ring     {}\n", config.keyring().display()));
    }
    Ok(())
}

/// What a key is good for at a time.
fn state(key: &KeyEntry, now: Timestamp) -> &'static str {
    if key.revoked.is_some() {
        "revoked"
    } else if now < key.not_before {
        "not yet"
    } else if key.not_after.is_some_and(|end| now > end) {
        "ended"
    } else {
        "counts"
    }
}

fn key_json(key: &KeyEntry, here: &[KeyId], now: Timestamp) -> serde_json::Value {
    let id = key.public.id();
    json!({
        "id": id, "kind": key.kind, "state": state(key, now), "not_before": key.not_before, "not_after": key.not_after,
        "revoked": key.revoked, "public": key.public.to_pem(), "in_use_here": here.contains(&id),
    })
}

/// The keys in lines, by kind, the youngest first.
pub(super) fn page(ring: &KeyRing, here: &[KeyId], now: Timestamp) -> String {
    let mut keys: Vec<&KeyEntry> = ring.entries().iter().collect();
    keys.sort_by_key(|key| (key.kind, std::cmp::Reverse(key.not_before)));
    let mut out = String::new();
    for key in keys {
        let id = key.public.id();
        let mark = if here.contains(&id) { "  in use here" } else { "" };
        let until = key.not_after.map_or_else(String::new, |end| format!(" until {end:.0}"));
        let (kind, state, since) = (key.kind.as_str(), state(key, now), key.not_before);
        let _infallible = writeln!(out, "{kind:<8} {state:<8} {id}  since {since:.0}{until}{mark}");
        if let Some(revoked) = &key.revoked {
            let reason: String =
                revoked.reason.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            let _infallible = writeln!(out, "{:<17} {:.0}: {reason}", "", revoked.at);
        }
    }
    out
}
