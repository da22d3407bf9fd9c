//! Telling the workers of what is on record.

use tokio::sync::watch;
use touchstone_bus::{ArtifactEvent, Bus};

/// Publishes; a lost event costs time only, since the sweeper finds the row.
pub(crate) async fn announce(bus: &watch::Receiver<Option<Bus>>, events: &[ArtifactEvent]) {
    if events.is_empty() {
        return;
    }
    let bus = bus.borrow().clone();
    let Some(bus) = bus else {
        tracing::warn!(events = events.len(), "NATS is away; the sweeper will publish the events");
        return;
    };
    if let Err(error) = bus.publish_fetched(events).await {
        tracing::warn!(
            events = events.len(),
            error = &error as &dyn std::error::Error,
            "cannot publish events; the sweeper will"
        );
    }
}
