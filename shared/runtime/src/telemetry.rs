//! Logs: for people on a terminal, JSON lines everywhere else. `RUST_LOG` filters, `TOUCHSTONE_LOG` picks the form.

use std::{
    error::Error,
    fmt,
    io::{IsTerminal, stderr},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::Environment;

/// What is logged when `RUST_LOG` does not say.
const FILTER: &str = "info";

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` holds no filter.
    #[error("RUST_LOG is not a log filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// `TOUCHSTONE_LOG` names no form.
    #[error("TOUCHSTONE_LOG must be human or json, not {0:?}")]
    Form(String),
    /// The process logs already.
    #[error("logging is set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Human,
    Json,
}

/// Starts logging to standard error.
pub fn init(environment: &Environment) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(environment.get("RUST_LOG").unwrap_or(FILTER)).map_err(TelemetryError::Filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    match form(environment, stderr().is_terminal())? {
        Form::Human => registry.with(lines.with_target(false)).try_init(),
        Form::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(TelemetryError::Twice)
}

fn form(environment: &Environment, terminal: bool) -> Result<Form, TelemetryError> {
    match environment.get("TOUCHSTONE_LOG") {
        Some("human") => Ok(Form::Human),
        Some("json") => Ok(Form::Json),
        Some(other) => Err(TelemetryError::Form(other.to_owned())),
        None if terminal => Ok(Form::Human),
        None => Ok(Form::Json),
    }
}

/// An error and all its causes on one line. Printed once, where the error is handled.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn with(value: &str) -> Environment {
        [("TOUCHSTONE_LOG", value)].into_iter().collect()
    }

    #[test]
    fn the_form_follows_the_terminal_unless_it_is_given() {
        assert_eq!(form(&Environment::default(), true).unwrap(), Form::Human);
        assert_eq!(form(&Environment::default(), false).unwrap(), Form::Json);
        assert_eq!(form(&with("json"), true).unwrap(), Form::Json);
        assert_eq!(form(&with("human"), false).unwrap(), Form::Human);
        assert!(matches!(form(&with("xml"), true), Err(TelemetryError::Form(word)) if word == "xml"));
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open the store")]
        struct Outer(#[source] io::Error);
        let outer = Outer(io::Error::other("disk on fire"));
        assert_eq!(Chain(&outer).to_string(), "cannot open the store: disk on fire");
    }
}
