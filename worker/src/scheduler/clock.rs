//! The broker's clock, as far as deliveries tell it.
//!
//! Messages carry the broker's time. A delivery that was not waiting shows the difference to our
//! own clock, less the time it took to arrive: the largest difference of the last while is the
//! nearest to the truth.

/// A difference is believed for so long, in milliseconds; clocks drift and are set.
const BELIEVED_FOR: i64 = 60_000;

/// An estimate of how far the broker's clock is ahead of ours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BrokerClock {
    /// The largest difference of this period and of the one before.
    largest: [Option<i64>; 2],
    period_began: i64,
}

impl BrokerClock {
    /// A message that the broker stored at `published` has just arrived; both in milliseconds
    /// since 1970, `ours` by our clock. Only for messages that were sent on at once.
    pub(super) fn observe(&mut self, published: i64, ours: i64) {
        if !(0..BELIEVED_FOR).contains(&(ours - self.period_began)) {
            self.largest = [None, self.largest[0]];
            self.period_began = ours;
        }
        let difference = published - ours;
        self.largest[0] = Some(self.largest[0].map_or(difference, |known| known.max(difference)));
    }

    /// The broker's time now; ours until something was observed.
    pub(super) fn now(&self, ours: i64) -> i64 {
        ours + self.largest.iter().flatten().max().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_delivery_of_the_last_while_tells_the_difference() {
        let mut clock = BrokerClock::default();
        assert_eq!(clock.now(5), 5);
        for (published, ours) in [(10_400, 10_000), (10_550, 10_060), (10_600, 10_300)] {
            clock.observe(published, ours);
        }
        assert_eq!(clock.now(20_000), 20_490);
        // The clock was set: what was true is forgotten after two periods.
        for minute in 1..4 {
            let ours = 10_000 + minute * BELIEVED_FOR;
            clock.observe(ours - 100, ours);
        }
        assert_eq!(clock.now(500_000), 499_900);
    }
}
