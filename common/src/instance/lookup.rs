//! The ways to name an instance.

use sea_orm::{ColumnTrait, Condition};

use super::entity::Column;
use crate::channel::ChannelType;

/// How the one who asks names an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// By its name, exactly.
    Name(String),
    /// By its row id.
    Id(i64),
    /// The default one.
    Default,
    /// By its name on an Evolution server. Several may have it, on different servers.
    WhatsappInstance(String),
}

impl Lookup {
    pub(super) fn condition(&self) -> Condition {
        let condition = Condition::all();
        match self {
            Self::Name(name) => condition.add(Column::Name.eq(name)),
            Self::Id(id) => condition.add(Column::Id.eq(*id)),
            Self::Default => condition.add(Column::IsDefault.eq(true)),
            Self::WhatsappInstance(slug) => condition
                .add(Column::WhatsappInstance.eq(slug))
                .add(Column::ChannelType.eq(ChannelType::Whatsapp.as_str())),
        }
    }

    /// A word for logs that names no tenant.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Id(_) => "id",
            Self::Default => "default",
            Self::WhatsappInstance(_) => "whatsapp_instance",
        }
    }
}
