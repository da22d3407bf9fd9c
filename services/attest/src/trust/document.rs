//! What every TUF document must satisfy before the TUF client sees it.
//!
//! *Invariant:* one reading only: strict JSON within bounds, and within a role no two key ids for one key. The client counts
//! key ids towards a threshold, so a key with two of them would count twice.
//!
//! *Invariant:* a name is a path of plain segments, so it means the same in a URL, a directory and the database.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sigstore_tuf::{Error, Key};
use touchstone_attestation::{JsonLimits, strict_json};

/// Bounds of a metadata document. The largest, a targets role of thousands, stays well below.
const LIMITS: JsonLimits = JsonLimits { bytes: METADATA_BYTES_MAX, depth: 32, values: 65_536 };
/// Bytes of a metadata document.
pub(crate) const METADATA_BYTES_MAX: usize = 2 << 20;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 200;

/// Refuses a metadata document that could be read in two ways, or that lists one key twice for a role.
pub(crate) fn inspect(name: &str, bytes: &[u8]) -> Result<(), Error> {
    let refused = |why: String| Error::Malformed(format!("{name}: {why}"));
    strict_json(bytes, LIMITS).map_err(|e| refused(e.to_string()))?;
    let document: Value = serde_json::from_slice(bytes)?;
    let signed = &document["signed"];
    if let Some(roles) = signed["roles"].as_object() {
        for (role, listed) in roles {
            distinct(role, &listed["keyids"], &signed["keys"]).map_err(refused)?;
        }
    }
    let delegations = &signed["delegations"];
    let mut names = BTreeSet::new();
    for role in delegations["roles"].as_array().into_iter().flatten() {
        let name = role["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            return Err(refused(format!("it delegates to {name:?} twice")));
        }
        distinct(name, &role["keyids"], &delegations["keys"]).map_err(refused)?;
    }
    Ok(())
}

/// Whether every key id that a role lists is another key. Keys that cannot be used cannot sign either.
fn distinct(role: &str, keyids: &Value, keys: &Value) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for id in keyids.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let key = keys.get(id).and_then(|key| serde_json::from_value::<Key>(key.clone()).ok());
        let Some(key) = key.and_then(|key| key.verification_key().ok()) else { continue };
        if let Some(other) = seen.insert(key.as_bytes().to_vec(), id) {
            let why = if other == id {
                format!("lists key {id} twice")
            } else {
                format!("lists one key under two ids, {other} and {id}")
            };
            return Err(format!("role {role} {why}"));
        }
    }
    Ok(())
}

/// Refuses a name that is not a path of plain segments: letters, digits, `.`, `_` and `-`, and no dot first.
pub(crate) fn plain_name(name: &str) -> Result<(), Error> {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if name.len() <= NAME_BYTES_MAX && name.split('/').all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    Err(Error::Malformed(format!("the name {shown:?} is not a plain path")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(document: &Value) -> Result<(), String> {
        inspect("1.root.json", document.to_string().as_bytes()).map_err(|e| e.to_string())
    }

    fn root(keyids: &[&str]) -> Value {
        let key = |public: &str| json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } });
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        json!({ "signed": {
            "keys": { "a": key(&one), "b": key(&two), "c": key(&one.to_uppercase()), "d": { "keytype": "odd" } },
            "roles": { "root": { "keyids": keyids, "threshold": 1 } },
        } })
    }

    #[test]
    fn a_key_counts_once_in_a_role() {
        assert_eq!(refused(&root(&["a", "b", "d", "unknown"])), Ok(()));
        let one_key = "malformed metadata: 1.root.json: role root lists one key under two ids, a and c";
        assert_eq!(refused(&root(&["a", "c"])), Err(one_key.to_owned()));
        let twice = "malformed metadata: 1.root.json: role root lists key a twice";
        assert_eq!(refused(&root(&["a", "a"])), Err(twice.to_owned()));
    }

    #[test]
    fn a_delegation_is_held_to_the_same() {
        let delegating = |roles: Value| {
            let keys = root(&[])["signed"]["keys"].clone();
            json!({ "signed": { "delegations": { "keys": keys, "roles": roles } } })
        };
        let role = |name: &str, ids: &[&str]| json!({ "name": name, "keyids": ids });
        assert_eq!(refused(&delegating(json!([role("x", &["a", "b"]), role("y", &["a"])]))), Ok(()));
        let one_key = "malformed metadata: 1.root.json: role x lists one key under two ids, a and c";
        assert_eq!(refused(&delegating(json!([role("x", &["a", "c"])]))), Err(one_key.to_owned()));
        let twice = "malformed metadata: 1.root.json: it delegates to \"x\" twice";
        assert_eq!(
            refused(&delegating(json!([role("x", &["a"]), role("x", &["b"])]))),
            Err(twice.to_owned())
        );
    }

    #[test]
    fn json_with_two_readings_is_refused() {
        assert!(inspect("timestamp.json", br#"{"signed":{"version":1}}"#).is_ok());
        let twice = inspect("timestamp.json", br#"{"signed":{"version":1,"version":2}}"#).unwrap_err();
        assert!(twice.to_string().starts_with("malformed metadata: timestamp.json: "), "{twice}");
        assert!(twice.to_string().contains("\"version\" stands twice"), "{twice}");
    }

    #[test]
    fn names_are_plain() {
        for name in ["timestamp.json", "7.registry.example.json", "registry.example/ab12.keys.json"] {
            assert!(plain_name(name).is_ok(), "{name}");
        }
        for name in
            ["../x", "a/../../x", "/etc/passwd", "..%2fx", "a\\b", "", "a//b", ".x", "a/", "a?b", "C:x"]
        {
            let refused = format!("malformed metadata: the name {name:?} is not a plain path");
            assert_eq!(plain_name(name).unwrap_err().to_string(), refused);
        }
    }
}
