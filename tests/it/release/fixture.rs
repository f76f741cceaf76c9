//! A small release that passes every gate, in parts that a test can damage.

use std::path::Path;

use korfinsts_base::archive::Files;
use korfinsts_base::fs::sha256;
use korfinsts_publish::release::{Context, QUESTIONS, Report, Subject, check};
use serde_json::{Value, json};

/// GUID of the release.
pub const CANARY: &str = "0b7ab5b2-6f0f-4f7c-9a53-0f8d3c1d2e4f";

/// A release in parts.
#[derive(Clone)]
pub struct Fixture {
    /// `korfinsts.toml`.
    pub manifest: toml::Table,
    /// Rows by split.
    pub splits: Vec<(String, Vec<Value>)>,
    /// `annotations/raw.jsonl`.
    pub annotations: Vec<Value>,
    /// `provenance/sources.jsonl`.
    pub provenance: Vec<Value>,
    /// Every other file by name.
    pub texts: Files,
    /// What it is compared with.
    pub context: Context,
}

const WORDS: [&str; 64] = [
    "금리",
    "환율",
    "채권",
    "주식",
    "배당",
    "매출",
    "영업이익",
    "순이익",
    "부채",
    "자산",
    "공시",
    "유상증자",
    "전망",
    "상승",
    "하락",
    "둔화",
    "확대",
    "축소",
    "분기",
    "연간",
    "시장",
    "투자자",
    "은행",
    "증권사",
    "보험사",
    "당국",
    "규제",
    "완화",
    "강화",
    "수출",
    "수입",
    "물가",
    "고용",
    "소비",
    "생산",
    "재고",
    "설비",
    "반도체",
    "자동차",
    "조선",
    "건설",
    "철강",
    "화학",
    "유통",
    "통신",
    "전력",
    "가스",
    "원유",
    "달러",
    "엔화",
    "위안화",
    "유로",
    "국채",
    "회사채",
    "예금",
    "대출",
    "연체율",
    "충당금",
    "자본비율",
    "유동성",
    "신용등급",
    "만기",
    "차환",
    "상환",
];

/// Numbers that look random and are the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

/// A sentence of words drawn at random.
pub fn sentence(random: &mut Random) -> String {
    let words: Vec<&str> = (0..9 + random.below(4))
        .map(|_| WORDS[random.below(WORDS.len())])
        .collect();
    format!("{} 나타났다.", words.join(" "))
}

/// Rows per split.
pub const ROWS: [(&str, usize); 2] = [("test", 60), ("train", 72)];

