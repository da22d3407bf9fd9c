//! The Prometheus recorder. Parts record through the `metrics` macros; the console renders.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::Shutdown;

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// How often recorded samples are folded into the buckets when nobody scrapes.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder")]
pub struct MetricsError(#[source] metrics_exporter_prometheus::BuildError);

/// What the process has recorded so far.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder of this process; further calls return the same one.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = &*installed {
            return Ok(metrics.clone());
        }
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(MetricsError)?;
        let metrics = Self(builder.install_recorder().map_err(MetricsError)?);
        *installed = Some(metrics.clone());
        Ok(metrics)
    }

    /// The metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Starts the task that keeps memory bounded when nobody scrapes; it ends with the soft shutdown.
    pub fn keep_bounded(&self, shutdown: &Shutdown) {
        let (handle, soft) = (self.0.clone(), shutdown.soft.clone());
        shutdown.tracker.spawn(async move {
            let mut period = tokio::time::interval(UPKEEP_PERIOD);
            while soft.run_until_cancelled(period.tick()).await.is_some() {
                handle.run_upkeep();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_renders_and_installs_once() {
        let metrics = Metrics::install().unwrap();
        ::metrics::counter!("touchstone_example_total", "kind" => "a").increment(2);
        ::metrics::histogram!("touchstone_example_seconds").record(0.02);
        let text = Metrics::install().unwrap().render();
        assert!(text.contains("touchstone_example_total{kind=\"a\"} 2"), "{text}");
        assert!(text.contains("touchstone_example_seconds_bucket{le=\"0.025\"} 1"), "{text}");
        assert!(text.contains("touchstone_example_seconds_bucket{le=\"0.01\"} 0"), "{text}");
        assert_eq!(metrics.render(), text);
    }
}
