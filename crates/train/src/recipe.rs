//! Recipes: a training run as a TOML file. Unknown keys are errors with their line.

mod check;
mod data;
mod replaced;
mod rows;
mod teacher;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::optim::Shape;
use korfinsts_base::fs;
use korfinsts_base::hub::is_commit;
use korfinsts_base::strict_toml;

pub use data::{DataKind, DataRecipe};
pub use rows::{HubRows, Rows};
pub use teacher::Teacher;

/// Version of the schema of recipes.
pub const SCHEMA: u32 = 1;

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the schema.
    pub schema: u32,
    /// Name of the model that comes out.
    pub name: String,
    /// Seed of first values and of every order.
    #[serde(default)]
    pub seed: u64,
    /// What training starts from.
    pub base: Base,
    /// The encoders that are imitated, for data of kinds `parallel` and `texts`. With several, the
    /// student's embedding imitates theirs side by side, in this order.
    #[serde(default, rename = "teacher", with = "teacher")]
    pub teachers: Vec<Teacher>,
    /// What happens when a training text is a text of a suite.
    #[serde(default)]
    pub leakage: Leakage,
    /// Suites that training texts are looked for in: ids, with `:split` where it is not the
    /// default one; empty = every suite on disk.
    #[serde(default)]
    pub leakage_suites: Vec<String>,
    /// How a step is computed.
    #[serde(default)]
    pub compute: Compute,
    /// Low-rank adapters.
    #[serde(default)]
    pub lora: Option<LoraRecipe>,
    /// Stages, one after another.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// Share of the base model's weights in the result, from 0 to 1.
    #[serde(default)]
    pub average_with_base: f64,
    /// What is evaluated before, between and after.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// What is written.
    #[serde(default)]
    pub save: Save,
    /// What the card says that the run does not know.
    #[serde(default)]
    pub card: Card,
}

/// What training starts from: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// A model folder or hub id.
    #[serde(default)]
    pub model: Option<String>,
    /// Pooling, where the model's folder names another or none.
    #[serde(default)]
    pub pooling: Option<String>,
    /// A new static embedding.
    #[serde(default, rename = "static")]
    pub fresh: Option<StaticBase>,
    /// New tokens for `model`.
    #[serde(default)]
    pub augment: Option<AugmentBase>,
    /// Fewer tokens for `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneBase>,
}

/// The tokens of `model` that texts and scripts need, with their rows of the embedding matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneBase {
    /// A text file (lines, `.jsonl`, `.csv`, `.tsv`) whose tokens stay; absent = the texts that are
    /// trained on.
    #[serde(default)]
    pub corpus: Option<PathBuf>,
    /// Field or column of the corpus that holds the text; several with commas.
    #[serde(default)]
    pub field: Option<String>,
    /// SHA-256 of the corpus.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Occurrences that a token needs to stay.
    #[serde(default = "once")]
    pub min_count: u64,
    /// Scripts whose tokens all stay.
    #[serde(default)]
    pub scripts: Vec<String>,
    /// Scripts whose tokens of one letter stay, so that every word of theirs can be cut.
    #[serde(default = "letters")]
    pub letters: Vec<String>,
}

fn once() -> u64 {
    1
}
fn letters() -> Vec<String> {
    ["Hangul", "Latin"].map(String::from).to_vec()
}

/// New tokens that a corpus proposes, each with a row of the embedding matrix that starts as the
/// mean of the rows of the pieces it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentBase {
    /// New tokens at most.
    pub tokens: usize,
    /// A text file (lines, `.jsonl`, `.csv`, `.tsv`); absent = the texts that are trained on.
    #[serde(default)]
    pub corpus: Option<PathBuf>,
    /// Field or column of the corpus that holds the text; several with commas.
    #[serde(default)]
    pub field: Option<String>,
    /// SHA-256 of the corpus.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Occurrences that a new token needs.
    #[serde(default = "five")]
    pub min_count: u64,
    /// Script of the new tokens.
    #[serde(default = "hangul")]
    pub script: String,
    /// Longest new token in characters.
    #[serde(default = "eight")]
    pub max_characters: usize,
}

