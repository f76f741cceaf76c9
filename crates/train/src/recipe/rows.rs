//! Where rows of data are: in a file, in a folder of files, or in a dataset on the hub.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Files of rows: JSON lines, a JSON array, CSV, TSV or Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// A file, or a folder of files of one format.
    File(PathBuf),
    /// A split of a dataset on the hub.
    Hub(HubRows),
}

/// A split of a dataset on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRows {
    /// `organisation/name`.
    pub dataset: String,
    /// The commit, 40 hexadecimal digits. It may be given with the command instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The split.
    #[serde(default = "train")]
    pub split: String,
    /// The configuration, where the dataset has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Files of the split, with `*` for any part of a name, where their names do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

fn train() -> String {
    "train".into()
}

/// [`Rows`] as a recipe writes them; a plain text is a file, or, in `scored`, a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// `{ file = "name" }`.
    File(PathBuf),
    /// `{ hub = { dataset = "organisation/name" } }`.
    Hub(HubRows),
    /// `"name"`.
    #[serde(untagged)]
    Named(String),
}

impl Place {
    pub(super) fn rows(self) -> Rows {
        match self {
            Self::Named(file) => Rows::File(file.into()),
            Self::File(file) => Rows::File(file),
            Self::Hub(hub) => Rows::Hub(hub),
        }
    }
}

impl Rows {
    /// With a file as a table.
    pub(super) fn place(self) -> Place {
        match self {
            Self::File(file) => Place::File(file),
            Self::Hub(hub) => Place::Hub(hub),
        }
    }

    /// With a file as a plain text.
    pub(super) fn named(self) -> Place {
        match self {
            Self::File(file) => Place::Named(file.to_string_lossy().into_owned()),
            Self::Hub(hub) => Place::Hub(hub),
        }
    }
}

const EXPECTED: &str =
    "a name, `{ file = \"NAME\" }` or `{ hub = { dataset = \"ORGANISATION/NAME\" } }`";

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            file: Option<PathBuf>,
            hub: Option<HubRows>,
        }
        impl<'de> Visitor<'de> for Form {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E>(self, name: &str) -> Result<Place, E> {
                Ok(Place::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Place, A::Error> {
                match Table::deserialize(MapAccessDeserializer::new(map))? {
                    Table {
                        file: Some(file),
                        hub: None,
                    } => Ok(Place::File(file)),
                    Table {
                        file: None,
                        hub: Some(hub),
                    } => Ok(Place::Hub(hub)),
                    _ => Err(A::Error::custom(format!("expected {EXPECTED}"))),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}
