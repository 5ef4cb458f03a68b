//! What people see of an account, and what an account sees of people.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{super::wire::word, AdminError, EvolutionAdmin, MAX_ANSWER, PATIENT, read};
use crate::channel::File;

/// Characters of a field.
const LONGEST: usize = 2048;

/// What WhatsApp tells of a number, under Evolution's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The JID.
    pub wuid: Option<String>,
    /// The name of a business, or as the account knows it.
    pub name: Option<String>,
    /// Whether the number is on WhatsApp; none where Evolution could find out nothing more.
    pub number_exists: Option<bool>,
    /// The address of the picture.
    pub picture: Option<String>,
    /// The words that they say of themselves.
    pub status: Option<String>,
    /// Whether it is a business.
    pub is_business: bool,
    /// Of a business.
    pub email: Option<String>,
    /// Of a business.
    pub description: Option<String>,
    /// Of a business.
    pub website: Option<String>,
}

impl EvolutionAdmin {
    /// What WhatsApp tells of a number or a JID.
    ///
    /// # Errors
    /// [`AdminError::NotOnWhatsapp`], or why Evolution did not tell.
    pub async fn profile(&self, number: &str) -> Result<Profile, AdminError> {
        let request = self.on(Method::POST, ["chat", "fetchProfile"]).json(&json!({ "number": number }));
        let told = self.ask(request, PATIENT, MAX_ANSWER).await?;
        if told.is_object() { Ok(Profile::read(&told)) } else { Err(AdminError::Unreadable) }
    }

    /// Gives the account another picture. Of an address Evolution fetches it.
    ///
    /// # Errors
    /// Why Evolution did not do it.
    pub async fn set_picture(&self, picture: &File) -> Result<(), AdminError> {
        let request = self.on(Method::POST, ["chat", "updateProfilePicture"]);
        let done = self.ask(request.json(&json!({ "picture": picture.as_str() })), PATIENT, MAX_ANSWER).await?;
        if read::is_error(&done) { Err(AdminError::Unreadable) } else { Ok(()) }
    }
}

impl Profile {
    fn read(told: &Value) -> Self {
        let text = |name| word(told, name).map(|text| text.chars().take(LONGEST).collect());
        Self {
            wuid: text("wuid"),
            name: text("name"),
            number_exists: told["numberExists"].as_bool(),
            picture: text("picture"),
            status: text("status"),
            is_business: told["isBusiness"] == true,
            email: text("email"),
            description: text("description"),
            website: text("website"),
        }
    }
}
