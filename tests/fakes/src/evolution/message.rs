//! The bodies of `/message/<operation>`, checked as the schemas of 2.3.6 do. Pure.

use serde_json::{Map, Value, json};

use super::wire::{Text, bad_request, read_text, required};

/// An operation of `/message`.
#[derive(Debug)]
pub(super) struct Operation {
    /// Its word in the path.
    pub(super) word: &'static str,
    /// The fields that must be there, and of what kind.
    needs: &'static [(&'static str, Kind)],
    /// The others that 2.3.6 knows; it ignores the rest in silence.
    takes: &'static [(&'static str, Kind)],
    /// And those that it makes use of beside the content.
    options: &'static [(&'static str, Kind)],
    /// The field that holds words, if one does.
    said: &'static str,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Whole,
    Number,
    Flag,
    Texts,
    Object,
    Objects,
}

const NUMBER: (&str, Kind) = ("number", Kind::Text);
/// What every message may have.
const OPTIONS: [(&str, Kind); 4] =
    [("delay", Kind::Whole), ("quoted", Kind::Object), ("mentionsEveryOne", Kind::Flag), ("mentioned", Kind::Texts)];

/// The operations that the hub uses.
const OPERATIONS: [Operation; 8] = [
    Operation {
        word: "sendText",
        needs: &[NUMBER, ("text", Kind::Text)],
        takes: &[("linkPreview", Kind::Flag)],
        options: &OPTIONS,
        said: "text",
    },
    Operation {
        word: "sendMedia",
        needs: &[NUMBER, ("mediatype", Kind::Text), ("media", Kind::Text)],
        takes: &[("mimetype", Kind::Text), ("fileName", Kind::Text), ("caption", Kind::Text)],
        options: &OPTIONS,
        said: "caption",
    },
    Operation {
        word: "sendWhatsAppAudio",
        needs: &[NUMBER, ("audio", Kind::Text)],
        takes: &[("encoding", Kind::Flag)],
        options: &OPTIONS,
        said: "",
    },
    Operation {
        word: "sendSticker",
        needs: &[NUMBER, ("sticker", Kind::Text)],
        takes: &[("notConvertSticker", Kind::Flag)],
        options: &OPTIONS,
        said: "",
    },
    Operation {
        word: "sendLocation",
        needs: &[
            NUMBER,
            ("latitude", Kind::Number),
            ("longitude", Kind::Number),
            ("name", Kind::Text),
            ("address", Kind::Text),
        ],
        takes: &[],
        options: &OPTIONS,
        said: "name",
    },
    Operation { word: "sendContact", needs: &[NUMBER, ("contact", Kind::Objects)], takes: &[], options: &[], said: "" },
    Operation {
        word: "sendReaction",
        needs: &[("key", Kind::Object), ("reaction", Kind::Text)],
        takes: &[],
        options: &[],
        said: "reaction",
    },
    Operation {
        word: "sendPoll",
        needs: &[NUMBER, ("name", Kind::Text), ("selectableCount", Kind::Whole), ("values", Kind::Texts)],
        takes: &[],
        options: &OPTIONS,
        said: "name",
    },
];

/// A body that passed.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) operation: &'static str,
    /// To whom, and with which words.
    pub(super) text: Text,
    /// The whole.
    pub(super) body: Value,
}

