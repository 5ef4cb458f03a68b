//! Everything of one person: taken out, or erased.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, show};

/// Who is meant, whether they were ever answered or not.
#[derive(Debug, Args)]
pub struct PersonArgs {
    /// Their phone number.
    #[arg(value_name = "PHONE")]
    phone: String,
    /// The instance that they write to.
    #[arg(long, value_name = "NAME")]
    instance: String,
}

impl PersonArgs {
    fn path<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        [&["instances", &self.instance, "people", &self.phone][..], verb].concat()
    }

    /// All pages of the export as one.
    pub(super) async fn export(&self, target: &Api) -> anyhow::Result<String> {
        let mut whole = self.page(target, 0).await?;
        let mut next = whole["next_skip"].as_u64();
        while let Some(skip) = next {
            let mut page = self.page(target, skip).await?;
            next = page["next_skip"].as_u64();
            for list in ["messages", "conversations"] {
                let more = page[list].as_array_mut().map(std::mem::take).unwrap_or_default();
                let Some(all) = whole[list].as_array_mut() else { return Err(show::unexpected("an export")) };
                for entry in more {
                    if !all.contains(&entry) {
                        all.push(entry);
                    }
                }
            }
        }
        if let Some(fields) = whole.as_object_mut() {
            fields.remove("next_skip");
        }
        show::pretty(&whole)
    }

    async fn page(&self, target: &Api, skip: u64) -> anyhow::Result<Value> {
        let query = [("skip", skip.to_string())];
        Ok(target.call(Method::GET, &self.path(&["export"]), &query, None).await?)
    }

    /// Forgets them, after a question unless told otherwise.
    pub(super) async fn erase(&self, target: &Api, yes: bool) -> anyhow::Result<String> {
        let question = format!("Erase everything that {} knows of {}, for good?", self.instance, self.phone);
        if !yes && !show::confirmed(question, "--yes").await? {
            return Ok("Nothing was erased.\n".to_owned());
        }
        let done = target.call(Method::DELETE, &self.path(&[]), &[], None).await?;
        let again = match done["under_way"] == true {
            true => "Something of theirs is still under way: erase once more when it is answered.\n",
            false => "",
        };
        Ok(format!("{} messages and {} dead letters were erased.\n{again}", done["messages"], done["dead_letters"]))
    }
}
