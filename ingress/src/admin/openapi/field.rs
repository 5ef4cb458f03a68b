//! A field of a body, or a parameter: its name, what it holds, and what it is for.

use serde_json::{Value, json};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A text of such a form, as a regular expression has it.
    Like(&'static str),
    /// A text that is one of these words.
    OneOf(&'static [&'static str]),
    /// A time as RFC 3339 has it.
    Time,
    /// The same, or a whole day.
    TimeOrDay,
    /// An id as traces have it.
    Uuid,
    /// An absolute URL.
    Url,
    /// Yes or no.
    Flag,
    /// A whole number, from and to.
    Whole(u64, u64),
    /// An object of the caller's own words.
    Object,
    /// Something that no other kind describes.
    Such(fn() -> Value),
}

/// A field of a body, or a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) says: &'static str,
    pub(super) is_required: bool,
    /// May be left out of a change, but not be emptied.
    is_kept: bool,
}

/// A field that may be left out.
pub(crate) const fn field(name: &'static str, kind: Kind, says: &'static str) -> Field {
    Field { name, kind, says, is_required: false, is_kept: false }
}

/// A field of text that may be left out.
pub(crate) const fn text(name: &'static str, says: &'static str) -> Field {
    field(name, Kind::Text, says)
}

/// A yes or no that may be left out.
pub(crate) const fn flag(name: &'static str, says: &'static str) -> Field {
    field(name, Kind::Flag, says)
}

/// `skip` and `limit`, as [`page`](crate::admin::fields::page) reads them.
pub(crate) const PAGE: [Field; 2] = [
    field("skip", Kind::Whole(0, u32::MAX as u64), "How many to pass over."),
    field("limit", Kind::Whole(1, 500), "How many to answer; 100 when nothing is said."),
];

/// A trace's id in a path.
pub(crate) const TRACE_ID: Field = field("trace_id", Kind::Uuid, "The trace's id, as the webhook's answer names it.");
/// A row's id in a path.
pub(crate) const ID: Field = field("id", Kind::Whole(0, i64::MAX as u64), "Its id.");

/// A phone number in any spelling.
pub(crate) const PHONE: Kind = Kind::Like("[0-9]");
/// Whom a rule means: a number, a beginning and `*`, or a whole id of a channel.
pub(crate) const WHOM: Kind = Kind::Like(
    r"^(\+*[ ()./-]*[0-9][0-9 ()./-]*\*?|\+*\*|[^\s*\u0000-\u001f\u007f-\u009f]*@[^\s*\u0000-\u001f\u007f-\u009f]*)$",
);
/// One person: the same without the star.
pub(crate) const WHO: Kind = Kind::Like(
    r"^(\+*[ ()./-]*[0-9][0-9 ()./-]*|[^\s*\u0000-\u001f\u007f-\u009f]*@[^\s*\u0000-\u001f\u007f-\u009f]*)$",
);
/// What travels in a header, as secrets do.
pub(crate) const PRINTABLE: Kind = Kind::Like("^[ -~]*$");

/// What a list is narrowed to.
pub(crate) const INSTANCE_NAME: Field = text("instance_name", "Only what is of this instance.");

impl Field {
    /// The same, and it must be there.
    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same, and it cannot be emptied.
    pub(crate) const fn kept(self) -> Self {
        Self { is_kept: true, ..self }
    }

    /// As a parameter; `place` is `path`, `query` or `header`.
    pub(super) fn parameter(&self, place: &str) -> Value {
        json!({
            "name": self.name,
            "in": place,
            "required": self.is_required || place == "path",
            "description": self.says,
            "schema": self.schema(),
        })
    }

    /// As a property of a body. What may be left out may be null, unless it is kept.
    pub(super) fn property(&self) -> Value {
        let mut schema = self.schema();
        if let (false, Some(Value::String(one))) = (self.is_required || self.is_kept, schema.get("type")) {
            schema["type"] = json!([one, "null"]);
            if let Some(Value::Array(words)) = schema.get_mut("enum") {
                words.push(Value::Null);
            }
        }
        if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
            forms.push(json!({"type": "null"}));
        }
        schema["description"] = self.says.into();
        schema
    }

    fn schema(&self) -> Value {
        match self.kind {
            // What must be there is not blank.
            Kind::Text if self.is_required || self.is_kept => json!({"type": "string", "pattern": r"\S"}),
            Kind::Text => json!({"type": "string"}),
            Kind::Like(form) => json!({"type": "string", "pattern": form}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::TimeOrDay => {
                json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]})
            }
            Kind::Url => json!({"type": "string", "format": "uri"}),
            Kind::Uuid => json!({"type": "string", "format": "uuid"}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Object => json!({"type": "object"}),
            Kind::Such(schema) => schema(),
        }
    }
}

/// The schema of an object with these fields.
pub(crate) fn object(fields: &[Field]) -> Value {
    let properties: serde_json::Map<_, _> =
        fields.iter().map(|field| (field.name.to_owned(), field.property())).collect();
    let required: Vec<_> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
