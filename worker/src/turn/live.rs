//! Sending an answer while the agent is still giving it (`stream_replies`): a bubble at the end of each
//! paragraph.
//!
//! ```text
//! agent    One.⏎⏎ Two.⏎⏎ Three. ... Five. [end]
//! person          One.   Two.                Three. Four. Five.
//! ```
//!
//! The checkpoint holds what is out and that more is to come, written before and after each bubble:
//! whoever goes on with a turn that was cut asks again, with the same key, and sends what is not out yet.
//! A channel that fails does not end the call: the agent is heard out, and what it said is kept.

use std::pin::{Pin, pin};

use omnihub_common::{
    channel::whatsapp::outbound::recipient,
    queue::{Answer, OpenTurn, Phase, now_ms},
    trace::Outcome,
};
use tokio::sync::watch;

use super::{
    Exit, Opened, Turn,
    growing::Growing,
    send::{Parcel, note_out},
    story::Story,
};
use crate::agent::{self, Reply};

impl Turn {
    /// The answer as far as it is out, where it is to go out while the agent speaks, or has begun to.
    pub(super) fn growing(&self, opened: &Opened, asked_at: i64) -> Option<Box<Growing>> {
        let begun = self.answer_so_far().cloned().map(Growing::go_on);
        let streams = || opened.instance.reply.stream && agent::streams(&opened.instance);
        let mut growing = begun.or_else(|| streams().then(|| Growing::begin(asked_at))).map(Box::new)?;
        growing.answer.by.clone_from(&opened.fallback);
        Some(growing)
    }

    /// Waits for the agent, and sends meanwhile what it has said.
    pub(super) async fn hear_out<A: Future + Unpin>(
        &mut self,
        mut asking: A,
        (opened, story): (&Opened, &mut Story),
        growing: &mut Growing,
        mut heard: watch::Receiver<String>,
    ) -> Result<A::Output, Exit> {
        let number = recipient(&opened.message.chat, opened.message.sender.alt_id.as_deref());
        let parcel = Parcel::answer(opened, &number);
        let (stop, withdraw) = (self.reins.stop.clone(), self.reins.withdraw.clone());
        self.settle(&parcel, story, &mut growing.answer).await?;
        loop {
            if stop.is_cancelled() {
                self.keep_growing(growing);
                return Err(Exit::Stopped);
            }
            // What is in doubt is settled first: by then more messages wait for the answer's end.
            let may_end = growing.trouble.is_none() && !growing.answer.in_doubt;
            if may_end && withdraw.is_cancelled() {
                return Err(self.superseded(story, growing));
            }
            if growing.is_behind() {
                let sending = Box::pin(self.send_heard(&parcel, story, growing));
                let (sent, ended) = beside(Pin::new(&mut asking), sending).await;
                sent?;
                if let Some(asked) = ended {
                    return Ok(asked);
                }
                self.progress.asking(self.attempts() + 1);
                continue;
            }
            tokio::select! {
                biased;
                asked = &mut asking => return Ok(asked),
                () = stop.cancelled() => {}
                () = withdraw.cancelled(), if may_end => {}
                Ok(()) = heard.changed() => growing.hear(&heard.borrow_and_update()),
            }
        }
    }

    /// Sends one bubble, and keeps that it is out where no other follows at once. When the channel
    /// fails, that waits until the agent has spoken.
    async fn send_heard(&mut self, parcel: &Parcel<'_>, story: &mut Story, growing: &mut Growing) -> Result<(), Exit> {
        match self.send_next(parcel, story, &mut growing.answer).await {
            Ok(()) if growing.is_behind() => Ok(()),
            Ok(()) => {
                self.remember_sending(growing.answer.clone());
                self.write().await
            }
            Err(exit @ (Exit::Retry(..) | Exit::Parked(..))) => {
                let in_doubt = self.answer_so_far().is_some_and(|answer| answer.in_doubt);
                growing.answer.in_doubt = in_doubt;
                growing.trouble = Some(exit);
                Ok(())
            }
            Err(exit) => Err(exit),
        }
    }

    /// More messages came: what is out of the answer stands, and nothing more of it goes out.
    fn superseded(&mut self, story: &mut Story, growing: &mut Growing) -> Exit {
        if !growing.answer.is_out() {
            self.checkpoint.open = None;
            return Exit::Withdrawn;
        }
        growing.stop();
        growing.answer.growing = false;
        growing.answer.answered_at = now_ms();
        story.answered(&growing.answer);
        note_out(story, &growing.answer);
        let notice = "more messages came while the agent was answering: the rest of its answer was not waited for";
        story.details().warnings.push(notice.to_owned());
        self.remember_sending(growing.answer.clone());
        Exit::End(Outcome::Answered, "answer_superseded".to_owned())
    }

    /// What is out of the answer is known to whoever goes on with the turn.
    fn keep_growing(&mut self, growing: &mut Growing) {
        growing.stop();
        if growing.answer.is_out() {
            self.remember_sending(growing.answer.clone());
        }
    }

    /// The whole answer, and why it does not go out now, which is a later attempt's then.
    pub(super) fn heard_out(
        &mut self,
        story: &mut Story,
        mut growing: Growing,
        reply: &Reply,
        answered_at: i64,
    ) -> (Answer, Option<Exit>) {
        let unsaid = growing.end(reply, answered_at);
        if unsaid > 0 {
            let notice = format!("the agent, asked again, did not say again what was out already: {unsaid} bubbles");
            story.details().warnings.push(notice);
        }
        if let (Some(_), Some(OpenTurn { phase: Phase::Sending(answer), .. })) =
            (&growing.trouble, &mut self.checkpoint.open)
        {
            answer.clone_from(&growing.answer);
        }
        (growing.answer, growing.trouble)
    }

    /// Keeps what is out of an answer that the agent broke off; or why nothing more of it could go out
    /// before.
    pub(super) fn broken_off(&mut self, mut growing: Growing) -> Option<Exit> {
        let trouble = growing.trouble.take();
        if trouble.is_none() {
            self.keep_growing(&mut growing);
        }
        trouble
    }

    /// What is out of an answer that no agent has given to its end.
    pub(super) fn out_so_far(&self) -> Option<Answer> {
        self.answer_so_far().filter(|answer| answer.growing && answer.is_out()).cloned()
    }
}

/// Does one thing while the other is waited for, which may end meanwhile.
async fn beside<A: Future, B: Future>(mut waiting: Pin<&mut A>, doing: B) -> (B::Output, Option<A::Output>) {
    let mut doing = pin!(doing);
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            output = &mut waiting, if ended.is_none() => ended = Some(output),
            output = &mut doing => return (output, ended),
        }
    }
}
