//! The command line.

mod keys;
mod nats_config;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use touchstone_console::SEALED_WITHIN;
use touchstone_runtime::{Config, Environment};

use crate::{
    commands::{self, log::Marked, recall::Versions},
    roles::Role,
    standalone, wiring,
};

/// A verifying mirror for npm, PyPI, Cargo and Go: nothing is served that its checks did not approve.
#[derive(Parser)]
#[command(name = "touchstone", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// The configuration file; every key can also be set as TOUCHSTONE__SECTION__KEY [default: touchstone.toml, if it exists]
    #[arg(long, short, global = true, env = "TOUCHSTONE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// The configuration file when none is named; only this one may be absent.
const CONFIG: &str = "touchstone.toml";

const EXAMPLES: &str = "Examples:
  touchstone upstreams discover --write    learn the registries from npm, pip, cargo and go on this machine
  touchstone standalone                    run everything in one process, with private Postgres and NATS servers
  touchstone why pkg:npm/left-pad@1.3.0    say what was decided about an artifact, by whom, and why
  touchstone doctor                        show the effective configuration and test every connection";

#[derive(Subcommand)]
enum Command {
    /// Run every role in one process, with a private Postgres and nats-server where none is configured.
    Standalone,
    /// Serve package clients: fetch, store, ask, and serve what is approved.
    Edge,
    /// Check digests, coordinates and archives; run as many as you like.
    Hash,
    /// Check attestations, registry signatures and who signed; run as many as you like.
    Attest,
    /// Check Go modules against the checksum database, and watch it; run as many as you like.
    Sumdb,
    /// Count verdicts and promote; sweep what messages lost.
    Promote,
    /// Answer operators: JSON API and metrics.
    Console,
    /// Bring the database's schema up to date, as its owner, and make a login for each role.
    Migrate {
        /// Also give roles their passwords: a TOML file with lines like: edge = "password". The database gets SCRAM verifiers only.
        #[arg(long, value_name = "FILE")]
        role_passwords: Option<PathBuf>,
    },
    /// Make the part of a nats-server configuration that says who may log in, and do what.
    NatsConfig(nats_config::NatsConfig),
    /// Show the effective configuration and test every connection.
    Doctor,
    /// Tell an artifact's story: state, claims, checks, reasons, and what to do.
    Why {
        /// A package URL; without a version or a file it means all of them.
        purl: String,
        /// Print JSON, as the console's API does.
        #[arg(long)]
        json: bool,
    },
    /// Take an artifact out of service on every edge, for ever.
    ///
    /// It is in force when this ends, and holds for what comes later. Then this waits, for at most 10 seconds, until the transparency
    /// log has it: edges go by that too, so that no database can take it back.
    Recall {
        /// A package URL, or the SHA-256 of the bytes.
        target: String,
        /// What the people who are refused will read.
        #[arg(long)]
        reason: String,
        /// Recall every version of a package URL without one, also those to come.
        #[arg(long)]
        all_versions: bool,
        /// Do not wait until the transparency log has it.
        #[arg(long)]
        no_wait: bool,
    },
    /// Have what was held or rejected checked again, by the policy in force.
    Recheck {
        /// A package URL; without a version or a file it means all of them.
        purl: String,
        /// Also what is served or pending; it is out of service until it has passed again.
        #[arg(long)]
        all: bool,
    },
    /// Write the signed records of promoted artifacts: layout, links, serve record and public keys, for stock in-toto tools.
    ///
    /// DIR gets root.layout, a link for the fetch and for each check, FILE.vsa.json, keys/ and README.txt, which has the exact
    /// commands that verify them: `in-toto-verify` of PyPI's in-toto, and securesystemslib for the serve record. Where the purl
    /// names several files, each gets a directory of its own. Records that do not verify are not written.
    Records {
        /// A package URL; the version may be left out where only one is on record.
        purl: String,
        /// Where to write them; made if it is not there. Nothing there is overwritten but an earlier export of the same artifact.
        #[arg(long, short)]
        output: PathBuf,
        /// Also write the artifact itself, so that in-toto-verify compares it with what was fetched.
        #[arg(long)]
        with_artifact: bool,
    },
    /// The keys that decisions are signed with, and the ring of those that count.
    ///
    /// Every role signs what it decides with a key of its own, and a key is good for one kind of step. Which keys count is said by
    /// the key ring, a file that every role is given and reads again within a second when it changes; the database has no say in it.
    /// To start: `keys init`. Once in a while: `keys rotate KIND`, then start the role again. When a key may be in other hands: `keys
    /// revoke ID`, then `keys rotate KIND`, and start the role again.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The transparency log of all that was decided: show it, verify it, recover the database by it.
    #[command(subcommand)]
    Log(Log),
    /// List open incidents and dead letters, or settle them.
    Incidents {
        #[command(subcommand)]
        settle: Option<Incidents>,
    },
    /// Upstream registries.
    #[command(subcommand)]
    Upstreams(Upstreams),
    /// The policy file.
    #[command(subcommand)]
    Policy(Policy),
    /// Whose signatures count, and the Go checksum database: show it, import or refresh it, resume.
    #[command(subcommand)]
    Trust(Trust),
}

