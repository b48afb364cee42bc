//! Reads an object field by field: what is known is taken out, what is not known is left over.
//!
//! A field that is there has a value of the right kind: what `null` or a list in place of an object means, parsers
//! do not agree on.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::str::FromStr;

use crate::error::Fault;
use crate::json::{Object, Value};
use crate::map::Map;

/// The fields of an object that were not taken yet.
pub struct Fields {
    object: Object,
}

impl Fields {
    /// Those of an object.
    ///
    /// # Errors
    /// Another kind of value.
    pub fn of(value: Value) -> Result<Self, Fault> {
        Ok(Self {
            object: object(value)?,
        })
    }

    /// The field, if it is there.
    pub fn optional(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name)
    }

    /// The field.
    ///
    /// # Errors
    /// It is not there, as with all of the following; or it is of another kind.
    pub fn required(&mut self, name: &str) -> Result<Value, Fault> {
        self.optional(name)
            .ok_or_else(|| Fault::new(format_args!("missing field `{name}`")))
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<String, Fault> {
        text(self.required(name)?)
    }

    /// A text that has a form of its own.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, Fault> {
        parsed(&self.text(name)?)
    }

    /// A number from 0 on.
    pub fn number(&mut self, name: &str) -> Result<u64, Fault> {
        number(&self.required(name)?)
    }

    /// True or false.
    pub fn truth(&mut self, name: &str) -> Result<bool, Fault> {
        truth(&self.required(name)?)
    }

    /// A list.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>, Fault> {
        list(self.required(name)?)
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Object, Fault> {
        object(self.required(name)?)
    }

    /// What was not taken.
    pub fn rest(self) -> Object {
        self.object
    }

    /// Everything was taken.
    ///
    /// # Errors
    /// There is a field that nobody asked for: likely a typing error.
    pub fn done(self) -> Result<(), Fault> {
        match self.object.keys().next() {
            None => Ok(()),
            Some(name) => Err(Fault::new(format_args!("unknown field `{name}`"))),
        }
    }
}

/// The text that a value is.
pub fn text(value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(other_kind("text")),
    }
}

/// The number from 0 on that a value is.
pub fn number(value: &Value) -> Result<u64, Fault> {
    match value {
        Value::Unsigned(number) => Ok(*number),
        Value::Negative(number) => Err(Fault::new(format_args!(
            "invalid value: expected a number from 0 on, got {number}"
        ))),
        _ => Err(other_kind("a number")),
    }
}

/// Whether a value is true.
pub fn truth(value: &Value) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err(other_kind("true or false")),
    }
}

/// The list that a value is.
pub fn list(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(other_kind("a list")),
    }
}

/// The object that a value is.
pub fn object(value: Value) -> Result<Object, Fault> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(other_kind("an object")),
    }
}

/// A text that has a form of its own.
pub fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, Fault> {
    text.parse()
        .map_err(|error| Fault::new(format_args!("{error}")))
}

/// The items of a list of texts.
pub fn texts(value: Value) -> Result<Vec<String>, Fault> {
    let mut texts = Vec::new();
    for item in list(value)? {
        texts.push(text(item)?);
    }
    Ok(texts)
}

/// The objects of a list, read one by one.
pub fn items<T>(value: Value, read: impl Fn(Fields) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut items = Vec::new();
    for item in list(value)? {
        items.push(read(Fields::of(item)?)?);
    }
    Ok(items)
}

/// A map whose values are all of one kind.
pub fn map<V>(
    object: Object,
    read: impl Fn(Value) -> Result<V, Fault>,
) -> Result<Map<String, V>, Fault> {
    let mut entries = Vec::new();
    for (key, value) in object {
        entries.push((key, read(value)?));
    }
    Ok(Map::from_sorted(entries))
}

#[cold]
#[inline(never)]
fn other_kind(expected: &str) -> Fault {
    Fault::new(format_args!("invalid type: expected {expected}"))
}
