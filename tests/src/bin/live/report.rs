//! The table, and what failed.

use std::{collections::BTreeSet, fmt, io::Write as _};

use anyhow::{Result, ensure};
use touchstone_tests::clients::{Client, Packages, Run};

/// A project is real from this many packages on.
const fn packages_min(client: Client) -> usize {
    match client {
        Client::Npm | Client::Pnpm | Client::Yarn | Client::Pip | Client::Uv | Client::Cargo => 20,
        Client::Go => 30,
    }
}

/// From the index and from the lockfile, with network and without.
const RUNS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Up,
    /// Nothing but loopback.
    Absent,
}

impl Network {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Up => "with network",
            Self::Absent => "without network",
        }
    }
}

/// One run and its circumstances.
pub(crate) struct Round {
    pub(crate) network: Network,
    pub(crate) run: Run,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.run.succeeded() { "ok" } else { "FAILED" };
        let (name, from, packages) =
            (self.run.client.name(), self.run.mode.words(), self.run.installed.len());
        let (network, seconds) = (self.network.words(), self.run.elapsed.as_secs_f64());
        write!(f, "{name:<6} {from:<14} {network:<15} {packages:>4} packages {seconds:>6.1} s  {result}")
    }
}

/// Prints the table, and what failed. With network the mirror is cold for the first client of each ecosystem, and warm for
/// the next; cargo's time from the lockfile is mostly the compiler's.
pub(crate) fn report(rounds: &[Round]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n                 with network          without network")?;
    writeln!(out, "client packages  index      lockfile   index      lockfile")?;
    let mut problems = Vec::new();
    for client in Client::ALL {
        let rounds: Vec<&Round> = rounds.iter().filter(|round| round.run.client == client).collect();
        let packages = rounds.first().map_or(0, |round| round.run.installed.len());
        write!(out, "{:<6} {packages:>8}", client.name())?;
        for Round { run, .. } in &rounds {
            let result = if run.succeeded() {
                format!("{:.1} s", run.elapsed.as_secs_f64())
            } else {
                "FAILED".to_owned()
            };
            write!(out, "  {result:<9}")?;
        }
        writeln!(out)?;
        judge(client, &rounds, &mut problems);
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n\n"));
    Ok(())
}

/// Every run of one client succeeded, and installed the same real project.
fn judge(client: Client, rounds: &[&Round], problems: &mut Vec<String>) {
    let name = client.name();
    if rounds.len() != RUNS {
        problems.push(format!("{name} ran {} times instead of {RUNS}", rounds.len()));
    }
    for round in rounds {
        if !round.run.succeeded() {
            problems.push(format!("{}: {}", round.network.words(), round.run));
        } else if round.run.installed.len() < packages_min(client) {
            problems.push(format!("{round}: fewer than {} packages", packages_min(client)));
        }
    }
    let sets: BTreeSet<&Packages> = rounds.iter().map(|round| &round.run.installed).collect();
    if sets.len() > 1 {
        problems.push(format!("{name} did not install the same packages each time"));
    }
}
