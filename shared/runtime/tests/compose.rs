//! `compose.yaml` cannot be run where this is tested, so this reads it: every role gets a configuration that loads, waits
//! for services that exist, and keeps to the rules for containers.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_yaml_ng::Value;
use touchstone_runtime::{Config, Environment};

const ROLES: [&str; 6] = ["attest", "console", "edge", "hash", "promote", "sumdb"];
/// What runs to its end before any role starts.
const BEFORE: [&str; 2] = ["init", "migrate"];
/// Who asks upstreams, the servers of attestations and trust, and the checksum database.
const GO_OUT: [&str; 3] = ["attest", "edge", "sumdb"];

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Value>,
    networks: BTreeMap<String, Network>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(default)]
    internal: bool,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    build: Option<Build>,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Value>,
    #[serde(default)]
    volumes: Vec<Mount>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    network_mode: Option<String>,
    healthcheck: Option<Value>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
}

#[derive(Deserialize)]
struct Build {
    dockerfile: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Mount {
    Short(String),
    Long {
        r#type: String,
        source: String,
        target: String,
        #[serde(default)]
        read_only: bool,
    },
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn compose() -> Compose {
    let text = std::fs::read_to_string(root().join("compose.yaml")).unwrap();
    let mut document: Value = serde_yaml_ng::from_str(&text).unwrap();
    document.apply_merge().unwrap();
    serde_yaml_ng::from_value(document).unwrap()
}

/// `${NAME:?message}` becomes a value; `${NAME:-default}` its default.
fn interpolate(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (variable, after) = rest.split_once('}').unwrap();
    let value = match (variable.split_once(":?"), variable.split_once(":-")) {
        (Some((_, message)), _) if !message.is_empty() => "c0ffee",
        (None, Some((_, default))) => default,
        _ => panic!("{variable} has neither a message for when it is missing nor a default"),
    };
    format!("{before}{value}{}", interpolate(after))
}

/// The environment of a service, with what `init` writes for it in this directory.
fn environment(service: &Service, own: &Path) -> Environment {
    let value = |value: &String| interpolate(value).replace("/data/own", own.to_str().unwrap());
    service.environment.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

/// The volume that a service mounts at a place, and whether it may write there.
fn volume<'s>(service: &'s Service, place: &str) -> Option<(&'s str, Access)> {
    service.volumes.iter().find_map(|mount| match mount {
        Mount::Long { r#type, source, target, read_only } if r#type == "volume" && target == place => {
            Some((source.as_str(), if *read_only { Access::Reads } else { Access::Writes }))
        }
        Mount::Short(_) | Mount::Long { .. } => None,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Access {
    Reads,
    Writes,
}

#[test]
fn every_role_has_a_configuration_that_loads() {
    let compose = compose();
    for role in ROLES {
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join("database.url"), "postgres://me@postgres/touchstone\n").unwrap();
        std::fs::write(own.path().join("nats.url"), "nats://me@nats:4222\n").unwrap();
        let service = &compose.services[role];
        assert_eq!(service.command, [role]);
        let config = Config::load(None, &environment(service, own.path()))
            .unwrap_or_else(|error| panic!("{role}: {error}"));
        assert_eq!(config.data_dir, Path::new("/data"), "{role}");
        assert_eq!(config.keyring(), Path::new("/data/ring/keyring.json"), "{role}");
        assert_eq!(config.keys_dir(), own.path(), "{role}");
        assert_eq!(config.database.url.unwrap().reveal(), "postgres://me@postgres/touchstone");
        assert_eq!(config.nats.url.unwrap().reveal(), "nats://me@nats:4222");
        let listens = [config.edge.listen, config.console.listen].map(|listen| listen.ip().is_unspecified());
        assert_eq!(listens, [role == "edge", role == "console"], "{role}");
        assert_eq!(config.console.token.is_some(), role == "console", "{role}");
    }
    let migrate = Config::load(None, &environment(&compose.services["migrate"], Path::new("/none"))).unwrap();
    let owner = "postgres://touchstone:c0ffee@postgres/touchstone";
    assert_eq!(migrate.database.url.unwrap().reveal(), owner);
    let init = Config::load(None, &environment(&compose.services["init"], Path::new("/none"))).unwrap();
    assert_eq!(init.keys_dir(), Path::new("/data/keys"));
    assert_eq!(init.keyring(), Path::new("/data/ring/keyring.json"));
}

/// A role's key and logins are on a volume that it alone reads, besides `init`, which writes it.
#[test]
fn every_role_has_its_secrets_to_itself() {
    let compose = compose();
    for role in ROLES {
        let own = format!("own-{role}");
        let mounted = volume(&compose.services[role], "/data/own");
        assert_eq!(mounted, Some((own.as_str(), Access::Reads)), "{role}");
        let mounted = volume(&compose.services["init"], &format!("/own/{role}"));
        assert_eq!(mounted, Some((own.as_str(), Access::Writes)), "{role}");
    }
    for (name, service) in &compose.services {
        let secrets: Vec<&str> = service
            .volumes
            .iter()
            .filter_map(|mount| match mount {
                Mount::Long { source, .. } => Some(source.as_str()),
                Mount::Short(_) => None,
            })
            .filter(|source| source.starts_with("own-") || *source == "keys")
            .collect();
        let expected = match name.as_str() {
            "init" => continue,
            "migrate" => vec!["own-owner".to_owned()],
            "postgres" => vec![],
            other => vec![format!("own-{other}")],
        };
        assert_eq!(secrets, expected, "{name}");
        assert_eq!(
            service.environment.contains_key("TOUCHSTONE__DATABASE__URL"),
            name == "migrate",
            "{name}"
        );
    }
    for (name, service) in &compose.services {
        let writes = |place| volume(service, place).map(|(_, access)| access == Access::Writes);
        assert_ne!(writes("/data/ring"), Some(name != "init"), "{name} and the key ring");
        assert_ne!(writes("/data/log"), Some(name != "promote"), "{name} and the log");
    }
}

/// What `init` gives each role: the keys that it signs with, and no other.
#[test]
fn init_gives_each_role_its_own_keys() {
    let init = &compose().services["init"];
    assert_eq!(init.entrypoint, ["bash", "-euc"]);
    let copies: Vec<&str> =
        init.command[0].lines().filter(|line| line.starts_with("cp /data/keys/")).collect();
    let expected = [
        "cp /data/keys/fetch.pem /own/edge/",
        "cp /data/keys/hash.pem /own/hash/",
        "cp /data/keys/attest.pem /own/attest/",
        "cp /data/keys/sumdb.pem /own/sumdb/",
        "cp /data/keys/promote.pem /data/keys/log.pem /own/promote/",
    ];
    assert_eq!(copies, expected);
}

/// The policy and the files with tokens, which the configuration names relative to itself, must be there too.
#[test]
fn every_role_sees_the_whole_directory_of_the_configuration() {
    let compose = compose();
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    for role in ROLES.into_iter().chain(BEFORE) {
        let service = &compose.services[role];
        let config = Path::new(&service.environment["TOUCHSTONE_CONFIG"]);
        let mounted = service.volumes.iter().find_map(|mount| match mount {
            Mount::Long { r#type, source, target, read_only: true } if r#type == "bind" => {
                Some((source, target))
            }
            Mount::Short(_) | Mount::Long { .. } => None,
        });
        let (source, target) = mounted.unwrap_or_else(|| panic!("{role} has no configuration"));
        assert_eq!(config.parent(), Some(Path::new(target)), "{role}");
        assert_eq!(config.file_name().unwrap(), "touchstone.toml", "{role}");
        let directory = source.strip_prefix('.').unwrap();
        assert!(ignored.lines().any(|line| line == directory), "git would add {source}, which holds tokens");
    }
    assert!(ignored.lines().any(|line| line == "/.env"), "git would add .env, which holds secrets");
}

#[test]
fn every_role_is_confined() {
    let compose = compose();
    for role in ROLES.into_iter().chain(BEFORE) {
        let service = &compose.services[role];
        assert!(service.read_only && service.cap_drop == ["ALL"], "{role}");
        let dockerfile = root().join(&service.build.as_ref().unwrap().dockerfile);
        let dockerfile = std::fs::read_to_string(dockerfile).unwrap();
        assert!(dockerfile.contains("USER 65534:65534"), "{role}");
    }
}

/// A service that is on no network of its own choice is on compose's default one, from which everything can be reached.
#[test]
fn only_who_asks_upstreams_reaches_the_world_and_the_edge_alone_is_reached() {
    let compose = compose();
    assert!(!compose.networks.contains_key("default"), "nothing is on it");
    for (name, service) in &compose.services {
        if name == "init" {
            assert_eq!(
                (service.network_mode.as_deref(), service.networks.len()),
                (Some("none"), 0),
                "{name}"
            );
            continue;
        }
        assert_eq!(service.network_mode, None, "{name}");
        let (inside, outside): (Vec<_>, Vec<_>) =
            service.networks.iter().partition(|network| compose.networks[*network].internal);
        assert_eq!(inside, ["inside"], "{name} reaches Postgres and NATS");
        assert_eq!(!outside.is_empty(), GO_OUT.contains(&name.as_str()), "{name} and the world");
        let ports: &[&str] = if name == "edge" { &["127.0.0.1:8080:8080"] } else { &[] };
        assert_eq!(service.ports, ports, "{name} and who reaches it");
    }
}

/// Whose login at Postgres, user at NATS, and signatures each service has: `init` writes them, and a role is started with its own.
#[test]
fn every_role_logs_in_as_itself() {
    let compose = compose();
    let script = &compose.services["init"].command[0];
    let line = |line: &str| script.lines().any(|found| found.trim() == line);
    assert!(line(r#"roles="edge hash attest sumdb promote console""#), "{script}");
    assert!(line(
        r#"echo "postgres://touchstone_$$role:$$password@postgres/touchstone" > /own/$$role/database.url"#
    ));
    assert!(line("for role in $$roles; do cp /own/nats/$$role.url /own/$$role/nats.url; done"));
    for role in ROLES {
        let environment = &compose.services[role].environment;
        assert_eq!(environment["TOUCHSTONE__DATABASE__URL_FILE"], "/data/own/database.url", "{role}");
        assert_eq!(environment["TOUCHSTONE__NATS__URL_FILE"], "/data/own/nats.url", "{role}");
        assert_eq!(environment["TOUCHSTONE__CUSTODY__KEYS_DIR"], "/data/own", "{role}");
        let given: Vec<&String> =
            environment.keys().filter(|key| key.contains("KEY") && !key.contains("KEYRING")).collect();
        assert_eq!(given, ["TOUCHSTONE__CUSTODY__KEYS_DIR"], "{role} is given no key besides its own");
    }
}

/// What each may write: workers and the edge put envelopes and bytes into the blob store, the edge remembers what it has seen of the
/// log, promote publishes it.
#[test]
fn every_role_writes_only_where_it_must() {
    let compose = compose();
    for role in ROLES {
        let writes: Vec<&str> = compose.services[role]
            .volumes
            .iter()
            .filter_map(|mount| match mount {
                Mount::Long { target, read_only: false, .. } => Some(target.as_str()),
                Mount::Short(text) => Some(text.as_str()),
                Mount::Long { .. } => None,
            })
            .collect();
        let expected: &[&str] = match role {
            "edge" => &["/data/blobs", "/data/edge"],
            "promote" => &["/data/blobs", "/data/log"],
            _ => &["/data/blobs"],
        };
        assert_eq!(writes, expected, "{role}");
    }
}

#[test]
fn names_that_are_used_exist() {
    let compose = compose();
    for role in ROLES {
        for before in BEFORE {
            let how = &compose.services[role].depends_on[before];
            assert_eq!(how["condition"], "service_completed_successfully", "{role} waits for {before}");
        }
    }
    for (name, service) in &compose.services {
        for (other, how) in &service.depends_on {
            let waits_for_health = how["condition"] == "service_healthy";
            let dependency =
                compose.services.get(other).unwrap_or_else(|| panic!("{name} waits for no such {other}"));
            assert!(!waits_for_health || dependency.healthcheck.is_some(), "{other} has no healthcheck");
        }
        for mount in &service.volumes {
            let volume = match mount {
                Mount::Short(text) => text.split(':').next().unwrap(),
                Mount::Long { r#type, source, .. } if r#type == "volume" => source,
                Mount::Long { .. } => continue,
            };
            assert!(compose.volumes.contains_key(volume), "{name} mounts no such volume: {volume}");
        }
    }
}

#[test]
fn images_from_elsewhere_are_pinned_to_a_version() {
    for (name, service) in compose().services {
        if service.build.is_none() {
            let tag = service.image.split_once(':').unwrap_or_else(|| panic!("{name} has no tag")).1;
            assert!(
                tag.split('.').count() >= 2 && tag.starts_with(|c: char| c.is_ascii_digit()),
                "{name}: {tag}"
            );
        }
    }
}
