//! `config.json` of a transformer, read field by field: a value that would change results and is
//! not understood is an error.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::ops::Activation;
use crate::NnError;
use crate::error::HINT;

/// A `config.json` and its path.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    value: &'a Value,
    path: &'a Path,
    seen: Option<&'a RefCell<BTreeSet<String>>>,
}

impl<'a> Config<'a> {
    /// Wraps a parsed `config.json`.
    #[must_use]
    pub fn new(value: &'a Value, path: &'a Path) -> Self {
        Self {
            value,
            path,
            seen: None,
        }
    }

    /// The same, with every key that is asked for written to `seen`, keys of nested objects too.
    #[must_use]
    pub fn watched(self, seen: &'a RefCell<BTreeSet<String>>) -> Self {
        Self {
            seen: Some(seen),
            ..self
        }
    }

    fn note(&self, key: &str) {
        if let Some(seen) = self.seen {
            seen.borrow_mut().insert(key.to_owned());
        }
    }

    /// The field, unless it is absent or null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.note(key);
        self.value.get(key).filter(|v| !v.is_null())
    }

    /// Whether the field is there and null, which differs from absent where absent means a default.
    #[must_use]
    pub fn is_null(&self, key: &str) -> bool {
        self.note(key);
        self.value.get(key).is_some_and(Value::is_null)
    }

    /// Whether a field of this object is itself an object.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.value
            .as_object()
            .is_some_and(|fields| fields.values().any(Value::is_object))
    }

    /// A field that holds an object.
    ///
    /// # Errors
    /// When it is there and not an object.
    pub fn object(&self, key: &str) -> Result<Option<Config<'a>>, NnError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) if value.is_object() => Ok(Some(Config { value, ..*self })),
            Some(found) => Err(self.invalid(key, found, "an object")),
        }
    }

    /// The error of a field with an unexpected value.
    #[must_use]
    pub fn invalid(&self, key: &str, found: &Value, allowed: &str) -> NnError {
        let mut found = found.to_string();
        if found.chars().count() > 80 {
            found = found.chars().take(80).chain("...".chars()).collect();
        }
        self.error(format!("`{key}` is `{found}`, expected {allowed}"))
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// An error of this file.
    #[must_use]
    pub fn error(&self, reason: String) -> NnError {
        NnError::Invalid {
            path: self.path.to_owned(),
            reason,
            hint: Some(HINT.to_owned()),
        }
    }

    fn missing(&self, key: &str) -> NnError {
        self.error(format!("`{key}` is missing"))
    }

    /// A size: a whole number from 1 to 2^31.
    ///
    /// # Errors
    /// When it is absent or no such number.
    pub fn size(&self, key: &str) -> Result<usize, NnError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size that may be absent.
    ///
    /// # Errors
    /// When it is there and not a whole number from 1 to 2^31.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>, NnError> {
        self.get(key)
            .map(|v| match v.as_u64() {
                Some(n @ 1..=0x8000_0000) => Ok(n as usize),
                _ => Err(self.invalid(key, v, "a whole number from 1 to 2^31")),
            })
            .transpose()
    }

    /// A size, or `default` where it is absent.
    ///
    /// # Errors
    /// As [`Self::optional_size`].
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, NnError> {
        Ok(self.optional_size(key)?.unwrap_or(default))
    }

    /// A number of layers: a whole number from 1 to 10,000.
    ///
    /// # Errors
    /// When it is absent or no such number.
    pub fn layers(&self, key: &str) -> Result<usize, NnError> {
        match self.size(key)? {
            n @ 1..=10_000 => Ok(n),
            n => Err(self.invalid(key, &n.into(), "at most 10,000 layers")),
        }
    }

    /// A token id, or `default` where it is absent.
    ///
    /// # Errors
    /// When it is there and not a whole number below 2^32.
    pub fn id_or(&self, key: &str, default: u32) -> Result<u32, NnError> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| self.invalid(key, v, "a token id")),
        }
    }

    /// A number that may be absent.
    ///
    /// # Errors
    /// When it is there and not a finite number.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, NnError> {
        self.get(key)
            .map(|v| {
                v.as_f64()
                    .filter(|n| n.is_finite())
                    .ok_or_else(|| self.invalid(key, v, "a number"))
            })
            .transpose()
    }

    /// A number above 0.
    ///
    /// # Errors
    /// When it is absent or not a finite number above 0.
    pub fn positive(&self, key: &str) -> Result<f64, NnError> {
        self.positive_or_none(key)?.ok_or_else(|| self.missing(key))
    }

    /// A number above 0, or `default` where it is absent.
    ///
    /// # Errors
    /// When it is there and not a finite number above 0.
    pub fn positive_or(&self, key: &str, default: f64) -> Result<f64, NnError> {
        Ok(self.positive_or_none(key)?.unwrap_or(default))
    }

    fn positive_or_none(&self, key: &str) -> Result<Option<f64>, NnError> {
        match self.optional_number(key)? {
            Some(n) if n <= 0.0 => {
                Err(self.error(format!("`{key}` is `{n}`, expected a number above 0")))
            }
            n => Ok(n),
        }
    }

    /// A switch, or `default` where it is absent.
    ///
    /// # Errors
    /// When it is there and neither `true` nor `false`.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool, NnError> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v
                .as_bool()
                .ok_or_else(|| self.invalid(key, v, "`true` or `false`")),
        }
    }

    /// A string that may be absent.
    ///
    /// # Errors
    /// When it is there and no string.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, NnError> {
        self.get(key)
            .map(|v| v.as_str().ok_or_else(|| self.invalid(key, v, "a string")))
            .transpose()
    }

    /// Refuses a string field that is there and holds anything but `allowed`.
    ///
    /// # Errors
    /// When it does.
    pub fn only(&self, key: &str, allowed: &str) -> Result<(), NnError> {
        match self.get(key) {
            Some(v) if v.as_str() != Some(allowed) => {
                Err(self.invalid(key, v, &format!("`{allowed}`")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a switch that is on.
    ///
    /// # Errors
    /// When it is on.
    pub fn refuse(&self, key: &str) -> Result<(), NnError> {
        self.only_flag(key, false, false)
    }

    /// Refuses a switch that is not `allowed`; absent, it is `default`.
    ///
    /// # Errors
    /// When it is not.
    pub fn only_flag(&self, key: &str, default: bool, allowed: bool) -> Result<(), NnError> {
        match self.flag_or(key, default)? {
            found if found == allowed => Ok(()),
            found => Err(self.invalid(
                key,
                &found.into(),
                &format!("`{allowed}`: the other is not supported"),
            )),
        }
    }

    /// An activation function, or the one named `default` where the field is absent.
    ///
    /// # Errors
    /// When it names a function that is not known.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation, NnError> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v
                .as_str()
                .and_then(Activation::named)
                .ok_or_else(|| self.invalid(key, v, &Activation::names())),
        }
    }

    /// Width of one attention head.
    ///
    /// # Errors
    /// When `hidden` is no multiple of `heads`.
    pub fn head_width(&self, hidden: usize, heads: usize) -> Result<usize, NnError> {
        if !hidden.is_multiple_of(heads) {
            return Err(self.error(format!(
                "a hidden size of {hidden} is no multiple of {heads} attention heads"
            )));
        }
        Ok(hidden / heads)
    }

    /// For each of `layers` layers, whether its attention is local: what `layer_types` says, else
    /// what `local` says.
    ///
    /// # Errors
    /// When `layer_types` is there and not a list of that many known names.
    pub fn local_layers(
        &self,
        layers: usize,
        local: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>, NnError> {
        const ALLOWED: &str = "a list of `full_attention` and `sliding_attention`, one per layer";
        let Some(found) = self.get("layer_types") else {
            return Ok((0..layers).map(local).collect());
        };
        found
            .as_array()
            .filter(|types| types.len() == layers)
            .and_then(|types| {
                let kinds = types.iter().map(|t| match t.as_str() {
                    Some("full_attention") => Some(false),
                    Some("sliding_attention") => Some(true),
                    _ => None,
                });
                kinds.collect()
            })
            .ok_or_else(|| self.invalid("layer_types", found, ALLOWED))
    }
}
