//! What of a folder is pushed: its plain files, less what is hidden and what training leaves to continue
//! from. A link, a name of a key and a text that holds one are refused, for a push cannot be taken back.

use std::io::Read as _;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::super::{Hub, HubError};
use super::PushFile;
use crate::fs;

/// Most files of a folder.
const MAX_FILES: usize = 10_000;
/// Longest file that is searched for keys; longer ones hold weights.
const LONGEST_SEARCHED: u64 = 16 << 20;

/// Shortest token that is looked for in files.
const SHORTEST_TOKEN: usize = 8;

/// A hidden folder that models have: the results that hubs read.
const RESULTS: &str = ".eval_results";
/// Names of files, and beginnings (`name*`) or endings (`*name`) of names, from which training continues.
const STATES: [&str; 14] = [
    "optimizer.pt",
    "optimizer.bin",
    "optimizer.safetensors",
    "scheduler.pt",
    "scaler.pt",
    "trainer_state.json",
    "training_args.bin",
    "rng_state*",
    "events.out.tfevents*",
    "*.tmp",
    "*.incomplete",
    "*.lock",
    "*.pyc",
    "*~",
];
/// Folders of states and logs; those of `training/` hold states of this program.
const STATE_FOLDERS: [&str; 5] = [
    "checkpoint-*",
    "global_step*",
    "runs",
    "wandb",
    "__pycache__",
];
/// Names of files that hold keys.
const KEYS: [&str; 12] = [
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "id_rsa*",
    "id_ed25519*",
    "id_ecdsa*",
    "credentials*",
    "secrets*",
    "token",
    "token.txt",
];
/// How keys begin in a text, how many characters of a key follow at least, and whose they are.
const SIGNS: [(&str, usize, &str); 8] = [
    ("hf_", 30, "a token of the hub"),
    ("ghp_", 36, "a token of GitHub"),
    ("github_pat_", 22, "a token of GitHub"),
    ("sk-", 32, "a key of a paid service"),
    ("AKIA", 16, "a key of AWS"),
    ("xoxb-", 24, "a token of Slack"),
    (
        "minisign encrypted secret key",
        0,
        "a secret key of minisign",
    ),
    ("PRIVATE KEY-----", 0, "a private key"),
];

/// The files of a folder that may be pushed.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// The files, sorted by path.
    pub files: Vec<PushFile>,
    /// Files and folders that stay here, each with the reason.
    pub left_out: Vec<(String, &'static str)>,
}

impl Hub {
    /// The files of a folder, as they would be pushed. Hidden files (but `.eval_results/`) and states of training are left out.
    ///
    /// # Errors
    /// When a file cannot be read; when the folder holds a link, something that is no file, a file that is
    /// named like a key or holds one (the token of this client too), more than 10,000 files, or none.
    pub fn folder(&self, root: &Path) -> Result<Folder, HubError> {
        let mut found = Folder::default();
        let mut entries = WalkDir::new(root).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(root).to_owned();
                fs::at("list", &path)(e.into())
            })?;
            let path = inside(root, &entry)?;
            if path.is_empty() {
                continue;
            }
            let is_folder = entry.file_type().is_dir();
            if let Some(reason) = stays(&path, is_folder) {
                found.left_out.push((path, reason));
                if is_folder {
                    entries.skip_current_dir();
                }
            } else if !is_folder {
                plain(&path, &entry)?;
                let file = PushFile::from_disk(&path, entry.path())?;
                self.search(&file, entry.path())?;
                found.files.push(file);
            }
            if found.files.len() > MAX_FILES {
                return Err(unfit(
                    &root.display().to_string(),
                    format!("the folder has more than {MAX_FILES} files"),
                    "push a folder that holds the model alone",
                ));
            }
        }
        if found.files.is_empty() {
            let reason = "the folder holds no file that is pushed".to_owned();
            return Err(unfit(
                &root.display().to_string(),
                reason,
                "is the path spelled right?",
            ));
        }
        Ok(found)
    }

    /// Refuses a text that holds a key.
    fn search(&self, file: &PushFile, at: &Path) -> Result<(), HubError> {
        if file.size > LONGEST_SEARCHED {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut text = fs::open(at)?.take(LONGEST_SEARCHED);
        text.read_to_end(&mut bytes).map_err(fs::at("read", at))?;
        let own = self.settings.token.as_ref().map(String::as_bytes);
        let own = own.filter(|own| {
            own.len() >= SHORTEST_TOKEN && bytes.windows(own.len()).any(|part| part == *own)
        });
        let kind = match own {
            Some(_) => Some((1, "the token of the hub that is in use")),
            None => std::str::from_utf8(&bytes).ok().and_then(key_in),
        };
        match kind {
            None => Ok(()),
            Some((line, kind)) => Err(unfit(
                &format!("{}:{line}", file.path),
                format!("it holds {kind}"),
                "remove it from the file; a key that was pushed once has to be replaced",
            )),
        }
    }
}

