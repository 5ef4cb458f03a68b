//! What a question is made of beside the words that people wrote, brought together before the agent
//! is asked: what they said in voice messages, and files.
//!
//! ```text
//! voice message   m1 |--- listened to ---------------|
//! written meanwhile      m2      m3                   one question: m1 m2 m3
//! ```
//!
//! That may take its time, and the agent knows of nothing yet. So where messages are gathered,
//! whatever comes meanwhile is asked with it: the turn is taken back, and begun anew with all. What
//! was listened to is not listened to again.

use futures_util::{StreamExt, stream};
use omnihub_common::{
    channel::{InboundMessage, MessageKind},
    instance::Instance,
    trace::{Stage, TraceDetails, TraceStatus},
};
use serde_json::json;

use super::{Exit, Opened, Turn, part::Part, question::media_content, send::evolution, story::Story};
use crate::{
    agent,
    files::{Gathered, Wanted},
    transcription::{Heard, Sound, Transcript},
};

/// So many messages of one turn are listened to at once.
const AT_ONCE: usize = 4;

impl Turn {
    /// Brings it together: what was said becomes the words of its message, and the files are answered.
    pub(super) async fn prepare(
        &mut self,
        opened: &mut Opened,
        parts: &mut [Part],
        story: &mut Story,
        asked: &Instance,
    ) -> Result<Gathered, Exit> {
        // What is out of an answer, in an earlier attempt, cannot be taken back.
        let (reins, is_unsent) = (self.reins.clone(), !self.is_sending());
        let is_unasked = is_unsent && self.open_turn().is_none_or(|open| open.attempt == 0);
        let preparing = async {
            let heard = self.heard(opened).await;
            (heard, self.files(opened, asked).await)
        };
        let (heard, gathered) = tokio::select! {
            biased;
            prepared = preparing => prepared,
            () = reins.stop.cancelled() => return Err(Exit::Stopped),
            () = reins.join.cancelled(), if is_unasked => return Err(self.taken_back(is_unasked)),
            () = reins.withdraw.cancelled(), if is_unsent => return Err(self.taken_back(is_unasked)),
        };
        self.checkpoint.prepaid = false;
        for (id, heard) in heard {
            match heard {
                Ok(transcript) => tell(opened, parts, story, &id, transcript).await,
                Err(why) => {
                    let warning = format!("the agent was not told what is said in message {id}: {why}");
                    story.details().warnings.push(warning);
                }
            }
        }
        story.details().warnings.extend(gathered.warnings.iter().cloned());
        Ok(gathered)
    }

    /// Where it was counted and has not asked, the turn that takes its place is not counted again.
    fn taken_back(&mut self, is_unasked: bool) -> Exit {
        (self.checkpoint.open, self.checkpoint.prepaid) = (None, is_unasked);
        Exit::Withdrawn
    }

    /// What is said in the messages that nobody has written down yet, by their ids.
    async fn heard(&self, opened: &Opened) -> Vec<(String, Heard)> {
        if opened.instance.media.transcript.api_url.is_none() {
            return Vec::new();
        }
        let evolution = evolution(&self.kit, &opened.instance).ok();
        let messages = opened.earlier.iter().chain([&opened.message]).filter(|message| is_unheard(message));
        let sounds = messages.filter_map(|message| {
            let about = media_content(message)?;
            let at = opened.files.iter().find(|file| file.is_of(&about))?.clone();
            Some((message.provider_id.clone(), Sound { at, about }))
        });
        let sounds: Vec<_> = sounds.collect();
        let hearing = stream::iter(sounds).map(|(id, sound)| {
            let evolution = evolution.clone();
            async move { (id, self.kit.listener.hear(&opened.instance, sound, evolution).await) }
        });
        hearing.buffered(AT_ONCE).collect().await
    }

    /// The files that this instance's agent is given: those that it takes, as far as they are to be had.
    pub(super) async fn files(&self, opened: &Opened, asked: &Instance) -> Gathered {
        if opened.files.is_empty() || !self.kit.files.gives() {
            return Gathered::default();
        }
        let messages = opened.earlier.iter().chain([&opened.message]);
        let told = messages.filter_map(media_content).filter(|about| agent::takes(asked, about));
        let wanted = told.filter_map(|about| {
            let at = opened.files.iter().find(|file| file.is_of(&about))?;
            Some(Wanted { at, as_link: agent::takes_link(asked, &about), about })
        });
        let evolution = evolution(&self.kit, &opened.instance).ok();
        let wanted: Vec<_> = wanted.collect();
        let unlinked = wanted.iter().any(|wanted| wanted.as_link) && !self.kit.files.has_links();
        let mut gathered = self.kit.files.gather(wanted, evolution.as_ref()).await;
        if unlinked {
            let warning = "the agent was given files in base64: OMNIHUB_PUBLIC_URL is not set where the worker runs";
            gathered.warnings.push(warning.to_owned());
        }
        gathered
    }
}

/// Whether something is said in a message that is not there in words: Evolution may have heard it.
fn is_unheard(message: &InboundMessage) -> bool {
    let content = &message.content;
    let has_words = content.text.as_deref().is_some_and(|text| !text.trim().is_empty());
    matches!(content.kind, MessageKind::Voice | MessageKind::Audio) && !has_words
}

/// What was said becomes the words of its message, and its trace tells it.
async fn tell(opened: &mut Opened, parts: &mut [Part], story: &mut Story, id: &str, transcript: Transcript) {
    let Transcript { text, model, at, took_ms } = transcript;
    let mut messages = opened.earlier.iter_mut().chain([&mut opened.message]);
    let Some(message) = messages.find(|message| message.provider_id == id) else { return };
    let payload = json!({"text": text, "model": model, "at": at, "took_ms": took_ms});
    message.content.text = Some(text);
    let known = TraceDetails::of(message);
    // The leading message's story is not among those of the others.
    let others = parts.iter_mut().filter(|part| part.message.as_ref().is_some_and(|one| one.provider_id == id));
    let story = others.filter_map(|part| part.story.as_mut()).next().unwrap_or(story);
    let details = story.details();
    (details.message_content, details.message_length) = (known.message_content, known.message_length);
    story.step(TraceStatus::Processing, Some((Stage::Transcription, None, payload))).await;
}
