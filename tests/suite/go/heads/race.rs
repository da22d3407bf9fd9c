//! Several workers and one head (it never goes backwards).

use std::sync::Arc;

use futures::future::join_all;
use touchstone_runtime::SystemClock;
use touchstone_testkit::{Module, Registry, TestMirror};

use super::super::{get, target};
use crate::protocol::raw::ask;

/// Modules at once.
const MODULES: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_only_move_forward_whoever_races() {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    let mirror = TestMirror::builder().registry(&registry).sumdb_poll(super::POLL).start().await;
    let beside =
        TestMirror::builder().registry(&registry).beside(&mirror).sumdb_poll(super::POLL).start().await;
    for mirror in [&mirror, &beside] {
        mirror.sumdb_worker(Arc::new(SystemClock)).await;
    }
    let modules: Vec<Module> =
        (0..MODULES).map(|number| Module::new(&format!("example.com/m{number}"), "v1.0.0")).collect();
    let asking = async {
        for (number, modules) in modules.chunks(6).enumerate() {
            for module in modules {
                registry.publish_module(module.clone());
                registry.sumdb().fill(registry.sumdb().size() + 70);
            }
            // Every other round is signed for an older tree.
            let size = registry.sumdb().size();
            registry.sumdb().set_lookup_size((number % 2 == 1).then_some(size - 100));
            let replies = modules.iter().flat_map(|module| {
                [(&mirror, "zip"), (&beside, "mod")].map(|(mirror, extension)| {
                    let target = target(module, extension);
                    async move { ask(mirror, "GET", &target, &[]).await.status() }
                })
            });
            assert_eq!(join_all(replies).await, [200; 12]);
        }
    };
    let done = tokio::sync::Notify::new();
    let watching = async {
        let mut sizes = vec![];
        loop {
            let state = mirror.store.sumdb_state(&registry.sumdb().id()).await.expect("a state");
            sizes.extend(state.head.map(|head| head.size));
            tokio::select! {
                () = done.notified() => return sizes,
                () = tokio::task::yield_now() => (),
            }
        }
    };
    let asking = async {
        asking.await;
        done.notify_one();
    };
    let ((), sizes) = tokio::join!(asking, watching);
    assert!(sizes.is_sorted(), "{sizes:?}");
    let last = Module::new("example.com/last", "v1.0.0");
    registry.sumdb().set_lookup_size(None);
    registry.publish_module(last.clone());
    get(&beside, &last, "zip").await.served();
    let state = mirror.store.sumdb_state(&registry.sumdb().id()).await.expect("a state");
    let (head, size) = (state.head.expect("a head"), registry.sumdb().size());
    assert_eq!((head.size, head.root, state.stop), (size, registry.sumdb().root(size), None));
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}
