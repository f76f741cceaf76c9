//! The names of a record's files: they hold what decides its content.

use std::path::{Path, PathBuf};

use super::super::RunError;
use super::super::form::{Form, FormFacts};
use super::Record;
use crate::suite::OF_FILE;
use korfinsts_base::fs;
use korfinsts_encoder::protocol::CUSTOM;
use korfinsts_metric::BootstrapOptions;

/// Paths of the files of a record: `<suite>.<split>.<protocol>` with an ending each, and before it
/// what was asked for and is not the default: `.file-1a2b3c4d` (the rows of a file of pairs), `.first-50`, `.prompt-1a2b3c4d`, `.resamples-500`,
/// `.seed-7`, `.dim-128.int8` (the form of the embeddings).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFiles {
    /// `….json`
    pub record: PathBuf,
    /// `….pairs.jsonl`
    pub pairs: PathBuf,
    /// `….timing.json`
    pub timing: PathBuf,
    /// `….tokens.jsonl`
    pub tokens: PathBuf,
}

impl RecordFiles {
    /// The files of a record under `results`: a folder per encoder, named by its name and by the
    /// first eight digits of its key, so that two models of one name do not meet.
    #[must_use]
    pub fn new(results: &Path, record: &Record, key: &str) -> Self {
        let key = &key[..key.len().min(8)];
        let name = file_name(&record.encoder.name);
        let folder = results.join(if key.is_empty() {
            name
        } else {
            format!("{name}-{key}")
        });
        let stem = format!(
            "{}.{}.{}{}",
            file_name(&record.suite.id),
            file_name(&record.suite.split),
            file_name(&record.encoder.protocol),
            asked(record)
        );
        Self {
            record: folder.join(format!("{stem}.json")),
            pairs: folder.join(format!("{stem}.pairs.jsonl")),
            timing: folder.join(format!("{stem}.timing.json")),
            tokens: folder.join(format!("{stem}.tokens.jsonl")),
        }
    }

    /// Refuses to replace the record of another run: one on another release of the suite, with other
    /// prompts, or of anything else that decides its content and is not in its name. Of `record` only
    /// what is known before the run is looked at.
    ///
    /// # Errors
    /// When the file of the record is there and is that of another run, or no record.
    pub fn refuse_another_run(&self, record: &Record) -> Result<(), RunError> {
        if !fs::exists(&self.record) {
            return Ok(());
        }
        let found = Record::read(&self.record)?;
        let other = facts(&found).into_iter().zip(facts(record));
        match other.into_iter().find(|(there, here)| there != here) {
            None => Ok(()),
            Some(((name, there), (_, here))) => Err(RunError::Occupied {
                path: self.record.clone(),
                reason: format!(
                    "it is the record of another run: {name} {there}, this run has {here}"
                ),
                flag: "--results",
            }),
        }
    }
}

/// What of a run is in the name of its files where it is not the default.
fn asked(record: &Record) -> String {
    let mut out = String::new();
    if record.suite.version.starts_with(OF_FILE) {
        out.push_str(&format!(".{}", file_name(&record.suite.version)));
    }
    if let Some(n) = record.suite.limit {
        out.push_str(&format!(".first-{n}"));
    }
    if record.encoder.protocol == CUSTOM {
        let prompts = record.encoder.prompts.join("\0");
        out.push_str(&format!(".prompt-{}", &fs::sha256(prompts.as_bytes())[..8]));
    }
    let (made, usual) = (record.bootstrap, BootstrapOptions::default());
    if made.resamples != 0 && made.resamples != usual.resamples {
        out.push_str(&format!(".resamples-{}", made.resamples));
    }
    if made.seed != usual.seed {
        out.push_str(&format!(".seed-{}", made.seed));
    }
    if let Some(found) = &record.encoder.form {
        let Form {
            truncate_dim,
            embedding_dtype,
            normalized,
            rescored,
        } = found.form;
        if let Some(width) = truncate_dim {
            out.push_str(&format!(".dim-{width}"));
        }
        out.push_str(if normalized { ".normalized" } else { "" });
        out.push_str(&format!(".{}", embedding_dtype.name()));
        out.push_str(if rescored { ".rescored" } else { "" });
        if let Some(by) = found.calibration.as_ref().filter(|by| !by.of_scored_texts) {
            let by = format!("{}-{}", by.suite, by.split);
            out.push_str(&format!(".by-{}", file_name(&by)));
        }
    }
    out
}

