//! pip.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{ClientCommand, Driver, Mode, Packages, Place, python};

pub(super) struct Pip;

impl Driver for Pip {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        vec![(place.project.join("requirements.txt"), python::requirements(dependencies).join("\n"))]
    }

    fn lockfile(&self) -> &'static str {
        "locked.txt"
    }

    fn trees(&self) -> &'static [&'static str] {
        &["site", "report.json"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let from = match mode {
            Mode::Resolve => "--report report.json -r requirements.txt",
            Mode::Locked => "--require-hashes -r locked.txt",
        };
        ClientCommand::new(&place.tools.python)
            .args("-m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile --retries 1 --target site")
            .args(from)
            .arg("--index-url")
            .arg(place.below("pypi/simple/"))
            .arg("--cache-dir")
            .arg(place.fresh.join("cache"))
            .env("PIP_CONFIG_FILE", "/dev/null")
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        python::installed(&place.project.join("site"))
    }

    /// pip writes no lockfile of hashes; its report says what it chose.
    fn lock(&self, place: &Place<'_>) {
        let report = fs::read(place.project.join("report.json")).expect("pip's report");
        let report: Value = serde_json::from_slice(&report).expect("pip's report is JSON");
        let text = |value: &Value| value.as_str().expect("pip's report names each download").to_owned();
        let lines =
            report["install"].as_array().expect("pip's report lists the installs").iter().map(|install| {
                let (name, version) =
                    (text(&install["metadata"]["name"]), text(&install["metadata"]["version"]));
                let sha256 = text(&install["download_info"]["archive_info"]["hashes"]["sha256"]);
                format!("{name}=={version} --hash=sha256:{sha256}\n")
            });
        super::write(&place.project.join(self.lockfile()), &lines.collect::<String>());
    }
}
