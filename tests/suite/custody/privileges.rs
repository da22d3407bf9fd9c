//! Least privilege in Postgres: with each role's real credentials, what it may not do fails, one test per act. What each may do is
//! tested where its statements are, in the store.

mod acts;
mod server;

use tokio_postgres::error::SqlState;
use touchstone_store::{DatabaseRole, Store, StoreError};

use server::{Login, Server, Session};

/// Columns of a verdict of a check, about bytes, in an epoch; as the worker's own statement writes them.
fn verdict(role: &str, check: &str, bytes: &str, epoch: i32) -> String {
    let mask = match check {
        "hash" => 1,
        "attest" => 2,
        _ => 4,
    };
    format!(
        "INSERT INTO verdict (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome,
             reason, evidence, service, software, decided_at, key, envelope, pack, pack_offset, pack_size)
         VALUES (1, sha256('{bytes}'), sha256('{bytes}'), {epoch}, '{check}', {mask}, 1, 1, 'pass', '{{}}', '', '{role}', 'test', now(),
             sha256('key'), sha256('envelope'), sha256('pack'), 0, 900)"
    )
}

/// Runs one act, undoes it, and returns how it was refused.
async fn refusal(client: &Session, act: &str) -> Option<String> {
    client.batch_execute("BEGIN").await.expect("a transaction");
    let done = client.batch_execute(act).await;
    client.batch_execute("ROLLBACK").await.expect("undone");
    done.err().map(|error| error.code().expect("the server refuses it").code().to_owned())
}

/// The shared server, as somebody.
async fn session(login: impl Into<Login>) -> Session {
    Server::shared().await.connect(login.into()).await.expect("the password is right")
}

#[tokio::test]
async fn a_worker_records_verdicts_of_its_own_check_about_the_bytes_on_record() {
    for role in ["hash", "attest", "sumdb"] {
        let login: DatabaseRole = role.parse().expect("a role");
        assert_eq!(refusal(&session(login).await, &verdict(role, role, "bytes", 0)).await, None, "{role}");
    }
}

/// Every table whose rows are only added to, and those of which nobody may remove any.
#[tokio::test]
async fn no_role_changes_or_removes_history() {
    let client = session(Login::Owner).await;
    let history = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname IN ('append_only', 'gate_kept')";
    let tables: Vec<String> =
        client.query(history, &[]).await.expect("tables").iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 19, "{tables:?}");
    for role in DatabaseRole::ALL {
        let as_role = session(role).await;
        for table in &tables {
            for act in [format!("DELETE FROM {table}"), format!("TRUNCATE {table} CASCADE")] {
                assert_eq!(refusal(&as_role, &act).await.as_deref(), Some("42501"), "{role}: {act}");
            }
            let changes = "SELECT has_any_column_privilege($1::text, $2::text, 'UPDATE') OR has_table_privilege($1, $2, 'TRIGGER, REFERENCES')";
            let may: bool =
                client.query_one(changes, &[&role.user(), table]).await.expect("an answer").get(0);
            let gate = table == "gate" && matches!(role, DatabaseRole::Promote | DatabaseRole::Console);
            assert_eq!(may, gate, "{role} may change {table}");
        }
    }
}

#[tokio::test]
async fn a_role_is_let_in_by_its_own_password_alone() {
    let server = Server::shared().await;
    let (edge, hash) = (Server::password(DatabaseRole::Edge), Server::password(DatabaseRole::Hash));
    for (user, password) in
        [("touchstone_edge", hash), ("touchstone_edge", ""), ("touchstone_hash", edge), ("postgres", edge)]
    {
        let refused = server.login(user, password).await.err().expect("refused");
        assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD), "{user}: {refused:?}");
    }
    let client = session(Login::Owner).await;
    let kept = "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'touchstone\\_%' AND rolpassword LIKE 'SCRAM-SHA-256$%'";
    assert_eq!(client.query_one(kept, &[]).await.expect("an answer").get::<_, i64>(0), 6);
}

#[tokio::test]
async fn a_role_without_a_password_and_one_with_a_short_one_are_not_let_in() {
    let server = Server::start().await;
    Store::migrate(&server.owner_url()).await.expect("migrated");
    server.demand_passwords().await;
    for password in ["", "touchstone_edge"] {
        let refused = server.login("touchstone_edge", password).await.err().expect("refused");
        assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD), "{refused:?}");
    }
    let owner = server.owner_url().replace("postgres@", "postgres:the%20password%20of%20the%20owner@");
    let short = [(DatabaseRole::Edge, "eleven byte".to_owned())];
    let refused = Store::set_role_passwords(&owner, &short).await.unwrap_err().to_string();
    assert_eq!(refused, "password cannot be stored: that of edge has fewer than 12 bytes");
    let long = [(DatabaseRole::Edge, "twelve bytes".to_owned())];
    Store::set_role_passwords(&owner, &long).await.expect("set");
    server.login("touchstone_edge", "twelve bytes").await.expect("let in");
}

