//! The other database, opened for reading: what it is, which columns it has, and its rows in pages.
//!
//! Nothing is read at once that grows with the database: pages go along the primary key, long texts
//! are cut, and large payloads are read some at a time. Each page is a statement of its own, so that
//! a Python hub that still runs on the database waits for none.
//!
//! SQLite keeps in any column whatever somebody wrote, so its pages go along the number of the row,
//! which is one always.

use std::collections::{BTreeMap, BTreeSet};

use omnihub_common::{
    config::DatabaseSettings,
    database::{DatabaseError, connect_read_only},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement, Value};
use serde::Serialize;

use super::row::{Damage, Row};

/// The setting's name, for errors.
const NAME: &str = "SOURCE";
/// Rows of a page.
pub(super) const PAGE: u64 = 200;
/// Bytes of payloads that are read at once.
const AT_ONCE: i64 = 8 * 1024 * 1024;
/// A payload of more bytes is left where it is.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;
/// A value of more bytes is cut: no field of ours has more.
pub(super) const WIDEST: usize = 64 * 1024;
/// Which row of a walk one is, beside the columns.
const PLACE: &str = "walk_place";

/// The tables, by the names that the schemas have for them.
const TABLES: [&str; 7] = [
    "instance_configs",
    "users",
    "user_external_ids",
    "access_rules",
    "access_control_rules",
    "message_traces",
    "trace_payloads",
];

/// Which generation of the Python hub made the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Schema {
    /// The roadmap's 13 columns: instances, and nothing else.
    #[serde(rename = "roadmap")]
    Roadmap,
    /// The architecture guide's: payloads in the trace's row, rules with an action.
    #[serde(rename = "guide")]
    Guide,
    /// What the public project has had up to 0.5.2.
    #[serde(rename = "0.5.2")]
    Omni,
}

/// Why the database cannot be read from.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Config(#[from] omnihub_common::config::ConfigError),
    #[error(transparent)]
    Open(#[from] DatabaseError),
    #[error("the database {0} cannot be read")]
    Read(String, #[source] DbErr),
    #[error(
        "the database {0} has no table instance_configs with id, name, agent_api_url and agent_api_key: it is none of a Python omni-hub"
    )]
    Foreign(String),
    #[error("the database {0} is one of this hub, not of a Python omni-hub")]
    Ours(String),
}

/// The database.
#[derive(Debug)]
pub(super) struct Source {
    database: DatabaseConnection,
    /// Where it is, without a password.
    pub(super) place: String,
    pub(super) schema: Schema,
    /// The columns of each table, with their types.
    tables: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// Rows to walk through: of one table, along its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The most bytes of a value that are read.
    pub(super) widest: usize,
}

/// What is known of a payload before it is read.
struct Weight {
    place: String,
    bytes: i64,
}

impl Source {
    /// Opens the database and sees what it is.
    pub(super) async fn open(text: &str) -> Result<Self, SourceError> {
        let settings = DatabaseSettings::named(NAME, text)?;
        let place = settings.place();
        let database = connect_read_only(&settings).await?;
        let mut tables = BTreeMap::new();
        for table in TABLES {
            let columns = columns(&database, table).await.map_err(|error| SourceError::Read(place.clone(), error))?;
            if !columns.is_empty() {
                tables.insert(table, columns);
            }
        }
        let has = |table: &str, column: &str| tables.get(table).is_some_and(|columns| columns.contains_key(column));
        if has("instance_configs", "channel_settings") {
            return Err(SourceError::Ours(place));
        }
        if !["id", "name", "agent_api_url", "agent_api_key"].iter().all(|column| has("instance_configs", column)) {
            return Err(SourceError::Foreign(place));
        }
        let guide = has("access_control_rules", "action")
            || has("users", "user_data")
            || has("message_traces", "message_content");
        let schema = match (guide, has("instance_configs", "channel_type")) {
            (true, _) => Schema::Guide,
            (false, true) => Schema::Omni,
            (false, false) => Schema::Roadmap,
        };
        Ok(Self { database, place, schema, tables })
    }

