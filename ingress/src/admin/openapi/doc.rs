//! What is said of a route where it is built: see [`says`].

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    field::{Field, object},
    schemas::{Schemas, like},
};

/// What a route does, takes and answers. Its method, path, scope and the problems that follow from
/// those are known without being said.
#[derive(Clone, Debug)]
pub struct Doc {
    pub(super) summary: &'static str,
    pub(super) more: &'static str,
    pub(super) path: Vec<Field>,
    pub(super) query: Vec<Field>,
    pub(super) headers: Vec<Field>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<(u16, &'static str)>,
}

/// What a route takes.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) is_required: bool,
    pub(super) contents: Vec<(&'static str, Value, Value)>,
}

/// What a route answers when all is well.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) says: &'static str,
    pub(super) content: Content,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// What an answer holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// JSON of a type.
    Json(fn(&mut Schemas) -> Value),
    /// JSON like this.
    Like(Value),
    /// Text of a media type.
    Text(&'static str),
}

/// Begins what is said of a route: a short sentence on what it does.
pub(crate) fn says(summary: &'static str) -> Doc {
    Doc {
        summary,
        more: "",
        path: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        answers: Vec::new(),
        problems: Vec::new(),
    }
}

impl Doc {
    /// What else is worth knowing.
    pub(crate) fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    /// A parameter of the path that is not a text.
    pub(crate) fn path(mut self, field: Field) -> Self {
        self.path.push(field);
        self
    }

    /// Parameters of the query.
    pub(crate) fn query(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.query.extend(fields);
        self
    }

    /// Headers that are read beside the key.
    pub(crate) fn headers(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.headers.extend(fields);
        self
    }

    /// A JSON object of these fields, for example this one.
    pub(crate) fn body(self, fields: &[Field], example: Value) -> Self {
        self.content("application/json", object(fields), example, true)
    }

    /// The same where nothing need be sent.
    pub(crate) fn optional_body(self, fields: &[Field], example: Value) -> Self {
        self.content("application/json", object(fields), example, false)
    }

    /// A body of a media type.
    pub(crate) fn content(mut self, media: &'static str, schema: Value, example: Value, is_required: bool) -> Self {
        let body = self.body.get_or_insert(Body { is_required, contents: Vec::new() });
        body.contents.push((media, schema, example));
        self
    }

    /// The body has no other fields: others are refused.
    pub(crate) fn nothing_else(mut self) -> Self {
        for (_, schema, _) in self.body.iter_mut().flat_map(|body| &mut body.contents) {
            schema["additionalProperties"] = false.into();
        }
        self
    }

    /// Answers 200 with a type.
    pub(crate) fn answers<T: ToSchema>(self) -> Self {
        self.answer(200, "Done.", Content::Json(Schemas::named::<T>))
    }

    /// Answers 200 with a list of a type.
    pub(crate) fn lists<T: ToSchema>(self) -> Self {
        self.answer(200, "A page of the list.", Content::Json(Schemas::list::<T>))
    }

    /// Answers 201 with a type.
    pub(crate) fn makes<T: ToSchema>(self) -> Self {
        self.answer(201, "Made.", Content::Json(Schemas::named::<T>))
    }

    /// Answers 202 with a type while it goes on.
    pub(crate) fn waits<T: ToSchema>(self) -> Self {
        let answer = self.answer(202, "It goes on.", Content::Json(Schemas::named::<T>));
        answer.with_header("location", "Where its trace is.")
    }

    /// Answers 200 with JSON like this.
    pub(crate) fn answers_like(self, example: Value) -> Self {
        self.answer(200, "Done.", Content::Like(example))
    }

    /// Answers 200 with a text.
    pub(crate) fn answers_text(self, media: &'static str, says: &'static str) -> Self {
        self.answer(200, says, Content::Text(media))
    }

    /// Answers 204.
    pub(crate) fn answers_nothing(self) -> Self {
        self.answer(204, "Done.", Content::Nothing)
    }

    /// Answers 308: what was here is elsewhere now.
    pub(crate) fn moved(self, says: &'static str) -> Self {
        self.answer(308, says, Content::Nothing).with_header("location", "Where it is.")
    }

    /// A header of the answer that was named last.
    pub(crate) fn with_header(mut self, name: &'static str, says: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, says));
        }
        self
    }

    /// `x-total-count` beside a list.
    pub(crate) fn with_total(self) -> Self {
        self.with_header("x-total-count", "How many there are in all, on this page or not.")
    }

    /// A status that does not follow from the route's shape, and when it comes.
    pub(crate) fn problem(mut self, status: u16, says: &'static str) -> Self {
        self.problems.push((status, says));
        self
    }

    /// The answer that was named last also comes with 503, for such a reason.
    pub(super) fn also_unwell(self, says: &'static str) -> Self {
        let content = self.answers.last().map_or(Content::Nothing, |answer| answer.content.clone());
        self.answer(503, says, content)
    }

    fn answer(mut self, status: u16, says: &'static str, content: Content) -> Self {
        self.answers.push(Answer { status, says, content, headers: Vec::new() });
        self
    }
}

impl Content {
    /// The media type, the schema and the example.
    pub(super) fn shown(&self, schemas: &mut Schemas) -> Option<(&'static str, Value, Option<Value>)> {
        match self {
            Self::Nothing => None,
            Self::Json(of) => Some(("application/json", of(schemas), None)),
            Self::Like(example) => Some(("application/json", like(example), Some(example.clone()))),
            Self::Text(media) => Some((media, serde_json::json!({"type": "string"}), None)),
        }
    }
}
