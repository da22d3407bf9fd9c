//! `touchstone nats-config` on the command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};

use crate::commands::nats_config;

/// Where the passwords are from.
#[derive(Args)]
#[command(group = ArgGroup::new("passwords_from").required(true).args(["passwords", "generate"]))]
pub(crate) struct NatsConfig {
    /// Print the configuration with the passwords in this TOML file, which has a line for each role like: edge = "password".
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// Write nats.conf with random passwords, and ROLE.url for each role, into a directory; what is there is kept. Needs --server.
    #[arg(long, value_name = "DIR", requires = "server")]
    generate: Option<PathBuf>,
    /// The server's address, for ROLE.url: nats://host:4222. Goes with --generate.
    #[arg(long, value_name = "URL", requires = "generate", conflicts_with = "passwords")]
    server: Option<String>,
}

/// Runs it.
pub(super) fn run(given: &NatsConfig) -> Result<()> {
    match (&given.passwords, given.generate.as_ref().zip(given.server.as_deref())) {
        (Some(file), None) => nats_config::print(file),
        (None, Some((directory, server))) => nats_config::generate(directory, server),
        (Some(_), Some(_)) | (None, None) => bail!("name --passwords, or --generate and --server"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::Cli;

    fn words(arguments: &[&str]) -> Result<(), String> {
        let line = ["touchstone", "nats-config"].iter().chain(arguments);
        Cli::try_parse_from(line).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_exclude_or_need_each_other_say_so() {
        let (from, server) = (["--passwords", "p.toml"], ["--server", "nats://nats.example:4222"]);
        let generate = ["--generate", "nats"];
        assert_eq!(words(&from), Ok(()));
        assert_eq!(words(&[generate, server].concat()), Ok(()));
        let missing = "the following required arguments were not provided:\n  ";
        for (given, expected) in [
            (vec![], format!("{missing}<--passwords <FILE>|--generate <DIR>>\n")),
            (generate.to_vec(), format!("{missing}--server <URL>\n")),
            (server.to_vec(), format!("{missing}<--passwords <FILE>|--generate <DIR>>\n")),
            (
                [from, generate].concat(),
                "the argument '--passwords <FILE>' cannot be used with '--generate <DIR>'\n".into(),
            ),
            (
                [from, generate, server].concat(),
                "the argument '--passwords <FILE>' cannot be used with:\n  --generate <DIR>\n  --server <URL>\n".into(),
            ),
            (
                [from, server].concat(),
                "the argument '--passwords <FILE>' cannot be used with '--server <URL>'\n".into(),
            ),
        ] {
            let refused = words(&given).expect_err("it is refused");
            assert!(refused.contains(&expected), "{given:?}: {refused}");
            assert!(refused.contains("Usage: touchstone nats-config"), "{refused}");
        }
        let mut all = Cli::command();
        let help = all.find_subcommand_mut("nats-config").expect("there is one").render_help().to_string();
        assert!(
            help.contains("Usage: nats-config [OPTIONS] <--passwords <FILE>|--generate <DIR>>"),
            "{help}"
        );
        assert!(help.contains("Needs --server") && help.contains("Goes with --generate"), "{help}");
    }
}
