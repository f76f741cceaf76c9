//! Figures that others report, as data: each file names its source, and none is ever mixed with
//! what was run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LeaderboardError;
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;
use korfinsts_base::strict_toml::{self, TomlError};

/// The figures and facts that ship in the binary: the folder `leaderboard/reported/`.
const SHIPPED: Folder = Folder::new::<korfinsts_leaderboard_data::Leaderboard>("reported/");

/// The file of facts about models in it.
const MODELS: &str = "models.toml";

/// What a file of scores calls itself; files of another kind in the same folder are other tables.
const KIND: &str = "scores";

/// One file of reported scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// `scores`.
    pub kind: String,
    /// Who reports these figures, and where.
    pub source: String,
    /// Where to read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `reported`.
    pub badge: String,
    /// What the numbers are: `cosine_spearman`.
    pub metric: String,
    /// Protocol of prompts, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What this project calls the suites that the file names otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub suites: BTreeMap<String, String>,
    /// Number of pairs by suite, where it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pairs: BTreeMap<String, usize>,
    /// Share of pairs with gold 1 by suite of binary gold: the ceiling of ρ follows from it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ones: BTreeMap<String, f64>,
    /// The models.
    #[serde(default, rename = "model")]
    pub models: Vec<ReportedModel>,
}

/// The scores of one model by suite; `suite/domain` is a domain of a suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedModel {
    /// Name of the model.
    pub name: String,
    /// Scores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// Scores before the adaptation that the source is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<String, f64>,
    /// Scores after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<String, f64>,
}

impl Reported {
    /// Parses and checks a file. `None` where it says that it is a table of another kind.
    ///
    /// # Errors
    /// When it is no TOML of this form, or a number is no correlation.
    pub fn parse(text: &str, path: &Path) -> Result<Option<Self>, LeaderboardError> {
        let wrong = |line: Option<usize>, reason: String| LeaderboardError::Figures {
            path: path.to_owned(),
            line,
            reason,
        };
        let unread = |e: TomlError| wrong(e.line, e.reason);
        let table: toml::Table = strict_toml::parse(text).map_err(unread)?;
        if table.get("kind").and_then(toml::Value::as_str) != Some(KIND) {
            return Ok(None);
        }
        let mut found: Self = strict_toml::parse(text).map_err(unread)?;
        if found.badge != "reported" {
            let reason = format!("found badge `{}`, allowed is `reported`", found.badge);
            return Err(wrong(None, reason));
        }
        if found.metric != "cosine_spearman" {
            let reason = format!(
                "found metric `{}`, allowed is `cosine_spearman`",
                found.metric
            );
            return Err(wrong(None, reason));
        }
        if let Some((suite, share)) = found.ones.iter().find(|(_, s)| !(0.0..=1.0).contains(*s)) {
            let reason = format!("the share of ones of `{suite}` is {share}, outside [0, 1]");
            return Err(wrong(None, reason));
        }
        for model in &found.models {
            for scores in [&model.scores, &model.before, &model.after] {
                for (suite, score) in scores {
                    if !(-1.0..=1.0).contains(score) {
                        let name = &model.name;
                        let reason = format!("`{name}` on `{suite}` is {score}, outside [-1, 1]");
                        return Err(wrong(None, reason));
                    }
                }
            }
        }
        found.rename();
        Ok(Some(found))
    }

    /// Puts this project's names of suites in the place of the file's.
    fn rename(&mut self) {
        let names = std::mem::take(&mut self.suites);
        let new = |name: &str| -> String {
            match name.split_once('/') {
                Some((suite, domain)) => {
                    format!("{}/{domain}", names.get(suite).map_or(suite, |n| n))
                }
                None => names.get(name).map_or(name, |n| n).to_owned(),
            }
        };
        let renamed = |map: &mut BTreeMap<String, f64>| {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(k, v)| (new(&k), v))
                .collect();
        };
        for model in &mut self.models {
            renamed(&mut model.scores);
            renamed(&mut model.before);
            renamed(&mut model.after);
        }
        renamed(&mut self.ones);
        self.pairs = std::mem::take(&mut self.pairs)
            .into_iter()
            .map(|(k, n)| (new(&k), n))
            .collect();
    }
}

