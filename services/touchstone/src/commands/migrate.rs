//! `touchstone migrate`.

use anyhow::{Context as _, Result};
use touchstone_runtime::Config;
use touchstone_store::Store;

/// Brings the schema up to date, and says what it did.
pub(crate) async fn run(config: &Config) -> Result<()> {
    let url = super::database(config)?;
    let report = Store::migrate(&url).await.context("cannot bring the schema up to date")?;
    if report.applied.is_empty() {
        super::say("the schema is up to date\n");
    } else {
        super::say(&format!("applied {}\n", report.applied.join(", ")));
    }
    Ok(())
}
