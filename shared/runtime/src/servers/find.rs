//! Where the server programs are: named by the environment, installed by `./dev setup`, on the path, or where Debian puts
//! them.

use std::path::{Path, PathBuf};

use crate::Environment;

/// Where Debian and its relatives keep Postgres, one directory per major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server program that is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The place that the environment names does not hold it.
    #[error("{variable} names {path}, but {program} is not there", path = path.display())]
    Named {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What should be there.
        program: &'static str,
    },
    /// No place holds it.
    #[error("{program} is not installed: run ./dev setup, or set {variable}")]
    Nowhere {
        /// What was looked for.
        program: &'static str,
        /// The environment variable that could name it.
        variable: &'static str,
    },
}

/// The places to look, in order.
#[derive(Clone, Debug)]
pub struct Search {
    postgres: Option<PathBuf>,
    nats: Option<PathBuf>,
    tools: Vec<PathBuf>,
    path: Vec<PathBuf>,
    debian: PathBuf,
}

impl Search {
    /// `TOUCHSTONE_PG_BIN` (a directory) and `TOUCHSTONE_NATS_BIN` (a file); then `TOUCHSTONE_TOOLS`, or the `.tools` beside
    /// or above this program; then `PATH`; then Debian's directories.
    pub fn new(environment: &Environment) -> Self {
        let tools = environment.path("TOUCHSTONE_TOOLS").map_or_else(tools_near_program, |named| vec![named]);
        Self {
            postgres: environment.path("TOUCHSTONE_PG_BIN"),
            nats: environment.path("TOUCHSTONE_NATS_BIN"),
            tools,
            path: environment
                .get("PATH")
                .map(|path| std::env::split_paths(path).collect())
                .unwrap_or_default(),
            debian: PathBuf::from(DEBIAN),
        }
    }

    /// The directory that holds `postgres` and `initdb`.
    pub fn postgres_bin_dir(&self) -> Result<PathBuf, NotFound> {
        let (program, variable) = ("postgres", "TOUCHSTONE_PG_BIN");
        if let Some(path) = &self.postgres {
            return holds_postgres(path).ok_or_else(|| NotFound::Named {
                variable,
                path: path.clone(),
                program,
            });
        }
        let tools = self.tools.iter().map(|tools| tools.join("pgsql/bin"));
        let mut places = tools.chain(self.path.iter().cloned()).chain(debian_versions(&self.debian));
        places.find_map(|place| holds_postgres(&place)).ok_or(NotFound::Nowhere { program, variable })
    }

    /// The `nats-server` program.
    pub fn nats_server(&self) -> Result<PathBuf, NotFound> {
        let (program, variable) = ("nats-server", "TOUCHSTONE_NATS_BIN");
        if let Some(path) = &self.nats {
            let found = path.is_file().then(|| path.clone());
            return found.ok_or_else(|| NotFound::Named { variable, path: path.clone(), program });
        }
        let tools = self.tools.iter().map(|tools| tools.join("venv/bin"));
        let mut places = tools.chain(self.path.iter().cloned()).map(|place| place.join(program));
        let found = places.find_map(|file| file.canonicalize().ok().filter(|file| file.is_file()));
        found.ok_or(NotFound::Nowhere { program, variable })
    }
}

/// The real directory, when `postgres` and `initdb` are both there; links are followed, since Postgres finds its other
/// files beside itself.
fn holds_postgres(place: &Path) -> Option<PathBuf> {
    let postgres = place.join("postgres").canonicalize().ok()?;
    let directory = postgres.parent()?;
    directory.join("initdb").is_file().then(|| directory.to_owned())
}

/// Newest first.
fn debian_versions(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

fn tools_near_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().skip(1).map(|above| above.join(".tools")).filter(|tools| tools.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(root: &Path) -> Search {
        Search {
            postgres: None,
            nats: None,
            tools: vec![root.join("tools")],
            path: vec![root.join("path")],
            debian: root.join("debian"),
        }
    }

    fn touch(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_places_are_tried_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut search = search(&root);
        let nowhere = NotFound::Nowhere { program: "postgres", variable: "TOUCHSTONE_PG_BIN" };
        assert_eq!(search.postgres_bin_dir(), Err(nowhere));

        touch(
            &root,
            &[
                "debian/9/bin/postgres",
                "debian/9/bin/initdb",
                "debian/15/bin/postgres",
                "debian/15/bin/initdb",
            ],
        );
        assert_eq!(search.postgres_bin_dir(), Ok(root.join("debian/15/bin")), "15 is newer than 9");
        touch(&root, &["path/postgres"]);
        assert_eq!(search.postgres_bin_dir(), Ok(root.join("debian/15/bin")), "no initdb beside it");
        touch(&root, &["path/initdb"]);
        assert_eq!(search.postgres_bin_dir(), Ok(root.join("path")));
        touch(&root, &["tools/pgsql/bin/postgres", "tools/pgsql/bin/initdb"]);
        assert_eq!(search.postgres_bin_dir(), Ok(root.join("tools/pgsql/bin")));
        search.postgres = Some(root.join("debian/9/bin"));
        assert_eq!(search.postgres_bin_dir(), Ok(root.join("debian/9/bin")));
    }

    #[test]
    fn a_named_place_that_lacks_the_program_is_an_error_even_if_another_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        touch(&root, &["path/nats-server"]);
        let mut search = search(&root);
        assert_eq!(search.nats_server(), Ok(root.join("path/nats-server")));
        search.nats = Some(root.join("none"));
        let (variable, program) = ("TOUCHSTONE_NATS_BIN", "nats-server");
        assert_eq!(search.nats_server(), Err(NotFound::Named { variable, path: root.join("none"), program }));
    }
}
