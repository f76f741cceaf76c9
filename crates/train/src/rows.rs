//! Rows of training data: files, folders and datasets of the hub, whose columns may have any name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::TrainError;
use super::batch::{Example, Labels};
use super::data::{Places, checked};
use super::locate::{Found, on_disk, on_hub};
use super::recipe::{DataKind, DataRecipe, Rows};
use korfinsts_base::records::objects::{at_path, paths};
use korfinsts_base::records::{self, Format};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DataFile {
    /// Its name: as the recipe has it, or `dataset@commit/path`.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The examples of rows in order, and the files that they came from.
pub(super) fn read(
    data: &DataRecipe,
    rows: &Rows,
    places: Places<'_>,
) -> Result<(Vec<Example>, Vec<DataFile>), TrainError> {
    let located = match rows {
        Rows::File(file) => on_disk(file, places)?,
        Rows::Hub(hub) => on_hub(hub, places)?,
    };
    let formats: BTreeSet<Format> = located.iter().map(|f| f.format).collect();
    if let [first, .., last] = &located[..]
        && formats.len() > 1
    {
        let other = located
            .iter()
            .find(|f| f.format != first.format)
            .unwrap_or(last);
        return Err(places.wrong(
            format!("`{}` and `{}` are of two formats", first.name, other.name),
            Some(
                "give the files of one format; on the hub, `files = [\"*.parquet\"]` chooses some"
                    .into(),
            ),
        ));
    }
    let counted = data.sha256.len();
    if counted > 0 && counted != located.len() {
        return Err(places.wrong(
            format!("`sha256` has {counted} values for {} files", located.len()),
            Some("write one per file, in the order of their names".into()),
        ));
    }
    let (mut examples, mut files) = (Vec::new(), Vec::new());
    let limit = data.limit.unwrap_or(usize::MAX);
    for (i, file) in located.into_iter().enumerate() {
        let sha256 = checked(&file.path, data.sha256.get(i))?;
        let mut rows = 0;
        records::each(&file.path, file.format, &mut |record| {
            rows += 1;
            if examples.len() < limit {
                let row = DataRow {
                    data,
                    file: &file,
                    record,
                };
                examples.push(row.example()?);
            }
            Ok::<_, TrainError>(())
        })?;
        if rows == 0 {
            return Err(TrainError::Data {
                path: file.path,
                line: None,
                reason: "the file holds no row".into(),
                hint: Some("is it empty, or cut short?".into()),
            });
        }
        files.push(DataFile {
            name: file.name,
            sha256,
        });
    }
    Ok((examples, files))
}

/// One row, and what its fields mean.
struct DataRow<'a> {
    data: &'a DataRecipe,
    file: &'a Found,
    record: records::Record,
}

impl DataRow<'_> {
    fn wrong(&self, reason: String, hint: Option<String>) -> TrainError {
        TrainError::Data {
            path: self.file.path.clone(),
            line: Some(self.record.number as usize),
            reason,
            hint,
        }
    }

    fn column<'r>(&'r self, role: &'r str) -> &'r str {
        self.data.columns.get(role).map_or(role, String::as_str)
    }

    fn value(&self, role: &str) -> Result<&Value, TrainError> {
        let column = self.column(role);
        at_path(&self.record.fields, column).ok_or_else(|| {
            let known = paths(&self.record.fields);
            let known: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
            let hint = format!("name the column, as in `columns = {{ {role} = \"COLUMN\" }}`");
            self.wrong(
                format!("`{column}` is missing; there is {}", known.join(", ")),
                Some(hint),
            )
        })
    }

    fn text(&self, role: &str) -> Result<String, TrainError> {
        let value = self.value(role)?;
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(self.wrong(
                format!("`{}` is `{value}`, expected a text", self.column(role)),
                None,
            )),
        }
    }

    fn score(&self) -> Result<f64, TrainError> {
        let value = self.value("score")?;
        let found = match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let [low, high] = self
            .data
            .scale
            .unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        match found {
            Some(score) if (low..=high).contains(&score) => Ok(score),
            _ => Err(self.wrong(
                format!(
                    "`{}` is `{value}`, expected a number from {low} to {high}",
                    self.column("score")
                ),
                Some("`scale = [LOWEST, HIGHEST]` says which scores there are".into()),
            )),
        }
    }

    /// A label: empty where the row has none.
    fn label(&self, role: &str) -> String {
        if !self.data.columns.is_empty() && !self.data.columns.contains_key(role) {
            return String::new();
        }
        let found = at_path(&self.record.fields, self.column(role)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    }

    fn example(&self) -> Result<Example, TrainError> {
        let kind = &self.data.kind;
        let triplet = matches!(kind, DataKind::Triplets(_));
        let (first, second) = match kind {
            DataKind::Triplets(_) => ("anchor", Some("positive")),
            DataKind::Texts(_) => ("text", None),
            _ => ("first", Some("second")),
        };
        let name = self
            .file
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        Ok(Example {
            first: self.text(first)?,
            second: second
                .map(|s| self.text(s))
                .transpose()?
                .unwrap_or_default(),
            negative: triplet.then(|| self.text("negative")).transpose()?,
            gold: matches!(kind, DataKind::ScoredRows(_))
                .then(|| self.score())
                .transpose()?,
            labels: Labels {
                language: self.label("language"),
                source: self.label("source"),
                pattern: self.label("pattern"),
                variant: self.label("variant"),
                origin: self.label("origin"),
            },
            place: format!("{name}:{}", self.record.number),
            tied: false,
        })
    }
}
