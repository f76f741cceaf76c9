//! safetensors files: checked whole before a byte of a tensor is used, then mapped into memory.
//!
//! The format: eight bytes, the length of the header (little endian); the header, JSON, from
//! tensor names to type, shape and place; the values, without gaps. The reader behind most
//! tools takes the last of two tensors of one name silently; here that is an error.

mod change;
mod header;
mod index;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use self::header::check_bytes;
use self::index::Index;
use super::NnError;
use korfinsts_base::fs;

pub use self::change::Change;
pub use self::header::{MAX_HEADER, TensorInfo};

/// One tensor of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct TensorBytes<'a> {
    /// Number type of [`Self::bytes`]: `F32` behind a change, else as written: `F32`, `BF16`, ...
    pub dtype: &'static str,
    /// Shape; a scalar has none.
    pub shape: &'a [usize],
    /// The file that holds it.
    pub path: &'a Path,
    /// Number type in the file.
    stored: &'static str,
    /// The bytes in the file.
    raw: &'a [u8],
    changes: &'a [Change],
}

impl<'a> TensorBytes<'a> {
    /// Values, little endian, row-major; not aligned. A change is made each time.
    #[must_use]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.to_f32() {
            Some(values) if !self.changes.is_empty() => change::bytes_of(&values),
            _ => Cow::Borrowed(self.raw),
        }
    }

    /// `count` values of the file from the one of number `from`, as float32; `None` as for
    /// [`Self::to_f32`], and where there are not that many.
    #[must_use]
    pub fn part(&self, from: usize, count: usize) -> Option<Vec<f32>> {
        let size = self.raw.len() / self.shape.iter().product::<usize>().max(1);
        floats(
            self.stored,
            self.raw.get(from * size..)?.get(..count * size)?,
        )
    }

    /// The values as float32; `None` for types that are not floating-point numbers.
    #[must_use]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let values = floats(self.stored, self.raw)?;
        Some(change::applied(values, self.shape, self.changes))
    }

    /// Whole numbers as indices; `None` for other types and for negative numbers.
    #[must_use]
    pub fn to_indices(&self) -> Option<Vec<usize>> {
        let whole: Vec<i64> = match self.dtype {
            "I64" => values(self.raw, i64::from_le_bytes),
            "I32" => values(self.raw, |b| i64::from(i32::from_le_bytes(b))),
            "I16" => values(self.raw, |b| i64::from(i16::from_le_bytes(b))),
            "U32" => values(self.raw, |b| i64::from(u32::from_le_bytes(b))),
            "U16" => values(self.raw, |b| i64::from(u16::from_le_bytes(b))),
            "U8" => values(self.raw, |[b]: [u8; 1]| i64::from(b)),
            _ => return None,
        };
        whole.into_iter().map(|v| usize::try_from(v).ok()).collect()
    }
}

/// Bytes of a floating-point type as float32.
fn floats(dtype: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        "F32" => values(bytes, f32::from_le_bytes),
        "F16" => values(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        "BF16" => values(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        "F64" => values(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    })
}

fn values<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|c| convert(*c)).collect()
}

/// A checked safetensors file or set of shards, mapped into memory.
#[derive(Debug)]
pub struct Checkpoint {
    shards: Vec<Shard>,
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    changes: BTreeMap<String, Vec<Change>>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
}

