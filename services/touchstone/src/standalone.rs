//! Every role in one process, with a private Postgres and nats-server where none is configured.

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use touchstone_bus::Passwords;
use touchstone_runtime::{
    Config, Environment, Secret, Shutdown,
    servers::{Nats, NatsOptions, Postgres, PostgresOptions, Search},
};
use touchstone_store::Store;

use crate::{
    commands::{self, say},
    logins::Logins,
    roles::Role,
    wiring::Wiring,
};

/// Runs until told to stop, or until a role fails.
pub(crate) async fn run(mut config: Config, environment: &Environment) -> Result<()> {
    refuse_one_key(&config)?;
    let shutdown = Shutdown::install(config.shutdown_grace)?;
    // The servers are supervised until every role has left.
    let servers = Shutdown::new();
    let search = Search::new(environment);
    let mut logins = Logins::default();
    let mut postgres = None;
    if config.database.url.is_none() {
        postgres = Some(start_postgres(&mut config, &search, &servers).await?);
        logins.is_private_database = true;
    }
    let mut nats = None;
    if config.nats.url.is_none() {
        // New ones at each start: nobody else needs them.
        let passwords = Passwords::generate();
        nats = Some(start_nats(&mut config, &passwords, &search, &servers).await?);
        logins.nats = Some(passwords);
    }
    let result = roles(config, logins, shutdown).await;
    servers.soft.cancel();
    if let Some(nats) = nats {
        nats.stop().await;
    }
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    result
}

/// One key for all roles would be of the wrong kind for all but one of them.
fn refuse_one_key(config: &Config) -> Result<()> {
    if config.custody.key.is_some() {
        bail!(
            "TOUCHSTONE__CUSTODY__KEY is one private key, and standalone runs every role: each signs with a key of its own kind. Unset it: \
             standalone then signs with the keys in {}, and makes those that are missing. To give keys by the environment, run each role \
             as a process of its own",
            config.keys_dir().display()
        );
    }
    Ok(())
}

/// Runs every role. Told to stop, the edge drains first, and the others stop when it has: they decide what still waits there.
async fn roles(config: Config, logins: Logins, shutdown: Shutdown) -> Result<()> {
    let url = config.database.url.as_ref().context("a database address")?.reveal().to_owned();
    let report = Store::migrate(&url).await.context("cannot bring the schema up to date")?;
    if !report.applied.is_empty() {
        tracing::info!(applied = %report.applied.join(", "), "migrated");
    }
    for (kind, file) in commands::keys::ensure(&config).context("cannot make the keys that are missing")? {
        tracing::info!(%kind, file = %file.display(), "made a key");
    }
    say(&settings(&config));
    let others = Shutdown { soft: CancellationToken::new(), ..shutdown.clone() };
    let has_go = config.upstream.go.is_some();
    let wiring = std::sync::Arc::new(Wiring::new(config, logins, shutdown.soft.clone(), others)?);
    let mut running = JoinSet::new();
    let roles = Role::ALL.into_iter().filter(|role| *role != Role::Sumdb || has_go);
    for role in roles {
        let wiring = std::sync::Arc::clone(&wiring);
        let stop_others = (role == Role::Edge).then(|| wiring.shutdown.soft.clone().drop_guard());
        running.spawn(async move {
            let _when_it_has_drained = stop_others;
            wiring.run(role).await.with_context(|| format!("the role {} ended", role.as_str()))
        });
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.context("a role panicked").and_then(|ended| ended);
        if ended.is_err() && result.is_ok() {
            result = ended;
            shutdown.soft.cancel();
        }
    }
    shutdown.soft.cancel();
    // The key ring is followed for as long as somebody looks at it.
    drop(wiring);
    shutdown.drained().await;
    result
}

async fn start_postgres(config: &mut Config, search: &Search, servers: &Shutdown) -> Result<Postgres> {
    let bin_dir = search.postgres_bin_dir()?;
    let data_dir = config.servers_dir().join("postgres");
    let postgres = Postgres::start(PostgresOptions { data_dir, bin_dir, durable: true }).await?;
    postgres.supervise(servers);
    config.database.url = Some(Secret::new(postgres.url()));
    Ok(postgres)
}

async fn start_nats(
    config: &mut Config,
    passwords: &Passwords,
    search: &Search,
    servers: &Shutdown,
) -> Result<Nats> {
    let binary = search.nats_server()?;
    let data_dir = config.servers_dir().join("nats");
    let nats = Nats::start_with_users(NatsOptions { data_dir, binary }, passwords.configuration()).await?;
    nats.supervise(servers);
    config.nats.url = Some(Secret::new(nats.url()));
    Ok(nats)
}

/// What to tell each package client.
fn settings(config: &Config) -> String {
    let url = config.edge.public_url();
    let missing: Vec<&str> = touchstone_domain::Ecosystem::ALL
        .into_iter()
        .filter(|ecosystem| config.upstream.get(*ecosystem).is_none())
        .map(touchstone_domain::Ecosystem::as_str)
        .collect();
    let note = if missing.is_empty() {
        String::new()
    } else {
        format!("No upstream for {}: run `touchstone upstreams discover --write`.\n", missing.join(", "))
    };
    format!(
        "Touchstone serves {url}\n\
         \x20 npm, pnpm   npm config set registry {url}npm/\n\
         \x20 yarn 4      npmRegistryServer: \"{url}npm/\" in .yarnrc.yml (and unsafeHttpWhitelist without TLS)\n\
         \x20 pip         pip config set global.index-url {url}pypi/simple/\n\
         \x20 uv          UV_DEFAULT_INDEX={url}pypi/simple/\n\
         \x20 cargo       [source.crates-io] replace-with = \"touchstone\"\n\
         \x20             [source.touchstone] registry = \"sparse+{url}cargo/\"\n\
         \x20 go          go env -w GOPROXY={url}go   (nothing after it: no ,direct)\n\
         Console http://{}/\n{note}",
        config.console.listen
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_for_all_roles_is_refused_before_anything_is_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let given = |name| {
            let environment: Environment = [(name, "pem")].into_iter().collect();
            let mut config = Config::load(None, &environment).expect("a configuration");
            config.data_dir = directory.path().to_owned();
            config
        };
        let refused = run(given("TOUCHSTONE__CUSTODY__KEY"), &Environment::default()).await;
        let expected = format!(
            "TOUCHSTONE__CUSTODY__KEY is one private key, and standalone runs every role: each signs with a key of its own kind. Unset it: \
             standalone then signs with the keys in {}/keys, and makes those that are missing. To give keys by the environment, run each \
             role as a process of its own",
            directory.path().display()
        );
        assert_eq!(refused.expect_err("it is refused").to_string(), expected);
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
        refuse_one_key(&given("TOUCHSTONE__CUSTODY__LOG_KEY")).expect("only promote has it");
        refuse_one_key(&given("TOUCHSTONE__CUSTODY__ENVIRONMENT")).expect("it is no key");
    }
}
