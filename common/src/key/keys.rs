//! The table of keys. A key is shown when it is made and never again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, SqlErr,
    sea_query::Expr,
};
use serde_json::json;
use tokio::sync::OnceCell;

use super::{
    Actor, Caller, Everyone, Reach, Scopes,
    entity::{grant, key},
    generate,
    pepper::Pepper,
};
use crate::{
    audit::{self, Change},
    database,
    secret::{Keyring, SealError, Secret},
};

/// How exact `last_used_at` is: a write per request would make every look at a trace a write.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::seconds(60);

/// Letters of a key that its list shows.
const HINT: usize = 4;

/// Why the table cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database failed.
    #[error("the database did not do it")]
    Database(#[from] DbErr),
    /// What the hashes are keyed with does not open.
    #[error("the keys' pepper cannot be read")]
    Sealed(#[from] SealError),
    /// What the hashes are keyed with is not what it should be.
    #[error("the keys' pepper is not there, or not 32 bytes")]
    Pepper,
    /// An instance that a key should reach is not there.
    #[error("there is no such instance")]
    NoInstance,
}

impl KeyError {
    /// Whether the database is away, so that the same may succeed later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_away(error))
    }
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// On which instances.
    pub reach: Reach,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its row id.
    pub id: i64,
    /// What people call it.
    pub name: String,
    /// Its last letters.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// On which instances.
    pub reach: Reach,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends, or ended.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The table of keys.
#[derive(Clone)]
pub struct Keys {
    database: DatabaseConnection,
    keyring: Arc<Keyring>,
    pepper: Arc<OnceCell<Pepper>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys([hidden])")
    }
}

