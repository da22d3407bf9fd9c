//! What a role may not do, one test per act: the refusal is that of the privileges (42501), unless another guard comes first:
//! 23001, what is kept is only added to; 23514, a row that is not signed; 428C9, a column that is computed.

use touchstone_store::DatabaseRole::{self, Attest, Console, Edge, Hash, Promote, Sumdb};

use super::{refusal, session, verdict};

async fn is_refused(role: DatabaseRole, code: &str, act: &str) {
    assert_eq!(refusal(&session(role).await, act).await.as_deref(), Some(code), "{role}: {act}");
}

macro_rules! refused {
    ($($name:ident: $role:ident, $code:literal, $act:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let act = $act;
                is_refused($role, $code, act.as_ref()).await;
            }
        )*
    };
}

/// The same for every role.
macro_rules! refused_to_all {
    ($($name:ident: $code:literal, $act:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for role in DatabaseRole::ALL {
                    is_refused(role, $code, $act).await;
                }
            }
        )*
    };
}

// D-01, and TH10: a compromised edge
refused! {
    edge_makes_a_gate_servable: Edge, "42501", "UPDATE gate SET ok = required, deny = 0, hold = 0";
    edge_sets_the_computed_state: Edge, "428C9", "UPDATE gate SET servable = true";
    edge_lifts_a_recall: Edge, "42501", "UPDATE gate SET hold = 0, epoch = epoch + 1";
    edge_opens_a_gate_that_is_approved: Edge, "42501",
        "INSERT INTO gate (artifact_id, policy_epoch, required, veto, ok, dispatch_due) VALUES (1, 1, 1, 1, 1, now())";
    edge_opens_a_gate_in_a_later_epoch: Edge, "42501",
        "INSERT INTO gate (artifact_id, policy_epoch, required, veto, epoch, dispatch_due) VALUES (1, 1, 1, 1, 9, now())";
    edge_opens_a_gate_that_requires_nothing: Edge, "23514",
        "INSERT INTO gate (artifact_id, policy_epoch, required, veto, dispatch_due) VALUES (1, 1, 0, 0, now())";
    edge_writes_a_verdict: Edge, "42501", verdict("hash", "hash", "bytes", 0);
    edge_writes_a_promotion: Edge, "42501",
        "INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root) VALUES (1, 1, 1, sha256('bytes'), 5, sha256('bytes'))";
    edge_takes_the_number_of_a_promotion: Edge, "42501", "SELECT nextval('promotion_serial_seq')";
    edge_refuses_a_verdict: Edge, "42501", "INSERT INTO verdict_refusal (verdict_id, code, reason) VALUES (1, 'c', 'r')";
    edge_writes_the_log_of_states: Edge, "42501",
        "INSERT INTO gate_log (artifact_id, epoch, was, state, cause) VALUES (1, 0, 'held', 'servable', 'verdict')";
    edge_writes_an_event: Edge, "42501", r#"INSERT INTO log_event (event) VALUES ('{"event": "recovered"}')"#;
    edge_writes_a_leaf: Edge, "42501", "INSERT INTO log_leaf (index, source, source_id, entry) VALUES (1, 'log_event', 2, 'x')";
    edge_seals_the_log: Edge, "42501", "INSERT INTO log_seal (size, root, note) VALUES (9, sha256('root'), 'note')";
    edge_writes_a_layout: Edge, "42501", "INSERT INTO layout (required) VALUES (1)";
    edge_recalls: Edge, "42501", "INSERT INTO recall (ecosystem, package, reason, actor) VALUES ('npm', 'a', 'r', 'edge')";
    edge_renames_an_artifact: Edge, "42501", "UPDATE artifact SET package = 'right-pad'";
    edge_replaces_the_bytes: Edge, "42501", "UPDATE artifact SET sha256 = sha256('other')";
    edge_dates_a_fetch_back: Edge, "42501", "INSERT INTO artifact (ecosystem, package, version, file, fetched_at) VALUES ('npm', 'a', '1', 'f', '2020-01-01')";
    edge_dates_a_sighting_back: Edge, "42501",
        "INSERT INTO sighting (ecosystem, package, version, first_seen) VALUES ('npm', 'a', '1', '2020-01-01')";
    edge_dates_an_envelope_back: Edge, "42501", "INSERT INTO fetched (artifact_id, key, envelope, pack, pack_offset, pack_size, at) VALUES (1, '', '', '', 0, 1, '2020-01-01')";
    edge_settles_an_incident: Edge, "42501", "UPDATE incident SET resolved_at = now()";
    edge_reports_an_incident_as_settled: Edge, "42501",
        "INSERT INTO incident (kind, ecosystem, package, detail, resolved_at) VALUES ('second_digest', 'npm', 'a', '{}', now())";
    edge_rewrites_an_incident: Edge, "42501", "UPDATE incident SET detail = '{}'";
    edge_settles_a_dead_letter: Edge, "42501", "UPDATE dead_letter SET resolved_at = now()";
    edge_gives_up_on_an_artifact: Edge, "42501",
        "INSERT INTO dead_letter (stream, consumer, stream_seq, deliveries, detail) VALUES ('LIVE', 'hash', 2, 8, '')";
    edge_advances_a_head: Edge, "42501", "UPDATE sumdb_head SET size = size + 1";
    edge_resumes_a_stopped_database: Edge, "42501", "INSERT INTO sumdb_resume (stop_id, reason) VALUES (1, 'r')";
    edge_replaces_a_tile: Edge, "42501", "DELETE FROM sumdb_tile";
    edge_says_who_signed: Edge, "42501", "INSERT INTO identity (artifact_id) VALUES (1)";
    edge_reads_the_trust: Edge, "42501", "SELECT * FROM tuf_file";
    edge_has_artifacts_judged_again: Edge, "42501", "SELECT reopen_unknown_authorities(ARRAY[]::bytea[], 9)";
}

