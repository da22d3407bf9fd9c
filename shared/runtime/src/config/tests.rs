use std::{path::PathBuf, time::Duration};

use touchstone_domain::Ecosystem;

use super::*;

const SAMPLE: &str = r#"
data_dir = "./data"
shutdown_grace = "20s"
[database]
url = "postgres://touchstone:hunter2@db.example/touchstone"
pool_size = 8
[nats]
url = "nats://nats.example:4222"
[edge]
listen = "127.0.0.1:8080"
public_url = "https://mirror.example/packages"
hold = "7s 500ms"
patient_hold = "2m"
[edge.hosts]
npm = "npm.mirror.example"
[console]
listen = "127.0.0.1:8081"
token_file = "console.token"
[blobs]
url = "file:///var/lib/touchstone/blobs"
[upstream.npm]
url = "https://npm.example/"
attestations_url = "https://attestations.example/"
[upstream.pypi]
url = "https://pypi.example/simple/"
provenance_url = "https://provenance.example/"
file_hosts = ["https://files.example"]
[upstream.cargo]
url = "https://index.example/"
[upstream.go]
url = "https://modules.example/"
sumdb_key = "sums.example+0123abcd+AbC/+0="
file_hosts = ["https://zips.example"]
[policy]
file = "policies/policy.toml"
[trust]
sigstore_root = "trusted_root.json"
tuf_url = "https://tuf.example/"
grace = "30d"
[hash]
concurrency = 3
[attest]
concurrency = 5
[sumdb]
concurrency = 7
poll = "30s"
behind_max = "2h"
frozen_after = "0s"
[promote]
sweep_period = "250ms"
attempts_max = 5
"#;

struct Directory(tempfile::TempDir);

impl Directory {
    fn with(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("touchstone.toml"), toml).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = variables.iter().copied().collect();
        Config::load(Some(&self.path().join("touchstone.toml")), &environment)
    }

    fn refusal(&self, variables: &[(&str, &str)]) -> String {
        self.load(variables).unwrap_err().to_string().replace(self.path().to_str().unwrap(), "DIR")
    }
}

fn refusal(toml: &str) -> String {
    Directory::with(toml).refusal(&[])
}

#[test]
fn the_sample_parses() {
    let directory = Directory::with(SAMPLE);
    std::fs::write(directory.path().join("console.token"), "s3cret\n").unwrap();
    let config = directory.load(&[]).unwrap();
    assert_eq!(config.data_dir, directory.path().join("./data"));
    assert_eq!(config.policy.file, Some(directory.path().join("policies/policy.toml")));
    assert_eq!(config.trust.sigstore_root, Some(directory.path().join("trusted_root.json")));
    assert_eq!(config.trust.grace, Duration::from_hours(30 * 24));
    assert_eq!(config.blobs_dir().unwrap(), PathBuf::from("/var/lib/touchstone/blobs"));
    assert_eq!(config.console.token, Some(Secret::new("s3cret")));
    assert_eq!(config.edge.hold, Duration::from_millis(7500));
    assert_eq!(config.edge.public_url().as_str(), "https://mirror.example/packages/");
    assert_eq!(config.edge.hosts[&Ecosystem::Npm], "npm.mirror.example");
    let pypi = config.upstream.get(Ecosystem::Pypi).unwrap();
    assert_eq!(pypi.attestations_url.as_ref().unwrap().as_str(), "https://provenance.example/");
    assert_eq!(pypi.file_hosts.len(), 1);
    let go = config.upstream.get(Ecosystem::Go).unwrap();
    assert_eq!(go.sumdb_url().unwrap().as_str(), "https://sums.example/");
    assert_eq!(config.upstream.iter().count(), 4);
    assert_eq!(config.edge.patient_hold, Duration::from_mins(2));
    let sumdb = &config.sumdb;
    let watched = (sumdb.concurrency, sumdb.poll, sumdb.behind_max, sumdb.frozen_after);
    assert_eq!(watched, (7, Duration::from_secs(30), Duration::from_hours(2), Duration::ZERO));
    assert_eq!((config.hash.concurrency, config.promote.attempts_max), (3, 5));
}

