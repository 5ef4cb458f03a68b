//! What the hashes of keys are keyed with: whoever has a copy of the database alone cannot try keys.

use std::sync::Arc;

use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set, Unchanged},
    ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, SqlErr,
};
use zeroize::Zeroizing;

use super::{KeyError, entity::hub_secret};
use crate::{
    database,
    secret::{Keyring, Place, Secret},
};

/// Its row.
const NAME: &str = "api_key_pepper";
/// The table, as the encryption names it. A new name would make it unreadable.
const TABLE: &str = "hub_secrets";
/// Bytes of it, as blake3 wants them.
const BYTES: usize = 32;

/// Hashes keys.
#[derive(Clone)]
pub(super) struct Pepper(Arc<Zeroizing<[u8; BYTES]>>);

impl Pepper {
    /// The one of this hub; the first process makes it.
    pub(super) async fn load(database: &DatabaseConnection, keyring: &Keyring) -> Result<Self, KeyError> {
        if let Some(row) = find(database).await? {
            return open(&row, keyring);
        }
        match make(database, keyring).await {
            // Another process was quicker.
            Err(KeyError::Database(error)) if is_duplicate(&error) => {}
            made => made?,
        }
        let row = find(database).await?.ok_or(KeyError::Pepper)?;
        open(&row, keyring)
    }

    /// The keyed hash of a key, as it is stored.
    pub(super) fn hash(&self, key: &str) -> String {
        blake3::keyed_hash(&self.0, key.as_bytes()).to_hex().to_string()
    }
}

async fn find(database: &DatabaseConnection) -> Result<Option<hub_secret::Model>, DbErr> {
    hub_secret::Entity::find().filter(hub_secret::Column::Name.eq(NAME)).one(database).await
}

fn open(row: &hub_secret::Model, keyring: &Keyring) -> Result<Pepper, KeyError> {
    let text = keyring.decrypt(place(row.id), &row.sealed)?;
    let mut bytes = Zeroizing::new([0; BYTES]);
    hex::decode_to_slice(text.expose(), bytes.as_mut_slice()).map_err(|_| KeyError::Pepper)?;
    Ok(Pepper(Arc::new(bytes)))
}

/// It is encrypted for the row's id, which is known only after the insert.
async fn make(database: &DatabaseConnection, keyring: &Keyring) -> Result<(), KeyError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(bytes.as_mut_slice());
    let secret = Secret::new(hex::encode(bytes.as_slice()));
    let transaction = database::begin_write(database).await?;
    let row = hub_secret::ActiveModel { id: NotSet, name: Set(NAME.to_owned()), sealed: Set(String::new()) };
    let id = row.insert(&transaction).await?.id;
    let sealed = Set(keyring.encrypt(place(id), &secret)?);
    hub_secret::ActiveModel { id: Unchanged(id), name: NotSet, sealed }.update(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The place of a row's secret.
pub(super) fn place(row: i64) -> Place {
    // Of no instance: row ids begin at 1.
    Place { instance: 0, table: TABLE, row, field: "sealed" }
}

fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
