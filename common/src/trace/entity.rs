//! The rows of `message_traces`, `trace_payloads` and `message_receipts`.

/// `message_traces`: one row per message.
pub mod message_trace {
    #![expect(missing_docs, reason = "the columns are described at `TraceRecord` and `TraceDetails`")]

    use sea_orm::entity::prelude::*;
    use serde::{Serialize, Serializer, ser::Error as _};
    use serde_json::value::RawValue;
    use utoipa::ToSchema;

    /// A row; serialised as the admin API shows it.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, ToSchema)]
    #[schema(as = TraceRow, description = "What is kept of a message.")]
    #[sea_orm(table_name = "message_traces")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub trace_id: Uuid,
        pub instance_id: i64,
        pub instance_name: String,
        pub channel_type: String,
        pub status: String,
        pub outcome: Option<String>,
        pub outcome_reason: Option<String>,
        #[schema(value_type = chrono::DateTime<chrono::Utc>)]
        pub received_at: DateTimeUtc,
        pub provider_message_id: Option<String>,
        pub sender_phone: Option<String>,
        pub sender_name: Option<String>,
        pub sender_id: Option<String>,
        pub message_type: Option<String>,
        pub message_content: Option<String>,
        pub has_media: Option<bool>,
        pub has_quoted_message: Option<bool>,
        pub message_length: Option<i32>,
        pub turn_id: Option<String>,
        pub answered_in: Option<Uuid>,
        pub session_name: Option<String>,
        pub session_id: Option<String>,
        pub user_id: Option<String>,
        pub attempts: Option<i32>,
        #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
        pub processing_started_at: Option<DateTimeUtc>,
        #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
        pub agent_request_at: Option<DateTimeUtc>,
        #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
        pub agent_response_at: Option<DateTimeUtc>,
        #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
        pub channel_send_at: Option<DateTimeUtc>,
        #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
        pub completed_at: Option<DateTimeUtc>,
        pub agent_processing_time_ms: Option<i32>,
        pub total_processing_time_ms: Option<i32>,
        pub agent_response: Option<String>,
        pub agent_response_length: Option<i32>,
        pub agent_response_success: Option<bool>,
        pub agent_request_tokens: Option<i32>,
        pub agent_response_tokens: Option<i32>,
        pub agent_tools_used: Option<i32>,
        pub evolution_response_code: Option<i32>,
        pub evolution_success: Option<bool>,
        pub channel_success: Option<bool>,
        /// The channel's ids of the answer's bubbles, as a JSON array of strings.
        #[serde(serialize_with = "as_json")]
        #[schema(value_type = Vec<String>)]
        pub reply_message_ids: String,
        pub error_stage: Option<String>,
        pub error_message: Option<String>,
        /// What is worth a look and stopped nothing, as a JSON array of strings.
        #[serde(serialize_with = "as_json")]
        #[schema(value_type = Vec<String>)]
        pub warnings: String,
        /// Of the event that wrote the row; see [`TraceEvent`](crate::trace::TraceEvent).
        #[serde(skip)]
        pub revision: i64,
        #[schema(value_type = chrono::DateTime<chrono::Utc>)]
        pub created_at: DateTimeUtc,
        #[schema(value_type = chrono::DateTime<chrono::Utc>)]
        pub updated_at: DateTimeUtc,
    }

    /// Shows a column of JSON text as the JSON that it is.
    fn as_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer)
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `trace_payloads`: one row per message and stage.
pub mod trace_payload {
    #![expect(missing_docs, reason = "the columns are described at `StagePayload`")]

    use sea_orm::entity::prelude::*;

    /// A row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "trace_payloads")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub trace_id: Uuid,
        pub stage: String,
        pub at: DateTimeUtc,
        pub status_code: Option<i32>,
        /// JSON, compressed with zlib.
        #[sea_orm(column_type = "Blob")]
        pub payload: Vec<u8>,
        /// In bytes of JSON, before anything was cut off or compressed.
        pub payload_size_original: i32,
        /// Of the event that wrote the row.
        pub revision: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// `message_receipts`: one row per bubble of ours of which the channel told something.
pub mod message_receipt {
    #![expect(missing_docs, reason = "the columns are described at `Receipt`")]

    use sea_orm::entity::prelude::*;

    /// A row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "message_receipts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub instance_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub provider_id: String,
        /// [`DeliveryState::rank`](crate::channel::DeliveryState::rank).
        pub state: i16,
        pub at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