#[test]
fn an_empty_file_and_no_file_give_the_defaults() {
    for config in
        [Directory::with("").load(&[]).unwrap(), Config::load(None, &Environment::default()).unwrap()]
    {
        assert_eq!(config.edge.hold, Duration::from_secs(8));
        assert_eq!(config.edge.public_url().as_str(), "http://127.0.0.1:8080/");
        assert!(config.database.url.is_none() && config.upstream.iter().next().is_none());
        assert!(config.data_dir.is_absolute());
        assert_eq!(config.blobs_dir().unwrap(), config.data_dir.join("blobs"));
    }
}

#[test]
fn secrets_do_not_print() {
    let directory = Directory::with(SAMPLE);
    std::fs::write(directory.path().join("console.token"), "s3cret\n").unwrap();
    let config = directory.load(&[("TOUCHSTONE__UPSTREAM__NPM__TOKEN", "0012")]).unwrap();
    assert_eq!(config.upstream.npm.as_ref().unwrap().token.as_ref().unwrap().reveal(), "0012");
    for text in [format!("{config:?}"), config.to_toml()] {
        assert!(!text.contains("hunter2") && !text.contains("s3cret") && !text.contains("0012"), "{text}");
        assert!(text.contains("(secret)"), "{text}");
    }
    assert!(config.to_toml().contains("hold = \"7s 500ms\""), "{}", config.to_toml());
}

#[test]
fn the_environment_wins_over_the_file() {
    let directory = Directory::with("[edge]\nhold = \"3s\"\nmax_connections = 10\n");
    let config = directory
        .load(&[
            ("TOUCHSTONE__EDGE__HOLD", "4s"),
            ("TOUCHSTONE__DATABASE__POOL_SIZE", "5"),
            ("TOUCHSTONE__UPSTREAM__PYPI__URL", "https://pypi.example/simple/"),
            ("TOUCHSTONE__UPSTREAM__PYPI__FILE_HOSTS", "[\"https://a.example\", \"https://b.example\"]"),
            ("TOUCHSTONE__DATA_DIR", "elsewhere"),
            ("TOUCHSTONE_NATS_BIN", "not configuration"),
        ])
        .unwrap();
    assert_eq!(config.edge.hold, Duration::from_secs(4));
    assert_eq!((config.edge.max_connections, config.database.pool_size), (10, 5));
    assert_eq!(config.upstream.pypi.unwrap().file_hosts.len(), 2);
    assert_eq!(config.data_dir, directory.path().join("elsewhere"));
}

#[test]
fn refusals_name_the_key_and_its_origin() {
    let empty = Directory::with("[edge]\n");
    each_starts(&[
        (
            refusal("[edge]\nhodl = \"8s\"\n"),
            "unknown key `edge.hodl` in DIR/touchstone.toml; known here: listen, ",
        ),
        (refusal("[egde]\n"), "unknown key `egde` in DIR/touchstone.toml; known here: data_dir, "),
        (
            refusal("[upstream.nmp]\nurl = \"https://a.example\"\n"),
            "unknown key `upstream.nmp` in DIR/touchstone.toml",
        ),
        (
            refusal("[edge]\nhold = 8\n"),
            "`edge.hold` in DIR/touchstone.toml: found a number, expected a duration",
        ),
        (
            refusal("[edge.hosts]\ngolang = \"a.example\"\n"),
            "`edge.hosts.golang` in DIR/touchstone.toml: unknown variant: found `golang`",
        ),
        (refusal("[edge\n"), "DIR/touchstone.toml is not valid TOML: "),
        (refusal("[upstream.npm]\n"), "`upstream.npm` in DIR/touchstone.toml: missing field `url`"),
        (
            empty.refusal(&[("TOUCHSTONE__EDGE__HODL", "8s")]),
            "unknown key `edge.hodl` in the environment variable TOUCHSTONE__EDGE__HODL; known here: listen, ",
        ),
        (
            empty.refusal(&[("TOUCHSTONE__DATABASE__POOL_SIZE", "many")]),
            "`database.pool_size` in the environment variable TOUCHSTONE__DATABASE__POOL_SIZE: found a text, expected ",
        ),
    ]);
}

