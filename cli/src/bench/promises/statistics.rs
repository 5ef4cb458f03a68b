//! Medians and percentiles. Pure.

use std::time::Duration;

/// The value below which this share (0 to 1) of the values lies: the nearest rank; zero of none.
#[must_use]
pub(super) fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

/// The middle one; of an even number the mean of the two in the middle.
#[must_use]
pub(super) fn median(values: &[Duration]) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => Duration::ZERO,
        even if even % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2,
        _ => sorted[middle],
    }
}

/// The largest one; zero of none.
#[must_use]
pub(super) fn worst(values: &[Duration]) -> Duration {
    values.iter().max().copied().unwrap_or_default()
}

/// A time for people: `87 ms`, `2.06 s`, `10 min 3 s`.
#[must_use]
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        0.0..0.01 => format!("{:.1} ms", seconds * 1_000.0),
        0.01..1.0 => format!("{:.0} ms", seconds * 1_000.0),
        1.0..120.0 => format!("{seconds:.2} s"),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// Bytes for people: `12.3 MB`, of a million each.
#[must_use]
pub(super) fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(values: &[u64]) -> Vec<Duration> {
        values.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&ms(&hundred), 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&ms(&hundred), 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&ms(&[7]), 0.99), Duration::from_millis(7));
        assert_eq!(percentile(&[], 0.99), Duration::ZERO);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&ms(&[3, 1, 2])), Duration::from_millis(2));
        assert_eq!(median(&ms(&[4, 1, 2, 3])), Duration::from_micros(2_500));
        assert_eq!((median(&[]), worst(&[])), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn figures_are_written_for_people() {
        let times = [900, 87_400, 2_060_000, 603_000_000].map(|us| time(Duration::from_micros(us)));
        assert_eq!(times, ["0.9 ms", "87 ms", "2.06 s", "10 min 3 s"]);
        assert_eq!(size(12_345_678), "12.3 MB");
    }

    proptest! {
        #[test]
        fn they_lie_in_order(values in prop::collection::vec(0_u64..1_000_000, 1..200)) {
            let values = ms(&values);
            let (half, most) = (percentile(&values, 0.5), percentile(&values, 0.99));
            prop_assert!(half <= median(&values) && half <= most && most <= worst(&values));
            prop_assert_eq!(percentile(&values, 1.0), worst(&values));
        }
    }
}