fn five() -> u64 {
    5
}
fn eight() -> usize {
    8
}
fn hangul() -> String {
    "Hangul".into()
}

/// A static embedding from nothing: a vocabulary learnt from the training texts, one vector per
/// piece, their mean, one projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticBase {
    /// Pieces of the Unigram vocabulary.
    pub vocabulary: usize,
    /// Width of a piece's vector.
    pub dimension: usize,
    /// Width of an embedding.
    pub projection: usize,
    /// Standard deviation of the first values of the vectors.
    #[serde(default = "first_deviation")]
    pub deviation: f64,
    /// What the vectors of words start from.
    #[serde(default)]
    pub first: First,
    /// Whether the vocabulary is learnt from every whole word of the teacher's vocabulary too: a
    /// word of few training texts, or none, then has a piece of its own more often.
    #[serde(default)]
    pub teacher_words: bool,
}

/// What the vectors of a new static embedding start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum First {
    /// Random numbers.
    #[default]
    Random,
    /// The teacher's embedding of a word on the principal directions of its embeddings, for pieces
    /// that are words of the teacher's language; random numbers for the others. The projection
    /// starts as those directions (Tulkens and van Dongen, 2024: model2vec).
    Teacher,
}

fn first_deviation() -> f64 {
    0.05
}

/// What happens when a training text is a text of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leakage {
    /// Training does not begin.
    #[default]
    Error,
    /// The example is left out.
    Drop,
    /// The card reports it.
    Report,
}

/// How a step is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compute {
    /// Number type of the matrix multiplications; parameters stay float32.
    pub matmul: Number,
    /// Texts at once; 0 = the whole batch. A batch in parts has the gradients of the whole.
    pub micro_batch: usize,
    /// Whether layers are computed again in the backward pass instead of kept.
    pub gradient_checkpointing: bool,
    /// Longest text in tokens.
    pub max_tokens: Option<usize>,
    /// Put before every text.
    pub prompt: String,
    /// Parameters whose names begin with one of these stay as they are.
    pub freeze: Vec<String>,
    /// Widths of a Matryoshka objective.
    pub matryoshka: Vec<usize>,
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            matmul: Number::Float32,
            micro_batch: 0,
            gradient_checkpointing: false,
            max_tokens: None,
            prompt: String::new(),
            freeze: Vec::new(),
            matryoshka: Vec::new(),
        }
    }
}

/// A number type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Number {
    /// 32 bits.
    #[default]
    Float32,
    /// 16 bits, of which 10 are the fraction.
    Float16,
    /// 16 bits with the range of 32.
    Bfloat16,
}

/// Low-rank adapters; see [`Lora`](korfinsts_nn::weights::Lora).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraRecipe {
    /// Rank of an adapter.
    pub rank: usize,
    /// The adapter's product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Last names of the linear layers that get one; empty = all.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Share of an adapter's input that is dropped at random while it trains.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(n: &usize) -> bool {
    *n == 1
}

