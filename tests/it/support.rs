//! Helpers of the integration tests.

use std::path::PathBuf;

/// A file under the shared folder of reference data, or `None` (said loudly on stderr) when
/// `KORFINSTS_SHARED` does not name one: the test that asked is then skipped.
#[allow(
    dead_code,
    reason = "used by the tests that need data which may not be shipped"
)]
pub fn shared(relative: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("KORFINSTS_SHARED") else {
        eprintln!("SKIPPED: KORFINSTS_SHARED is not set, so `{relative}` is not at hand");
        return None;
    };
    let path = PathBuf::from(root).join(relative);
    assert!(
        path.exists(),
        "KORFINSTS_SHARED is set, but `{}` is not there",
        path.display()
    );
    Some(path)
}

/// Whether the tests that take minutes are asked for (`KORFINSTS_FULL=1`, as `.ci/run` does); said
/// loudly on stderr when they are not.
#[allow(dead_code, reason = "used by the tests that take minutes")]
pub fn full(what: &str) -> bool {
    let asked = std::env::var_os("KORFINSTS_FULL").is_some_and(|v| v == "1");
    if !asked {
        eprintln!("SKIPPED: KORFINSTS_FULL=1 is not set, so not run: {what}");
    }
    asked
}

/// Largest error of a tiny reference encoder in float32, relative to the norm of an embedding or of
/// a token's states: no sum of theirs has more than 64 terms, and a layer is ten operations one
/// after another. Twice as much may be between two that are both float32.
#[allow(dead_code, reason = "used by the tests that compute with networks")]
pub fn reference_rounding(config: &serde_json::Value) -> f64 {
    let layers = ["num_hidden_layers", "num_layers", "n_layers"];
    let layers = layers.iter().find_map(|name| config[*name].as_u64());
    korfinsts_nn::rounding::float32(64, 10 * layers.unwrap_or(2) as usize)
}

/// A file of the repository.
#[allow(
    dead_code,
    reason = "used by the tests that read the repository's own files"
)]
pub fn repository(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Reference encoders that the shared folder alone has.
pub const SHARED_ENCODERS: [&str; 7] = [
    "deberta-v2-mean",
    "electra-cls",
    "eurobert-mean",
    "gemma3-mean",
    "gte-cls",
    "llama-last",
    "nomic-mean",
];

/// Folder of a reference encoder, in the repository or in the shared folder; `None` (said loudly)
/// where neither has it.
#[allow(dead_code, reason = "used by the tests that read encoders")]
pub fn reference_encoder(name: &str) -> Option<PathBuf> {
    let own = repository("tests/reference/encoders").join(name);
    if own.exists() {
        return Some(own);
    }
    shared(&format!("reference/encoders/{name}"))
}

/// Folders of the reference encoders with a file of that name, those of the shared folder among
/// them.
#[allow(dead_code, reason = "used by the tests that read encoders")]
pub fn reference_encoders(file: &str) -> Vec<PathBuf> {
    let own = korfinsts_base::fs::list(&repository("tests/reference/encoders"));
    let own = own.expect("reference encoders");
    let shared = SHARED_ENCODERS.iter().filter_map(|n| reference_encoder(n));
    own.into_iter()
        .chain(shared)
        .filter(|folder| folder.join(file).exists())
        .collect()
}

/// A home of its own for a test: data, results and working folder, away from the user's.
pub struct Home {
    folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Home {
    /// A fresh home.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where records go.
    pub fn results(&self) -> PathBuf {
        self.path("korfinsts-results")
    }

    /// Where suites and caches go.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// `korfinsts ARGUMENTS` in this home, offline.
    pub fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        self.settle(assert_cmd::cargo::cargo_bin!("korfinsts"), arguments)
    }

    /// The same for work that takes minutes without optimisation: through the release build of
    /// the same code that `KORFINSTS_RELEASE` names (as `.ci/run` does), else as [`Self::command`].
    pub fn long_command(&self, arguments: &[&str]) -> assert_cmd::Command {
        match std::env::var_os("KORFINSTS_RELEASE") {
            Some(binary) => self.settle(binary, arguments),
            None => self.command(arguments),
        }
    }

    fn settle(
        &self,
        binary: impl AsRef<std::ffi::OsStr>,
        arguments: &[&str],
    ) -> assert_cmd::Command {
        let mut command = std::process::Command::new(binary);
        self.settled(&mut command).args(arguments);
        assert_cmd::Command::from_std(command)
    }

    /// A command of this home that is started and killed, which a command of `assert_cmd` cannot be.
    pub fn settled<'a>(
        &self,
        command: &'a mut std::process::Command,
    ) -> &'a mut std::process::Command {
        command
            .current_dir(self.folder.path())
            .env("KORFINSTS_DATA", self.data())
            .env("HF_HUB_CACHE", self.path("hub"))
            .env("HF_HUB_OFFLINE", "1")
            .env("KORFINSTS_LANG", "en")
            .env_remove("HF_TOKEN")
            .env_remove("HF_ENDPOINT")
    }

    /// Whether an ONNX Runtime library is found here.
    pub fn has_onnxruntime(&self) -> bool {
        let output = self
            .command(&["doctor", "--format", "json"])
            .output()
            .expect("doctor runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: serde_json::Value = serde_json::from_str(&text).expect("doctor prints JSON");
        lines.as_array().is_some_and(|lines| {
            lines
                .iter()
                .any(|l| l["what"] == "ONNX Runtime" && l["status"] == "ok")
        })
    }

    /// Copies a folder's files (one level and below) into this home.
    pub fn copy(&self, from: &std::path::Path, to: &std::path::Path) {
        for entry in walkdir::WalkDir::new(from) {
            let entry = entry.expect("listed");
            let target = to.join(entry.path().strip_prefix(from).expect("below"));
            if entry.file_type().is_dir() {
                std::fs::create_dir_all(&target).expect("made");
            } else {
                std::fs::write(&target, std::fs::read(entry.path()).expect("read"))
                    .expect("written");
            }
        }
    }
}