// D-02, and threats.md 3.6: a compromised worker
refused! {
    worker_writes_a_verdict_of_another_kind: Hash, "42501", verdict("hash", "attest", "bytes", 0);
    worker_writes_a_verdict_of_a_kind_without_a_worker: Hash, "42501", verdict("hash", "peer", "bytes", 0).replace(", 4, 1, 1,", ", 8, 1, 1,");
    worker_writes_a_verdict_in_the_name_of_another_service: Hash, "42501", verdict("attest", "hash", "bytes", 0);
    worker_writes_a_verdict_about_other_bytes: Hash, "42501", verdict("hash", "hash", "other", 0);
    worker_writes_a_verdict_for_an_epoch_to_come: Hash, "42501", verdict("hash", "hash", "bytes", 1);
    worker_writes_a_verdict_about_nothing: Hash, "42501", verdict("hash", "hash", "bytes", 0).replace("VALUES (1,", "VALUES (2,");
    worker_writes_a_verdict_that_nobody_signed: Hash, "23514", verdict("hash", "hash", "bytes", 0).replace("sha256('envelope')", "NULL");
    worker_dates_a_verdict_back: Hash, "42501",
        verdict("hash", "hash", "bytes", 0).replace("decided_at,", "recorded_at,");
    worker_chooses_the_row_of_a_verdict: Hash, "42501", verdict("hash", "hash", "bytes", 0).replace("(artifact_id,", "(id,").replace("VALUES (1,", "OVERRIDING SYSTEM VALUE VALUES (1,");
    worker_changes_a_verdict: Hash, "42501", "UPDATE verdict SET outcome = 'pass'";
    worker_deletes_a_verdict: Hash, "42501", "DELETE FROM verdict WHERE outcome = 'fail'";
    worker_truncates_verdicts: Hash, "42501", "TRUNCATE verdict";
    worker_puts_a_verdict_in_anothers_place: Hash, "42501",
        format!("{} ON CONFLICT (id) DO UPDATE SET outcome = 'pass'", verdict("hash", "hash", "bytes", 0));
    worker_notes_an_attempt_of_another_kind: Hash, "42501",
        "INSERT INTO attempt (artifact_id, epoch, check_kind, delivery, class, detail, service) VALUES (1, 0, 'attest', 1, 'retry', '', 'hash')";
    worker_notes_an_attempt_of_another_service: Hash, "42501",
        "INSERT INTO attempt (artifact_id, epoch, check_kind, delivery, class, detail, service) VALUES (1, 0, 'hash', 1, 'retry', '', 'attest')";
    worker_gives_up_for_another_kind: Hash, "42501",
        "INSERT INTO dead_letter (stream, consumer, stream_seq, deliveries, check_kind, detail) VALUES ('LIVE', 'attest', 2, 8, 'attest', '')";
    worker_holds_a_gate_still: Hash, "42501", "SELECT FROM gate FOR SHARE";
    worker_takes_promotes_turn: Hash, "42501", "SELECT FROM turn FOR SHARE";
    worker_approves: Hash, "42501", "UPDATE gate SET ok = required";
    worker_clears_a_denial: Hash, "42501", "UPDATE gate SET deny = 0";
    worker_begins_an_epoch: Hash, "42501", "UPDATE gate SET epoch = epoch + 1, deny = 0";
    worker_lifts_a_recall: Hash, "42501", "UPDATE gate SET hold = 0";
    worker_sets_a_computed_column: Hash, "428C9", "UPDATE gate SET pending = false";
    worker_opens_a_gate: Hash, "42501",
        "INSERT INTO gate (artifact_id, policy_epoch, required, veto, dispatch_due) VALUES (1, 1, 1, 1, now())";
    worker_promotes: Hash, "42501",
        "INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root) VALUES (1, 1, 1, sha256('bytes'), 5, sha256('bytes'))";
    worker_takes_the_number_of_a_promotion: Hash, "42501", "SELECT nextval('promotion_serial_seq')";
    worker_withdraws_a_refusal: Hash, "42501", "DELETE FROM verdict_refusal";
    worker_refuses_a_verdict: Hash, "42501", "INSERT INTO verdict_refusal (verdict_id, code, reason) VALUES (1, 'c', 'r')";
    worker_refuses_a_fetch: Hash, "42501",
        "INSERT INTO fetch_refusal (artifact_id, envelope, code, reason) VALUES (1, sha256('envelope'), 'c', 'r')";
    worker_writes_the_log_of_states: Hash, "42501",
        "INSERT INTO gate_log (artifact_id, epoch, was, state, cause) VALUES (1, 0, 'held', 'servable', 'verdict')";
    worker_writes_an_event: Hash, "42501", r#"INSERT INTO log_event (event) VALUES ('{"event": "recovered"}')"#;
    worker_writes_a_leaf: Hash, "42501", "INSERT INTO log_leaf (index, source, source_id, entry) VALUES (1, 'log_event', 2, 'x')";
    worker_registers_a_policy: Hash, "42501", "INSERT INTO policy (sha256, document) VALUES (sha256('p'), '')";
    worker_edits_a_policy: Hash, "42501", "UPDATE policy SET document = ''";
    worker_takes_a_recall_back: Hash, "42501", "DELETE FROM recall";
    worker_that_needs_none_reads_recalls: Sumdb, "42501", "SELECT * FROM recall";
    worker_renames_an_artifact: Hash, "42501", "UPDATE artifact SET package = 'right-pad'";
    worker_puts_an_artifact_on_record: Hash, "42501", "INSERT INTO artifact (ecosystem, package, version, file) VALUES ('npm', 'a', '1', 'f')";
    worker_says_what_was_fetched: Hash, "42501", "INSERT INTO fetched (artifact_id) VALUES (1)";
    worker_claims_for_upstream: Hash, "42501", "INSERT INTO claim (artifact_id, ordinal, field, value) VALUES (1, 9, 'f', 'v')";
    worker_that_fetches_nothing_adds_evidence: Hash, "42501", "INSERT INTO evidence (artifact_id) VALUES (1)";
    worker_settles_an_incident: Hash, "42501", "UPDATE incident SET resolved_at = now()";
    worker_settles_a_dead_letter: Hash, "42501", "UPDATE dead_letter SET resolved_at = now()";
    worker_says_who_signed: Hash, "42501", "INSERT INTO identity (artifact_id) VALUES (1)";
    worker_of_hash_changes_the_trust: Hash, "42501", "DELETE FROM tuf_file";
    worker_of_hash_has_artifacts_judged_again: Hash, "42501", "SELECT reopen_unknown_authorities(ARRAY[]::bytea[], 9)";
    worker_of_hash_advances_a_head: Hash, "42501", "UPDATE sumdb_head SET size = size + 1";
    attest_approves: Attest, "42501", "UPDATE gate SET ok = required";
    attest_writes_a_verdict_of_another_kind: Attest, "42501", verdict("attest", "hash", "bytes", 0);
    attest_writes_a_verdict_about_other_bytes: Attest, "42501", verdict("attest", "attest", "other", 0);
    attest_changes_who_signed: Attest, "42501", "UPDATE identity SET rank = 'provenance'";
    attest_rewrites_the_trust_that_was: Attest, "42501", "UPDATE trust_material SET origin = 'file'";
    attest_puts_trust_under_another_digest: Attest, "23514",
        "INSERT INTO trust_material (kind, sha256, document, origin) VALUES ('tuf_root', sha256('other'), 'root', 'file')";
    attest_sights_a_version: Attest, "42501", "INSERT INTO sighting (ecosystem, package, version) VALUES ('npm', 'a', '1')";
    sumdb_approves: Sumdb, "42501", "UPDATE gate SET ok = required";
    sumdb_writes_a_verdict_of_another_kind: Sumdb, "42501", verdict("sumdb", "hash", "bytes", 0);
    sumdb_writes_a_verdict_for_an_epoch_to_come: Sumdb, "42501", verdict("sumdb", "sumdb", "bytes", 1);
    sumdb_ends_a_fork: Sumdb, "42501", "INSERT INTO sumdb_resume (stop_id, reason) VALUES (1, 'r')";
    sumdb_forgets_a_head_with_a_resume: Sumdb, "42501",
        "INSERT INTO sumdb_resume (stop_id, reason, discarded_size, discarded_root, discarded_note) VALUES (2, 'r', 2, sha256('root'), 'note')";
    sumdb_forgets_a_head: Sumdb, "42501", "DELETE FROM sumdb_head";
    sumdb_moves_a_head_back: Sumdb, "23001", "UPDATE sumdb_head SET size = 1";
    sumdb_swaps_the_root_of_a_head: Sumdb, "23001", "UPDATE sumdb_head SET root = sha256('other')";
    sumdb_takes_a_stop_back: Sumdb, "42501", "DELETE FROM sumdb_stop";
}

