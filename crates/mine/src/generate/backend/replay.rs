//! Answers that were recorded: from a state file, or from lines that `--record` wrote.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{Backend, Failure, Kind, Reply, Setting};
use crate::generate::call::Call;
use crate::generate::prompt::Prompt;
use crate::generate::state::{Kept, State};
use crate::{MineError, Place};
use korfinsts_base::fs;

pub(super) const KIND: Kind = Kind {
    name: "replay",
    argument: "FILE",
    about: "recorded answers: a `state.sqlite`, or lines that `--record` wrote",
    open,
};

#[derive(Debug)]
struct Replay {
    path: String,
    model: String,
    parameters: Value,
    answers: BTreeMap<String, Kept>,
}

fn open(argument: &str, setting: &Setting) -> Result<Box<dyn Backend>, MineError> {
    let path = Path::new(argument);
    let role = setting.role.name();
    let answers: Vec<Kept> = read(path)?.into_iter().filter(|k| k.role == role).collect();
    let mut asked: Vec<(&str, &str)> = answers
        .iter()
        .map(|k| (k.model.as_str(), k.parameters.as_str()))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let [(model, parameters)] = asked.as_slice() else {
        let found: Vec<&str> = asked.iter().map(|(m, _)| *m).collect();
        return Err(MineError::data(
            path,
            Place::Whole,
            format!(
                "it holds answers of {} models as {role} ({}), one is needed",
                asked.len(),
                found.join(", ")
            ),
            Some("record one run with `--record FILE`"),
        ));
    };
    Ok(Box::new(Replay {
        path: argument.to_owned(),
        model: (*model).to_owned(),
        parameters: serde_json::from_str(parameters).unwrap_or(Value::Null),
        answers: answers.into_iter().map(|k| (k.key.clone(), k)).collect(),
    }))
}

fn read(path: &Path) -> Result<Vec<Kept>, MineError> {
    let bytes = fs::read(path)?;
    if bytes.starts_with(b"SQLite format 3\0") {
        return State::open(path)?.calls();
    }
    let lines = korfinsts_base::json::parse_lines(&bytes)
        .map_err(|(line, reason)| MineError::data(path, Place::Line(line as u64), reason, None))?;
    lines
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            korfinsts_base::json::typed(value)
                .map_err(|reason| MineError::data(path, Place::Line(at as u64 + 1), reason, None))
        })
        .collect()
}

impl Backend for Replay {
    fn model(&self) -> &str {
        &self.model
    }

    fn parameters(&self) -> Value {
        self.parameters.clone()
    }

    fn about(&self) -> Vec<(String, String)> {
        vec![
            ("backend".into(), "replay".into()),
            ("model".into(), self.model.clone()),
            ("parameters".into(), self.parameters.to_string()),
        ]
    }

    fn answer(&self, key: &str, call: &Call, _: &Prompt) -> Result<Reply, Failure> {
        match self.answers.get(key) {
            Some(kept) => Ok(Reply {
                text: kept.answer.clone(),
                ..Reply::default()
            }),
            None => Err(Failure::Failed(MineError::usage(
                format!(
                    "{} holds no answer to `{}` of document {}",
                    self.path,
                    call.step.name(),
                    call.document
                ),
                "were passages, prompts, typology or parameters changed since it was recorded?",
            ))),
        }
    }
}
