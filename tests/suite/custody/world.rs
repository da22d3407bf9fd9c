//! A mirror whose database has an owner of its own mind.

use std::time::Duration;

use reqwest::Response;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use touchstone_domain::{ArtifactId, FileName, PackageName, Version};
use touchstone_testkit::{Package, Registry, TestMirror, TestMirrorBuilder, eventually};

/// A superuser of a mirror's database.
pub(crate) struct Owner {
    client: Client,
    _connection: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Owner {
    pub(crate) async fn of(mirror: &TestMirror) -> Self {
        Self::at(&mirror.database_url).await
    }

    pub(crate) async fn at(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self { client, _connection: tasks }
    }

    /// Takes every trigger out of the way.
    pub(crate) async fn disable_triggers(&self) {
        const DISABLE: &str = r"DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER ALL', name);
    END LOOP;
END
$$";
        self.run(DISABLE).await;
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs statements, and tells whether that was possible.
    pub(crate) async fn may_run(&self, sql: &str) -> bool {
        self.client.batch_execute(sql).await.is_ok()
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The text that a query gives.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }
}

/// A mirror whose roles have stopped, and another edge on its database, its blobs and its log: nothing puts rows right any more.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) edge: TestMirror,
    pub(crate) owner: Owner,
    /// What was promoted; keeps the directories.
    before: TestMirror,
}

impl World {
    /// Promotes the packages, and stops all roles but for an edge once the log has what happened. `prepare` sees the mirror
    /// before that.
    pub(crate) async fn start(
        packages: &[&Package],
        prepare: impl AsyncFnOnce(&TestMirror, &Registry),
    ) -> Self {
        let registry = Registry::start().await;
        for package in packages {
            registry.publish((*package).clone());
        }
        let before = TestMirror::builder().registry(&registry).start().await;
        for package in packages {
            assert_eq!(before.get(&path(package)).await.status(), 200, "{}", package.file);
        }
        prepare(&before, &registry).await;
        sealed(&before).await;
        stop(&before).await;
        let edge = edge_beside(&before).registry(&registry).start().await;
        let owner = Owner::of(&before).await;
        owner.disable_triggers().await;
        let world = Self { registry, edge, owner, before };
        for package in packages {
            let status = world.edge.get(&path(package)).await.status();
            assert!(status == 200 || status == 403, "{}: {status}", package.file);
        }
        world
    }

    /// One more edge like this one.
    pub(crate) fn another_edge(&self) -> TestMirrorBuilder {
        edge_beside(&self.before).registry(&self.registry)
    }

    pub(crate) async fn assert_served(&self, package: &Package) {
        let response = self.edge.get(&path(package)).await;
        assert_eq!(response.status(), 200, "{}", package.file);
        assert!(response.bytes().await.expect("a body") == package.bytes, "{}: other bytes", package.file);
    }

    pub(crate) async fn refused(&self, package: &Package) -> Refused {
        Refused::of(self.edge.get(&path(package)).await).await
    }
}

/// An edge on the database of another mirror, and no other role.
fn edge_beside(mirror: &TestMirror) -> TestMirrorBuilder {
    let builder = TestMirror::builder().beside(mirror).hold(Duration::from_millis(300));
    builder.promoters(0).hash_workers(0).attest_workers(0).sumdb_workers(0)
}

/// Where a package of npm is.
pub(crate) fn path(package: &Package) -> String {
    format!("npm/{}/-/{}", package.name, package.file)
}

/// Waits until the log has all that happened, and its checkpoint is published.
pub(crate) async fn sealed(mirror: &TestMirror) {
    let owner = Owner::of(mirror).await;
    eventually("the log has what happened", || async {
        let promotions = owner.number("SELECT count(*) FROM promotion").await;
        let recalls = owner.number("SELECT count(*) FROM recall").await;
        let leaves = |event: &str| {
            format!(r#"SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%"event":"{event}"%'"#)
        };
        let promoted = owner.number(&leaves("promoted")).await;
        let recalled = owner.number(&leaves("recalled")).await;
        let open = "SELECT count(*) FROM gate_log l WHERE was = 'servable' AND NOT EXISTS
            (SELECT FROM log_leaf WHERE source = 'gate_log' AND source_id = l.id)";
        let whole = promoted >= promotions && recalled >= recalls && owner.number(open).await == 0;
        let size = owner.number("SELECT coalesce(max(index) + 1, 0) FROM log_leaf").await;
        (whole && published(mirror) == u64::try_from(size).expect("not negative")).then_some(())
    })
    .await;
}

/// The size in the published checkpoint.
pub(crate) fn published(mirror: &TestMirror) -> u64 {
    let note = std::fs::read_to_string(mirror.log_dir.join("checkpoint")).unwrap_or_default();
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// Stops the roles of a mirror, and waits until they did.
async fn stop(mirror: &TestMirror) {
    mirror.shutdown.soft.cancel();
    mirror.shutdown.drained().await;
}

/// A refusal as a client sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) body: String,
}

impl Refused {
    pub(crate) async fn of(response: Response) -> Self {
        let header = |name: &str| {
            response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned()
        };
        let (code, title) = (header("x-touchstone-code"), header("x-touchstone-reason"));
        Self { status: response.status().as_u16(), code, title, body: response.text().await.expect("a body") }
    }

    /// Asserts what it says; `detail` is a part of the body.
    pub(crate) fn says(&self, status: u16, code: &str, title: &str, detail: &str) {
        assert_eq!((self.status, self.code.as_str(), self.title.as_str()), (status, code, title), "{self:?}");
        assert!(self.body.contains(detail), "{:?} does not say {detail:?}", self.body);
    }
}

/// The row of a package's artifact.
pub(crate) async fn row(owner: &Owner, package: &Package) -> i64 {
    owner.number(&format!("SELECT id FROM artifact WHERE file = '{}'", package.file)).await
}

/// The coordinate of a package of npm.
pub(crate) fn id(package: &Package) -> ArtifactId {
    ArtifactId {
        ecosystem: package.ecosystem,
        package: PackageName::new(&package.name).expect("a name"),
        version: Version::new(&package.version).expect("a version"),
        file: FileName::new(&package.file).expect("a file name"),
    }
}
