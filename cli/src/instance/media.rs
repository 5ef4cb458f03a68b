//! What `omnihub instance` takes about files.

use clap::Args;
use omnihub_common::secret::Secret;
use serde::Serialize;

use super::values::secret;

/// What becomes of files.
#[derive(Debug, Args, Serialize)]
pub(super) struct MediaArgs {
    /// Who writes down what is said in voice messages: an OpenAI-compatible server.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript_api_url: Option<String>,
    /// The key there, if it wants one.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    #[serde(skip)]
    pub(super) transcript_api_key: Option<Secret>,
    /// The model there; without it whisper-1.
    #[arg(long, value_name = "MODEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript_model: Option<String>,
    /// What is spoken, as pt or en; without it the server finds out.
    #[arg(long, value_name = "LANGUAGE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript_language: Option<String>,
    /// How agents get files: base64, or url for links to the hub.
    #[arg(long, value_name = "HOW")]
    #[serde(skip_serializing_if = "Option::is_none")]
    media_delivery: Option<String>,
}
