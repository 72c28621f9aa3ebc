//! What spans say of themselves: `request{id=7 cmd=cat}:session{id=3}:block{cid=…}`.

use serde_json::{Map, Value};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};
use tracing::field::{Field, Visit};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// The fields of a span by name, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

/// What is kept with a span.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) fields: Fields,
    begun: Instant,
    left: Option<Instant>,
}

impl Text {
    pub(super) fn new(fields: Fields) -> Self {
        Self { fields, begun: Instant::now(), left: None }
    }

    /// Work within the span paused, or is done.
    pub(super) fn left(&mut self) {
        self.left = Some(Instant::now());
    }

    /// From the beginning until the last work within the span: what it led to may go on for longer.
    pub(super) fn took(&self) -> Duration {
        self.left.unwrap_or_else(Instant::now).duration_since(self.begun)
    }
}

/// Name and fields of a span.
pub(super) struct Span {
    name: &'static str,
    fields: Fields,
}

/// What these spans say.
pub(super) fn of<'a, R: LookupSpan<'a> + 'a>(spans: impl Iterator<Item = SpanRef<'a, R>>) -> Vec<Span> {
    let of = |span: SpanRef<'a, R>| Span {
        name: span.name(),
        fields: span.extensions().get::<Text>().map(|text| text.fields.clone()).unwrap_or_default(),
    };
    spans.map(of).collect()
}

/// What a line begins with that was said within these spans.
pub(super) fn prefix(spans: &[Span]) -> String {
    let mut text = String::new();
    for (n, span) in spans.iter().enumerate() {
        text.push_str(if n > 0 { ":" } else { "" });
        text.push_str(span.name);
        text.push('{');
        for (n, (name, value)) in span.fields.0.iter().enumerate() {
            let space = if n > 0 { " " } else { "" };
            // Writing to a String does not fail.
            let _ = match value {
                Value::String(value) => write!(text, "{space}{name}={value}"),
                value => write!(text, "{space}{name}={value}"),
            };
        }
        text.push('}');
    }
    text.push_str(if spans.is_empty() { "" } else { ": " });
    text
}

/// The same as a list of objects, each with the `name` of a span and its fields.
pub(super) fn json(spans: &[Span]) -> Value {
    let object = |span: &Span| {
        let mut object = Map::new();
        object.insert("name".to_owned(), span.name.into());
        object.extend(span.fields.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(object)
    };
    spans.iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::{Fields, Span, json, prefix};

    #[test]
    fn spans_are_written_from_the_outermost_inwards() {
        let span = |name, fields: &[(&'static str, serde_json::Value)]| Span { name, fields: Fields(fields.to_vec()) };
        let spans = [
            span("request", &[("id", 7.into()), ("cmd", "cat".into())]),
            span("session", &[("id", 3.into())]),
            span("block", &[]),
        ];
        assert_eq!(prefix(&spans), "request{id=7 cmd=cat}:session{id=3}:block{}: ");
        assert_eq!(prefix(&[]), "");
        let wanted = r#"[{"name":"request","id":7,"cmd":"cat"},{"name":"session","id":3},{"name":"block"}]"#;
        assert_eq!(json(&spans).to_string(), wanted);
    }
}
