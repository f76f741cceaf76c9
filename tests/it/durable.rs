//! What the tests of interrupted runs share: a run of about a second, and what it leaves behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::repository;

/// Files of a results folder by relative path, without those that differ every time.
pub type Snapshot = BTreeMap<String, Vec<u8>>;

/// Two generated suites, a tiny encoder, and what an undisturbed run of it on them leaves behind.
pub struct Scene {
    folder: tempfile::TempDir,
    /// Records and per-pair scores of the undisturbed run.
    pub expected: Snapshot,
    /// Bytes of embeddings that the undisturbed run kept.
    pub embedded: u64,
}

impl Scene {
    /// Generates `pairs` pairs over two suites and runs undisturbed.
    pub fn new(pairs: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (id, rows) in [("durable-a", pairs * 2 / 3), ("durable-b", pairs / 3)] {
            write_suite(&folder.path().join("suites").join(id), id, rows);
        }
        let mut scene = Self {
            folder,
            expected: Snapshot::new(),
            embedded: 0,
        };
        let home = scene.home("undisturbed");
        let output = scene.command(&home).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the undisturbed run failed:\n{said}"
        );
        scene.expected = scene.snapshot(&home);
        assert_eq!(
            scene
                .expected
                .keys()
                .filter(|k| k.ends_with(".pairs.jsonl"))
                .count(),
            10,
            "an encoder and four baselines on two suites: {:?}",
            scene.expected.keys()
        );
        scene.embedded = embedded(&home);
        assert!(scene.embedded > 0, "embeddings are kept");
        scene
    }

    /// A folder for a run of its own, made anew.
    pub fn home(&self, name: &str) -> PathBuf {
        let home = self.folder.path().join(name);
        if home.exists() {
            std::fs::remove_dir_all(&home).expect("an old home goes");
        }
        std::fs::create_dir_all(&home).expect("a new home is made");
        home
    }

    /// Sizes in bytes of all that the undisturbed run wrote.
    pub fn written(&self) -> Vec<u64> {
        let sizes = files(&self.folder.path().join("undisturbed"))
            .iter()
            .map(|p| p.metadata().expect("a file").len())
            .collect::<Vec<_>>();
        assert!(!sizes.is_empty());
        sizes
    }

    /// What follows `korfinsts` on the command line of a run in `home`.
    pub fn arguments(&self, home: &Path) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("paths here are UTF-8").to_owned();
        let suites =
            ["durable-a", "durable-b"].map(|id| text(self.folder.path().join("suites").join(id)));
        let encoder = text(repository("tests/reference/encoders/bert-mean"));
        let mut arguments = vec!["eval".into(), encoder, "--suite".into(), suites.join(",")];
        for (flag, value) in [
            ("--resamples", "100".into()),
            ("--batch-tokens", "256".into()),
            ("--format", "csv".into()),
            ("--data", text(home.join("data"))),
            ("--results", text(home.join("results"))),
            ("--output", text(home.join("report.csv"))),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments
    }

    /// A run in `home`, not started.
    pub fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_korfinsts"));
        command.args(self.arguments(home));
        self.settle(&mut command);
        command
    }

    /// Takes what the machine at hand would change from a command, and its streams from the tests'.
    pub fn settle(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env_remove("KORFINSTS_DATA")
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
    }

    /// Runs to the end in `home` and compares what it leaves with the undisturbed run, byte for
    /// byte.
    pub fn finish(&self, home: &Path, after: &str) {
        let output = self.command(home).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "after {after} the run cannot be resumed:\n{said}"
        );
        self.compare(&self.snapshot(home), after);
    }

    /// Compares with the undisturbed run.
    pub fn compare(&self, found: &Snapshot, after: &str) {
        let names = |s: &Snapshot| s.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&self.expected),
            names(found),
            "after {after} other files are left"
        );
        for (name, bytes) in &self.expected {
            assert!(bytes == &found[name], "after {after} `{name}` differs");
        }
    }

    /// What is in the results of `home`.
    pub fn snapshot(&self, home: &Path) -> Snapshot {
        snapshot(&home.join("results"))
    }
}

/// What is in a results folder: everything but the lock and the timings, so that a stray
/// file shows.
pub fn snapshot(results: &Path) -> Snapshot {
    files(results)
        .into_iter()
        .filter_map(|path| {
            let name = path
                .strip_prefix(results)
                .expect("below")
                .to_str()
                .expect("UTF-8")
                .to_owned();
            let kept = !name.ends_with(".timing.json") && name != ".korfinsts.lock";
            kept.then(|| (name, std::fs::read(path).expect("a result can be read")))
        })
        .collect()
}

/// Bytes of embeddings kept in a home.
pub fn embedded(home: &Path) -> u64 {
    files(&home.join("data"))
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "kfe"))
        // A file may be gone between listing and looking.
        .filter_map(|p| p.metadata().ok())
        .map(|m| m.len())
        .sum()
}

/// Every file below a folder; none when it is not there.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn write_suite(folder: &Path, id: &str, rows: usize) {
    let firms = [
        "가온전자",
        "누리은행",
        "다솜증권",
        "라온바이오",
        "Mirae Foods",
        "Seohae Shipping",
    ];
    let items = [
        "매출",
        "영업이익",
        "순이자마진",
        "수주 잔고",
        "operating income",
        "net debt",
    ];
    let moves = [
        "늘었다",
        "줄었다",
        "전년과 같았다",
        "시장 예상을 넘었다",
        "rose",
        "fell",
    ];
    let mut content = String::new();
    for row in 0..rows {
        // No text comes twice, so that every one is encoded.
        let (firm, item, way) = (firms[row % 6], items[row / 6 % 6], moves[row / 36 % 6]);
        let other = moves[(row / 36 + row % 5) % 6];
        let gold = 5 - row % 5;
        let _ = writeln!(
            content,
            "{gold}\t{firm}의 {id} {row}번째 공시에 따르면 {item}이(가) {row}억원으로 {way}.\t\
             {firm}: 공시 {row} ({id}), {item} {row}억원, {other}. 지난 분기의 수치는 정정되지 않았다."
        );
    }
    std::fs::create_dir_all(folder).expect("a suite's folder");
    std::fs::write(folder.join("test.tsv"), content).expect("a suite's rows");
    let manifest = format!(
        r#"schema = 1
id = "{id}"
version = "1.0.0"
title = "{id}"
description = "Generated pairs."
languages = ["kor-Hang"]
licence = "CC0-1.0"
redistributable = true
default_split = "test"

[scale]
kind = "interval"
min = 0.0
max = 5.0

[splits.test]
rows = {rows}

[[source]]
name = "generated"
format = {{ kind = "delimited", delimiter = "\t", quoting = false, header = false }}
columns = {{ score = 0, sentence1 = 1, sentence2 = 2 }}

[[source.files.test]]
name = "test.tsv"
"#
    );
    std::fs::write(folder.join("suite.toml"), manifest).expect("a suite's manifest");
}
