use serde_json::Value;

use super::{Module, escape, unescape};
use crate::{Fault, Registry};

async fn get(registry: &Registry, path: &str) -> (u16, Vec<u8>) {
    let url = registry.origin().join(path).expect("a path");
    let answer = reqwest::get(url).await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

async fn text(registry: &Registry, path: &str) -> String {
    String::from_utf8(get(registry, path).await.1).expect("text")
}

#[test]
fn there_is_one_escaped_form() {
    for (plain, escaped) in [("example.com/a", "example.com/a"), ("example.com/Aa/B", "example.com/!aa/!b")] {
        assert_eq!(escape(plain), escaped);
        assert_eq!(unescape(escaped).as_deref(), Some(plain));
    }
    for wrong in ["example.com/A", "example.com/!A", "example.com/a!", "example.com/!1", "example.com/!!a"] {
        assert_eq!(unescape(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn the_protocol() {
    let registry = Registry::start().await;
    let module = |version: &str| Module::new("example.com/Up/b", version);
    for version in ["v1.0.0", "v1.1.0", "v1.1.1-0.20240102030405-0123456789ab"] {
        registry.publish_module(module(version));
    }
    registry.tag_module("example.com/Up/b", "master", "v1.1.1-0.20240102030405-0123456789ab");
    let version = async |path: &str| {
        let info: Value = serde_json::from_slice(&get(&registry, path).await.1).expect("json");
        info["Version"].as_str().expect("a version").to_owned()
    };
    assert_eq!(text(&registry, "go/example.com/!up/b/@v/list").await, "v1.0.0\nv1.1.0\n");
    assert_eq!(version("go/example.com/!up/b/@latest").await, "v1.1.0");
    assert_eq!(version("go/example.com/!up/b/@v/v1.0.0.info").await, "v1.0.0");
    assert_eq!(version("go/example.com/!up/b/@v/master.info").await, "v1.1.1-0.20240102030405-0123456789ab");
    assert!(
        text(&registry, "go/example.com/!up/b/@v/v1.0.0.mod").await.starts_with("module example.com/Up/b\n")
    );
    assert_eq!(get(&registry, &module("v1.0.0").at("zip")).await, (200, module("v1.0.0").zip()));
    for absent in [
        "go/example.com/Up/b/@v/list",
        "go/example.com/up/b/@v/list",
        "go/example.com/!up/@v/list",
        "go/example.com/!up/@latest",
        "go/example.com/!up/b/@v/v1.2.0.info",
        "go/example.com/!up/b/@v/v1.0.0.exe",
        "go/example.com/!up/b/@v/main.info",
        "go/example.com/!up/b/@v/master.zip",
        "go/example.com/!up/b",
    ] {
        assert_eq!(get(&registry, absent).await.0, 404, "{absent}");
    }
    registry.set_lengthless_zips(true);
    let url = registry.origin().join(&module("v1.0.0").at("zip")).expect("a path");
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.content_length(), None);
    registry.fault(&module("v1.0.0").at("zip"), Fault::Status(503));
    assert_eq!(get(&registry, &module("v1.0.0").at("zip")).await.0, 503);
    registry.withdraw_module("example.com/Up/b");
    assert_eq!(get(&registry, "go/example.com/!up/b/@v/list").await.0, 404);
    assert!(registry.sumdb().record_id("example.com/Up/b", "v1.0.0").is_some());
}
