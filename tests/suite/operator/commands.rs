//! Help, schema, doctor, policy, and configurations that are refused.

use std::{fs, path::Path};

use touchstone_bus::BusUser;
use touchstone_domain::Ecosystem;
use touchstone_store::DatabaseRole;
use touchstone_testkit::{Port, Registry, Servers, fresh_database};

use super::{make_keys, run, said, touchstone};

#[test]
fn help_says_what_every_command_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let commands = [
        (vec!["standalone"], "Run every role in one process"),
        (vec!["edge"], "Serve package clients"),
        (vec!["hash"], "Check digests, coordinates and archives"),
        (vec!["promote"], "Count verdicts and promote"),
        (vec!["console"], "Answer operators: JSON API and metrics"),
        (vec!["migrate"], "Bring the database's schema up to date"),
        (vec!["doctor"], "Show the effective configuration and test every connection"),
        (vec!["why"], "Tell an artifact's story"),
        (vec!["recall"], "Take an artifact out of service on every edge, for ever"),
        (vec!["recheck"], "Have what was held or rejected checked again, by the policy in force"),
        (vec!["records"], "Write the signed records of promoted artifacts"),
        (vec!["keys", "new"], "Make a key: its private half"),
        (vec!["keys", "init"], "Make a key of every kind that has none"),
        (vec!["keys", "list"], "Show every key of the ring"),
        (vec!["keys", "rotate"], "Replace the key in use by a new one"),
        (vec!["keys", "revoke"], "Take a key out of use, for ever"),
        (vec!["incidents"], "List open incidents and dead letters, or settle them"),
        (vec!["incidents", "resolve"], "Mark one, or all, as settled"),
        (vec!["upstreams", "discover"], "Ask the package clients on this machine where their registries are"),
        (vec!["policy", "check"], "Parse a policy file and say what it means"),
    ];
    let (code, overview, _) = run(directory.path(), &["--help"]);
    assert_eq!(code, Some(0));
    assert!(overview.contains("nothing is served that its checks did not approve"), "{overview}");
    assert!(overview.contains("touchstone why pkg:npm/left-pad@1.3.0"), "{overview}");
    for (mut arguments, purpose) in commands {
        assert!(overview.contains(arguments[0]), "{arguments:?}");
        arguments.push("--help");
        let (code, help, _) = run(directory.path(), &arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(help.starts_with(purpose) && help.contains("--config <CONFIG>"), "{help}");
    }
    let (code, _, problem) = run(directory.path(), &["serve"]);
    assert_eq!(code, Some(2));
    assert!(problem.contains("unrecognized subcommand 'serve'"), "{problem}");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0, "help writes nothing");
}

/// Who asks how to start must not have to wait for a build, nor find anything changed.
#[test]
fn the_developers_command_explains_its_start_without_starting() {
    let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev");
    let tools = tempfile::tempdir().expect("a directory");
    for flag in ["--help", "-h"] {
        let mut command = std::process::Command::new(&dev);
        let output = command.args(["up", flag]).env("TOUCHSTONE_TOOLS", tools.path()).output();
        let (code, help, problem) = said(output.expect("it runs"));
        assert_eq!((code, problem.as_str()), (Some(0), ""), "{help}");
        for words in [
            "Usage: ./dev up",
            "writes the [upstream.*] sections",
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8081/",
            "Ctrl-C stops all of it",
            "eval \"$(./dev env)\"; touchstone doctor",
        ] {
            assert!(help.contains(words), "{words}: {help}");
        }
    }
    assert_eq!(fs::read_dir(tools.path()).expect("a directory").count(), 0, "nothing is installed");
}

/// What `doctor` says of a place where everything is there but the workers.
const HEALTHY: [(&str, &str); 8] = [
    (
        "policy",
        "ok    policy              digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        "database",
        "ok    database            0 artifact(s), 0 stuck, 0 dead letter(s), 0 open incident(s); logged in as touchstone_console",
    ),
    ("nats", "ok    nats                connected; the server is recent enough"),
    (
        "upstream.cargo",
        "ok    upstream.cargo      not configured; run `touchstone upstreams discover --write`",
    ),
    (
        "check.hash",
        "warn  check.hash          no worker is there, and the policy requires this check; start `touchstone hash`",
    ),
    (
        "check.attest",
        "warn  check.attest        no worker is there, and the policy requires this check; start `touchstone attest`",
    ),
    (
        "trust",
        "ok    trust               sigstore_root embedded, npm_keys embedded; nothing expires by itself",
    ),
    ("custody.keys", "ok    custody.keys        fetch, hash, attest, sumdb, peer, promote, log count"),
];

