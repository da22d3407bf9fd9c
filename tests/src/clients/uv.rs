//! uv.

use std::{fs, path::PathBuf};

use super::{ClientCommand, Driver, Mode, Packages, Place, python};

pub(super) struct Uv;

impl Driver for Uv {
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)> {
        let dependencies = python::requirements(dependencies);
        let manifest = format!(
            "[project]\nname = \"project\"\nversion = \"1.0.0\"\nrequires-python = \">=3.10\"\ndependencies = {dependencies:?}\n"
        );
        vec![(place.project.join("pyproject.toml"), manifest)]
    }

    fn lockfile(&self) -> &'static str {
        "uv.lock"
    }

    fn trees(&self) -> &'static [&'static str] {
        &[".venv"]
    }

    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand {
        let command = ClientCommand::new(&place.tools.uv)
            .args("sync --no-progress --default-index")
            .arg(place.below("pypi/simple/"))
            .arg("--python")
            .arg(&place.tools.python)
            .env("UV_NO_CONFIG", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_HTTP_RETRIES", "1")
            .env("UV_CACHE_DIR", place.fresh.join("cache"));
        match mode {
            Mode::Resolve => command,
            Mode::Locked => command.arg("--frozen"),
        }
    }

    fn installed(&self, place: &Place<'_>) -> Packages {
        let pythons = fs::read_dir(place.project.join(".venv/lib")).into_iter().flatten().flatten();
        pythons.flat_map(|python| python::installed(&python.path().join("site-packages"))).collect()
    }
}