impl Keys {
    /// Over a connection, with the ring that the pepper is encrypted with.
    #[must_use]
    pub fn new(database: DatabaseConnection, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring, pepper: Arc::default() }
    }

    /// Makes a key, and shows it this once.
    ///
    /// # Errors
    /// [`KeyError::NoInstance`], or a failure of the database.
    pub async fn create(&self, by: &Actor, new: NewKey) -> Result<(ApiKey, Secret), KeyError> {
        let shown = generate();
        let row = key::ActiveModel {
            id: NotSet,
            name: Set(new.name),
            hash: Set(self.pepper().await?.hash(shown.expose())),
            hint: Set(shown.expose().chars().skip(shown.expose().len() - HINT).collect()),
            scopes: Set(new.scopes.to_string()),
            every_instance: Set(new.reach.names().is_none()),
            created_at: Set(now()),
            expires_at: Set(new.expires_at),
            revoked_at: Set(None),
            last_used_at: Set(None),
        };
        let transaction = database::begin_write(&self.database).await?;
        let row = row.insert(&transaction).await?;
        for instance_name in new.reach.names().into_iter().flatten() {
            let grant = grant::ActiveModel { key_id: Set(row.id), instance_name: Set(instance_name.clone()) };
            grant.insert(&transaction).await.map_err(no_instance)?;
        }
        let names = new.reach.names().cloned().unwrap_or_default();
        let mut reached = HashMap::from([(row.id, names)]);
        let made = read(row, &mut reached);
        note(&transaction, by, "key.create", &made).await?;
        transaction.commit().await.map_err(no_instance)?;
        Ok((made, shown))
    }

    /// A page of all keys, oldest first, and how many there are.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn list(&self, skip: u64, limit: u64) -> Result<(Vec<ApiKey>, u64), KeyError> {
        let total = key::Entity::find().count(&self.database).await?;
        let page = key::Entity::find().order_by_asc(key::Column::Id).offset(skip).limit(limit);
        let rows = page.all(&self.database).await?;
        let mut grants = grants(&self.database, rows.iter().map(|row| row.id).collect()).await?;
        Ok((rows.into_iter().map(|row| read(row, &mut grants)).collect(), total))
    }

    /// Ends a key for good; `None` when there is none of this id. One that was revoked stays so.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn revoke(&self, by: &Actor, id: i64) -> Result<Option<ApiKey>, KeyError> {
        let transaction = database::begin_write(&self.database).await?;
        let ending = key::Entity::update_many().col_expr(key::Column::RevokedAt, Expr::value(now()));
        let open = ending.filter(key::Column::Id.eq(id)).filter(key::Column::RevokedAt.is_null());
        let ended = open.exec(&transaction).await?.rows_affected > 0;
        let Some(row) = key::Entity::find_by_id(id).one(&transaction).await? else { return Ok(None) };
        let revoked = read(row, &mut grants(&transaction, vec![id]).await?);
        if ended {
            note(&transaction, by, "key.revoke", &revoked).await?;
        }
        transaction.commit().await?;
        Ok(Some(revoked))
    }

    /// What a shown key stands for; nothing when it is none, was revoked, or has expired.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn caller(&self, shown: &str) -> Result<Option<Caller>, KeyError> {
        let hash = self.pepper().await?.hash(shown);
        let row = key::Entity::find().filter(key::Column::Hash.eq(hash)).one(&self.database).await?;
        let now = now();
        let lives = |row: &key::Model| row.revoked_at.is_none() && row.expires_at.is_none_or(|end| end > now);
        let Some(row) = row.filter(lives) else { return Ok(None) };
        let mut grants = grants(&self.database, vec![row.id]).await?;
        if row.last_used_at.is_none_or(|last| now - last > USE_NOTED_EVERY) {
            self.note_use(row.id, now).await;
        }
        let key = read(row, &mut grants);
        let actor = Actor { key_id: Some(key.id), name: key.name };
        Ok(Some(Caller::new(actor, key.scopes, key.reach)))
    }

    /// That a key was used is a help for people: nobody is refused when it cannot be written.
    async fn note_use(&self, id: i64, at: DateTime<Utc>) {
        let noting = key::Entity::update_many().col_expr(key::Column::LastUsedAt, Expr::value(at));
        if let Err(error) = noting.filter(key::Column::Id.eq(id)).exec(&self.database).await {
            tracing::warn!(error.message = %error, key.id = id, "the use of a key could not be noted");
        }
    }

    async fn pepper(&self) -> Result<&Pepper, KeyError> {
        self.pepper.get_or_try_init(|| Pepper::load(&self.database, &self.keyring)).await
    }
}

/// The instances that keys reach, by key.
async fn grants(database: &impl ConnectionTrait, ids: Vec<i64>) -> Result<HashMap<i64, BTreeSet<String>>, DbErr> {
    let mut grants: HashMap<i64, BTreeSet<String>> = HashMap::new();
    for row in grant::Entity::find().filter(grant::Column::KeyId.is_in(ids)).all(database).await? {
        grants.entry(row.key_id).or_default().insert(row.instance_name);
    }
    Ok(grants)
}

/// A line of the audit log: what the key may do, never the key.
async fn note(database: &impl ConnectionTrait, by: &Actor, action: &'static str, key: &ApiKey) -> Result<(), DbErr> {
    let after = json!({
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "instances": key.reach.names(),
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    });
    let change = Change { action, target: &key.name, instance: None, before: None, after: Some(after) };
    audit::record(database, by, change).await
}

fn read(row: key::Model, grants: &mut HashMap<i64, BTreeSet<String>>) -> ApiKey {
    let reach = match row.every_instance {
        true => Reach::Everyone(Everyone::for_admin()),
        false => Reach::Only(grants.remove(&row.id).unwrap_or_default()),
    };
    ApiKey {
        id: row.id,
        name: row.name,
        hint: row.hint,
        scopes: Scopes::read(&row.scopes),
        reach,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
    }
}

fn no_instance(error: DbErr) -> KeyError {
    match error.sql_err() {
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => KeyError::NoInstance,
        _ => KeyError::Database(error),
    }
}

/// PostgreSQL keeps microseconds.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

#[cfg(test)]
mod tests;
