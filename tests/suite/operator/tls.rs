//! TLS to NATS: a server counts by its certificate, for the name that the address has, and without one not at all.
//!
//! The certificates beside this file are for nobody else: made once by openssl, for 127.0.0.1, for a hundred years.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use touchstone_bus::{BusUser, Passwords};
use touchstone_runtime::servers::{Nats, NatsOptions};
use touchstone_testkit::search;

use super::{said, touchstone};

const SERVER: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");
const AUTHORITY: &str = include_str!("tls/authority.pem");
const OTHER: &str = include_str!("tls/other.pem");

/// What doctor says of NATS to somebody who trusts this authority.
fn doctor(directory: &Path, url: &str, authority: &str) -> String {
    let trusted = directory.join(if authority == AUTHORITY { "authority.pem" } else { "other.pem" });
    let output = touchstone(directory)
        .env("SSL_CERT_FILE", &trusted)
        .env_remove("SSL_CERT_DIR")
        .env("TOUCHSTONE__NATS__URL", url)
        .arg("doctor")
        .output()
        .expect("the command runs");
    let (_, text, problem) = said(output);
    let line = text.lines().find(|line| line.get(6..).is_some_and(|rest| rest.starts_with("nats ")));
    line.unwrap_or_else(|| panic!("{text}{problem}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_server_is_believed_by_its_certificate_alone() {
    let place = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
    let directory = place.path();
    // The server may be another user.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("ours");
    for (name, text) in
        [("server.pem", SERVER), ("server.key", KEY), ("authority.pem", AUTHORITY), ("other.pem", OTHER)]
    {
        fs::write(directory.join(name), text).expect("written");
    }
    let passwords = Passwords::generate();
    let plain = passwords.configuration();
    let file = |name: &str| directory.join(name).display().to_string();
    let tls = format!(
        "{plain}\ntls {{\n  cert_file: \"{}\"\n  key_file: \"{}\"\n}}\n",
        file("server.pem"),
        file("server.key")
    );
    let start = async |name: &str, configuration: String| {
        let binary = search().nats_server().expect("nats-server; run ./dev setup");
        let options = NatsOptions { data_dir: directory.join(name), binary };
        Nats::start_with_users(options, configuration).await.expect("nats-server starts")
    };
    let (secured, open) = (start("secured", tls).await, start("open", plain).await);
    let url =
        |nats: &Nats, scheme: &str| passwords.url(&nats.url(), BusUser::Console).replacen("nats:", scheme, 1);
    let good = "ok    nats                connected; the server is recent enough";
    let bad = "FAIL  nats                no server answers there";
    let elsewhere = url(&secured, "tls:").replace("127.0.0.1", "localhost");
    let cases = [
        ("an authority that is trusted", url(&secured, "tls:"), AUTHORITY, good),
        ("another authority", url(&secured, "tls:"), OTHER, bad),
        ("a certificate of another name", elsewhere, AUTHORITY, bad),
        ("no TLS where TLS is asked for", url(&open, "tls:"), AUTHORITY, bad),
        ("TLS that only the server asks for", url(&secured, "nats:"), AUTHORITY, good),
        ("the same by another authority", url(&secured, "nats:"), OTHER, bad),
        ("no TLS", url(&open, "nats:"), OTHER, good),
    ];
    // Whoever is refused goes on trying for a while.
    std::thread::scope(|scope| {
        for (what, url, authority, expected) in &cases {
            scope.spawn(move || assert_eq!(doctor(directory, url, authority), *expected, "{what}"));
        }
    });
}
