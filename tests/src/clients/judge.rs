//! The independent judges of signed records: `in-toto-verify`, and securesystemslib from Python, as PyPI has them. What they are told
//! to do is what `README.txt` of an export says, word for word.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Tools;

/// The judges.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The directory of their programs.
    programs: PathBuf,
}

impl Judge {
    /// Looks where `./dev setup` put them.
    ///
    /// # Panics
    /// When they are missing: a test that cannot run must not pass.
    pub fn find() -> Self {
        let tools = Tools::find();
        Self { programs: tools.in_toto_verify.parent().expect("a file in a directory").to_owned() }
    }

    /// Whether in-toto accepts the chain in a directory; what it said.
    pub fn chain(&self, directory: &Path) -> Result<String, String> {
        self.run(directory, &line(directory, "in-toto-verify "))
    }

    /// Whether securesystemslib accepts the serve record; the statement, or what it said.
    pub fn record(&self, directory: &Path) -> Result<String, String> {
        let readme = readme(directory);
        let begins = readme.find("\npython3 - ").expect("README.txt has the command") + 1;
        let ends = readme[begins..].find("\nEND\n").expect("README.txt has all of it") + begins;
        self.run(directory, &readme[begins..ends + "\nEND\n".len()])
    }

    /// Whether the copy of the artifact has the digest that the records name.
    pub fn copy(&self, directory: &Path) -> Result<String, String> {
        self.run(directory, &line(directory, "echo "))
    }

    fn run(&self, directory: &Path, script: &str) -> Result<String, String> {
        let mut path = OsString::from(&self.programs);
        path.push(":/usr/bin:/bin");
        let ran = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(directory)
            .env_clear()
            .env("PATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .expect("a shell");
        let said = [ran.stdout, ran.stderr].concat();
        let said = format!("$ {script}\n{}", String::from_utf8_lossy(&said));
        if ran.status.success() { Ok(said) } else { Err(said) }
    }
}

fn readme(directory: &Path) -> String {
    fs::read_to_string(directory.join("README.txt")).expect("an export has README.txt")
}

fn line(directory: &Path, start: &str) -> String {
    let readme = readme(directory);
    readme.lines().find(|line| line.starts_with(start)).expect("README.txt has the command").to_owned()
}