// D-03, and TH12: promote moves gates within their rules, and writes nobody else's words
refused! {
    promote_writes_a_verdict: Promote, "42501", verdict("hash", "hash", "bytes", 0);
    promote_changes_a_verdict: Promote, "42501", "UPDATE verdict SET outcome = 'pass'";
    promote_says_what_was_fetched: Promote, "42501", "INSERT INTO fetched (artifact_id) VALUES (1)";
    promote_replaces_the_bytes: Promote, "42501", "UPDATE artifact SET sha256 = sha256('other')";
    promote_promotes_what_nobody_signed: Promote, "23514",
        "INSERT INTO promotion (serial, artifact_id, epoch, policy_epoch, sha256, size, chunk_root) OVERRIDING SYSTEM VALUE
         VALUES (9, 1, 1, 1, sha256('bytes'), 5, sha256('bytes'))";
    promote_sets_the_computed_state: Promote, "428C9", "UPDATE gate SET servable = true";
    promote_forgets_a_denial: Promote, "23001", "UPDATE gate SET deny = 0";
    promote_forgets_a_recall: Promote, "23001", "UPDATE gate SET hold = 0";
    promote_goes_back_to_an_epoch: Promote, "23001", "UPDATE gate SET epoch = -1, deny = 0";
    promote_requires_nothing: Promote, "23514", "UPDATE gate SET required = 0";
    promote_rewrites_a_promotion: Promote, "42501", "UPDATE promotion SET epoch = 1";
    promote_rewrites_the_log: Promote, "42501", "UPDATE log_leaf SET entry = 'x'";
    promote_shortens_the_log: Promote, "42501", "DELETE FROM log_leaf";
    promote_takes_a_recall_back: Promote, "42501", "DELETE FROM recall";
    promote_settles_an_incident: Promote, "42501", "UPDATE incident SET resolved_at = now()";
    promote_changes_the_trust: Promote, "42501", "DELETE FROM tuf_file";
    promote_resumes_a_stopped_database: Promote, "42501", "INSERT INTO sumdb_resume (stop_id, reason) VALUES (2, 'r')";
}