impl Fixture {
    /// The clean release.
    pub fn new() -> Self {
        let mut random = Random(140);
        let mut splits = Vec::new();
        let mut annotations = Vec::new();
        let mut provenance = Vec::new();
        let source = sha256(b"the source file");
        for (split, n) in ROWS {
            let mut rows = Vec::new();
            for i in 0..n {
                let id = format!("{split}-{i:03}");
                // Each domain holds each score alike.
                let score = (i / 2) % 6;
                let domain = ["news", "report"][i % 2];
                rows.push(json!({
                    "id": id, "sentence1": sentence(&mut random), "sentence2": sentence(&mut random),
                    "score": score as f64, "domain": domain, "topic": (["a", "b", "c"][i % 3]),
                }));
                for (a, shift) in [("kim", 0), ("lee", 0), ("park", usize::from(i % 5 == 0))] {
                    let label = (score + shift).min(5) as f64;
                    annotations.push(json!({"id": id, "annotator": a, "label": label}));
                }
                provenance.push(json!({"id": id, "source": "press", "sha256": source}));
            }
            splits.push((split.to_owned(), rows));
        }
        let licence =
            format!("Press texts\nSPDX-License-Identifier: CC-BY-4.0\n\nCanary: {CANARY}\n");
        let mut datasheet = toml::Table::new();
        for (key, question) in QUESTIONS.iter() {
            let answer = if key == "number" {
                "{{ counts.pairs }} pairs.".to_owned()
            } else {
                format!("An answer: {question}")
            };
            datasheet.insert(key.clone(), answer.into());
        }
        let mut manifest: toml::Table = toml::from_str(&format!(
            r#"
schema = 1
id = "fixture"
version = "1.0.0"
title = "Fixture"
description = "Made for tests, with {{{{ counts.pairs }}}} pairs."
languages = ["kor-Hang"]
licence = "CC-BY-4.0"
homepage = "https://example.org/fixture"
date = "2026-01-02"
canary = "{CANARY}"
default_split = "test"
labels = ["topic"]
scale = {{ kind = "ordinal", min = 0, max = 5 }}
agreement = {{ level = "ordinal", floor = 0.8 }}
[splits.test]
[splits.train]
[[author]]
name = "The makers of the tests"
[[source]]
name = "press"
title = "Press texts"
licence = "CC-BY-4.0"
licence_sha256 = "{}"
adapted = true
"#,
            sha256(licence.as_bytes())
        ))
        .expect("TOML");
        manifest.insert("datasheet".into(), datasheet.into());
        let texts = [
            (
                "LICENSE",
                format!("Fixture\nSPDX-License-Identifier: CC-BY-4.0\nCanary: {CANARY}\n"),
            ),
            (
                "LABELS.md",
                format!("# Labels\n\n0 is unlike, 5 is alike.\n\nCanary: {CANARY}\n"),
            ),
            (
                "CHANGELOG.md",
                format!("# Changelog\n\n## 1.0.0\n\nThe first.\n\nCanary: {CANARY}\n"),
            ),
            ("licenses/press.txt", licence),
        ];
        Self {
            manifest,
            splits,
            annotations,
            provenance,
            texts: texts.map(|(n, t)| (n.to_owned(), t.into_bytes())).into(),
            context: Context::on("2026-02-03".parse().expect("a day")),
        }
    }

    /// A row of the test split.
    pub fn row(&mut self, i: usize) -> &mut Value {
        &mut self.splits[0].1[i]
    }

    /// The id of a row of the test split.
    pub fn id(&self, i: usize) -> String {
        self.splits[0].1[i]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Sets a value of the manifest; `path` is dotted.
    pub fn set(&mut self, path: &str, value: impl Into<toml::Value>) {
        let mut parts: Vec<&str> = path.split('.').collect();
        let last = parts.pop().expect("a name");
        let mut at = &mut self.manifest;
        for part in parts {
            at = match at.get_mut(part).expect(part) {
                toml::Value::Array(list) => list[0].as_table_mut().expect("a table"),
                other => other.as_table_mut().expect("a table"),
            };
        }
        at.insert(last.to_owned(), value.into());
    }

    /// The files that the release is made from.
    pub fn files(&self) -> Files {
        let mut files = self.texts.clone();
        let lines = |rows: &[Value]| -> Vec<u8> {
            rows.iter()
                .flat_map(|r| format!("{r}\n").into_bytes())
                .collect()
        };
        for (name, rows) in &self.splits {
            files.insert(format!("data/{name}.jsonl"), lines(rows));
        }
        files.insert("annotations/raw.jsonl".into(), lines(&self.annotations));
        files.insert("provenance/sources.jsonl".into(), lines(&self.provenance));
        let manifest = format!(
            "{}\n# Canary: {CANARY}\n",
            toml::to_string(&self.manifest).expect("TOML")
        );
        files.insert("korfinsts.toml".into(), manifest.into_bytes());
        files
    }

    /// The release as a subject.
    pub fn subject(&self) -> Subject {
        Self::of(self.files(), &self.context)
    }

    /// A subject from files.
    pub fn of(files: Files, context: &Context) -> Subject {
        Subject::from_files(files, Path::new("fixture"), context.clone())
            .expect("a readable manifest")
    }

    /// What the gates find.
    pub fn check(&self) -> Report {
        check(&self.subject())
    }

    /// Writes the files into a folder.
    pub fn write(&self, folder: &Path) {
        unpack(&self.files(), folder);
    }
}

/// Writes files into a folder.
pub fn unpack(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        korfinsts_base::fs::write_atomic(&folder.join(name), bytes).expect("written");
    }
}
