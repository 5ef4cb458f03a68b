//! The database, its tables, and the keys that its rows need.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::{Finding, clock};
use crate::{config::Settings, queue::now_ms, sealed::SealedValues};

/// Whether it answers, and with which clock.
pub async fn reached(database: &DatabaseConnection) -> Vec<Finding> {
    if database.ping().await.is_err() {
        let remedy = "Start it, or correct DATABASE_URL; the hub goes on with what it knows meanwhile.";
        return vec![Finding::problem("database", "The database does not answer.", remedy)];
    }
    let mut found = vec![Finding::ok("database", "The database answers.")];
    // A file is read with our own clock.
    if database.get_database_backend() == DbBackend::Postgres {
        let asked = now_ms();
        if let Ok(theirs) = their_clock(database).await {
            found.push(clock::compare("the database", theirs, 1, asked, now_ms()));
        }
    }
    found
}

async fn their_clock(database: &DatabaseConnection) -> Result<i64, DbErr> {
    let now = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint";
    let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, now)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("a time".to_owned()))?.try_get_by_index(0)
}

/// Whether every migration is applied; `pending` is what the migrations say of it.
#[must_use]
pub fn tables(pending: Result<Vec<String>, DbErr>) -> Finding {
    let check = "migrations";
    match pending {
        Ok(pending) if pending.is_empty() => Finding::ok(check, "The tables are up to date."),
        Ok(pending) => {
            let says = "The tables are not those of this version: migrations are missing.";
            let remedy = format!(
                "Run `omnihub migrate up` ({} to apply, from {} on), then start the hub's processes again.",
                pending.len(),
                pending[0]
            );
            Finding::problem(check, says, remedy)
        }
        // The migrator's word for a step that is applied and that it has no file of.
        Err(DbErr::Custom(_)) => Finding::problem(
            check,
            "The tables were made by a newer version of Omnihub than this one.",
            "Run that version, or a newer one, in every process.",
        ),
        Err(error) => Finding::problem(
            check,
            format!("The tables cannot be read: {error}."),
            "Look whether DATABASE_URL names the hub's own database, and run `omnihub migrate up`.",
        ),
    }
}

/// Whether the ring has every key that rows need, and whether some still lie under an older one.
pub async fn keys(sealed: &SealedValues, settings: &dyn Settings) -> Finding {
    let check = "encryption keys";
    match sealed.missing_keys(settings).await {
        Err(_) => Finding::problem(check, "The encrypted rows cannot be counted.", "See what is said of the database."),
        Ok(Some(missing)) => {
            let named = missing.0.iter().map(|(id, rows)| format!("`{id}` ({rows} rows)")).collect::<Vec<_>>();
            Finding::problem(
                check,
                format!("The ring lacks keys that encrypted rows need: {}.", named.join(", ")),
                "Add them to OMNIHUB_ENCRYPTION_KEYS (or the file of keys) behind the first one; name one that is lost \
                 for good in OMNIHUB_LOST_KEYS, and give its instances new secrets.",
            )
        }
        Ok(None) => match sealed.survey().await.map(|survey| survey.beside(sealed.first_key())) {
            Ok(older) if older > 0 => Finding::hint(
                check,
                format!("Every key is there; {older} secrets still lie under older ones."),
                "`omnihub key rotate` encrypts them anew, then the older keys can go.",
            ),
            _ => Finding::ok(check, "Every key that rows need is there."),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use sea_orm::Database;
    use sea_orm_migration::MigratorTrait as _;

    use super::{super::Verdict, *};
    use crate::secret::Keyring;

    #[tokio::test]
    async fn a_database_that_is_well_and_one_that_is_gone() {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        omnihub_migrations::Migrator::up(&database, None).await.unwrap();
        assert_eq!(reached(&database).await, [Finding::ok("database", "The database answers.")]);
        let sealed = SealedValues::new(database.clone(), Arc::new(Keyring::generate()));
        assert_eq!(keys(&sealed, &HashMap::new()).await.verdict, Verdict::Ok);
        database.close_by_ref().await.unwrap();
        assert_eq!(reached(&database).await[0].says, "The database does not answer.");
        assert_eq!(keys(&sealed, &HashMap::new()).await.verdict, Verdict::Problem);
    }

    #[test]
    fn tables_that_are_old_new_or_not_there_are_told_apart() {
        assert_eq!(tables(Ok(Vec::new())).verdict, Verdict::Ok);
        let behind = tables(Ok(vec!["m1".to_owned(), "m2".to_owned()]));
        assert!(behind.says.contains("migrations are missing"));
        assert!(behind.remedy.unwrap().contains("`omnihub migrate up` (2 to apply, from m1 on)"));
        assert!(tables(Err(DbErr::Custom("m3 is missing".to_owned()))).says.contains("newer version"));
        assert!(tables(Err(DbErr::RecordNotFound("x".to_owned()))).says.contains("cannot be read"));
    }
}