impl Checkpoint {
    /// Opens one file, several shards, or the index of shards (a path that ends in
    /// `.index.json`).
    ///
    /// # Errors
    /// When a file is missing or not what [`check`] allows, when a tensor is in two shards, or
    /// when an index disagrees with its shards.
    pub fn open(paths: &[PathBuf]) -> Result<Self, NnError> {
        let mut checkpoint = Self {
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        for path in paths {
            if is_index(path) {
                let index = Index::read(path)?;
                for shard in index.shards() {
                    checkpoint.add(&shard)?;
                }
                index.agrees(&checkpoint)?;
            } else {
                checkpoint.add(path)?;
            }
        }
        checkpoint.rename();
        Ok(checkpoint)
    }

    /// Gives the scale and shift of a layer normalisation the names of today: checkpoints that were
    /// converted from TensorFlow call them `gamma` and `beta`.
    fn rename(&mut self) {
        for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] {
            let named: Vec<String> = self
                .names()
                .filter_map(|name| Some(name.strip_suffix(old)?.to_owned()))
                .collect();
            for name in named {
                let today = format!("{name}{new}");
                if !self.tensors.contains_key(&today)
                    && let Some(found) = self.tensors.remove(&format!("{name}{old}"))
                {
                    self.tensors.insert(today, found);
                }
            }
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), NnError> {
        let (map, header) = open_checked(path)?;
        let number = self.shards.len();
        for (name, info) in header {
            if let Some((first, _)) = self.tensors.get(&name) {
                return Err(invalid(
                    path,
                    format!(
                        "tensor `{name}` is also in `{}`, expected it in one shard",
                        self.shards[*first].path.display()
                    ),
                ));
            }
            self.tensors.insert(name, (number, info));
        }
        self.shards.push(Shard {
            path: path.to_owned(),
            map,
        });
        Ok(())
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<TensorBytes<'_>> {
        let (shard, info) = self.tensors.get(name)?;
        let shard = &self.shards[*shard];
        let changes = self.changes.get(name).map_or(&[][..], Vec::as_slice);
        Some(TensorBytes {
            dtype: if changes.is_empty() {
                info.dtype
            } else {
                "F32"
            },
            shape: &info.shape,
            path: &shard.path,
            stored: info.dtype,
            raw: &shard.map[info.place.clone()],
            changes,
        })
    }

    /// Lets a tensor of floating-point numbers be read with `change` made, behind the changes before
    /// it. A name that is not there is left alone.
    ///
    /// # Panics
    /// Later, when the values of the change are not of the tensor's shape.
    pub fn change(&mut self, name: &str, change: Change) {
        self.changes
            .entry(name.to_owned())
            .or_default()
            .push(change);
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The first file, for messages about the checkpoint as a whole.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.shards
            .first()
            .map(|s| s.path.clone())
            .unwrap_or_default()
    }

    /// Words that say which tensor of the same last name there is, for an error about `name`.
    #[must_use]
    pub fn similar(&self, name: &str) -> String {
        let tail: Vec<&str> = name.rsplit('.').take(2).collect();
        self.names()
            .find(|n| n.rsplit('.').take(2).eq(tail.iter().copied()))
            .map(|n| format!("; there is `{n}`"))
            .unwrap_or_default()
    }

    /// Says that the bytes of a tensor are not needed again, so that the pages they were read
    /// into do not count as memory of this process. They are read again if they are asked for.
    #[allow(unsafe_code, reason = "advice on a read-only map of a file")]
    pub fn release(&self, name: &str) {
        #[cfg(target_os = "linux")]
        if let Some((shard, info)) = self.tensors.get(name) {
            let map = &self.shards[*shard].map;
            // SAFETY: the map is read-only and backed by a file: dropped pages are read again
            // from it, with the same content.
            let advice = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    info.place.start,
                    info.place.len(),
                )
            };
            // Advice that is not taken costs memory and changes nothing else.
            drop(advice);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = name;
    }
}

/// Whether a path names an index of shards.
#[must_use]
pub fn is_index(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|n| n.to_string_lossy().ends_with(".index.json"))
}

/// The shards that an index names, in the order of their names; all are in the folder of the index.
///
/// # Errors
/// When the index cannot be read, is not of the expected form, or names a file that is missing
/// or is elsewhere.
pub fn shards_of(index: &Path) -> Result<Vec<PathBuf>, NnError> {
    Ok(Index::read(index)?.shards())
}

/// Checks one file and returns its tensors by name.
///
/// # Errors
/// When it is not safetensors (a pointer of Git LFS, a pickle, an archive), is cut short or too
/// long, or when its header is damaged: names twice, gaps, overlaps, places that do not fit the
/// shape.
pub fn check(path: &Path) -> Result<BTreeMap<String, TensorInfo>, NnError> {
    open_checked(path).map(|(_, header)| header)
}