fn told(refused: &StoreError) -> String {
    let mut causes = vec![];
    let mut cause: Option<&dyn std::error::Error> = Some(refused);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}

#[tokio::test]
async fn who_may_not_create_roles_is_told_which_to_create() {
    let server = Server::start().await;
    server.execute("CREATE ROLE owner LOGIN").await;
    server.execute("CREATE DATABASE theirs OWNER owner").await;
    let url = server.owner_url().replace("postgres@", "owner@").replace("/touchstone", "/theirs");
    let told = told(&Store::migrate(&url).await.unwrap_err());
    assert!(told.contains("the user owner may not create roles"), "{told}");
    for role in DatabaseRole::ALL {
        let statement =
            format!("CREATE ROLE {} LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE;", role.user());
        assert!(told.contains(&statement), "{told}");
        server.execute(&statement).await;
    }
    Store::migrate(&url).await.expect("whoever owns the tables grants them");
}

#[tokio::test]
async fn a_role_that_is_there_and_may_too_much_is_refused() {
    let server = Server::start().await;
    for (too_much, enough) in [
        ("CREATE ROLE touchstone_edge LOGIN CREATEDB", "ALTER ROLE touchstone_edge NOCREATEDB"),
        ("GRANT postgres TO touchstone_edge", "REVOKE postgres FROM touchstone_edge"),
    ] {
        server.execute(too_much).await;
        let told = told(&Store::migrate(&server.owner_url()).await.unwrap_err());
        assert!(
            told.contains("the role touchstone_edge exists and may do more than its service needs"),
            "{told}"
        );
        server.execute(enough).await;
    }
    Store::migrate(&server.owner_url()).await.expect("migrated");
}

/// D-06: even who owns the tables must first take the guard away, and says so in the server's log.
#[tokio::test]
async fn the_owner_changes_no_history_while_the_triggers_are_there() {
    let owner = session(Login::Owner).await;
    let replica = "SET session_replication_role = replica;";
    for act in [
        "DELETE FROM verdict",
        "UPDATE verdict SET outcome = 'pass'",
        "TRUNCATE verdict",
        "TRUNCATE log_leaf",
        "UPDATE promotion SET epoch = epoch + 1",
        "DELETE FROM recall",
        "UPDATE gate SET hold = 0",
        "DELETE FROM gate",
    ] {
        assert_eq!(refusal(&owner, act).await.as_deref(), Some("23001"), "{act}");
        let act = format!("{replica} {act}");
        assert_eq!(refusal(&owner, &act).await.as_deref(), Some("23001"), "{act}");
    }
}

#[tokio::test]
async fn promote_alone_ends_transactions_that_a_role_leaves_open() {
    let server = Server::start().await;
    Store::migrate(&server.owner_url()).await.expect("migrated");
    let login = async |user: &str| server.login(user, "").await.expect("everybody is trusted");
    let (open, owner, promote) =
        (login("touchstone_hash").await, login("postgres").await, login("touchstone_promote").await);
    for client in [&open, &owner] {
        client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a transaction");
    }
    let ended = async |age: &str| -> i64 {
        let row = promote.query_one(&format!("SELECT end_transactions('{age}')"), &[]).await;
        row.expect("promote may").get(0)
    };
    assert_eq!(ended("1 hour").await, 0, "it has just begun");
    assert_eq!(ended("0").await, 1);
    open.batch_execute("SELECT 1").await.expect_err("the session is over");
    owner.batch_execute("COMMIT").await.expect("an owner's is not ended");
    for role in DatabaseRole::ALL.into_iter().filter(|role| *role != DatabaseRole::Promote) {
        let refused = refusal(&login(role.user()).await, "SELECT end_transactions('0')").await;
        assert_eq!(refused.as_deref(), Some("42501"), "{role}");
    }

    // Where the owner of the tables may see others' sessions and not end them, promote is told so.
    let weaker =
        "CREATE ROLE plain; GRANT pg_read_all_stats TO plain; GRANT CREATE ON SCHEMA public TO plain;
                  ALTER FUNCTION end_transactions(interval) OWNER TO plain";
    owner.batch_execute(weaker).await.expect("another owner");
    let open = login("touchstone_hash").await;
    open.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a transaction");
    let refused = refusal(&promote, "SELECT end_transactions('0')").await;
    assert_eq!(refused.as_deref(), Some("42501"));
    open.batch_execute("COMMIT").await.expect("it was not ended");
}