#[test]
fn refusals_name_the_bound_and_the_way_out() {
    each_starts(&[
        (refusal("[edge]\nhold = \"13s\"\n"), "`edge.hold` is 13s; it must be from 0ns to 12s"),
        (
            refusal("[edge]\npatient_hold = \"601s\"\n"),
            "`edge.patient_hold` is 601s; it must be from 0ns to 600s",
        ),
        (refusal("[sumdb]\nconcurrency = 0\n"), "`sumdb.concurrency` is 0; it must be from 1 to 1024"),
        (refusal("[sumdb]\npoll = \"9s\"\n"), "`sumdb.poll` is 9s; it must be from 10s to 3600s"),
        (
            refusal("[sumdb]\nbehind_max = \"59s\"\n"),
            "`sumdb.behind_max` is 59s; it must be from 60s to 604800s",
        ),
        (
            refusal("[sumdb]\nfrozen_after = \"59m\"\n"),
            "`sumdb.frozen_after` is 3540s; it must be from 3600s to 2592000s, or 0s",
        ),
        (
            refusal("[upstream.go]\nurl = \"https://a.example/\"\ntoken = \"abc\"\n"),
            "`upstream.go.token` is a secret: keep it in a file named by `upstream.go.token_file`",
        ),
        (refusal("[hash]\nconcurrency = 0\n"), "`hash.concurrency` is 0; it must be from 1 to 1024"),
        (
            refusal("[blobs]\nurl = \"s3://bucket/prefix\"\n"),
            "`blobs.url` is s3://, which this version does not support",
        ),
        (refusal("[blobs]\nurl = \"file://host/path\"\n"), "`blobs.url` must be file:///, an absolute path"),
        (
            refusal("[edge]\npublic_url = \"ftp://a.example/\"\n"),
            "`edge.public_url` must be http:// or https://",
        ),
        (
            refusal("[console]\ntoken = \"abc\"\n"),
            "`console.token` is a secret: keep it in a file named by `console.token_file`",
        ),
        (
            refusal("[console]\ntoken_file = \"none\"\n"),
            "cannot read the secret `console.token` from DIR/none",
        ),
        (
            Directory::with("[console]\ntoken_file = \"none\"\n")
                .refusal(&[("TOUCHSTONE__CONSOLE__TOKEN", "abc")]),
            "`console.token` is given twice, here and by file",
        ),
    ]);
    let missing = Config::load(Some(Path::new("/nonexistent/touchstone.toml")), &Environment::default());
    assert_eq!(
        missing.unwrap_err().to_string(),
        "cannot read the configuration at /nonexistent/touchstone.toml"
    );
}

#[test]
fn an_edge_that_its_clients_would_not_find_is_refused() {
    for listen in ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0"] {
        let toml = format!("[edge]\nlisten = \"{listen}\"\n");
        let expected =
            format!("`edge.public_url` is missing, and clients cannot use http://{listen}/; set it");
        each_starts(&[(refusal(&toml), &expected)]);
        let public = [("TOUCHSTONE__EDGE__PUBLIC_URL", "https://mirror.example/")];
        Directory::with(&toml).load(&public).unwrap();
    }
    Directory::with("[edge]\nlisten = \"192.0.2.1:8080\"\n").load(&[]).unwrap();

    let hosts = |npm: &str, pypi: &str| format!("[edge.hosts]\nnpm = \"{npm}\"\npypi = \"{pypi}\"\n");
    let expected = "`edge.hosts.pypi` is A.example, which another ecosystem has already";
    each_starts(&[(refusal(&hosts("a.example", "A.example")), expected)]);
    Directory::with(&hosts("a.example", "b.example")).load(&[]).unwrap();
}

