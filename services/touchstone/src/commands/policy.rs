//! `touchstone policy check`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::Result;
use touchstone_domain::Admission;
use touchstone_ecosystems::normal;
use touchstone_runtime::Config;

use crate::wiring;

/// Parses the file, and says what it means.
pub(crate) fn run(config: &Config, file: Option<&Path>, purl: Option<&str>) -> Result<ExitCode> {
    let policy = wiring::policy(file.or(config.policy.file.as_deref()))?;
    let (rules, deny, internal) = policy.counts();
    let mut out = format!(
        "valid: {rules} rule(s), {deny} deny entr{}, {internal} internal namespace(s)\ndigest sha256:{}\n",
        if deny == 1 { "y" } else { "ies" },
        policy.digest()
    );
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
        let age = policy.min_age(ecosystem, package);
        let _infallible = writeln!(
            out,
            "{purl} {verdict}\n  required checks: {}\n  minimum age: {age:#}",
            requirement.required()
        );
        if verdict != "may be fetched" {
            code = ExitCode::from(2);
        }
    }
    super::say(&out);
    Ok(code)
}
