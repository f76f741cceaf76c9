//! Where a model is: what a name on the command line means, and which files of a folder are the
//! model.

mod files;
mod foreign;

use std::path::{Path, PathBuf};

use korfinsts_base::fs;

pub use files::{ModelFiles, find};
pub(super) use files::{
    find_adapted, inside, instead, names_static_embeddings, transformer_folder,
};
pub(super) use foreign::refuse_foreign;

/// Prefixes of endpoints that are not addresses.
const ENDPOINTS: [&str; 3] = ["openai:", "tei:", "vllm:"];
/// What a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A file or folder.
    Path {
        /// The path.
        path: PathBuf,
        /// Said to the user when the name could have meant something else.
        note: Option<String>,
    },
    /// A repository on the hub.
    Hub {
        /// `org/name`.
        id: String,
        /// Branch, tag or commit; `None` for the default branch.
        revision: Option<String>,
    },
    /// A server that embeds texts.
    Endpoint(String),
}

/// Says what a source names: an endpoint, a path that exists, or a hub repository.
///
/// A path wins over a hub id of the same name, with a note. What looks like a path (it begins
/// with `.`, `/` or `~`, ends in a model file's extension, or has more than one `/`) is one even
/// when nothing is there, so that the error speaks of the path.
#[must_use]
pub fn locate(source: &str) -> ModelSource {
    let address = source.starts_with("http://") || source.starts_with("https://");
    if address || ENDPOINTS.iter().any(|prefix| source.starts_with(prefix)) {
        return ModelSource::Endpoint(source.to_owned());
    }
    let hub = hub_id(source);
    let path = match source.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => PathBuf::from(source),
    };
    match hub {
        Some((id, revision)) if !fs::exists(&path) => ModelSource::Hub { id, revision },
        Some((id, _)) => ModelSource::Path {
            note: Some(format!(
                "`{source}` is a path here, so the hub's `{id}` is not used"
            )),
            path,
        },
        None => ModelSource::Path { path, note: None },
    }
}

/// `org/name` or `org/name@revision`.
fn hub_id(source: &str) -> Option<(String, Option<String>)> {
    let (id, revision) = match source.split_once('@') {
        Some((id, revision)) if !revision.is_empty() => (id, Some(revision.to_owned())),
        Some(_) => return None,
        None => (source, None),
    };
    let (org, name) = id.split_once('/')?;
    let word = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with(['.', '-', '~'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let file = [".onnx", ".safetensors", ".bin", ".pt"]
        .iter()
        .any(|extension| name.ends_with(extension));
    (word(org) && word(name) && !file).then(|| (id.to_owned(), revision))
}

/// Last segment of a path, as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_from_its_looks() {
        let hub = |id: &str, revision: Option<&str>| ModelSource::Hub {
            id: id.into(),
            revision: revision.map(Into::into),
        };
        let path = |path: &str| ModelSource::Path {
            path: path.into(),
            note: None,
        };
        for (source, expected) in [
            ("BAAI/bge-m3", hub("BAAI/bge-m3", None)),
            ("BAAI/bge-m3@main", hub("BAAI/bge-m3", Some("main"))),
            ("model.onnx", path("model.onnx")),
            ("onnx/model.onnx", path("onnx/model.onnx")),
            ("./a/b", path("./a/b")),
            ("/models/a", path("/models/a")),
            ("a/b/c", path("a/b/c")),
            ("name", path("name")),
            (
                "http://localhost:8080",
                ModelSource::Endpoint("http://localhost:8080".into()),
            ),
            ("tei:x", ModelSource::Endpoint("tei:x".into())),
        ] {
            assert_eq!(locate(source), expected, "{source}");
        }
        // Tests run in the package's folder, where `src/endpoint` is a path.
        assert!(matches!(
            locate("src/endpoint"),
            ModelSource::Path { note: Some(_), .. }
        ));
    }
}