#[test]
fn an_upstream_that_is_the_mirror_itself_is_refused() {
    let with = |listen: &str, upstream: &str| {
        Directory::with(&format!(
            "[edge]\nlisten = \"{listen}\"\npublic_url = \"https://mirror.example/packages\"\n\
             [upstream.npm]\nurl = \"{upstream}\"\n"
        ))
    };
    for (listen, upstream) in [
        ("127.0.0.1:8080", "https://mirror.example:443/packages/npm/"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/npm/"),
        ("127.0.0.1:8080", "http://localhost:8080/npm/"),
        ("[::]:8080", "http://[::1]:8080/npm/"),
        ("192.0.2.1:80", "http://192.0.2.1/npm/"),
    ] {
        let expected = "`upstream.npm.url` is the address of this mirror, which would ask itself";
        each_starts(&[(with(listen, upstream).refusal(&[]), expected)]);
    }
    for (listen, upstream) in [
        ("127.0.0.1:8080", "https://npm.example/"),
        ("127.0.0.1:8080", "http://127.0.0.1:8082/npm/"),
        ("192.0.2.1:80", "http://192.0.2.2/npm/"),
    ] {
        with(listen, upstream).load(&[]).unwrap();
    }
}

#[test]
fn go_needs_the_key_of_a_checksum_database_and_nothing_else_has_one() {
    let go = |more: &str| {
        let toml = format!("[upstream.go]\nurl = \"https://modules.example/\"\n{more}");
        Directory::with(&toml).load(&[]).map_err(|error| error.to_string())
    };
    let go_with_token = |more: &str| {
        let directory =
            Directory::with(&format!("[upstream.go]\nurl = \"https://modules.example/\"\n{more}"));
        std::fs::write(directory.path().join("token"), "s3cret\n").unwrap();
        directory.load(&[]).map_err(|error| error.to_string())
    };
    let key = |key: &str| format!("sumdb_key = \"{key}\"\n");
    let url = |url: &str| format!("sumdb_url = \"{url}\"\n");
    let good = key("sums.example/db+0123abcd+AbC/+0=");
    let at = |more: &str| go(more).unwrap().upstream.go.unwrap().sumdb_url().unwrap();
    assert_eq!(at(&good).as_str(), "https://sums.example/db/");
    let elsewhere = url("https://modules.example/sumdb/sums.example");
    assert_eq!(at(&(good.clone() + &elsewhere)).as_str(), "https://modules.example/sumdb/sums.example/");

    let missing = "`upstream.go.sumdb_key` is missing; nothing of Go is served that the checksum database does not vouch for";
    assert_eq!(go("").unwrap_err(), missing);
    let shape = "`upstream.go.sumdb_key` must be name+hash+key, as in GOSUMDB";
    let long = format!("sums.example+0123abcd+{}", "A".repeat(512));
    for bad in [
        "sums.example",
        "sums.example+0123abcd",
        "sums.example+0123abc+AAAA",
        "sums.example+0123abcg+AAAA",
        "sums.example+0123abcd+",
        "sums.example+0123abcd+AA AA",
        "+0123abcd+AAAA",
        "sums example+0123abcd+AAAA",
        "",
        &long,
    ] {
        assert_eq!(go(&key(bad)).unwrap_err(), shape, "{bad}");
    }
    let address = "`upstream.go.sumdb_url` must be http:// or https://, without query or fragment";
    for bad in ["ftp://sums.example/", "https://sums.example/?a", "https://sums.example/#a"] {
        assert_eq!(go(&(good.clone() + &url(bad))).unwrap_err(), address, "{bad}");
    }
    assert_eq!(go(&key("a:b+0123abcd+AAAA")).unwrap_err(), address);
    let itself = "`upstream.go.sumdb_url` is the address of this mirror, which would ask itself; set it to the registry's";
    assert_eq!(
        go(&(good.clone() + &url("http://127.0.0.1:8080/go/sumdb/sums.example"))).unwrap_err(),
        itself
    );
    let token = "token_file = \"token\"\n".to_owned();
    let asked_without = "`upstream.go.sumdb_url` is where a token is needed, and the checksum database is asked without one; \
         give the database's own address, or that of a proxy which needs no token for it";
    for needs in [&elsewhere, &url("https://modules.example:443/db")] {
        assert_eq!(go_with_token(&(good.clone() + needs + &token)).unwrap_err(), asked_without);
    }
    let of_the_proxy = key("modules.example+0123abcd+AbC/+0=") + &token;
    assert_eq!(go_with_token(&of_the_proxy).unwrap_err(), asked_without, "by default, too");
    go_with_token(&(good.clone() + &token)).unwrap();
    go_with_token(&(good.clone() + &url("https://sums.modules.example/") + &token)).unwrap();
    let attestations = "attestations_url = \"https://attestations.example/\"\n";
    let expected =
        "`upstream.go.attestations_url` is not for Go; where the checksum database is, `sumdb_url` says";
    assert_eq!(go(&(good.clone() + attestations)).unwrap_err(), expected);

    let npm = |more: &str| refusal(&format!("[upstream.npm]\nurl = \"https://npm.example/\"\n{more}"));
    assert_eq!(npm(&good), "`upstream.npm.sumdb_key` is for [upstream.go] only");
    assert_eq!(npm(&elsewhere), "`upstream.npm.sumdb_url` is for [upstream.go] only");
}

#[test]
fn the_checksum_database_is_configured_by_the_environment_too() {
    let variables = [
        ("TOUCHSTONE__UPSTREAM__GO__URL", "https://modules.example/"),
        ("TOUCHSTONE__UPSTREAM__GO__SUMDB_KEY", "sums.example+01234567+AbC/+0="),
        ("TOUCHSTONE__UPSTREAM__GO__SUMDB_URL", "https://elsewhere.example/db/"),
        ("TOUCHSTONE__SUMDB__CONCURRENCY", "3"),
        ("TOUCHSTONE__SUMDB__POLL", "1m"),
        ("TOUCHSTONE__SUMDB__BEHIND_MAX", "2m"),
        ("TOUCHSTONE__SUMDB__FROZEN_AFTER", "3h"),
        ("TOUCHSTONE__EDGE__PATIENT_HOLD", "4m"),
    ];
    let config = Directory::with("").load(&variables).unwrap();
    let go = config.upstream.get(Ecosystem::Go).unwrap();
    assert_eq!(go.sumdb_key.as_deref(), Some("sums.example+01234567+AbC/+0="));
    assert_eq!(go.sumdb_url().unwrap().as_str(), "https://elsewhere.example/db/");
    let sumdb = &config.sumdb;
    assert_eq!((sumdb.concurrency, sumdb.poll), (3, Duration::from_mins(1)));
    assert_eq!((sumdb.behind_max, sumdb.frozen_after), (Duration::from_mins(2), Duration::from_hours(3)));
    assert_eq!(config.edge.patient_hold, Duration::from_mins(4));
}

#[test]
fn refusals_do_not_print_the_value() {
    for text in [
        Directory::with("").refusal(&[("TOUCHSTONE__DATABASE", "postgres://a:hunter2@db.example/")]),
        refusal("[upstream.npm]\nurl = \"//a:hunter2@npm.example/\"\n"),
        refusal("[database]\nurl = \"postgres://a:hunter2@db.example/\n"),
        refusal("[edge]\nhold = \"hunter2\"\n"),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn an_empty_secret_file_is_no_secret() {
    let directory = Directory::with("[console]\ntoken_file = \"token\"\n");
    std::fs::write(directory.path().join("token"), " \n").unwrap();
    let error = directory.load(&[]).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the file is empty");
}

fn each_starts(cases: &[(String, &str)]) {
    for (got, expected) in cases {
        assert!(got.starts_with(expected), "expected {expected:?}, got {got:?}");
    }
}
