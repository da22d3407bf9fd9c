//! Which blob store this database belongs to.

use touchstone_domain::Sha256;

use crate::{Store, StoreError, row::Columns};

impl Store {
    /// The number of the blob store that was put on record; none if none was.
    pub async fn blob_store(&self) -> Result<Option<Sha256>, StoreError> {
        const READ: &str = r"-- blob_store.read
SELECT number FROM blob_store";
        let row = self.query_opt(READ, &[]).await?;
        row.map(|row| Columns(&row).sha256("number")).transpose()
    }

    /// Puts a blob store on record, unless there is one. Returns which one is on record then.
    pub async fn register_blob_store(&self, number: Sha256) -> Result<Sha256, StoreError> {
        const REGISTER: &str = r"-- blob_store.register
INSERT INTO blob_store (number) VALUES ($1) ON CONFLICT DO NOTHING";
        self.query(REGISTER, &[&number.0.as_slice()]).await?;
        let registered = self.blob_store().await?;
        registered
            .ok_or_else(|| StoreError::inconsistent("blob store", "it was put on record, and is not there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn the_first_blob_store_on_record_stays() {
        let db = TestDb::new().await;
        assert_eq!(db.store.blob_store().await.unwrap(), None);
        let [first, other] = ["first", "other"].map(Sha256::of);
        for number in [first, first, other] {
            assert_eq!(db.store.register_blob_store(number).await.unwrap(), first);
        }
        assert_eq!(db.store.blob_store().await.unwrap(), Some(first));
        db.execute("DELETE FROM blob_store").await.unwrap_err();
    }
}
