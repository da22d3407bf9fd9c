//! Streams and consumers: promote makes them, and makes them again when they vanish; nobody else may.

use touchstone_domain::CheckKind;

use crate::Promote;

/// Provisions until told to stop.
pub(crate) async fn keep(promote: &Promote) {
    let mut connected = promote.bus.clone();
    let bus = promote.stop.run_until_cancelled(connected.wait_for(Option::is_some)).await;
    let Some(bus) = bus.and_then(Result::ok).and_then(|bus| bus.clone()) else { return };
    let checks: Vec<CheckKind> = CheckKind::ALL.into_iter().filter(|check| check.is_available()).collect();
    promote.stop.run_until_cancelled(bus.keep_provisioned(&checks)).await;
}
