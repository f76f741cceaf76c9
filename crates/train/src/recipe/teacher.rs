//! The encoders that a student imitates: `teacher = "NAME"`, or a table `[[teacher]]` for each.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// An encoder that is imitated on parallel texts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// A model folder or hub id, or the name of a built-in encoder.
    pub model: String,
    /// Put before every text.
    #[serde(default)]
    pub prompt: String,
    /// Whether the mean of its embeddings of the texts of a language is taken from them: for an
    /// encoder whose cosines are all high.
    #[serde(default)]
    pub centred: bool,
    /// Whether it reads translations too, and texts without one. The others have the embedding of
    /// a text for its translation.
    #[serde(default)]
    pub reads_translations: bool,
}

impl Teacher {
    /// A teacher of which only the name is given.
    #[must_use]
    pub fn named(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            ..Self::default()
        }
    }
}

#[expect(clippy::ptr_arg, reason = "serde asks for it")]
pub(super) fn serialize<S: Serializer>(
    teachers: &Vec<Teacher>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match &teachers[..] {
        [] => serializer.serialize_none(),
        [one] if *one == Teacher::named(&one.model) => serializer.serialize_str(&one.model),
        more => more.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Teacher>, D::Error> {
    struct Form;
    impl<'de> Visitor<'de> for Form {
        type Value = Vec<Teacher>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a model, or a table `[[teacher]]` for each")
        }

        fn visit_str<E>(self, model: &str) -> Result<Self::Value, E> {
            Ok(vec![Teacher::named(model)])
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![Teacher::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }
    deserializer.deserialize_any(Form)
}