/// What decides the content of a record, by name, as far as it is known before the run; the key of
/// the encoder is in the name of the folder.
fn facts(record: &Record) -> [(&'static str, String); 7] {
    let (encoder, suite) = (&record.encoder, &record.suite);
    [
        ("encoder", encoder.name.clone()),
        ("protocol", encoder.protocol.clone()),
        ("prompts", format!("{:?}", encoder.prompts)),
        (
            "suite",
            format!("{} ({}), limit {:?}", suite.id, suite.split, suite.limit),
        ),
        ("release of the suite", suite.release_id.clone()),
        ("intervals", format!("{:?}", record.bootstrap)),
        (
            "form of the embeddings",
            encoder
                .form
                .as_ref()
                .map_or_else(String::new, FormFacts::identity),
        ),
    ]
}

/// A name as one path component: letters, digits, `.`, `_`, `-`; `/` becomes `__`, the rest `_`.
#[must_use]
pub fn file_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.replace('/', "__").chars() {
        let plain = c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        out.push(if plain { c } else { '_' });
    }
    let out = out.trim_start_matches('.').to_owned();
    if out.is_empty() {
        return "_".into();
    }
    // File systems count bytes: 255 of them, endings included.
    let mut bytes = 0;
    let fits = |c: &char| {
        bytes += c.len_utf8();
        bytes <= 120
    };
    out.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{BootstrapFacts, EncoderFacts, SuiteFacts, to_json};
    use super::*;

    #[test]
    fn a_name_becomes_one_path_component() {
        for (name, expected) in [
            ("org/name", "org__name"),
            ("../../etc", "__..__etc"),
            ("한국 모델", "한국_모델"),
            ("", "_"),
            ("...", "_"),
            ("a\0b\n", "a_b_"),
        ] {
            assert_eq!(file_name(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_tells_runs_apart_and_the_default_run_keeps_its_own() {
        type Change = fn(&mut Record);
        let usual = || Record {
            schema_version: 1,
            encoder: EncoderFacts {
                name: "org/m".into(),
                protocol: "native".into(),
                ..EncoderFacts::default()
            },
            suite: SuiteFacts {
                id: "korsts".into(),
                split: "test".into(),
                release_id: "r1".into(),
                ..SuiteFacts::default()
            },
            bootstrap: BootstrapFacts::of(&BootstrapOptions::default()),
            ..Record::default()
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = |record: &Record| RecordFiles::new(folder.path(), record, "0123456789");
        let name = |record: &Record| {
            let path = files(record).record;
            path.strip_prefix(folder.path())
                .expect("below")
                .display()
                .to_string()
        };
        let changes: [(&str, Change); 6] = [
            ("native", |_| {}),
            ("native.first-50", |r| r.suite.limit = Some(50)),
            ("native.resamples-500", |r| r.bootstrap.resamples = 500),
            ("native.seed-7", |r| r.bootstrap.seed = 7),
            ("custom.prompt-fe14478b", |r| {
                r.encoder.protocol = CUSTOM.into();
                r.encoder.prompts = ["query: ".into(), "query: ".into()];
            }),
            ("custom.prompt-f1529947", |r| {
                r.encoder.protocol = CUSTOM.into();
                r.encoder.prompts = ["query: ".into(), "passage: ".into()];
            }),
        ];
        for (expected, change) in changes {
            let mut record = usual();
            change(&mut record);
            assert_eq!(
                name(&record),
                format!("org__m-01234567/korsts.test.{expected}.json")
            );
        }
        // What no name tells apart is not replaced.
        let first = usual();
        files(&first)
            .refuse_another_run(&first)
            .expect("nothing is there");
        fs::write_atomic(&files(&first).record, &to_json(&first)).expect("written");
        files(&first)
            .refuse_another_run(&first)
            .expect("the same run");
        let others: [(&str, Change); 3] = [
            ("release of the suite r1, this run has r2", |r| {
                r.suite.release_id = "r2".into();
            }),
            ("run: prompts [", |r| r.encoder.prompts[1] = "x".into()),
            ("encoder org/m, this run has org__m", |r| {
                r.encoder.name = "org__m".into();
            }),
        ];
        for (expected, change) in others {
            let mut other = usual();
            change(&mut other);
            let error = files(&other)
                .refuse_another_run(&other)
                .expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().expect("a hint").contains("`--results DIR`"));
        }
    }
}