/// The figures built in, in the order of their file names.
///
/// # Errors
/// When one is malformed (a flaw of this program).
pub fn built_in() -> Result<Vec<Reported>, LeaderboardError> {
    let mut found = Vec::new();
    for name in SHIPPED.names() {
        let path = Path::new("leaderboard/reported").join(&name);
        found.extend(Reported::parse(&built_in_text(&name), &path)?);
    }
    Ok(found)
}

fn built_in_text(name: &str) -> String {
    SHIPPED.text(name).unwrap_or_default()
}

/// The figures of a file, or of every `.toml` file right in a folder.
///
/// # Errors
/// When the path is not there, a file is malformed, or a file named by itself holds no scores.
pub fn read(path: &Path) -> Result<Vec<Reported>, LeaderboardError> {
    let folder = fs::metadata(path)?.is_dir();
    let files: Vec<PathBuf> = if folder {
        let files = fs::list(path)?.into_iter();
        files
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .collect()
    } else {
        vec![path.to_owned()]
    };
    let mut found = Vec::new();
    for file in files {
        match Reported::parse(&text_of(&file)?, &file)? {
            Some(reported) => found.push(reported),
            None if folder => {}
            None => {
                return Err(LeaderboardError::Figures {
                    path: file,
                    line: None,
                    reason: "found no `kind = \"scores\"`".into(),
                });
            }
        }
    }
    Ok(found)
}

fn text_of(path: &Path) -> Result<String, LeaderboardError> {
    String::from_utf8(fs::read(path)?).map_err(|e| LeaderboardError::Figures {
        path: path.to_owned(),
        line: None,
        reason: e.to_string(),
    })
}

/// What is known of a model other than its scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Name of the model.
    pub name: String,
    /// Other names under which records have it.
    #[serde(default)]
    pub also: Vec<String>,
    /// Number of weights.
    #[serde(default)]
    pub parameters: Option<u64>,
    /// Those of them that are not in the table of token embeddings.
    #[serde(default)]
    pub parameters_without_embeddings: Option<u64>,
    /// Numbers in an embedding.
    #[serde(default)]
    pub dimensions: Option<usize>,
    /// Bytes of a stored embedding, where the board holds several forms of embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_embedding: Option<usize>,
    /// Most tokens of a text that it reads.
    #[serde(default)]
    pub context: Option<usize>,
    /// Date of its release: `2024`, `2024-01` or `2024-01-30`.
    #[serde(default)]
    pub released: Option<String>,
    /// Prompt before each text, as its authors recommend it.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Price of a million tokens in US dollars, for models behind an address.
    #[serde(default)]
    pub price: Option<f64>,
    /// Texts encoded per second on `machine`.
    #[serde(default)]
    pub texts_per_second: Option<f64>,
    /// Peak resident memory of the process in MB on `machine`.
    #[serde(default)]
    pub memory_mb: Option<f64>,
    /// The machine that speed and memory were measured on, and with what.
    #[serde(default)]
    pub machine: Option<String>,
    /// Licence, as an SPDX expression where there is one.
    #[serde(default)]
    pub licence: Option<String>,
    /// Languages it is made for: ISO 639 codes, or `multilingual`.
    #[serde(default)]
    pub languages: Vec<String>,
    /// `model_type` of its configuration.
    #[serde(default)]
    pub architecture: Option<String>,
    /// Name of the model it was trained from, where that is on the leaderboard too.
    #[serde(default)]
    pub adapted_from: Option<String>,
    /// Where to read about it.
    #[serde(default)]
    pub url: Option<String>,
}

/// Facts about models, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Models(Vec<ModelFacts>);

impl Models {
    /// The facts built in.
    ///
    /// # Errors
    /// When they are malformed (a flaw of this program).
    pub fn built_in() -> Result<Self, LeaderboardError> {
        let path = Path::new("leaderboard/reported").join(MODELS);
        Self::parse(&built_in_text(MODELS), &path)
    }

    /// Adds the facts of a file; they win over those that are there.
    ///
    /// # Errors
    /// When it cannot be read or is malformed.
    pub fn add(&mut self, path: &Path) -> Result<(), LeaderboardError> {
        let mut added = Self::parse(&text_of(path)?, path)?.0;
        added.append(&mut self.0);
        self.0 = added;
        Ok(())
    }

