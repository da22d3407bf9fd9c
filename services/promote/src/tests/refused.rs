//! A database whose owner may not end the transactions of other roles.

use touchstone_runtime::Chain;

use super::world::World;

/// The owner of the tables sees other sessions, and may not end them.
const WITHOUT_SIGNALS: &str = r"DO $$
BEGIN
    IF to_regrole('owner_without_signals') IS NULL THEN
        CREATE ROLE owner_without_signals;
    END IF;
    GRANT pg_read_all_stats TO owner_without_signals;
    EXECUTE format('GRANT ALL ON SCHEMA %I TO owner_without_signals', current_schema());
    ALTER FUNCTION end_transactions(interval) OWNER TO owner_without_signals;
END
$$";
/// All sessions that it sees are in its way.
const ALL: &str = r"CREATE OR REPLACE FUNCTION end_transactions(older_than interval) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() $$";

#[tokio::test]
async fn sealing_goes_on_with_what_can_be_seen_where_open_transactions_may_not_be_ended() {
    let world = World::new().await;
    world.served("1.0.0").await;
    world.rows(WITHOUT_SIGNALS).await;
    world.rows(ALL).await;
    let refused = world.promote.store.end_transactions(std::time::Duration::ZERO).await.expect_err("refused");
    let said = Chain(&refused).to_string();
    assert!(said.contains(" to terminate "), "{said}");

    let (promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    // longer ago than any transaction may be open, and less than what stops promotion
    let late =
        r#"INSERT INTO log_event (event, at) VALUES ('{"event": "newer"}', now() - interval '45 seconds')"#;
    world.rows(late).await;
    world.sealed(&mut sealer).await;
    sealer.cycle().await;
    assert!(!promote.is_halted());
}
