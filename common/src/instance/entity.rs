//! A row of `instance_configs`. Secrets in it are encrypted text.

#![expect(unreachable_pub, reason = "the derive makes the entity public, and its parts must be as public as itself")]

use sea_orm::entity::prelude::*;

/// The row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "instance_configs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    #[sea_orm(unique)]
    pub name: String,
    pub channel_type: String,
    pub is_active: bool,
    pub is_default: bool,
    pub session_id_prefix: Option<String>,
    pub whatsapp_instance: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub agent_api_url: String,
    #[sea_orm(column_type = "Text")]
    pub agent_api_key: String,
    pub agent_id: Option<String>,
    pub default_agent: Option<String>,
    pub agent_timeout: i32,
    pub agent_instance_type: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub agent_error_message: Option<String>,
    pub agent_type: String,
    pub agent_stream_mode: bool,
    #[sea_orm(column_type = "Text", nullable)]
    pub agent_system_prompt: Option<String>,
    pub agent_history_turns: i32,
    #[sea_orm(column_type = "Text", nullable)]
    pub agent_webhook_secret: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub agent_webhook_secret_previous: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub fallback_agents: Option<String>,
    pub on_agent_failure: String,
    pub late_answer_minutes: i32,
    pub enable_auto_split: bool,
    pub split_over: i32,
    pub debounce_ms: i32,
    pub debounce_max_ms: i32,
    pub overlap: String,
    pub max_backlog: Option<i32>,
    pub turns_per_minute: i32,
    pub on_edit: String,
    pub takeover_minutes: i32,
    pub resume_keyword: Option<String>,
    pub trace_retention_days: Option<i32>,
    pub group_trigger: String,
    #[sea_orm(column_type = "Text")]
    pub group_keywords: String,
    pub group_session: String,
    pub budget_turns_per_minute: Option<i32>,
    pub budget_turns_per_day: Option<i32>,
    pub budget_tokens_per_day: Option<i32>,
    #[sea_orm(column_type = "Text", nullable)]
    pub opening_hours: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub out_of_office_message: Option<String>,
    pub quote_replies: String,
    pub mention_in_groups: String,
    pub mark_read: bool,
    pub typing_speed: i32,
    pub sends_per_minute: i32,
    pub stream_replies: bool,
    #[sea_orm(column_type = "Text", nullable)]
    pub transcript_api_url: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub transcript_api_key: Option<String>,
    pub transcript_model: Option<String>,
    pub transcript_language: Option<String>,
    pub media_delivery: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub channel_settings: Json,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

/// Other tables name their instance by its name; nothing is joined.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
