//! The index of shards: which file holds which tensor.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::{Checkpoint, invalid};
use crate::NnError;
use korfinsts_base::fs;

/// `model.safetensors.index.json`: which shard holds which tensor.
pub(super) struct Index {
    path: PathBuf,
    places: BTreeMap<String, String>,
}

impl Index {
    pub(super) fn read(path: &Path) -> Result<Self, NnError> {
        #[derive(serde::Deserialize)]
        struct File {
            weight_map: Places,
        }
        let bytes = fs::read(path)?;
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|e| invalid(path, format!("the index of shards is damaged: {e}")))?;
        let index = Self {
            path: path.to_owned(),
            places: file.weight_map.0,
        };
        if index.places.is_empty() {
            return Err(invalid(path, "the index of shards names no tensor".into()));
        }
        for name in index.places.values() {
            let mut parts = Path::new(name).components();
            let bare = matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(_)), None)
            );
            if !bare || name.contains(['/', '\\']) {
                return Err(invalid(
                    path,
                    format!("shard `{name}` does not lie beside its index, expected a file name"),
                ));
            }
        }
        for shard in index.shards() {
            if !fs::exists(&shard) {
                return Err(NnError::Missing {
                    folder: path.parent().map(Path::to_owned).unwrap_or_default(),
                    what: format!(
                        "shard `{}`, named by `{}`,",
                        file_name(&shard),
                        file_name(path)
                    ),
                    hint: Some("download the whole model again".into()),
                });
            }
        }
        Ok(index)
    }

    pub(super) fn shards(&self) -> Vec<PathBuf> {
        let mut names: Vec<&str> = self.places.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(|n| self.path.with_file_name(n)).collect()
    }

    pub(super) fn agrees(&self, checkpoint: &Checkpoint) -> Result<(), NnError> {
        for (tensor, shard) in &self.places {
            let expected = self.path.with_file_name(shard);
            match checkpoint.get(tensor) {
                Some(found) if found.path == expected => {}
                found => {
                    let place = found.map_or("in none".to_owned(), |f| {
                        format!("in `{}`", file_name(f.path))
                    });
                    return Err(invalid(
                        &self.path,
                        format!("tensor `{tensor}` should lie in `{shard}` and lies {place}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A `weight_map`, in which a tensor that occurs twice is an error.
struct Places(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Places;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object from tensor names to file names")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Places, M::Error> {
                let mut places = BTreeMap::new();
                while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
                    if places.contains_key(&tensor) {
                        return Err(M::Error::custom(format!("tensor `{tensor}` stands twice")));
                    }
                    places.insert(tensor, shard);
                }
                Ok(Places(places))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