// An operator's commands, and whoever breaks into the console: may take out of service, and never put into it
refused! {
    console_approves: Console, "23001", "UPDATE gate SET ok = required";
    console_approves_in_another_epoch: Console, "23001", "UPDATE gate SET ok = required, deny = 0, epoch = epoch + 1";
    console_lifts_a_recall_within_an_epoch: Console, "23001", "UPDATE gate SET hold = 0";
    console_promotes: Console, "42501",
        "INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root) VALUES (1, 1, 1, sha256('bytes'), 5, sha256('bytes'))";
    console_writes_a_verdict: Console, "42501", verdict("hash", "hash", "bytes", 0);
    console_takes_a_recall_back: Console, "42501", "DELETE FROM recall";
    console_rewrites_a_recall: Console, "42501", "UPDATE recall SET reason = 'none'";
    console_rewrites_an_incident: Console, "42501", "UPDATE incident SET detail = '{}'";
    console_writes_a_leaf: Console, "42501", "INSERT INTO log_leaf (index, source, source_id, entry) VALUES (1, 'log_event', 2, 'x')";
    console_writes_an_event: Console, "42501", r#"INSERT INTO log_event (event) VALUES ('{"event": "recovered"}')"#;
    console_forgets_a_head_without_a_word: Console, "23001", "DELETE FROM sumdb_head";
    console_puts_an_artifact_on_record: Console, "42501", "INSERT INTO artifact (ecosystem, package, version, file) VALUES ('npm', 'a', '1', 'f')";
}

