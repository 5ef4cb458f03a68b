//! What the commands take.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Map, Value, json};

/// How a message is sent, whatever it says.
#[derive(Debug, Args)]
pub(super) struct How {
    /// The instance that sends it.
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// To whom: a phone number with its country code, or the id of a chat.
    #[arg(value_name = "TO", allow_hyphen_values = true)]
    to: String,
    /// Seconds to wait until it is sent, from 0 to 60.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(super) wait: u64,
    /// Said again within 24 hours, the same key sends nothing a second time.
    #[arg(long = "idempotency-key", value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What a message may have beside its words.
#[derive(Debug, Args)]
pub(super) struct Beside {
    /// The id of the message that it replies to.
    #[arg(long, value_name = "ID")]
    quoted: Option<String>,
    /// A person to mention, in a group; may be given several times.
    #[arg(long = "mention", value_name = "PHONE")]
    mentions: Vec<String>,
    /// Mention everybody in the group.
    #[arg(long)]
    mention_all: bool,
    /// Show typing so long before, in milliseconds.
    #[arg(long, value_name = "MS")]
    delay: Option<u64>,
}

/// What `text` takes.
#[derive(Debug, Args)]
pub struct TextArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// Its words.
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    #[command(flatten)]
    beside: Beside,
    /// Send a long text whole, not split on blank lines.
    #[arg(long)]
    whole: bool,
}

/// A file, here or at an address.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Source {
    /// The file's address, from which Evolution fetches it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The file, of this machine.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// What `media` takes.
#[derive(Debug, Args)]
pub struct MediaArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// How it is shown.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["image", "video", "audio", "document"])]
    media_type: String,
    #[command(flatten)]
    source: Source,
    /// The words beside it.
    #[arg(long, value_name = "TEXT")]
    caption: Option<String>,
    /// The name that it is saved under; of a file of this machine its own.
    #[arg(long, value_name = "NAME")]
    filename: Option<String>,
    /// Its media type, as image/png.
    #[arg(long, value_name = "TYPE")]
    mime_type: Option<String>,
    #[command(flatten)]
    beside: Beside,
}

/// What `audio` takes.
#[derive(Debug, Args)]
pub struct AudioArgs {
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    source: Source,
}

/// What `sticker` takes.
#[derive(Debug, Args)]
pub struct StickerArgs {
    #[command(flatten)]
    pub(super) how: How,
    #[command(flatten)]
    source: Source,
}

/// What `contact` takes.
#[derive(Debug, Args)]
pub struct ContactArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// The person's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The person's phone number.
    #[arg(value_name = "PHONE", allow_hyphen_values = true)]
    phone: String,
    /// The person's mail address.
    #[arg(long)]
    email: Option<String>,
    /// Where the person works.
    #[arg(long)]
    organization: Option<String>,
    /// The person's page.
    #[arg(long)]
    url: Option<String>,
}

/// What `reaction` takes.
#[derive(Debug, Args)]
pub struct ReactionArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// The id of the message, as a trace has it.
    #[arg(value_name = "MESSAGE_ID")]
    message_id: String,
    /// One emoji; empty takes an earlier one away.
    #[arg(value_name = "EMOJI")]
    reaction: String,
    /// The message is one of ours.
    #[arg(long)]
    from_me: bool,
}

/// What `location` takes.
#[derive(Debug, Args)]
pub struct LocationArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// In degrees.
    #[arg(value_name = "LATITUDE", allow_hyphen_values = true)]
    latitude: f64,
    /// In degrees.
    #[arg(value_name = "LONGITUDE", allow_hyphen_values = true)]
    longitude: f64,
    /// What it is called.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it is, in words.
    #[arg(value_name = "ADDRESS")]
    address: String,
}

/// What `poll` takes.
#[derive(Debug, Args)]
pub struct PollArgs {
    #[command(flatten)]
    pub(super) how: How,
    /// The question.
    #[arg(value_name = "QUESTION")]
    question: String,
    /// An answer; two at least.
    #[arg(value_name = "ANSWER", num_args = 2..)]
    answers: Vec<String>,
    /// How many may be chosen; 0 is any number.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    selectable: u8,
}

