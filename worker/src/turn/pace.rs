//! How fast bubbles go out: an account writes no faster than its instance says (`sends_per_minute`),
//! and an answer no faster than somebody types (`typing_speed`). The first bubble of an answer waits
//! for no typing. Whoever takes over need not wait for either.

use std::time::Duration;

use omnihub_common::{
    channel::whatsapp::outbound::Presence,
    instance::Instance,
    queue::{Answer, now_ms},
    telemetry::propagation,
};

use super::{
    Exit, Turn,
    send::{Parcel, evolution},
};

/// Nobody types longer.
const LONGEST_TYPING: Duration = Duration::from_secs(8);
/// The broker is asked for a place for at most so long; without one the bubble goes out.
const PATIENCE: Duration = Duration::from_secs(2);

impl Turn {
    /// Waits until the next bubble may go out.
    pub(super) async fn keep_pace(&mut self, parcel: &Parcel<'_>, answer: &Answer) -> Result<(), Exit> {
        let next = answer.bubbles.get(answer.sent.len()).filter(|_| parcel.is_answer() && !answer.sent.is_empty());
        let typed = next.map_or(Duration::ZERO, |text| typing(parcel.instance.reply.typing_speed, text));
        let wait = typed.max(self.place_of_send(parcel.instance).await);
        if wait.is_zero() {
            return Ok(());
        }
        if !typed.is_zero() {
            self.show_typing(parcel, typed);
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.reins.stop.cancelled() => {
                self.remember_sending(answer.clone());
                Err(Exit::Stopped)
            }
        }
    }

    async fn place_of_send(&self, instance: &Instance) -> Duration {
        let per_minute = instance.reply.sends_per_minute;
        if per_minute == 0 {
            return Duration::ZERO;
        }
        let place = self.kit.accounts.place_of_send(instance.id, per_minute, now_ms());
        match tokio::time::timeout(PATIENCE, place).await {
            Ok(Ok(wait)) => wait,
            _ => {
                tracing::warn!(
                    instance.id,
                    "the pace of an account could not be asked for: a message goes out at once"
                );
                Duration::ZERO
            }
        }
    }

    /// Nobody waits for it, and whether it worked is no matter.
    fn show_typing(&self, parcel: &Parcel<'_>, time: Duration) {
        let Ok(evolution) = evolution(&self.kit, parcel.instance) else { return };
        let (seats, number) = (self.kit.typing.clone(), parcel.number.to_owned());
        let (headers, ms) = (propagation::inject_current(), u64::try_from(time.as_millis()).unwrap_or_default());
        tokio::spawn(async move {
            if let Ok(_seat) = seats.try_acquire() {
                let _ = evolution.send_presence(&number, Presence::Composing, ms, headers).await;
            }
        });
    }
}

/// How long it takes to type a text at so many characters a second.
fn typing(speed: u32, text: &str) -> Duration {
    let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    match speed {
        0 => Duration::ZERO,
        speed => Duration::from_secs_f64(f64::from(characters) / f64::from(speed)).min(LONGEST_TYPING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_takes_as_long_as_the_text_and_never_for_ever() {
        assert_eq!(typing(0, "hello"), Duration::ZERO);
        assert_eq!(typing(10, "olá, tudo bem"), Duration::from_millis(1300));
        assert_eq!(typing(1, &"x".repeat(100_000)), LONGEST_TYPING);
    }
}