// D-06, and what would undo all of the above
refused_to_all! {
    nobody_disables_a_trigger: "42501", "ALTER TABLE verdict DISABLE TRIGGER append_only";
    nobody_drops_a_trigger: "42501", "DROP TRIGGER gate_only_grows ON gate";
    nobody_passes_the_triggers_by: "42501", "SET session_replication_role = replica";
    nobody_lifts_the_row_security: "42501", "ALTER TABLE verdict DISABLE ROW LEVEL SECURITY";
    nobody_writes_a_policy_of_rows: "42501", "CREATE POLICY mine ON verdict FOR INSERT WITH CHECK (true)";
    nobody_alters_a_column: "42501", "ALTER TABLE gate ALTER COLUMN servable DROP EXPRESSION";
    nobody_drops_a_table: "42501", "DROP TABLE verdict CASCADE";
    nobody_makes_a_table: "42501", "CREATE TABLE mine (a integer)";
    nobody_makes_a_temporary_table: "42501", "CREATE TEMPORARY TABLE gate (a integer)";
    nobody_makes_a_schema: "42501", "CREATE SCHEMA mine";
    nobody_makes_a_function: "42501", "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
    nobody_replaces_a_function: "42501",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    nobody_becomes_the_owner: "42501", "SET ROLE postgres";
    nobody_is_somebody_else: "42501", "SET SESSION AUTHORIZATION postgres";
    nobody_makes_a_role: "42501", "CREATE ROLE mine SUPERUSER";
    nobody_becomes_a_superuser: "42501", "ALTER ROLE CURRENT_USER SUPERUSER";
    nobody_reads_passwords: "42501", "SELECT rolpassword FROM pg_authid";
    nobody_runs_a_program: "42501", "COPY policy (document) FROM PROGRAM 'id'";
    nobody_reads_a_file: "42501", "SELECT pg_read_file('postgresql.conf')";
    nobody_locks_out_the_others: "42501", "LOCK TABLE policy IN ACCESS EXCLUSIVE MODE";
    nobody_changes_which_migrations_ran: "42501", "DELETE FROM refinery_schema_history";
}

#[tokio::test]
async fn nobody_becomes_another_role() {
    for role in DatabaseRole::ALL {
        for other in DatabaseRole::ALL.into_iter().filter(|other| *other != role) {
            is_refused(role, "42501", &format!("SET ROLE {}", other.user())).await;
        }
    }
}

#[tokio::test]
async fn nobody_changes_a_setting_of_the_server() {
    for role in DatabaseRole::ALL {
        // Not in a transaction: there it is refused to the owner as well.
        let refused = session(role).await.batch_execute("ALTER SYSTEM SET fsync = off").await.unwrap_err();
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{role}");
    }
}
