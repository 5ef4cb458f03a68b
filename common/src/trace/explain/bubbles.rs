//! What the channel told of an answer's bubbles, in words.

use super::{Explanation, count};
use crate::{channel::DeliveryState, trace::BubbleState};

impl Explanation {
    /// The same with how far the bubbles have come, where the channel told anything of them.
    #[must_use]
    pub fn with_bubbles(mut self, bubbles: &[BubbleState]) -> Self {
        let of = |state| bubbles.iter().filter(|bubble| bubble.at.is_some() && bubble.state == state).count();
        let states = [DeliveryState::Read, DeliveryState::Delivered, DeliveryState::Sent];
        let told = states.into_iter().map(|state| (of(state), state.as_str())).filter(|(n, _)| *n > 0);
        let told: Vec<String> = told.map(|(n, word)| format!("{n} {word}")).collect();
        if !told.is_empty() {
            let of_them = count(i64::try_from(bubbles.len()).unwrap_or_default(), "message");
            self.sentences.push(format!("Of the {of_them} that went out the channel says: {}.", told.join(", ")));
        }
        for (nth, bubble) in bubbles.iter().enumerate() {
            if bubble.state == DeliveryState::Failed {
                let what =
                    format!("Worth a look: the channel could not deliver bubble {} ({}).", nth + 1, bubble.message_id);
                self.sentences.push(what);
            }
        }
        self
    }
}
