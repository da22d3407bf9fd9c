//! What every role needs from the process it runs in: configuration, the clock, shutdown, logs, metrics, readiness, and,
//! in standalone, a private Postgres and nats-server.
//!
//! *Invariant:* the environment and the system clock are read here and nowhere else.
//!
//! *Invariant:* a secret never prints.

pub mod clock;
pub mod config;
pub mod durable;
pub mod environment;
pub mod health;
pub mod metrics;
pub mod servers;
pub mod shutdown;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Config, ConfigError, Secret};
pub use environment::Environment;
pub use health::{Readiness, Ready};
pub use metrics::Metrics;
pub use servers::{Nats, NatsOptions, Postgres, PostgresOptions, Search, ServerError};
pub use shutdown::{Drained, Shutdown};
pub use telemetry::Chain;