    /// Whether there is such a table with such a column.
    pub(super) fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|columns| columns.contains_key(column))
    }

    /// How many rows a table has; none when it is not there.
    pub(super) async fn count(&self, table: &'static str) -> Result<u64, DbErr> {
        if !self.tables.contains_key(table) {
            return Ok(0);
        }
        let rows = self.query(format!("SELECT COUNT(*) AS n FROM {table}"), Vec::new()).await?;
        let count: i64 = rows.first().map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default();
        Ok(count.unsigned_abs())
    }

    /// The next page of a walk behind a row; empty at the end, and where there is no such table.
    pub(super) async fn page(&self, walk: Walk, after: Option<&str>) -> Result<Vec<Row>, DbErr> {
        if !self.tables.contains_key(walk.table) {
            return Ok(Vec::new());
        }
        let place = self.place_of(walk);
        let beyond = after.map(|_| format!("WHERE {place} > {} ", self.parameter(walk.table, walk.key, 1)));
        let sql = format!(
            "SELECT {} FROM {} {}ORDER BY {place} LIMIT {PAGE}",
            self.list(walk),
            walk.table,
            beyond.unwrap_or_default()
        );
        self.rows(walk, sql, after.map(Value::from).into_iter().collect()).await
    }

    /// Rows of a table by their keys, some at a time so that not too much text is in memory: each
    /// part is handed on as it is read. How many were too large to be read is answered.
    pub(super) async fn heavy(
        &self,
        walk: Walk,
        by: &'static str,
        keys: &[String],
        weighed: &[&'static str],
        mut take: impl FnMut(Row),
    ) -> Result<u64, DbErr> {
        let weights = self.weigh(walk, by, keys, weighed).await?;
        let most = i64::try_from(LARGEST).unwrap_or(i64::MAX);
        let (light, heavy): (Vec<_>, Vec<_>) = weights.into_iter().partition(|weight| weight.bytes <= most);
        let mut light = light.into_iter().peekable();
        while light.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(next) = light.next_if(|next| part.is_empty() || bytes + next.bytes <= AT_ONCE) {
                bytes += next.bytes;
                part.push(next.place);
            }
            let place = self.place_of(walk);
            for row in self.select(walk, &place, walk.key, &part).await? {
                take(row);
            }
        }
        Ok(heavy.len() as u64)
    }

    /// The rows whose column has one of these values.
    pub(super) async fn of(&self, walk: Walk, by: &'static str, values: &[String]) -> Result<Vec<Row>, DbErr> {
        if !self.has(walk.table, by) {
            return Ok(Vec::new());
        }
        self.select(walk, &quoted(by), by, values).await
    }

    /// The rows where an expression, compared as `kind_of` is, has one of these values.
    async fn select(&self, walk: Walk, what: &str, kind_of: &str, values: &[String]) -> Result<Vec<Row>, DbErr> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let among = self.among(walk.table, what, kind_of, values.len());
        let (list, table, place) = (self.list(walk), walk.table, self.place_of(walk));
        let sql = format!("SELECT {list} FROM {table} WHERE {among} ORDER BY {place}");
        self.rows(walk, sql, values.iter().map(Value::from).collect()).await
    }

    async fn weigh(
        &self,
        walk: Walk,
        by: &'static str,
        values: &[String],
        weighed: &[&'static str],
    ) -> Result<Vec<Weight>, DbErr> {
        let there: Vec<_> = weighed.iter().filter(|column| self.has(walk.table, column)).collect();
        if there.is_empty() || values.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = |column: &&&str| format!("COALESCE({}, 0)", bytes_of(column));
        let sum = there.iter().map(bytes).collect::<Vec<_>>().join(" + ");
        let (table, place) = (walk.table, self.place_of(walk));
        let among = self.among(table, &quoted(by), by, values.len());
        let sql = format!(
            "SELECT CAST({place} AS TEXT) AS {PLACE}, CAST({sum} AS BIGINT) AS bytes FROM {table} WHERE {among} \
             ORDER BY {place}"
        );
        let rows = self.query(sql, values.iter().map(Value::from).collect()).await?;
        rows.iter().map(|row| Ok(Weight { place: row.try_get("", PLACE)?, bytes: row.try_get("", "bytes")? })).collect()
    }

    /// What the rows of a walk are ordered by, and found again: never null, and never two alike.
    fn place_of(&self, walk: Walk) -> String {
        match self.database.get_database_backend() {
            DbBackend::Postgres => quoted(walk.key),
            _ => "rowid".to_owned(),
        }
    }

    /// The columns of a walk that are there, and the row's place.
    fn list(&self, walk: Walk) -> String {
        let columns = self.columns_of(walk).map(|column| as_text(column, walk.widest));
        let place = format!("CAST({} AS TEXT) AS {PLACE}", self.place_of(walk));
        columns.chain([place]).collect::<Vec<_>>().join(", ")
    }

    fn columns_of(&self, walk: Walk) -> impl Iterator<Item = &'static str> {
        walk.columns.iter().copied().filter(move |column| self.has(walk.table, column))
    }

    async fn rows(&self, walk: Walk, sql: String, values: Vec<Value>) -> Result<Vec<Row>, DbErr> {
        let columns: Vec<_> = self.columns_of(walk).collect();
        self.query(sql, values).await?.iter().map(|row| read(row, &columns, walk.widest)).collect()
    }

    fn among(&self, table: &str, what: &str, kind_of: &str, values: usize) -> String {
        let list: Vec<_> = (1..=values).map(|n| self.parameter(table, kind_of, n)).collect();
        format!("{what} IN ({})", list.join(", "))
    }

    /// A parameter to compare a column with, given as text. SQLite compares by the column's type;
    /// PostgreSQL must be told it, to find the index.
    fn parameter(&self, table: &str, column: &str, n: usize) -> String {
        match self.database.get_database_backend() {
            DbBackend::Postgres => {
                let kind =
                    self.tables.get(table).and_then(|columns| columns.get(column)).map_or("text", String::as_str);
                format!("CAST(${n} AS {kind})")
            }
            _ => "?".to_owned(),
        }
    }

    async fn query(&self, sql: String, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        let statement = Statement::from_sql_and_values(self.database.get_database_backend(), sql, values);
        self.database.query_all_raw(statement).await
    }

    /// Which of these pairs of an instance's name and a sender's number traces speak of.
    pub(super) async fn senders(&self, numbers: &[String]) -> Result<BTreeSet<(String, String)>, DbErr> {
        let seen = self.has("message_traces", "sender_phone") && self.has("message_traces", "instance_name");
        if numbers.is_empty() || !seen {
            return Ok(BTreeSet::new());
        }
        let among = self.among("message_traces", "sender_phone", "sender_phone", numbers.len());
        let sql = format!(
            "SELECT DISTINCT CAST(instance_name AS TEXT) AS instance, CAST(sender_phone AS TEXT) AS phone \
             FROM message_traces WHERE {among} AND instance_name IS NOT NULL"
        );
        let rows = self.query(sql, numbers.iter().map(Value::from).collect()).await?;
        // What is not text is nobody's name.
        let pair = |row: &QueryResult| Some((row.try_get("", "instance").ok()?, row.try_get("", "phone").ok()?));
        Ok(rows.iter().filter_map(pair).collect())
    }
}