/// Part of a run with its own data and optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name, in metrics and messages.
    pub name: String,
    /// Passes over the data.
    #[serde(default = "one")]
    pub epochs: usize,
    /// Examples of a batch: those whose texts are negatives of each other.
    pub batch: usize,
    /// Batches per step, whose gradients are averaged: the same as one batch of all their examples,
    /// but negatives come from an example's own batch alone.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulation: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Share of the steps in which the learning rate grows.
    #[serde(default = "tenth")]
    pub warmup: f64,
    /// Steps in which the learning rate grows, in place of a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// How it goes after.
    #[serde(default = "linear")]
    pub schedule: Shape,
    /// Decoupled weight decay of matrices.
    #[serde(default = "hundredth")]
    pub weight_decay: f64,
    /// Largest norm of the gradients; 0 = any.
    #[serde(default = "unit")]
    pub clip: f64,
    /// Temperature of the objective.
    #[serde(default = "twentieth")]
    pub temperature: f64,
    /// Which texts are negatives of a triplet.
    #[serde(default)]
    pub negatives: Negatives,
    /// By how much the distance to the negative must be larger than that to the positive: the
    /// triplet margin loss takes the place of Equation 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// An encoder that tells which in-batch negatives of triplets and pairs are false ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide: Option<Guide>,
    /// Put before anchors, and before the first texts of pairs, in place of `compute.prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_prompt: Option<String>,
    /// Weight of the similarity matrices in a distillation.
    #[serde(default)]
    pub similarity: f64,
    /// Share of extra texts (spans, words) per row of a distillation.
    #[serde(default)]
    pub extra: f64,
    /// Share of the values that are dropped behind the embeddings and behind both blocks of every
    /// layer, as BERT's `hidden_dropout_prob`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Share of tokens left out of each text at random, for data of kind `parallel`.
    #[serde(default)]
    pub token_dropout: f64,
    /// Runs of the stage, each from the weights it begins with and with an order, left-out tokens
    /// and drawn texts of its own; it ends with the mean of their weights (Wortsman et al., 2022).
    /// In the first stage of a new static base whose `first` is `teacher`, each run starts with
    /// random numbers of its own too, which the mean evens out.
    #[serde(default = "one")]
    pub soup: usize,
    /// What is trained on.
    pub data: Vec<DataRecipe>,
}

/// An encoder that tells which texts of a batch are no negatives: those that it finds nearer to the
/// anchor than the positive, less a margin (Solatorio, 2024: `GISTEmbed`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// A model folder or hub id, or the name of a built-in encoder.
    pub model: String,
    /// A negative's cosine is below the positive's by this much at least.
    #[serde(default)]
    pub margin: f64,
    /// Whether `margin` is a share of the positive's cosine.
    #[serde(default)]
    pub relative: bool,
    /// Put before every text.
    #[serde(default)]
    pub prompt: String,
}

impl Stage {
    /// What is put before anchors, and before every other text.
    #[must_use]
    pub fn prompts<'a>(&'a self, compute: &'a Compute) -> [&'a str; 2] {
        let anchor = self.anchor_prompt.as_ref().unwrap_or(&compute.prompt);
        [anchor, &compute.prompt]
    }

    /// Examples of one step.
    #[must_use]
    pub fn examples_per_step(&self) -> usize {
        self.batch * self.accumulation
    }
}

fn one() -> usize {
    1
}
fn tenth() -> f64 {
    0.1
}
fn hundredth() -> f64 {
    0.01
}
fn twentieth() -> f64 {
    0.05
}
fn unit() -> f64 {
    1.0
}
fn linear() -> Shape {
    Shape::Linear
}

/// Which texts are negatives of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Negatives {
    /// Its own: Equation 1.
    #[default]
    #[serde(rename = "hard")]
    Hard,
    /// Its own and the other texts of the batch.
    #[serde(rename = "hard+batch")]
    HardAndBatch,
}

/// What is evaluated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Suites: ids, with `:split` where it is not the default one. Evaluated before and after.
    pub suites: Vec<String>,
    /// Steps between evaluations on the dev splits of `suites`; 0 = only before and after.
    pub every: usize,
    /// Dev split, as `korsts:dev`, whose score chooses the checkpoint among the steps that are
    /// evaluated; absent = the last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// Evaluations without a better score after which training ends; 0 = it goes on to the end.
    #[serde(skip_serializing_if = "is_nothing")]
    pub patience: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_nothing(n: &usize) -> bool {
    *n == 0
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Save {
    /// Steps between states from which a stopped run continues.
    pub every: usize,
    /// Number type of the checkpoint.
    pub dtype: Number,
    /// Whether event files for `TensorBoard` are written next to `metrics.jsonl`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
}

impl Default for Save {
    fn default() -> Self {
        Self {
            every: 200,
            dtype: Number::Float32,
            tensorboard: false,
        }
    }
}

/// What the card says that the run does not know.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// SPDX id of the checkpoint's licence.
    pub licence: String,
    /// ISO 639-1 languages.
    pub languages: Vec<String>,
    /// What the model is, in a sentence or two.
    pub description: String,
    /// What it was made of.
    pub sources: Vec<CardSource>,
}