fn unfit(path: &str, reason: String, hint: &str) -> HubError {
    HubError::Unfit {
        path: path.escape_debug().to_string(),
        reason,
        hint: hint.to_owned(),
    }
}

/// The path of an entry in the repository.
fn inside(root: &Path, entry: &DirEntry) -> Result<String, HubError> {
    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let parts = relative.components().map(|part| part.as_os_str().to_str());
    let parts: Option<Vec<&str>> = parts.collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| {
        let reason = "the name is not UTF-8".to_owned();
        unfit(&relative.display().to_string(), reason, "rename the file")
    })
}

/// Why a file or folder is left out.
fn stays(path: &str, is_folder: bool) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is = |pattern: &&str| is_like(name, pattern);
    let state = if is_folder {
        STATE_FOLDERS.iter().any(&is) || path.starts_with("training/")
    } else {
        STATES.iter().any(is)
    };
    if name.starts_with('.') && path != RESULTS {
        Some("hidden")
    } else if state {
        Some("state of training")
    } else {
        None
    }
}

/// A name that a pattern names whole, by its beginning (`name*`) or by its end (`*name`).
fn is_like(name: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(beginning)) => name.starts_with(beginning),
        _ => name == pattern,
    }
}

/// Refuses what is no plain file, and what is named like a key.
fn plain(path: &str, entry: &DirEntry) -> Result<(), HubError> {
    let refuse = |reason: &str, hint: &str| Err(unfit(path, reason.to_owned(), hint));
    if entry.path_is_symlink() {
        return refuse(
            "it is a link, which may lead out of the folder",
            "copy the folder with the files in it: `cp -rL DIR COPY`",
        );
    }
    if !entry.file_type().is_file() {
        return refuse("it is no file", "remove it from the folder");
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if KEYS.iter().any(|pattern| is_like(&name, pattern)) {
        return refuse(
            "it is named like a file of keys",
            "move it out of the folder, or rename it",
        );
    }
    Ok(())
}

/// Line and kind of the first key in a text.
fn key_in(text: &str) -> Option<(usize, &'static str)> {
    for (sign, length, kind) in SIGNS {
        for (at, _) in text.match_indices(sign) {
            let before = text[..at].chars().next_back();
            let glued = length > 0 && before.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let rest = text[at + sign.len()..].bytes();
            let key = rest.take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b));
            if !glued && key.count() >= length {
                return Some((text[..at].matches('\n').count() + 1, kind));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_texts_and_words_are_not_keys() {
        let hub = format!("{}_{}", "hf", "A".repeat(34));
        for (text, line) in [
            (format!("a\ntoken: {hub}\n"), Some(2)),
            (format!("\"{hub}\""), Some(1)),
            (format!("x{hub}"), None),
            ("hf_hub_download(repo_id)".to_owned(), None),
            (format!("{}-{}", "sk", "a1".repeat(16)), Some(1)),
            (
                "a task-specific-model-of-some-length-that-is-no-key".to_owned(),
                None,
            ),
            (format!("{} PRIVATE KEY-----", "-----BEGIN RSA"), Some(1)),
            (format!("{}{}", "AKIA", "ABCDEFGH12345678"), Some(1)),
            (String::new(), None),
        ] {
            assert_eq!(key_in(&text).map(|(line, _)| line), line, "{text}");
        }
    }

    #[test]
    fn hidden_files_and_states_stay() {
        for (path, is_folder, reason) in [
            ("model.safetensors", false, None),
            (".git", true, Some("hidden")),
            ("1_Pooling/.DS_Store", false, Some("hidden")),
            (".eval_results", true, None),
            ("x/.eval_results", true, Some("hidden")),
            ("optimizer.pt", false, Some("state of training")),
            ("rng_state_0.pth", false, Some("state of training")),
            ("checkpoint-500", true, Some("state of training")),
            ("training", true, None),
            ("training/metrics.jsonl", false, None),
            ("training/state-00000100", true, Some("state of training")),
            ("runs", false, None),
        ] {
            assert_eq!(stays(path, is_folder), reason, "{path}");
        }
    }
}
