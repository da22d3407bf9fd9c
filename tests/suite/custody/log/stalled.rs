//! A log that nobody can go on with: promotion does not go on without it.

use touchstone_testkit::{Registry, TestMirror, npm_package};

use super::{incident, served};
use crate::custody::world::{Owner, path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_promoted_while_what_happened_a_minute_ago_is_not_sealed() {
    let registry = Registry::start().await;
    let (before, after) = (npm_package("before", "1.0.0", &[], 10), npm_package("after", "1.0.0", &[], 10));
    registry.publish(before.clone());
    registry.publish(after.clone());
    let mirror = TestMirror::builder().registry(&registry).hold(std::time::Duration::ZERO).start().await;
    served(&mirror, &before).await;

    // A transaction that stays open hides from the sealer whatever is written after it began.
    let open = Owner::of(&mirror).await;
    open.run("BEGIN; SELECT pg_current_xact_id()").await;
    let owner = Owner::of(&mirror).await;
    let old = r#"INSERT INTO log_event (event, at)
        VALUES ('{"event": "policy", "epoch": 7, "sha256": "00"}', now() - interval '2 minutes')"#;
    owner.run(old).await;
    incident(&mirror, "log_frozen", "is not in the transparency log").await;
    let response = mirror.get(&path(&after)).await;
    assert_eq!(response.status(), 503, "fetched and checked, and not promoted");
    assert_eq!(mirror.get(&path(&before)).await.status(), 200, "what is approved stays served");

    open.run("ROLLBACK").await;
    served(&mirror, &after).await;
}