fn invalid(path: &Path, reason: String) -> NnError {
    hinted(path, reason, None)
}

fn hinted(path: &Path, reason: String, hint: Option<&str>) -> NnError {
    NnError::Invalid {
        path: path.to_owned(),
        reason,
        hint: hint.map(Into::into),
    }
}

fn truncated(path: &Path, expected: u64, found: u64) -> NnError {
    hinted(
        path,
        format!("the file is cut short: expected {expected} bytes, found {found}"),
        Some("download the file again"),
    )
}

fn open_checked(path: &Path) -> Result<(Mmap, BTreeMap<String, TensorInfo>), NnError> {
    let file = fs::open(path)?;
    let metadata = file.metadata().map_err(fs::at("read", path))?;
    if !metadata.is_file() {
        return Err(invalid(path, "not a file, expected safetensors".into()));
    }
    let found = metadata.len();
    if found == 0 {
        return Err(truncated(path, 8, 0));
    }
    let map = map(&file, path)?;
    let header = check_bytes(path, &map)?;
    Ok((map, header))
}

/// Maps a file into memory.
#[allow(unsafe_code, reason = "weights are mapped, not copied")]
fn map(file: &std::fs::File, path: &Path) -> Result<Mmap, NnError> {
    // SAFETY: the map is only read, as bytes, for which every value is valid. A file that
    // another process cuts short meanwhile ends this process with SIGBUS; weights are not
    // written to in place by any tool that fetches or trains them.
    let map = unsafe { Mmap::map(file) };
    Ok(map.map_err(fs::at("map", path))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safetensors::header::tests::file;

    #[test]
    fn shards_and_their_index_are_checked_against_each_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let header = |name: &str| {
            format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#)
        };
        let write = |name: &str, bytes: &[u8]| fs::write_atomic(&at(name), bytes).expect("written");
        write("1.safetensors", &file(&header("a"), 1));
        write("2.safetensors", &file(&header("b"), 1));
        write("3.safetensors", &file(&header("a"), 1));
        let open = |map: &str| {
            write(
                "model.safetensors.index.json",
                format!(r#"{{"weight_map":{map}}}"#).as_bytes(),
            );
            Checkpoint::open(&[at("model.safetensors.index.json")])
        };
        let sound = open(r#"{"a":"1.safetensors","b":"2.safetensors"}"#).expect("sound");
        assert_eq!(sound.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(*sound.get("b").expect("there").bytes(), [7]);
        sound.release("b");
        assert_eq!(*sound.get("b").expect("still there").bytes(), [7]);
        for (map, expected) in [
            (r#"{"a":"9.safetensors"}"#, "`9.safetensors`"),
            (r#"{"a":"../1.safetensors"}"#, "does not lie beside"),
            (r#"{"a":"x/1.safetensors"}"#, "does not lie beside"),
            (r#"{"a":".."}"#, "does not lie beside"),
            (r#"{"a":"/1.safetensors"}"#, "does not lie beside"),
            (r"{}", "names no tensor"),
            (
                r#"{"a":"1.safetensors","a":"2.safetensors"}"#,
                "stands twice",
            ),
            (r#"{"b":"1.safetensors"}"#, "lies in none"),
            (
                r#"{"a":"2.safetensors","b":"1.safetensors"}"#,
                "should lie in `2.safetensors` and lies in `1.safetensors`",
            ),
            (
                r#"{"a":"1.safetensors","b":"2.safetensors","c":"3.safetensors"}"#,
                "expected it in one shard",
            ),
            (r"[]", "is damaged"),
        ] {
            let message = open(map).expect_err(expected).to_string();
            assert!(message.contains(expected), "{message} / {expected}");
        }
        assert!(Checkpoint::open(&[at("1.safetensors"), at("3.safetensors")]).is_err());
        assert!(Checkpoint::open(&[at("none.safetensors")]).is_err());
        assert!(Checkpoint::open(&[folder.path().to_owned()]).is_err());
        write("empty.safetensors", b"");
        assert!(Checkpoint::open(&[at("empty.safetensors")]).is_err());
    }
}
