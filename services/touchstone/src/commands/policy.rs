//! `touchstone policy check`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use touchstone_domain::{Admission, Policy, Purl};
use touchstone_ecosystems::adapter;
use touchstone_runtime::Config;

/// Parses the file, and says what it means.
pub(crate) fn run(config: &Config, file: Option<&Path>, purl: Option<&str>) -> Result<ExitCode> {
    let policy = match file.or(config.policy.file.as_deref()) {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Policy::parse(&text).with_context(|| format!("{} is refused", path.display()))?
        }
        None => Policy::default(),
    };
    let (rules, deny, internal) = policy.counts();
    let mut out = format!(
        "valid: {rules} rule(s), {deny} deny entr{}, {internal} internal namespace(s)\ndigest sha256:{}\n",
        if deny == 1 { "y" } else { "ies" },
        policy.digest()
    );
    let mut code = ExitCode::SUCCESS;
    if let Some(purl) = purl {
        let purl: Purl = purl.parse()?;
        let package = adapter(purl.ecosystem).package(purl.package.as_str())?;
        let requirement = policy.requirement(purl.ecosystem, &package);
        let admission = match &purl.version {
            Some(version) => policy.admit_version(purl.ecosystem, &package, version),
            None => policy.admit_package(purl.ecosystem, &package),
        };
        let verdict = match admission {
            Admission::Admitted => "may be fetched".to_owned(),
            Admission::Denied { reason } => format!("is denied: {reason}"),
            Admission::Internal => "is internal, and never asked for upstream".to_owned(),
        };
        let age = policy.min_age(purl.ecosystem, &package);
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
