//! Go: modules through a whole mirror, decided by a checksum database that lies in every way of group G of the threat
//! model. The real `go` builds through it; and where the mirror is left out, `go` itself refuses what the same registry sends.

mod bypassed;
mod graph;

use touchstone_testkit::Registry;
use touchstone_tests::clients::go::GoProject;
use url::Url;

/// A project whose go command asks this proxy, and believes the registry's database.
fn project(registry: &Registry, proxy: Url) -> GoProject {
    GoProject::new(proxy, &registry.sumdb().key())
}
