//! `message_traces` and `trace_payloads`: what happened to each message.
//!
//! Columns that end in `_at` are moments, `_ms` durations in milliseconds, `_length` characters.
//! Both tables keep the `revision` of the event that wrote the row, so that an older event that
//! arrives late changes nothing.

use sea_orm_migration::{prelude::*, schema::*};

use crate::instance_foreign_key;

/// The story of a message, one row each.
const TRACES: &str = "message_traces";
/// What was sent and received on the way, one row per message and stage.
const PAYLOADS: &str = "trace_payloads";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(message_traces()).await?;
        for (name, columns) in TRACE_INDEXES {
            manager.create_index(trace_index(name, columns)).await?;
        }
        manager.create_table(trace_payloads()).await?;
        manager.create_index(one_per_stage()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(PAYLOADS).to_owned()).await?;
        manager.drop_table(Table::drop().table(TRACES).to_owned()).await
    }
}

/// What the admin API filters and sorts by; the plain time serves the list of everyone.
const TRACE_INDEXES: [(&str, &[&str]); 5] = [
    ("ix_message_traces_instance_received", &["instance_name", "received_at"]),
    ("ix_message_traces_received", &["received_at"]),
    ("ix_message_traces_phone", &["sender_phone"]),
    ("ix_message_traces_session", &["session_name"]),
    ("ix_message_traces_status", &["status"]),
];

fn trace_index(name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(TRACES).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

fn message_traces() -> TableCreateStatement {
    let mut table = Table::create()
        .table(TRACES)
        .col(pk_uuid("trace_id"))
        .col(big_integer("instance_id"))
        .col(string("instance_name"))
        .col(string("channel_type"))
        .col(string("status"))
        .col(string_null("outcome"))
        .col(text_null("outcome_reason"))
        .col(timestamp_with_time_zone("received_at"))
        .foreign_key(&mut instance_foreign_key("fk_message_traces_instance", TRACES))
        .to_owned();
    message_columns(&mut table);
    turn_columns(&mut table);
    table
        .col(big_integer("revision"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// What the person sent.
fn message_columns(table: &mut TableCreateStatement) {
    table
        .col(string_null("provider_message_id"))
        .col(string_null("sender_phone"))
        .col(text_null("sender_name"))
        .col(string_null("sender_id"))
        .col(string_null("message_type"))
        .col(text_null("message_content"))
        .col(boolean_null("has_media"))
        .col(boolean_null("has_quoted_message"))
        .col(integer_null("message_length"));
}

/// What the hub did with it. The two lists are JSON arrays of strings.
fn turn_columns(table: &mut TableCreateStatement) {
    table
        .col(string_null("turn_id"))
        .col(string_null("session_name"))
        .col(string_null("session_id"))
        .col(string_null("user_id"))
        .col(integer_null("attempts"))
        .col(timestamp_with_time_zone_null("processing_started_at"))
        .col(timestamp_with_time_zone_null("agent_request_at"))
        .col(timestamp_with_time_zone_null("agent_response_at"))
        .col(timestamp_with_time_zone_null("channel_send_at"))
        .col(timestamp_with_time_zone_null("completed_at"))
        .col(integer_null("agent_processing_time_ms"))
        .col(integer_null("total_processing_time_ms"))
        .col(text_null("agent_response"))
        .col(integer_null("agent_response_length"))
        .col(boolean_null("agent_response_success"))
        .col(integer_null("agent_request_tokens"))
        .col(integer_null("agent_response_tokens"))
        .col(integer_null("agent_tools_used"))
        .col(integer_null("evolution_response_code"))
        .col(boolean_null("evolution_success"))
        .col(boolean_null("channel_success"))
        .col(text("reply_message_ids").default("[]"))
        .col(string_null("error_stage"))
        .col(text_null("error_message"))
        .col(text("warnings").default("[]"));
}

/// `payload` is compressed; `payload_size_original` is its size in bytes before that.
fn trace_payloads() -> TableCreateStatement {
    let mut trace = ForeignKey::create()
        .name("fk_trace_payloads_trace")
        .from(PAYLOADS, "trace_id")
        .to(TRACES, "trace_id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned();
    Table::create()
        .table(PAYLOADS)
        .col(big_pk_auto("id"))
        .col(uuid("trace_id"))
        .col(string("stage"))
        .col(timestamp_with_time_zone("at"))
        .col(integer_null("status_code"))
        .col(blob("payload"))
        .col(integer("payload_size_original"))
        .col(big_integer("revision"))
        .foreign_key(&mut trace)
        .to_owned()
}

fn one_per_stage() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_trace_payloads_trace_stage")
        .table(PAYLOADS)
        .col("trace_id")
        .col("stage")
        .to_owned()
}