#[derive(Subcommand)]
enum Incidents {
    /// Mark one, or all, as settled.
    Resolve {
        /// As the list names it: 7, L7 for a dead letter, or `all`.
        which: String,
    },
}

#[derive(Subcommand)]
enum Log {
    /// Show how far the log goes: in the database, where it is published, and at each witness.
    Show,
    /// Verify every entry of the log: by itself, and against the database's rows and the signed records.
    ///
    /// Exit code 1 with the first difference. With `--offline`, a directory alone is verified, such as a witness' copy: that every entry
    /// leads to a root that a log key of the ring signed. Whether database and records agree is then not asked.
    Verify {
        /// The directory that the log is in; the configured one if absent.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Do not compare it with the database and the signed records; neither is needed then.
        #[arg(long)]
        offline: bool,
    },
    /// Put back what the published log has and the database lost, after a backup was restored.
    ///
    /// Recalls are recalled again, and whatever ended must pass its checks again, before promotion goes on. Refused when the
    /// published log does not verify, or contradicts the database; and when the database lacks nothing, but has entries that say that
    /// they were put back and that no recovery on record says so of: somebody may have marked them, to hide what they did to the rows.
    Recover {
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Put a recovery on record for such entries as well: an older version was stopped while it recovered, and nobody marked them.
        /// `log verify` and the audit name them no more from then on.
        #[arg(long)]
        accept_marked: bool,
    },
}

#[derive(Subcommand)]
enum Upstreams {
    /// Ask the package clients on this machine where their registries are.
    Discover {
        /// Write the sections that the configuration file lacks, instead of printing them.
        #[arg(long)]
        write: bool,
    },
}

#[derive(Subcommand)]
enum Policy {
    /// Parse a policy file and say what it means, optionally for one package.
    Check {
        /// The file; the configured one if absent.
        file: Option<PathBuf>,
        /// A package URL to try it on.
        #[arg(long)]
        purl: Option<String>,
    },
}

#[derive(Subcommand)]
enum Trust {
    /// Show which roots, logs and keys count, where they come from, what expires when, and what counted before; then the Go
    /// checksum databases: key, head, last poll, and why one is stopped.
    ///
    /// Of the sigstore root and of the npm registry's keys, the file named in `[trust]` wins, then what the TUF repository says,
    /// then what came with this program. Exit code 1 means that nothing can be verified at present, or that the configured
    /// checksum database is stopped.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Import an offline copy of the sigstore TUF repository, for machines that reach no mirror.
    ///
    /// The copy is verified from the pinned TUF root (`[trust]` tuf_root, or the embedded one), must not be older than what is
    /// stored, and may have expired by no more than `[trust]` grace. Every attest process uses it within a minute. A refused
    /// copy changes nothing.
    Import {
        /// A directory with metadata/ and targets/, or with the metadata at its top; symbolic links in it are refused.
        directory: PathBuf,
    },
    /// Ask the mirror at `[trust]` tuf_url now, instead of waiting for the next refresh.
    ///
    /// What it says is verified from the pinned TUF root, and must be neither expired nor older than what is stored.
    Refresh,
    /// Go on with a Go checksum database that was stopped, once you know why it contradicted itself.
    ///
    /// `touchstone trust show` prints both signed notes of a stop; they are kept. Go modules that waited are judged when somebody
    /// asks for them again, and within the hour.
    Resume {
        /// Which, as `trust show` names it; the only one that is stopped if absent.
        #[arg(long)]
        database: Option<String>,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Also forget the head and the tiles that were seen: the next signed head is taken as it comes. Only for a database
        /// that began anew under the same key.
        #[arg(long)]
        discard_head: bool,
    },
}