impl How {
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// The body, so far.
    fn body(&self) -> Map<String, Value> {
        Map::from_iter([("to".to_owned(), json!(self.to))])
    }
}

impl Beside {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "quoted", self.quoted.as_deref());
        put(body, "mentions", Some(self.mentions.clone()).filter(|people| !people.is_empty()));
        put(body, "mention_all", self.mention_all.then_some(true));
        put(body, "delay", self.delay);
    }
}

impl TextArgs {
    pub(super) fn body(&self) -> Value {
        let mut body = self.how.body();
        put(&mut body, "text", Some(self.text.as_str()));
        put(&mut body, "split_message", self.whole.then_some(false));
        self.beside.put(&mut body);
        body.into()
    }
}

impl Source {
    /// Puts it under the names that its kind has for it.
    fn put(&self, body: &mut Map<String, Value>, kind: &str) -> anyhow::Result<()> {
        put(body, &format!("{kind}_url"), self.url.as_deref());
        if let Some(path) = &self.file {
            let file = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            put(body, &format!("{kind}_base64"), Some(STANDARD.encode(file)));
        }
        Ok(())
    }

    fn name(&self) -> Option<String> {
        let name = self.file.as_deref().and_then(Path::file_name)?;
        Some(name.to_string_lossy().into_owned())
    }
}

impl MediaArgs {
    pub(super) fn body(&self) -> anyhow::Result<Value> {
        let mut body = self.how.body();
        put(&mut body, "media_type", Some(self.media_type.as_str()));
        self.source.put(&mut body, "media")?;
        put(&mut body, "caption", self.caption.as_deref());
        put(&mut body, "filename", self.filename.clone().or_else(|| self.source.name()));
        put(&mut body, "mime_type", self.mime_type.as_deref());
        self.beside.put(&mut body);
        Ok(body.into())
    }
}

impl AudioArgs {
    pub(super) fn body(&self) -> anyhow::Result<Value> {
        let mut body = self.how.body();
        self.source.put(&mut body, "audio")?;
        Ok(body.into())
    }
}

impl StickerArgs {
    pub(super) fn body(&self) -> anyhow::Result<Value> {
        let mut body = self.how.body();
        self.source.put(&mut body, "sticker")?;
        Ok(body.into())
    }
}

impl ContactArgs {
    pub(super) fn body(&self) -> Value {
        let mut card = Map::new();
        put(&mut card, "full_name", Some(self.name.as_str()));
        put(&mut card, "phone_number", Some(self.phone.as_str()));
        put(&mut card, "email", self.email.as_deref());
        put(&mut card, "organization", self.organization.as_deref());
        put(&mut card, "url", self.url.as_deref());
        let mut body = self.how.body();
        put(&mut body, "contacts", Some(json!([card])));
        body.into()
    }
}

impl ReactionArgs {
    pub(super) fn body(&self) -> Value {
        let mut body = self.how.body();
        put(&mut body, "message_id", Some(self.message_id.as_str()));
        put(&mut body, "reaction", Some(self.reaction.as_str()));
        put(&mut body, "from_me", self.from_me.then_some(true));
        body.into()
    }
}

impl LocationArgs {
    pub(super) fn body(&self) -> Value {
        let mut body = self.how.body();
        put(&mut body, "latitude", Some(self.latitude));
        put(&mut body, "longitude", Some(self.longitude));
        put(&mut body, "name", Some(self.name.as_str()));
        put(&mut body, "address", Some(self.address.as_str()));
        body.into()
    }
}

impl PollArgs {
    pub(super) fn body(&self) -> Value {
        let mut body = self.how.body();
        put(&mut body, "name", Some(self.question.as_str()));
        put(&mut body, "values", Some(self.answers.clone()));
        put(&mut body, "selectable_count", Some(self.selectable));
        body.into()
    }
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    body.extend(value.map(|value| (name.to_owned(), value.into())));
}
