//! What an attest process last said of the trust that it uses, for processes that have none: metrics are scraped elsewhere.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Store, StoreError, row::Columns};

/// How an attest process stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStatus {
    /// Whether anything can be verified.
    pub usable: bool,
    /// When the first role of the TUF documents expires; `None` without such documents.
    pub expires_at: Option<Timestamp>,
    /// When this process last heard of the TUF repository.
    pub confirmed_at: Option<Timestamp>,
    /// Whether it ever gave what can be used; `None` where no mirror of it is configured.
    pub refreshed: Option<bool>,
}

/// The last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustReported {
    /// What was said. `confirmed_at` is the latest that any process has said of these documents.
    pub status: TrustStatus,
    /// How long ago.
    pub age: Duration,
    /// How long ago the TUF repository was heard of.
    pub confirmed_age: Option<Duration>,
}

impl Store {
    /// Says how this process stands. The last word counts.
    pub async fn report_trust(&self, status: &TrustStatus) -> Result<(), StoreError> {
        const REPORT: &str = r"-- trust.report
INSERT INTO trust_status (usable, expires_at, confirmed_at, refreshed) VALUES ($1, $2, $3, $4)
ON CONFLICT (one) DO UPDATE SET usable = excluded.usable, expires_at = excluded.expires_at, reported_at = now(),
    refreshed = excluded.refreshed,
    confirmed_at = CASE WHEN excluded.expires_at IS NOT NULL
                        THEN greatest(trust_status.confirmed_at, excluded.confirmed_at) END";
        let TrustStatus { usable, expires_at, confirmed_at, refreshed } = status;
        self.query(REPORT, &[usable, expires_at, confirmed_at, refreshed]).await.map(drop)
    }

    /// What was said last; `None` if no attest process ever ran.
    pub async fn trust_reported(&self) -> Result<Option<TrustReported>, StoreError> {
        const REPORTED: &str = r"-- trust.reported
SELECT usable, expires_at, confirmed_at, refreshed, extract(epoch FROM now() - reported_at)::double precision AS age_seconds,
       extract(epoch FROM now() - confirmed_at)::double precision AS confirmed_age_seconds
FROM trust_status";
        let Some(row) = self.query_opt(REPORTED, &[]).await? else { return Ok(None) };
        let columns = Columns(&row);
        let status = TrustStatus {
            usable: columns.get("usable")?,
            expires_at: columns.get("expires_at")?,
            confirmed_at: columns.get("confirmed_at")?,
            refreshed: columns.get("refreshed")?,
        };
        let duration = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        Ok(Some(TrustReported {
            status,
            age: duration(columns.get("age_seconds")?),
            confirmed_age: columns.get::<Option<f64>>("confirmed_age_seconds")?.map(duration),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn the_last_word_counts_and_the_latest_confirmation() {
        let db = TestDb::new().await;
        assert_eq!(db.store.trust_reported().await.unwrap(), None);
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let (early, late) = (time("2026-11-22T12:00:00Z"), time("2026-11-22T18:00:00Z"));
        let status = |usable: bool, expires_at: Option<Timestamp>, confirmed_at| {
            let refreshed = usable.then_some(expires_at.is_some());
            TrustStatus { usable, expires_at, confirmed_at, refreshed }
        };
        let expires = time("2026-12-01T00:00:00Z");
        for (said, kept) in [
            (status(true, expires, late), status(true, expires, late)),
            // Another process, which has just started and not asked yet, or has asked earlier.
            (status(false, expires, None), status(false, expires, late)),
            (status(true, expires, early), status(true, expires, late)),
            // The documents are used no longer: there is nothing to confirm.
            (status(true, None, None), status(true, None, None)),
        ] {
            db.store.report_trust(&said).await.unwrap();
            let reported = db.store.trust_reported().await.unwrap().unwrap();
            assert_eq!(reported.status, kept, "{said:?}");
            assert!(reported.age < Duration::from_mins(1), "{reported:?}");
            assert_eq!(reported.confirmed_age.is_some(), kept.confirmed_at.is_some());
        }
    }
}
