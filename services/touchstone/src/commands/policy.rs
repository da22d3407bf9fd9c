//! `touchstone policy check`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::Result;
use touchstone_domain::{Admission, AttestationMode, Ecosystem};
use touchstone_ecosystems::normal;
use touchstone_runtime::{Clock as _, Config, SystemClock};

use crate::wiring;

/// Parses the file, and says what it means.
pub(crate) fn run(config: &Config, file: Option<&Path>, purl: Option<&str>) -> Result<ExitCode> {
    let policy = wiring::policy(file.or(config.policy.file.as_deref()))?;
    let (rules, deny, internal) = policy.counts();
    let (pins, waivers) = policy.exceptions();
    let mut out = format!(
        "valid: {rules} rule(s), {deny} deny entr{}, {internal} internal namespace(s)\ndigest sha256:{}\n\
         {} pattern(s) of private Go modules, {} of forks\n{pins} pin(s), {waivers} waiver(s)\n",
        if deny == 1 { "y" } else { "ies" },
        policy.digest(),
        policy.private_patterns(),
        policy.fork_patterns()
    );
    for waiver in policy.expired_waivers(SystemClock.now()) {
        let (sha256, expires) = (waiver.sha256, waiver.expires);
        let _infallible =
            writeln!(out, "warning: the waiver for sha256:{sha256} expired at {expires}; renew or remove it");
    }
    let mut code = ExitCode::SUCCESS;
    if let Some(purl) = purl {
        let purl = normal(purl.parse()?)?;
        let (ecosystem, package) = (purl.ecosystem, &purl.package);
        let requirement = policy.requirement(ecosystem, package);
        let admission = match &purl.version {
            Some(version) => policy.admit_version(ecosystem, package, version),
            None => policy.admit_package(ecosystem, package),
        };
        let verdict = match admission {
            Admission::Admitted => "may be fetched".to_owned(),
            Admission::Denied { reason } => format!("is denied: {reason}"),
            Admission::Internal => "is internal, and never asked for upstream".to_owned(),
        };
        let go = |names: bool, line| if ecosystem == Ecosystem::Go && names { line } else { "" };
        let private =
            go(policy.is_private_module(package), "\n  private: the checksum database is not asked");
        let fork = go(policy.allows_fork(package), "\n  fork: its go.mod may name another path");
        let age = policy.min_age(ecosystem, package);
        let _infallible = writeln!(
            out,
            "{purl} {verdict}\n  required checks: {}\n  minimum age: {age:#}\n  attestations: {}{}{private}{fork}",
            requirement.required(),
            meaning(policy.attestations(ecosystem, package)),
            if policy.pin(ecosystem, package).is_some() { "; pinned" } else { "" }
        );
        if verdict != "may be fetched" {
            code = ExitCode::from(2);
        }
    }
    super::say(&out);
    Ok(code)
}

/// What a mode means.
const fn meaning(mode: AttestationMode) -> &'static str {
    match mode {
        AttestationMode::Off => "off: nobody looks at them",
        AttestationMode::Observe => "observe: verified and written down, and decide nothing",
        AttestationMode::Ratchet => {
            "ratchet: what is offered must verify, and what was offered once must go on; absence is tolerated"
        }
        AttestationMode::Require => "require: nothing is served without",
    }
}