fn quoted(column: &str) -> String {
    format!("\"{column}\"")
}

fn bytes_of(column: &str) -> String {
    format!("OCTET_LENGTH(CAST(\"{column}\" AS TEXT))")
}

/// A column as text; one that is longer is cut, and still longer than that.
fn as_text(column: &str, widest: usize) -> String {
    let (text, bytes) = (format!("CAST(\"{column}\" AS TEXT)"), bytes_of(column));
    let cut = format!("SUBSTR({text}, 1, {})", widest + 1);
    format!("CASE WHEN {bytes} > {widest} THEN {cut} ELSE {text} END AS \"{column}\"")
}

fn read(row: &QueryResult, columns: &[&'static str], widest: usize) -> Result<Row, DbErr> {
    let mut read = Row::at(row.try_get("", PLACE)?);
    for column in columns {
        let value = match row.try_get::<Option<String>>("", column) {
            Ok(Some(text)) if text.len() > widest => Err(Damage::TooLong(text)),
            Ok(text) => Ok(text),
            Err(_) => Err(Damage::NotText),
        };
        read.put(column, value);
    }
    Ok(read)
}

/// The columns of a table with their types; none when it is not there.
async fn columns(database: &DatabaseConnection, table: &str) -> Result<BTreeMap<String, String>, DbErr> {
    let backend = database.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind FROM information_schema.columns \
             WHERE table_schema = ANY (current_schemas(false)) AND table_name = $1"
        }
        _ => "SELECT name, type AS kind FROM pragma_table_info(?)",
    };
    let rows = database.query_all_raw(Statement::from_sql_and_values(backend, sql, [Value::from(table)])).await?;
    rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "kind")?))).collect()
}