/// Runs a command.
pub(crate) async fn run(cli: Cli, environment: &Environment) -> Result<ExitCode> {
    if let Command::Upstreams(Upstreams::Discover { write }) = &cli.command {
        Box::pin(commands::discover::run(cli.config.as_deref().unwrap_or(Path::new(CONFIG)), *write)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::NatsConfig(given) = &cli.command {
        nats_config::run(given)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = existing(cli.config.as_deref())?;
    let config = Config::load(file, environment)?;
    match cli.command {
        Command::Standalone => standalone::run(config, environment).await?,
        Command::Edge => wiring::run_role(Role::Edge, config).await?,
        Command::Hash => wiring::run_role(Role::Hash, config).await?,
        Command::Attest => wiring::run_role(Role::Attest, config).await?,
        Command::Sumdb => wiring::run_role(Role::Sumdb, config).await?,
        Command::Promote => wiring::run_role(Role::Promote, config).await?,
        Command::Console => wiring::run_role(Role::Console, config).await?,
        Command::Migrate { role_passwords } => {
            commands::migrate::run(&config, role_passwords.as_deref()).await?;
        }
        Command::Doctor => return Box::pin(commands::doctor::run(&config, file)).await,
        Command::Why { purl, json } => return commands::why::run(&config, &purl, json).await,
        Command::Recall { target, reason, all_versions, no_wait } => {
            let versions = if all_versions { Versions::All } else { Versions::Named };
            let patience = (!no_wait).then_some(SEALED_WITHIN);
            commands::recall::run(&config, &target, versions, &reason, patience).await?;
        }
        Command::Recheck { purl, all } => return commands::recheck::run(&config, &purl, all).await,
        Command::Records { purl, output, with_artifact } => {
            return Box::pin(commands::records::run(&config, &purl, &output, with_artifact)).await;
        }
        Command::Keys(command) => keys::run(&config, command).await?,
        Command::Log(Log::Show) => return commands::log::show(&config).await,
        Command::Log(Log::Verify { dir, offline }) => {
            return Box::pin(commands::log::verify(&config, dir.as_deref(), offline)).await;
        }
        Command::Log(Log::Recover { reason, accept_marked }) => {
            let marked = if accept_marked { Marked::Accept } else { Marked::Refuse };
            return Box::pin(commands::log::recover(&config, &reason, marked)).await;
        }
        Command::Incidents { settle: None } => commands::incidents::list(&config).await?,
        Command::Incidents { settle: Some(Incidents::Resolve { which }) } => {
            commands::incidents::resolve(&config, &which).await?;
        }
        Command::Upstreams(Upstreams::Discover { .. }) | Command::NatsConfig(_) => (),
        Command::Trust(Trust::Show { json }) => return commands::trust::show(&config, json).await,
        Command::Trust(Trust::Import { directory }) => commands::trust::take(&config, &directory).await?,
        Command::Trust(Trust::Refresh) => commands::trust::renew(&config).await?,
        Command::Trust(Trust::Resume { database, reason, discard_head }) => {
            commands::trust::resume(&config, database.as_deref(), &reason, discard_head).await?;
        }
        Command::Policy(Policy::Check { file, purl }) => {
            return commands::policy::run(&config, file.as_deref(), purl.as_deref());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration file that there is. Whoever names one means it: to go on with the defaults would be a surprise.
fn existing(named: Option<&Path>) -> Result<Option<&Path>> {
    let file = named.unwrap_or(Path::new(CONFIG));
    // One that is there but cannot be looked at is for the reader to complain about.
    match (matches!(file.try_exists(), Ok(false)), named) {
        (false, _) => Ok(Some(file)),
        (true, None) => Ok(None),
        (true, Some(_)) => bail!(
            "there is no configuration file {}; --config and TOUCHSTONE_CONFIG name one that exists",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Runs in this crate's directory, which has no touchstone.toml.
    async fn check_policy(config: Option<PathBuf>) -> Result<ExitCode, String> {
        let command = Command::Policy(Policy::Check { file: None, purl: None });
        run(Cli { config, command }, &Environment::default()).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_configuration_file_that_is_named_must_exist() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("other.toml");
        let refused = check_policy(Some(file.clone())).await;
        let expected = format!(
            "there is no configuration file {}; --config and TOUCHSTONE_CONFIG name one that exists",
            file.display()
        );
        assert_eq!(refused, Err(expected));

        std::fs::write(&file, "").expect("written");
        assert_eq!(check_policy(Some(file)).await, Ok(ExitCode::SUCCESS));
        assert_eq!(check_policy(None).await, Ok(ExitCode::SUCCESS));
    }
}
