//! That a key did not count: each service settles what it reported itself.

use std::sync::Arc;

use touchstone_custody::{KeyKind, KeyProblem, LocalSigner, Signing};

use super::*;

#[tokio::test]
async fn a_service_settles_that_its_own_kind_of_key_did_not_count_and_nothing_else() {
    let db = TestDb::new().await;
    let facts = db.artifact("a", &[CheckKind::Hash]).await;
    let settled = async |role: DatabaseRole, sql: &'static str| -> Result<usize, String> {
        let settled = login(&db, role).await.query(sql, &[]).await.map(|rows| rows.len());
        settled.map_err(|error| match error {
            StoreError::Statement { source, .. } => source.code().unwrap().code().to_owned(),
            other => panic!("{other}"),
        })
    };
    for (role, kind) in [
        (DatabaseRole::Hash, KeyKind::Hash),
        (DatabaseRole::Attest, KeyKind::Attest),
        (DatabaseRole::Sumdb, KeyKind::Sumdb),
        (DatabaseRole::Promote, KeyKind::Promote),
    ] {
        let signing = Signing {
            environment: "test".into(),
            signer: Arc::new(LocalSigner::from_seed(kind, [1; 32]).expect("a key")),
        };
        let problem = KeyProblem::Unknown(key("own"));
        db.store.record_incident(&NewIncident::about_signing(&signing, &problem, "rotate")).await.unwrap();
        db.store.record_incident(&incident(&facts, IncidentKind::DatabaseRollback)).await.unwrap();
        let other = if kind == KeyKind::Hash { DatabaseRole::Attest } else { DatabaseRole::Hash };
        let denied = Err("42501".to_owned());
        let all = "UPDATE incident SET resolved_at = now() WHERE resolved_at IS NULL AND kind = 'signing_blocked' RETURNING id";
        assert_eq!(settled(other, all).await, denied, "{role}");
        let rollback =
            "UPDATE incident SET resolved_at = now() WHERE kind = 'database_rollback' RETURNING id";
        assert_eq!(settled(role, rollback).await, denied, "{role}");
        assert_eq!(login(&db, DatabaseRole::Console).await.signing_blocked().await.unwrap(), [kind]);
        let own = login(&db, role).await;
        for (kind, expected) in [(KeyKind::Peer, 0), (kind, 1), (kind, 0)] {
            assert_eq!(own.settle_signing(kind).await.unwrap(), expected, "{role}");
        }
        assert_eq!(db.store.signing_blocked().await.unwrap(), []);
    }
}
