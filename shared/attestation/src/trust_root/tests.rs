//! Trust roots: the embedded one, and with something changed.

use serde_json::{Value, json};

use super::*;

fn changed(change: impl FnOnce(&mut Value)) -> Result<TrustRoot, TrustRootError> {
    let mut root: Value = serde_json::from_slice(TrustRoot::embedded().document()).expect("JSON");
    change(&mut root);
    TrustRoot::from_json(root.to_string().as_bytes())
}

fn repeat(array: &mut Value) {
    let first = array[0].clone();
    array.as_array_mut().expect("an array").push(first);
}

#[test]
fn the_embedded_root_names_its_authorities() {
    let root = TrustRoot::embedded();
    assert_eq!(root.digest(), Sha256::of(root.document()));
    let count = |kind| root.summary().authorities.iter().filter(|a| a.kind == kind).count();
    assert_eq!(count(AuthorityKind::CertificateAuthority), 2);
    assert_eq!(count(AuthorityKind::CertificateLog), 2);
    assert_eq!(count(AuthorityKind::SignatureLog), 2);
    assert_eq!(count(AuthorityKind::TimestampAuthority), 1);
    let log =
        root.summary().authorities.iter().find(|a| a.kind == AuthorityKind::SignatureLog).expect("a log");
    assert_eq!(log.id, "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=");
    assert!(changed(|_| {}).is_ok());
}

#[test]
fn every_authority_needs_a_window() {
    let without = |array: &'static str, inside: Option<&'static str>| {
        changed(|root| {
            let authority = &mut root[array][0];
            let holder = inside.map_or_else(|| authority.clone(), |name| authority[name].clone());
            let mut holder = holder;
            holder.as_object_mut().expect("an object").remove("validFor").expect("a window");
            match inside {
                Some(name) => authority[name] = holder,
                None => *authority = holder,
            }
        })
    };
    for (array, inside) in [
        ("tlogs", Some("publicKey")),
        ("ctlogs", Some("publicKey")),
        ("certificateAuthorities", None),
        ("timestampAuthorities", None),
    ] {
        let refused = without(array, inside);
        assert!(matches!(refused, Err(TrustRootError::NoWindow(_))), "{array}: {refused:?}");
    }
    let reversed =
        changed(|root| root["tlogs"][0]["publicKey"]["validFor"]["end"] = "1999-01-01T00:00:00Z".into());
    assert!(matches!(reversed, Err(TrustRootError::Unusable(_))), "{reversed:?}");
}

#[test]
fn one_bad_authority_spoils_the_root() {
    for array in ["tlogs", "ctlogs"] {
        let twice = changed(|root| repeat(&mut root[array]));
        assert!(matches!(twice, Err(TrustRootError::Unusable(_))), "{array}: {twice:?}");
        let malformed = changed(|root| root[array][0]["publicKey"]["rawBytes"] = "AAAA".into());
        assert!(matches!(malformed, Err(TrustRootError::Unusable(_))), "{array}: {malformed:?}");
    }
    for array in ["certificateAuthorities", "timestampAuthorities"] {
        let malformed =
            changed(|root| root[array][0]["certChain"]["certificates"][0]["rawBytes"] = "AAAA".into());
        assert!(matches!(malformed, Err(TrustRootError::Unusable(_))), "{array}: {malformed:?}");
        let empty = changed(|root| root[array][0]["certChain"]["certificates"] = json!([]));
        assert!(matches!(empty, Err(TrustRootError::Unusable(_))), "{array}: {empty:?}");
    }
    let short = changed(|root| root["tlogs"][0]["logId"]["keyId"] = "AAAA".into());
    assert!(matches!(short, Err(TrustRootError::Unusable(_))), "{short:?}");
}

#[test]
fn documents_are_strict_bounded_and_of_a_known_version() {
    let version = |text: &str| changed(|root| root["mediaType"] = text.into());
    let next = version("application/vnd.dev.sigstore.trustedroot.v0.2+json");
    assert!(matches!(next, Err(TrustRootError::MediaType(_))), "{next:?}");
    assert!(matches!(changed(|root| root["tlogs"] = json!({})), Err(TrustRootError::Shape(_))));
    let text = String::from_utf8(TrustRoot::embedded().document().to_vec()).expect("text");
    let twice = text.replacen('{', "{\"tlogs\":[],", 1);
    assert!(matches!(TrustRoot::from_json(twice.as_bytes()), Err(TrustRootError::Json(_))));
    assert!(matches!(TrustRoot::from_json(&vec![b' '; 1024 * 1024 + 1]), Err(TrustRootError::Json(_))));
    assert!(matches!(TrustRoot::from_json(b""), Err(TrustRootError::Json(_))));
}
