//! What a failed write means: is it the data, or the database?

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Whether the database refused what it was given, and would refuse it again.
///
/// Everything else (no connection, locked, full disk, missing table, failover) is about the
/// database: the same write may succeed later, so nothing may be given up for it. In doubt it is
/// the database.
#[must_use]
pub fn is_refusal(error: &DbErr) -> bool {
    match sqlx_error(error) {
        Some(SqlxError::Encode(_)) => true,
        Some(SqlxError::Database(_)) => code(error).is_some_and(|code| is_refusal_code(&code)),
        Some(_) => false,
        None => matches!(error, DbErr::Type(_) | DbErr::Json(_)),
    }
}

/// The database's own code of an error: SQLSTATE on PostgreSQL, the extended result code on
/// SQLite. Safe to log, unlike a message, which may quote the data.
#[must_use]
pub fn code(error: &DbErr) -> Option<String> {
    let database = sqlx_error(error)?.as_database_error()?;
    database.code().map(std::borrow::Cow::into_owned)
}

fn sqlx_error(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// A SQLSTATE has five characters; SQLite's codes are decimal numbers whose low byte is the kind
/// and which have at most four digits (<https://www.sqlite.org/rescode.html>).
fn is_refusal_code(code: &str) -> bool {
    if code.len() == 5 {
        return REFUSING_CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|code| REFUSING_SQLITE.contains(&(code & 0xff)))
}

/// SQLSTATE classes: cardinality violation, data exception, integrity constraint violation,
/// program limit exceeded (a value too large for an index).
const REFUSING_CLASSES: [&str; 4] = ["21", "22", "23", "54"];
/// `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`.
const REFUSING_SQLITE: [u32; 3] = [18, 19, 20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_refused_for_ever_and_a_database_only_for_now() {
        let table = [
            ("22021", true),  // PostgreSQL: a character that its text cannot hold
            ("23503", true),  // foreign key
            ("54000", true),  // a value too large for its index
            ("40001", false), // serialization failure
            ("40P01", false), // deadlock
            ("25006", false), // read only: a failover is going on
            ("42P01", false), // no such table: migrations are missing
            ("53100", false), // disk full
            ("57P01", false), // shut down by an administrator
            ("5", false),     // SQLite: busy
            ("13", false),    // full
            ("1", false),     // no such table
            ("787", true),    // foreign key
            ("1299", true),   // not null
            ("18", true),     // too big
        ];
        for (code, refused) in table {
            assert_eq!(is_refusal_code(code), refused, "{code}");
        }
    }

    #[test]
    fn a_lost_connection_is_no_refusal() {
        assert!(!is_refusal(&DbErr::Conn(RuntimeErr::Internal("closed".into()))));
        assert!(!is_refusal(&DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout)));
    }
}
