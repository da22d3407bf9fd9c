//! Policies, numbered as they come.

use std::collections::HashMap;

use touchstone_domain::{Policy, Sha256};

use crate::{Store, StoreError, row::Columns};

impl Store {
    /// The number of a policy; the same document has the same number for ever.
    pub async fn register_policy(&self, policy: &Policy) -> Result<i32, StoreError> {
        // a concurrent first registration is seen by the second statement's own snapshot
        const REGISTER: &str = r"-- policy.register
WITH known AS (
    SELECT epoch FROM policy WHERE sha256 = $1
), new AS (
    INSERT INTO policy (sha256, document)
    SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT DO NOTHING
    RETURNING epoch
)
SELECT epoch FROM known UNION ALL SELECT epoch FROM new";
        let sha256 = policy.digest();
        for _ in 0..2 {
            if let Some(row) = self.query_opt(REGISTER, &[&sha256.0.as_slice(), &policy.document()]).await? {
                return Columns(&row).get("epoch");
            }
        }
        Err(StoreError::inconsistent("policy", "it is neither stored nor found"))
    }

    /// The text of a policy, by its number.
    pub async fn policy_document(&self, epoch: i32) -> Result<Option<String>, StoreError> {
        const DOCUMENT: &str = r"-- policy.document
SELECT document FROM policy WHERE epoch = $1";
        let row = self.query_opt(DOCUMENT, &[&epoch]).await?;
        row.map(|row| Columns(&row).get("document")).transpose()
    }

    /// The digests of policies, by their numbers.
    pub async fn policy_digests(&self, epochs: &[i32]) -> Result<HashMap<i32, Sha256>, StoreError> {
        const DIGESTS: &str = r"-- policy.digests
SELECT epoch, sha256 FROM policy WHERE epoch = ANY($1)";
        let rows = self.query(DIGESTS, &[&epochs]).await?;
        let read = |columns: Columns<'_>| Ok((columns.get("epoch")?, columns.sha256("sha256")?));
        rows.iter().map(|row| read(Columns(row))).collect()
    }
}