/// One thing that a checkpoint was made of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CardSource {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Where it is.
    pub url: String,
    /// What it was used for.
    pub used_for: String,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, has unknown keys, or asks for what cannot be.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = String::from_utf8(fs::read(path)?).map_err(|e| TrainError::Recipe {
            path: path.to_owned(),
            line: None,
            reason: format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
            hint: None,
        })?;
        Self::parse(&text, path)
    }

    /// Parses a recipe; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        let recipe: Self = strict_toml::parse(text).map_err(|e| TrainError::Recipe {
            path: path.to_owned(),
            line: e.line,
            reason: match (e.reason.as_str(), data::stage_without_kind(text)) {
                (data::ONE_KIND, Some(stage)) => {
                    data::ONE_KIND.replacen("`data`", &format!("`data` of stage `{stage}`"), 1)
                }
                _ => e.reason,
            },
            hint: None,
        })?;
        recipe.check().map_err(|(key, reason)| TrainError::Recipe {
            path: path.to_owned(),
            line: text
                .lines()
                .position(|l| l.trim_start().trim_start_matches('[').starts_with(key))
                .map(|l| l + 1),
            reason,
            hint: None,
        })?;
        Ok(recipe)
    }

    /// Gives the data of a dataset on the hub the commit that they are read at; whether the recipe
    /// has data of that dataset.
    ///
    /// # Errors
    /// When it is no commit, or the recipe names another one.
    pub fn pin(&mut self, dataset: &str, commit: &str) -> Result<bool, String> {
        if !is_commit(commit) {
            return Err(check::no_commit(commit));
        }
        let data = self.stages.iter_mut().flat_map(|s| &mut s.data);
        let mut found = false;
        for rows in data.filter_map(|d| d.kind.on_hub()) {
            if rows.dataset == dataset {
                found = true;
                let known = rows.revision.get_or_insert_with(|| commit.to_owned());
                if known != commit {
                    return Err(format!("the recipe reads `{dataset}` at {known}"));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"schema = 1
name = "small"
[base]
model = "folder"
[[stage]]
name = "triplets"
batch = 8
learning_rate = 5e-5
data = [{ triplets = "triplets.jsonl" }]
"#;

    #[test]
    fn defaults_are_those_of_table_4() {
        let recipe = Recipe::parse(SMALL, Path::new("small.toml")).expect("a recipe");
        let stage = &recipe.stages[0];
        assert_eq!((stage.epochs, stage.warmup), (1, 0.1));
        assert_eq!(stage.schedule, Shape::Linear);
        assert_eq!(stage.negatives, Negatives::Hard);
        assert_eq!(recipe.leakage, Leakage::Error);
    }

    #[test]
    fn every_recipe_that_ships_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../training/recipes");
        let recipes = fs::walk(&folder, 100).expect("recipes");
        assert!(recipes.len() >= 7, "{recipes:?}");
        for path in recipes {
            let recipe = Recipe::read(&path).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                path.file_stem().map(|s| s.to_string_lossy().into_owned()),
                Some(recipe.name)
            );
        }
    }

    #[test]
    fn mistakes_are_errors_with_their_line() {
        for (from, to, expected) in [
            (
                "batch = 8",
                "bath = 8",
                "small.toml:7: unknown field `bath`",
            ),
            (
                "batch = 8",
                "batch = 0",
                "small.toml:7: `batch` is 0, expected a number above 0",
            ),
            (
                "schema = 1",
                "schema = 2",
                "small.toml:1: `schema` is 2, expected 1",
            ),
            (
                "name = \"small\"",
                "name = \"../x\"",
                "small.toml:2: `name` is `../x`",
            ),
            (
                "model = \"folder\"",
                "",
                "exactly one of `model` and `static`",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "triplets = \"a\", scored = \"b\"",
                "small.toml:9: each entry of `data` of stage `triplets` needs exactly one of \
                 `triplets`, `shift`",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "glossary = false",
                "small.toml:9: each entry of `data` of stage `triplets` needs exactly one of",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "parallel = [\"a\", \"b\"]",
                "need a `teacher`",
            ),
            ("5e-5", "nan", "`learning_rate` is NaN"),
            ("5e-5", "5e-5\nsoup = 0", "`soup` is 0"),
            (
                "5e-5",
                "5e-5\nmargin = 0",
                "`margin` is 0, expected a number above 0",
            ),
            (
                "5e-5",
                "5e-5\nmargin = 1\nnegatives = \"hard+batch\"",
                "`margin` compares a triplet with itself",
            ),
            (
                "5e-5",
                "5e-5\nmargin = 1\ntemperature = 0.1",
                "`temperature` has no part",
            ),
            (
                "5e-5",
                "5e-5\nwarmup = 0.2\nwarmup_steps = 5",
                "both say how long",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "scored = \"a\" }]\naccumulation = 2 #",
                "`accumulation` is for triplets and pairs",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "scored = \"a\" }]\nanchor_prompt = \"x\" #",
                "`anchor_prompt` is for triplets and pairs",
            ),
            (
                "[[stage]]",
                "[base.prune]\n[base.augment]\ntokens = 9\n[[stage]]",
                "`base.prune` leaves tokens of a `model` out; it goes neither with",
            ),
            (
                "5e-5",
                "5e-5\nguide = { model = \"g\" }",
                "`guide` is for in-batch negatives",
            ),
            (
                "5e-5",
                "5e-5\nnegatives = \"hard+batch\"\nguide = { model = \"g\", margin = 3 }",
                "`margin` of `guide` is 3, expected a number from 0 to 2",
            ),
            (
                "5e-5",
                "5e-5\nguide = { name = \"g\" }",
                "unknown field `name`",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "pairs = \"a\" }]\nmargin = 1 #",
                "`margin` is for triplets",
            ),
            (
                "[[stage]]",
                "[lora]\nrank = 2\nalpha = 4\ndropout = 1.0\n[[stage]]",
                "`dropout` is 1, expected a number from 0 to below 1",
            ),
            (
                "[base]",
                "[[teacher]]\nmodel = \"a\"\nreads_translations = true\n[[teacher]]\nmodel = \"b\"\n[base]",
                "`b` reads no translations: it comes before `a`, which does",
            ),
            (
                "[base]",
                "[[teacher]]\nname = \"a\"\n[base]",
                "unknown field `name`",
            ),
            (
                "triplets = \"triplets.jsonl\"",
                "texts = \"a.jsonl\" }]\nsoup = 2 #",
                "data of kind `texts` need a `[[teacher]]` with `reads_translations = true`",
            ),
            (
                "5e-5",
                "5e-5\ndropout = -0.1",
                "`dropout` is -0.1, expected a number from 0 to below 1",
            ),
            (
                "[[stage]]",
                "[evaluate]\nbest = \"korsts:dev\"\n[[stage]]",
                "`best` needs `every`",
            ),
            (
                "[[stage]]",
                "[evaluate]\npatience = 3\n[[stage]]",
                "`patience` needs `best`",
            ),
            (
                "[[stage]]",
                "[evaluate]\nevery = 1\nbest = \"korsts:dev\"\n[[stage]]\nsoup = 2",
                "`best` chooses a step",
            ),
        ] {
            let text = SMALL.replace(from, to);
            let error = Recipe::parse(&text, Path::new("small.toml")).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error} / {expected}");
        }
    }
}
