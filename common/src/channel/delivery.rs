//! How far a bubble of ours has come on its way to the person, as the channel tells it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a bubble is. A later state is never taken back by an earlier one, in whatever order
/// they are told: what was delivered had not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The channel has it.
    Sent,
    /// The channel could not bring it to the person.
    Failed,
    /// It is on the person's phone.
    Delivered,
    /// The person has seen it.
    Read,
}

impl DeliveryState {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Failed, Self::Delivered, Self::Read];

    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// The number in rows, which grows with the state.
    #[must_use]
    pub fn rank(self) -> i16 {
        match self {
            Self::Sent => 1,
            Self::Failed => 2,
            Self::Delivered => 3,
            Self::Read => 4,
        }
    }

    /// Reads the number back.
    #[must_use]
    pub fn of_rank(rank: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.rank() == rank)
    }
}

/// What the channel tells of a bubble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The channel's id of the bubble.
    pub provider_id: String,
    /// How far it is.
    pub state: DeliveryState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_grow_as_the_states_do() {
        assert!(DeliveryState::ALL.is_sorted() && DeliveryState::ALL.map(DeliveryState::rank).is_sorted());
        assert_eq!(DeliveryState::ALL.map(|state| DeliveryState::of_rank(state.rank())), DeliveryState::ALL.map(Some));
        assert_eq!(DeliveryState::of_rank(9), None);
    }
}
