//! A page out of a list that goes by: filters before paging, totals of what the filters leave.
//!
//! Of the list the rows up to the end of the page are held, in its order, and no others.

use std::{cmp::Reverse, collections::BinaryHeap, ops::ControlFlow};

use chrono::{DateTime, Utc};
use omnihub_common::queue::{HeldBytes, PayloadBudget};

/// The order of a list: the latest first, then by name, then by id, which no two rows share.
pub(super) type Rank = (Reverse<Option<DateTime<Utc>>>, String, String);

/// A row of a list.
pub(super) trait Listed {
    /// Its place.
    fn rank(&self) -> Rank;
    /// The bytes that it takes, more or less.
    fn size(&self) -> usize;
}

/// A page being filled.
#[derive(Debug)]
pub(super) struct Page<T> {
    skip: usize,
    /// The rows up to the end of the page.
    end: usize,
    kept: BinaryHeap<Kept<T>>,
    total: u64,
    unreadable: u64,
    budget: PayloadBudget,
    is_full: bool,
}

/// A page.
#[derive(Debug)]
pub(super) struct Filled<T> {
    pub(super) rows: Vec<T>,
    /// Rows that the filters leave, on this page or not.
    pub(super) total: u64,
    /// Rows that cannot be read.
    pub(super) unreadable: u64,
    /// There was no room for it in memory.
    pub(super) is_full: bool,
}

impl<T: Listed> Page<T> {
    /// The rows after the first `skip`, at most `size`.
    pub(super) fn new(skip: u64, size: u64, budget: PayloadBudget) -> Self {
        let end = usize::try_from(skip + size).unwrap_or(usize::MAX);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Self { skip, end, kept: BinaryHeap::new(), total: 0, unreadable: 0, budget, is_full: false }
    }

    /// Takes note of a row, or of one that cannot be read; says whether to go on.
    pub(super) fn offer(&mut self, row: Option<T>, wanted: impl FnOnce(&T) -> bool) -> ControlFlow<()> {
        let Some(row) = row else {
            self.unreadable += 1;
            return ControlFlow::Continue(());
        };
        if !wanted(&row) {
            return ControlFlow::Continue(());
        }
        self.total += 1;
        let rank = row.rank();
        let is_beyond = self.kept.len() == self.end && self.kept.peek().is_some_and(|last| last.rank <= rank);
        if is_beyond {
            return ControlFlow::Continue(());
        }
        let size = size_of::<Kept<T>>() + rank.1.len() + rank.2.len() + row.size();
        let Some(held) = self.budget.hold(size) else {
            self.is_full = true;
            return ControlFlow::Break(());
        };
        self.kept.push(Kept { rank, row, _held: held });
        if self.kept.len() > self.end {
            self.kept.pop();
        }
        ControlFlow::Continue(())
    }

    /// The page, in its order.
    pub(super) fn fill(self) -> Filled<T> {
        let rows = self.kept.into_sorted_vec().into_iter().skip(self.skip).map(|kept| kept.row);
        Filled { rows: rows.collect(), total: self.total, unreadable: self.unreadable, is_full: self.is_full }
    }
}

/// A row with its place.
#[derive(Debug)]
struct Kept<T> {
    rank: Rank,
    row: T,
    _held: HeldBytes,
}

impl<T> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Kept<T> {}

impl<T> PartialOrd for Kept<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Kept<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1024 * 1024;

    impl Listed for u16 {
        fn rank(&self) -> Rank {
            (Reverse(None), String::new(), format!("{self:05}"))
        }

        fn size(&self) -> usize {
            MIB
        }
    }

    proptest! {
        #[test]
        fn the_pages_are_the_filtered_list_in_order(
            rows in prop::collection::vec(any::<u16>(), 0..200),
            size in 1_u64..60,
            divisor in 1_u16..4,
        ) {
            let wanted = |row: &u16| row.is_multiple_of(divisor);
            let mut expected: Vec<u16> = rows.iter().copied().filter(|row| wanted(row)).collect();
            expected.sort_unstable();
            let budget = PayloadBudget::new(200 * MIB);
            let mut all = Vec::new();
            for nth in 0..=200 / size {
                let mut page = Page::new(nth * size, size, budget.clone());
                for row in &rows {
                    prop_assert!(page.offer(Some(*row), wanted).is_continue());
                }
                prop_assert!(page.offer(None, wanted).is_continue());
                let filled = page.fill();
                prop_assert_eq!((filled.total, filled.unreadable), (expected.len() as u64, 1));
                prop_assert!(filled.rows.len() as u64 <= size && !filled.is_full);
                all.extend(filled.rows);
            }
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_page_holds_what_it_needs_and_ends_where_there_is_no_room() {
        let budget = PayloadBudget::new(10 * MIB);
        let mut page = Page::new(0, 3, budget.clone());
        for row in (0..5000_u16).rev() {
            assert!(page.offer(Some(row), |_| true).is_continue(), "three rows are held, whatever goes by");
        }
        assert_eq!(budget.held() / MIB, 3);
        assert_eq!((page.fill().rows, budget.held()), (vec![0, 1, 2], 0));
        let mut deep = Page::new(5000, 3, budget.clone());
        let taken = (0..5000_u16).take_while(|row| deep.offer(Some(*row), |_| true).is_continue()).count();
        assert_eq!((taken, deep.fill().is_full), (9, true), "rows of a little more than 1 MiB");
        assert_eq!(budget.held(), 0, "and all is given back");
    }
}