/// The line of one test in a report of `doctor`.
fn line(report: &str, name: &str) -> String {
    let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    line.unwrap_or_else(|| panic!("{name}: {report}")).to_owned()
}

/// A ring is missing at first; `keys init` makes it.
fn make_the_ring_that_doctor_misses(directory: &Path) {
    let (code, report, _) = run(directory, &["doctor"]);
    let no_ring = line(&report, "custody.keyring");
    assert!(
        code == Some(1) && no_ring.starts_with("FAIL  custody.keyring     cannot read the key ring "),
        "{no_ring}"
    );
    assert!(no_ring.contains("/data/keys/keyring.json; `touchstone keys init` makes one: "), "{no_ring}");
    make_keys(directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_may_run_twice_and_doctor_finds_what_is_wrong() {
    let registry = Registry::start().await;
    let servers = Servers::start().await;
    let directory = servers.directory.path();
    let (owner, console) = (servers.postgres.url(), DatabaseRole::Console.url(&servers.postgres.url()));
    let configure = |database: &str, nats: &str, npm: &str| {
        let pypi = registry.url(Ecosystem::Pypi);
        let text = format!(
            "[database]\nurl = \"{database}\"\n[nats]\nurl = \"{nats}\"\n[console]\ntoken_file = \"token\"\n\
             [upstream.npm]\nurl = \"{npm}\"\n[upstream.pypi]\nurl = \"{pypi}\"\n"
        );
        fs::write(directory.join("touchstone.toml"), text).expect("written");
    };
    fs::write(directory.join("token"), "swordfish-swordfish\n").expect("written");
    let (nats, npm) = (servers.nats_url(BusUser::Console), registry.url(Ecosystem::Npm));
    configure(&owner, &nats, npm.as_str());

    let (code, report, _) = run(directory, &["doctor"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(line(&report, "database").starts_with("FAIL"), "{report}");
    assert!(
        line(&report, "database")
            .contains("the schema is not there, or is of an older version; run `touchstone migrate`"),
        "{report}"
    );

    let (code, first, problem) = run(directory, &["migrate"]);
    assert_eq!((code, problem.as_str()), (Some(0), ""));
    assert!(first.starts_with("applied "), "{first}");
    assert_eq!(run(directory, &["migrate"]), (Some(0), "the schema is up to date\n".into(), String::new()));

    let (_, report, _) = run(directory, &["doctor"]);
    assert_eq!(
        line(&report, "database"),
        "warn  database            0 artifact(s), 0 stuck, 0 dead letter(s), 0 open incident(s); logged in as postgres, who owns the \
         tables: only `touchstone migrate` needs to; let each role log in as touchstone_ROLE, and doctor and an operator's commands as \
         touchstone_console"
    );
    configure(&console, &nats, npm.as_str());
    make_the_ring_that_doctor_misses(directory);
    let (code, report, problem) = run(directory, &["doctor"]);
    assert_eq!((code, problem.as_str()), (Some(0), ""), "{report}");
    assert!(report.contains("# effective configuration (touchstone.toml)"), "{report}");
    assert!(!report.contains("swordfish"), "{report}");
    for (name, expected) in HEALTHY {
        assert_eq!(line(&report, name), expected);
    }
    assert!(line(&report, "upstream.npm").starts_with("ok "), "{report}");
    let no_blobs =
        "/data/blobs is not there; a role that uses it makes it, if nothing else is to be mounted there";
    let blobs = line(&report, "blobs");
    assert!(blobs.starts_with("warn  ") && blobs.ends_with(no_blobs), "{report}");
    assert_eq!(line(&report, "configuration"), "ok    configuration       touchstone.toml");
    assert!(
        line(&report, "custody.keyring").ends_with("/data/keys/keyring.json: 7 key(s), 0 revoked"),
        "{report}"
    );

    let port = Port::take();
    let closed = port.address();
    configure(&console, &format!("nats://{closed}"), &format!("http://{closed}/"));
    fs::write(directory.join("policy.toml"), "[[rule]]\nrequire = [\"peer\"]\n").expect("written");
    let policy = touchstone(directory).arg("doctor").env("TOUCHSTONE__POLICY__FILE", "policy.toml").output();
    let (code, report, _) = said(policy.expect("the command runs"));
    assert_eq!(code, Some(1), "{report}");
    let failed: Vec<&str> = report
        .lines()
        .filter(|l| l.starts_with("FAIL"))
        .filter_map(|l| l.split_whitespace().nth(1))
        .collect();
    assert_eq!(failed, ["policy", "nats", "upstream.npm"], "{report}");
    assert!(line(&report, "upstream.npm").contains(&format!("cannot reach http://{closed}")), "{report}");
    assert!(line(&report, "policy").contains("rule number 1: the check \"peer\" has no worker"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_could_mean_something_else_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = fresh_database().await;
    let servers = format!("[database]\nurl = \"{database}\"\n[nats]\nurl = \"nats://127.0.0.1:1\"\n");
    fs::write(directory.path().join("touchstone.toml"), "").expect("written");
    make_keys(directory.path());
    for (document, arguments, expected) in [
        ("[edge]\nlistne = \"127.0.0.1:1\"\n", vec!["doctor"], "unknown key `edge.listne` in "),
        ("[edges]\n", vec!["why", "pkg:npm/a"], "unknown key `edges` in "),
        ("[edge\n", vec!["migrate"], " is not valid TOML: "),
        ("[edge]\nhold = \"1h\"\n", vec!["doctor"], "`edge.hold` is 3600s; it must be from 0ns to 12s"),
        ("[console]\ntoken = \"swordfish-swordfish\"\n", vec!["doctor"], "`console.token` is a secret"),
        (
            "",
            vec!["edge"],
            "`touchstone edge` needs [database] url and [nats] url; without them, use `touchstone standalone`",
        ),
        ("", vec!["migrate"], "no [database] url is configured, and no standalone is running on "),
        (
            "[console]\nlisten = \"0.0.0.0:0\"\n",
            vec!["console"],
            "the console listens on 0.0.0.0:0, off loopback, without [console] token_file",
        ),
        (
            "[console]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\n",
            vec!["console"],
            "the console's token has fewer than 16 characters",
        ),
        ("[policy]\nfile = \"absent.toml\"\n", vec!["console"], "/absent.toml: No such file or directory"),
        (
            "[custody]\nkeyring = \"absent.json\"\n",
            vec!["console"],
            "/absent.json; `touchstone keys init` makes one: No such file or directory",
        ),
    ] {
        fs::write(directory.path().join("token"), "short\n").expect("written");
        let roles = if arguments == ["console"] { servers.as_str() } else { "" };
        fs::write(directory.path().join("touchstone.toml"), format!("{roles}{document}")).expect("written");
        let (code, _, problem) = run(directory.path(), &arguments);
        assert_eq!(code, Some(1), "{document}: {problem}");
        assert!(problem.starts_with("error: ") && problem.contains(expected), "{document}: {problem}");
        assert!(!problem.contains("swordfish"), "{problem}");
    }
    fs::write(directory.path().join("touchstone.toml"), "").expect("written");
    let output = touchstone(directory.path()).arg("doctor").env("TOUCHSTONE__EDGE__LISTNE", "x").output();
    let (code, _, problem) = said(output.expect("the command runs"));
    assert_eq!(code, Some(1));
    assert!(
        problem.contains("unknown key `edge.listne` in ") && problem.contains("TOUCHSTONE__EDGE__LISTNE"),
        "{problem}"
    );
}

#[test]
fn policy_check_says_what_a_policy_means() {
    let directory = tempfile::tempdir().expect("a directory");
    let policy = "[[rule]]\nmin_age = \"7d\"\n\n[[deny]]\necosystem = \"pypi\"\npackage = \"sample_project\"\n\
                  versions = [\"1.0rc1\"]\nreason = \"malware\"\n\n[[internal]]\necosystem = \"npm\"\npackages = [\"@acme/*\"]\n\
                  [sumdb]\nprivate = [\"corp.example\"]\n[go]\nforks = [\"code.example/fork\"]\n";
    fs::write(directory.path().join("policy.toml"), policy).expect("written");
    let check = |arguments: &[&str]| run(directory.path(), &[&["policy", "check"], arguments].concat());
    let (code, said, _) = check(&[]);
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("valid: 0 rule(s), 0 deny entries, 0 internal namespace(s)\ndigest sha256:e3b0c442"),
        "{said}"
    );
    let valid = "valid: 1 rule(s), 1 deny entry, 1 internal namespace(s)\n";
    for (purl, code, expected) in [
        (
            "pkg:npm/left-pad@1.3.0",
            0,
            "pkg:npm/left-pad@1.3.0 may be fetched\n  required checks: hash, attest\n  minimum age: 168h\n",
        ),
        ("pkg:pypi/Sample.Project@1.0-RC1", 2, "pkg:pypi/sample-project@1.0rc1 is denied: malware\n"),
        ("pkg:pypi/sample-project@1.0.0rc1", 2, "is denied: malware\n"),
        ("pkg:pypi/sample-project@1.0", 0, "may be fetched\n"),
        ("pkg:golang/corp.example/x", 0, "\n  required checks: hash\n"),
        ("pkg:golang/corp.example/x", 0, "\n  private: the checksum database is not asked\n"),
        ("pkg:golang/code.example/x", 0, "\n  required checks: hash, sumdb\n"),
        ("pkg:golang/code.example/fork", 0, "\n  fork: its go.mod may name another path\n"),
        ("pkg:npm/%40acme/tool", 2, "pkg:npm/%40acme/tool is internal, and never asked for upstream\n"),
    ] {
        let (found, said, problem) = check(&["policy.toml", "--purl", purl]);
        assert_eq!((found, problem.as_str()), (Some(code), ""), "{purl}");
        assert!(said.starts_with(valid) && said.contains(expected), "{said}");
        assert!(said.contains("\n1 pattern(s) of private Go modules, 1 of forks\n"), "{said}");
    }
    let digest = "ab".repeat(32);
    let exceptions = format!(
        "[[pin]]\necosystem = \"npm\"\npackages = [\"left-*\"]\nissuer = \"https://issuer.example\"\nrepository_id = \"1\"\n\
         [[waiver]]\nsha256 = \"{digest}\"\nreason = \"r\"\nexpires = \"2026-01-31\"\n\
         [[waiver]]\nsha256 = \"{digest}\"\nreason = \"r\"\nexpires = \"9000-01-31\"\n"
    );
    fs::write(directory.path().join("exceptions.toml"), exceptions).expect("written");
    let (code, said, _) = check(&["exceptions.toml", "--purl", "pkg:npm/left-pad"]);
    assert_eq!(code, Some(0), "an expired waiver is no error");
    let counts = format!(
        "\n1 pin(s), 2 waiver(s)\nwarning: the waiver for sha256:{digest} expired at 2026-01-31T00:00:00Z; renew or remove it\npkg:"
    );
    assert!(said.contains(&counts) && said.matches("warning").count() == 1, "{said}");
    assert!(
        said.contains("\n  attestations: ratchet: ") && said.ends_with("absence is tolerated; pinned\n"),
        "{said}"
    );
    for (document, expected) in [
        ("[[rule]]\nrequires = [\"hash\"]\n", "unknown field `requires`"),
        ("[[rule]]\nrequire = []\n", "rule number 1: `require` is empty"),
        ("[[rule]]\nrequire = [\"peer\"]\n", "the check \"peer\" has no worker in this version"),
        (
            "[[rule]]\nrequire = [\"sumdb\"]\n",
            "the check \"sumdb\" needs `ecosystem = \"go\"`, which is checked by it anyway",
        ),
        (
            "[sumdb]\nprivate = [\"corp.example/\"]\n",
            "sumdb.private number 1: the pattern \"corp.example/\" has an empty element",
        ),
        (
            "[[rule]]\nrequire = [\"attest\"]\n",
            "the check \"attest\" needs an `ecosystem` that has attestations",
        ),
        (
            "[[deny]]\necosystem = \"pypi\"\npackage = \"a\"\nversions = [\"1.0-rc1\"]\nreason = \"x\"\n",
            "policy.toml is refused: write the pypi version 1.0-rc1 as 1.0rc1",
        ),
        (
            "[[deny]]\necosystem = \"npm\"\npackage = \"a\"\nversions = [\"v1.0\"]\nreason = \"x\"\n",
            "policy.toml is refused: ",
        ),
    ] {
        fs::write(directory.path().join("policy.toml"), document).expect("written");
        let (code, said, problem) = check(&["policy.toml"]);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{document}");
        assert!(problem.starts_with("error: ") && problem.contains(expected), "{problem}");
    }
}