impl Operation {
    /// The operation of a path.
    pub(super) fn of(word: &str) -> Option<&'static Self> {
        static KNOWN: [Operation; OPERATIONS.len()] = OPERATIONS;
        KNOWN.iter().find(|known| known.word == word)
    }

    fn known(&self) -> impl Iterator<Item = &(&'static str, Kind)> {
        self.needs.iter().chain(self.takes).chain(self.options)
    }

    /// The top-level fields of a body that 2.3.6 would ignore.
    pub(super) fn unknown(&self, body: &Map<String, Value>) -> Vec<String> {
        body.keys().filter(|name| !self.known().any(|(known, _)| known == name)).cloned().collect()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The 400 body that 2.3.6 answers.
    pub(super) fn read(&'static self, body: Map<String, Value>) -> Result<Message, Value> {
        for (name, kind) in self.known() {
            match body.get(*name) {
                Some(value) if !kind.holds(value) => {
                    return Err(bad_request(json!([[format!("{name} is not of a type(s) {kind:?}").to_lowercase()]])));
                }
                None if self.needs.iter().any(|(needed, _)| needed == name) => {
                    return Err(bad_request(json!([[format!("instance requires property \"{name}\"")]])));
                }
                _ => {}
            }
        }
        let text = self.text(&body)?;
        let body = Value::Object(body);
        match self.complaint(&body) {
            Some(complaint) => Err(bad_request(json!([complaint]))),
            None => Ok(Message { operation: self.word, text, body }),
        }
    }

    /// To whom, and the words.
    fn text(&self, body: &Map<String, Value>) -> Result<Text, Value> {
        let said = || body.get(self.said).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.word {
            "sendText" => read_text(body),
            "sendReaction" => match body["key"]["remoteJid"].as_str() {
                Some(chat) if body["key"]["id"].is_string() && body["key"]["fromMe"].is_boolean() => {
                    Ok(Text { number: chat.to_owned(), text: said() })
                }
                _ => Err(bad_request(json!([["key requires property \"id\", \"remoteJid\" and \"fromMe\""]]))),
            },
            _ => Ok(Text { number: required(body, "number")?, text: said() }),
        }
    }

    /// What else 2.3.6 looks at.
    fn complaint(&self, body: &Value) -> Option<&'static str> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let file = ["media", "audio", "sticker"].into_iter().map(text).find(|file| !file.is_empty());
        let is_url = file.is_some_and(|file| file.starts_with("http"));
        if file.is_some_and(|file| file.starts_with("data:")) {
            return Some("Owned media must be a url or base64");
        }
        match self.word {
            "sendMedia" if !["image", "video", "document", "audio"].contains(&text("mediatype")) => {
                Some("mediatype is not one of enum values")
            }
            "sendMedia" if !is_url && text("mediatype") == "document" && text("fileName").is_empty() => {
                Some("For base64 the file name must be informed.")
            }
            "sendContact" => {
                let whole = |card: &Value| card["fullName"].is_string() && card["phoneNumber"].is_string();
                let cards = body["contact"].as_array()?;
                (cards.is_empty() || !cards.iter().all(whole)).then_some("requires property \"phoneNumber\"")
            }
            "sendPoll" => {
                let values = body["values"].as_array()?.len();
                let fits = (2..=10).contains(&values) && body["selectableCount"].as_u64()? <= 10;
                (!fits).then_some("values does not meet its length")
            }
            _ => None,
        }
    }
}

impl Kind {
    fn holds(self, value: &Value) -> bool {
        let all = |is: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(is));
        match self {
            Self::Text => value.is_string(),
            Self::Whole => value.is_u64(),
            Self::Number => value.is_number(),
            Self::Flag => value.is_boolean(),
            Self::Texts => all(Value::is_string),
            Self::Object => value.is_object(),
            Self::Objects => all(Value::is_object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str, body: Value) -> Result<Message, Value> {
        Operation::of(word).unwrap().read(body.as_object().unwrap().clone())
    }

    #[test]
    fn fields_of_version_1_are_unknown() {
        let old = json!({"number": "1", "text": "a", "textMessage": {"text": "a"}});
        assert_eq!(Operation::of("sendText").unwrap().unknown(old.as_object().unwrap()), ["textMessage"]);
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_refused() {
        let good = json!({"number": "1", "text": "a", "delay": 5, "quoted": {"key": {"id": "x"}}, "mentioned": ["1"]});
        assert_eq!(read("sendText", good.clone()).unwrap().body, good);
        for (name, value) in [("delay", json!("5")), ("mentioned", json!("1")), ("quoted", json!("x"))] {
            let mut body = good.clone();
            body[name] = value;
            assert!(read("sendText", body).is_err(), "{name}");
        }
    }
    #[test]
    fn what_the_schemas_leave_open_is_looked_at_too() {
        let media = json!({"number": "1", "mediatype": "document", "media": "aGk=", "fileName": "a.txt"});
        assert!(read("sendMedia", media.clone()).is_ok());
        for (name, value) in [("fileName", ""), ("mediatype", "gif"), ("media", "data:text/plain;base64,aGk=")] {
            let mut body = media.clone();
            body[name] = value.into();
            assert!(read("sendMedia", body).is_err(), "{name}");
        }
        let key = json!({"id": "x", "remoteJid": "1@s.whatsapp.net", "fromMe": false});
        assert_eq!(read("sendReaction", json!({"key": key, "reaction": "a"})).unwrap().text.number, "1@s.whatsapp.net");
        assert!(read("sendReaction", json!({"key": {"id": "x"}, "reaction": "a"})).is_err());
        assert!(read("sendContact", json!({"number": "1", "contact": [{"fullName": "a"}]})).is_err());
        let poll = |values: &[&str]| json!({"number": "1", "name": "q", "selectableCount": 1, "values": values});
        assert!(read("sendPoll", poll(&["a", "b"])).is_ok() && read("sendPoll", poll(&["a"])).is_err());
    }
}
