//! Flags that say in which forms embeddings are compared: cut and quantised, as they are deployed.

use clap::Args;

use super::{CliError, Global};
use korfinsts_bench::run::form::{EmbeddingDtype, Form};
use korfinsts_bench::suite::{Registry, Selection, Suite};

/// Forms of embeddings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Forms of the embeddings")]
pub struct FormArgs {
    /// Also score the first N numbers of each embedding (Matryoshka), for each N
    #[arg(long, value_name = "N", value_delimiter = ',')]
    truncate_dim: Vec<usize>,
    /// Also score embeddings of this number type: int8, uint8, binary, ubinary, float32
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    embedding_dtype: Vec<EmbeddingDtype>,
    /// Suite whose texts give the ranges of int8 and uint8 [default: the texts that are scored]
    #[arg(long, value_name = "SUITE[:SPLIT]")]
    calibrate: Option<String>,
    /// Also score sentence1 in float32 against the quantised sentence2
    #[arg(long)]
    rescore: bool,
    /// Normalise embeddings after the cut, before they are quantised
    #[arg(long)]
    normalize_embeddings: bool,
}

impl FormArgs {
    /// The forms, each once: every width with every number type.
    ///
    /// # Errors
    /// When a flag has nothing to act on, or a width is 0.
    pub fn forms(&self) -> Result<Vec<Form>, CliError> {
        let dtypes = self.dtypes();
        let quantised = dtypes.iter().any(|d| *d != EmbeddingDtype::Float32);
        let calibrated = dtypes.iter().any(|d| d.is_calibrated());
        let alone = self.truncate_dim.is_empty() && self.embedding_dtype.is_empty();
        let idle = [
            (
                self.truncate_dim.contains(&0),
                "found `--truncate-dim 0`: an embedding has at least one number",
                "name widths, as `--truncate-dim 256,128`",
            ),
            (
                self.calibrate.is_some() && !calibrated,
                "found `--calibrate` without a type that has ranges",
                "add `--embedding-dtype int8` or `uint8`, or leave `--calibrate` out",
            ),
            (
                self.rescore && !quantised,
                "found `--rescore` without a quantised type",
                "add `--embedding-dtype int8,binary`, or leave `--rescore` out",
            ),
            (
                self.normalize_embeddings && alone,
                "found `--normalize-embeddings` without a form to normalise",
                "add `--truncate-dim` or `--embedding-dtype`; the cosine of the whole embedding is the same",
            ),
        ];
        if let Some((_, what, hint)) = idle.into_iter().find(|(is, ..)| *is) {
            return Err(CliError::usage(what, hint));
        }
        let mut forms = vec![Form::default()];
        let mut add = |form: Form| {
            if !forms.contains(&form) {
                forms.push(form);
            }
        };
        for truncate_dim in self.widths() {
            for &embedding_dtype in &dtypes {
                let form = Form {
                    truncate_dim,
                    embedding_dtype,
                    normalized: self.normalize_embeddings,
                    rescored: false,
                };
                if form == self.whole() {
                    continue;
                }
                add(form);
                if self.rescore && embedding_dtype != EmbeddingDtype::Float32 {
                    let rescored = true;
                    add(Form { rescored, ..form });
                }
            }
        }
        forms.remove(0);
        Ok(forms)
    }

    /// The suite that gives the ranges, where one is named.
    ///
    /// # Errors
    /// When there is no such suite on disk.
    pub fn calibration(
        &self,
        home: &std::path::Path,
        global: &Global,
    ) -> anyhow::Result<Option<Suite>> {
        let Some(name) = &self.calibrate else {
            return Ok(None);
        };
        let chosen = Registry::open(home)?.choose(&Selection::of([name]))?;
        let suite = chosen.suites.into_iter().next();
        if let Some(suite) = &suite {
            global.note(&format!(
                "ranges of int8 and uint8: {} {}",
                suite.id, suite.split
            ));
        }
        Ok(suite)
    }

    fn widths(&self) -> Vec<Option<usize>> {
        match self.truncate_dim.as_slice() {
            [] => vec![None],
            widths => widths.iter().copied().map(Some).collect(),
        }
    }

    fn dtypes(&self) -> Vec<EmbeddingDtype> {
        match self.embedding_dtype.as_slice() {
            [] => vec![EmbeddingDtype::Float32],
            dtypes => dtypes.to_vec(),
        }
    }

    /// The whole embedding in float32, which is always there; its cosine is the same normalised.
    fn whole(&self) -> Form {
        Form {
            normalized: self.normalize_embeddings,
            ..Form::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_has_every_type_once() {
        use EmbeddingDtype::{Binary, Float32, Int8};
        let args = |widths: &[usize], dtypes: &[EmbeddingDtype]| FormArgs {
            truncate_dim: widths.to_vec(),
            embedding_dtype: dtypes.to_vec(),
            ..FormArgs::default()
        };
        let names = |args: &FormArgs| -> Vec<String> {
            let forms = args.forms().expect("forms");
            forms.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&args(&[], &[])), Vec::<String>::new());
        assert_eq!(names(&args(&[], &[Float32, Int8])), ["int8"]);
        assert_eq!(names(&args(&[256, 64, 256], &[])), ["256", "64"]);
        let both = args(&[128], &[Float32, Int8, Binary]);
        assert_eq!(names(&both), ["128", "128 · int8", "128 · binary"]);
        let all = FormArgs {
            rescore: true,
            normalize_embeddings: true,
            ..args(&[128], &[Float32, Int8])
        };
        let expected = [
            "128 · normalized",
            "128 · normalized · int8",
            "128 · normalized · int8 · rescored",
        ];
        assert_eq!(names(&all), expected);
        let idle = [
            (args(&[0], &[]), "--truncate-dim 0"),
            (
                FormArgs {
                    rescore: true,
                    ..args(&[64], &[])
                },
                "--rescore",
            ),
            (
                FormArgs {
                    calibrate: Some("korsts:dev".into()),
                    ..args(&[64], &[Binary])
                },
                "--calibrate",
            ),
            (
                FormArgs {
                    normalize_embeddings: true,
                    ..args(&[], &[])
                },
                "--normalize-embeddings",
            ),
        ];
        for (args, flag) in idle {
            let error = args.forms().expect_err(flag).to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