    fn parse(text: &str, path: &Path) -> Result<Self, LeaderboardError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            model: Vec<ModelFacts>,
        }
        let file: File = strict_toml::parse(text).map_err(|e| LeaderboardError::Figures {
            path: path.to_owned(),
            line: e.line,
            reason: e.reason,
        })?;
        let wrong = |name: &str, reason: &str| LeaderboardError::Figures {
            path: path.to_owned(),
            line: None,
            reason: format!("`{name}`: {reason}"),
        };
        for model in &file.model {
            let numbers = [model.price, model.texts_per_second, model.memory_mb];
            if numbers
                .into_iter()
                .flatten()
                .any(|v| !v.is_finite() || v < 0.0)
            {
                let reason = "`price`, `texts_per_second` and `memory_mb` are numbers of 0 or more";
                return Err(wrong(&model.name, reason));
            }
            let measured = model.texts_per_second.or(model.memory_mb).is_some();
            if measured && model.machine.is_none() {
                return Err(wrong(
                    &model.name,
                    "found a measured speed or memory, and no `machine` that it was measured on",
                ));
            }
        }
        Ok(Self(file.model))
    }

    /// What is known of the model of this name; nothing where it is not listed.
    #[must_use]
    pub fn of(&self, name: &str) -> ModelFacts {
        let found = self
            .0
            .iter()
            .find(|m| m.name == name || m.also.iter().any(|a| a == name));
        found.cloned().unwrap_or_else(|| ModelFacts {
            name: name.to_owned(),
            ..ModelFacts::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_figures_are_the_papers() {
        let found = built_in().expect("well formed");
        let of = |part: &str| {
            let found = found.iter().find(|r| r.source.contains(part));
            found.expect("the source").clone()
        };
        let paper = of("Table 5");
        assert_eq!(paper.models.len(), 7);
        assert_eq!(paper.pairs["korfinsts"], 1991);
        let m3 = paper.models.iter().find(|m| m.name == "bge-m3");
        let m3 = m3.expect("the model");
        assert_eq!(
            (m3.before["korfinsts"], m3.after["korfinsts"]),
            (0.0512, 0.2732)
        );
        assert_eq!(m3.after["korsts-mteb"], 0.6919);
        // FACTS: the same model, other figures.
        let authors = of("authors");
        let e5 = |r: &Reported| {
            let found = r.models.iter().find(|m| m.name.starts_with("e5-mistral"));
            found.expect("the model").before["finsts"]
        };
        assert_eq!((e5(&paper), e5(&authors)), (0.1476, 0.267_718));
        assert_eq!(of("mteb").models[0].scores["stsb"], 0.820_324_728_3);
        for reported in &found {
            let facts = Models::built_in().expect("well formed");
            for model in &reported.models {
                assert!(
                    !facts.of(&model.name).languages.is_empty(),
                    "{}",
                    model.name
                );
            }
        }
    }

    #[test]
    fn a_malformed_file_says_where() {
        let head = "kind = \"scores\"\nsource = \"s\"\nbadge = \"reported\"\nmetric = \"cosine_spearman\"\n";
        for (text, reason) in [
            (format!("{head}x = 1\n"), "f.toml:5: unknown field `x`"),
            (
                head.replace("reported", "reproduced"),
                "found badge `reproduced`",
            ),
            (head.replace("cosine_s", "s"), "found metric `spearman`"),
            (
                format!("{head}[[model]]\nname = \"m\"\nscores = {{ a = 1.5 }}\n"),
                "`m` on `a` is 1.5, outside [-1, 1]",
            ),
            (
                format!("{head}[[model]]\nname = \"m\"\nscores = {{ a = nan }}\n"),
                "is NaN, outside",
            ),
        ] {
            let error = Reported::parse(&text, Path::new("f.toml")).expect_err("refused");
            assert!(error.to_string().contains(reason), "{error}");
        }
        let other = Reported::parse("[[model]]\nname = \"x\"\n", Path::new("f.toml"));
        assert_eq!(other.expect("another table"), None);
        for (line, reason) in [
            (
                "texts_per_second = 5",
                "`x`: found a measured speed or memory, and no `machine`",
            ),
            (
                "price = -1.0",
                "`x`: `price`, `texts_per_second` and `memory_mb` are numbers",
            ),
            ("speed = 5", "f.toml:3: unknown field `speed`"),
        ] {
            let text = format!("[[model]]\nname = \"x\"\n{line}\n");
            let error = Models::parse(&text, Path::new("f.toml")).expect_err("refused");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
