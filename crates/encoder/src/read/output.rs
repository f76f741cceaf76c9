//! What follows the network: the folder's modules, the flags, and the outputs of an ONNX graph.

use super::modules::Described;
use super::{Chosen, Overrides, Reader, StaticKind, is_causal_lm, pooling_of};
use crate::modules::Module;
use crate::onnx::{GraphInfo, ValueInfo};
use crate::pooling::Pooling;
use crate::spec::Setting;
use crate::width::Widths;
use crate::{EncoderError, json, llm2vec};
use korfinsts_base::fs;

/// Outputs that hold finished embeddings, best first.
const SENTENCE: [&str; 2] = ["sentence_embedding", "text_embeds"];
/// Where a folder's own code finds its pooling.
const NAMED_POOLING: &str = "config.json (`pooling`)";
/// Outputs that hold token states, best first.
const TOKENS: [&str; 2] = ["token_embeddings", "last_hidden_state"];

/// Whether an output is named like scores of a classifier or of a language model.
fn is_named_scores(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["logits", "scores", "probabilities"]
        .iter()
        .any(|word| name.contains(word))
}

/// The output of a graph that is read.
struct Output {
    name: String,
    /// Whether it holds finished embeddings, not token states.
    sentence: bool,
    /// Its width, where the graph fixes it.
    width: Option<usize>,
    /// Whether the user named it.
    asked: bool,
}

impl Output {
    fn of(value: &ValueInfo, sentence: bool) -> Self {
        Self {
            name: value.name.clone(),
            sentence,
            width: value.width,
            asked: false,
        }
    }
}

impl Reader<'_> {
    /// Decides what follows the network and, for a graph, which output is read. `pieces`: tokens of the
    /// tokenizer.
    pub(super) fn modules(
        &mut self,
        described: Option<Described>,
        static_kind: Option<StaticKind>,
        graph: Option<&GraphInfo>,
        pieces: usize,
    ) -> Result<Chosen, EncoderError> {
        let mut described = match described {
            Some(described) => Some(described),
            None => self.loose_pooling()?,
        };
        if let Some(described) = &mut described {
            self.read_files.append(&mut described.files);
        }
        let asked = Overrides::pick(
            self.overrides.pooling.as_ref(),
            "pooling",
            self.overrides.table.pooling.as_ref(),
        );
        if static_kind.is_some() {
            return self.static_modules(described, asked.is_some(), static_kind);
        }
        let described_pooling = described
            .as_ref()
            .and_then(|d| pooling_of(&d.modules))
            .map(|(modes, include)| (modes.to_vec(), include));
        let masks_prompt = match &described_pooling {
            Some((_, include)) => !include,
            None => described.is_none() && self.leaves_instruction_out(),
        };
        let output = match graph {
            Some(graph) => Some(self.output(graph, asked.is_some() || masks_prompt)?),
            None => None,
        };
        if let Some(output) = output.as_ref().filter(|output| output.sentence) {
            return self.sentence_modules(described.as_ref(), output, pieces);
        }
        let declared = described.as_ref().and_then(|d| {
            let source = self.relative(d.pooling_source.as_ref()?);
            Some((d.dimension?, source))
        });
        let widths = self.widths(declared, output.as_ref(), pieces)?;

        let mut rest: Vec<Module> = described
            .as_ref()
            .map(|d| {
                d.modules
                    .iter()
                    .skip(usize::from(described_pooling.is_some()))
            })
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let include_prompt = !masks_prompt;
        let described_modes = described_pooling.map(|(modes, _)| modes);
        let modes = self.modes(asked, described_modes, described.as_ref())?;
        Self::check_width(&modes, described.as_ref(), &rest)?;
        if !include_prompt {
            let source = match described {
                Some(_) => "the pooling's configuration".to_owned(),
                None if self.llm2vec.is_some() => llm2vec::FILE.to_owned(),
                None => self.own_code(),
            };
            self.decide(Setting::Prompt, "left out of the pooling", source);
        }
        let pools_last = modes.contains(&Pooling::LastToken);
        let mut modules = vec![Module::Pooling {
            modes,
            include_prompt,
        }];
        modules.append(&mut rest);
        self.normalize(&mut modules);
        self.describe(&modules[1..]);
        Ok(Chosen {
            modules,
            output: output.map(|output| output.name),
            widths,
            pools_last,
        })
    }

    /// The pooling modes: those asked for, else those of the folder's modules, else a guess.
    fn modes(
        &mut self,
        asked: Option<(Vec<Pooling>, String)>,
        described_modes: Option<Vec<Pooling>>,
        described: Option<&Described>,
    ) -> Result<Vec<Pooling>, EncoderError> {
        Ok(match (asked, described_modes, described) {
            (Some((modes, source)), ..) => {
                if modes.is_empty() {
                    return Err(super::not_allowed(
                        "pooling",
                        "",
                        &Pooling::ALL.map(Pooling::name),
                    ));
                }
                self.decide(Setting::Pooling, join(&modes), source);
                modes
            }
            (None, Some(modes), Some(described)) => {
                let source = described
                    .pooling_source
                    .as_ref()
                    .map_or_else(|| "modules.json".into(), |p| self.relative(p));
                if let Some(named) = self.named_pooling()
                    && modes != [named]
                {
                    self.doubt(
                        format!(
                            "{source} says pooling `{}`, and {NAMED_POOLING} says `{}`",
                            join(&modes),
                            named.name()
                        ),
                        "say it with `--pooling`",
                    )?;
                }
                self.decide(Setting::Pooling, join(&modes), source);
                modes
            }
            (None, None, Some(_)) => {
                return Err(EncoderError::Invalid {
                    path: self.files.modules.join("modules.json"),
                    reason: "it names no pooling, and the network gives one state per token".into(),
                    hint: Some("say it with `--pooling`".into()),
                });
            }
            (None, _, None) => {
                if let Some((mode, source)) = self.own_pooling() {
                    self.decide(Setting::Pooling, mode.name(), source);
                    return Ok(vec![mode]);
                }
                let (mode, why) = if is_causal_lm(&self.config) {
                    (
                        Pooling::LastToken,
                        "the folder has no `modules.json`, and the model is a causal language model",
                    )
                } else {
                    (
                        Pooling::Mean,
                        "the folder has neither `modules.json` nor `1_Pooling/config.json`",
                    )
                };
                self.guess(Setting::Pooling, mode.name(), why, "--pooling")?;
                vec![mode]
            }
        })
    }

    /// Whether the model's own code leaves the instruction out of its pooling.
    fn leaves_instruction_out(&self) -> bool {
        match &self.llm2vec {
            Some(llm2vec) => llm2vec.skips_instruction,
            None => self.family().means_behind_prompt,
        }
    }

    /// The pooling of the model's own code, and where it is said.
    fn own_pooling(&self) -> Option<(Pooling, String)> {
        if let Some(llm2vec) = &self.llm2vec {
            return Some((llm2vec.pooling, llm2vec::FILE.to_owned()));
        }
        if self.family().means_behind_prompt {
            return Some((Pooling::Mean, self.own_code()));
        }
        Some((self.named_pooling()?, NAMED_POOLING.to_owned()))
    }

    /// The pooling that `config.json` names for the model's own code.
    fn named_pooling(&self) -> Option<Pooling> {
        if self.architecture() != "llama_bidirec" {
            return None;
        }
        // The network refuses other names.
        match self.config.get("pooling")?.as_str()? {
            "avg" => Some(Pooling::Mean),
            "cls" => Some(Pooling::Cls),
            "last" => Some(Pooling::LastToken),
            _ => None,
        }
    }

    fn own_code(&self) -> String {
        format!("the own code of `{}`", self.architecture())
    }

    /// `1_Pooling/config.json` without a `modules.json`.
    fn loose_pooling(&mut self) -> Result<Option<Described>, EncoderError> {
        let folder = self.files.modules.join("1_Pooling");
        if !fs::exists(&folder.join("config.json")) {
            return Ok(None);
        }
        let mut described = Described::default();
        described.pooling(&folder, false)?;
        Ok(Some(described))
    }

    fn sentence_modules(
        &mut self,
        described: Option<&Described>,
        output: &Output,
        pieces: usize,
    ) -> Result<Chosen, EncoderError> {
        let name = &output.name;
        self.decide(
            Setting::Pooling,
            "in the graph",
            format!("the ONNX output `{name}`"),
        );
        let declared = described.and_then(|d| d.width.clone());
        let declared = declared.map(|(width, path)| (width, self.relative(&path)));
        let widths = self.widths(declared, Some(output), pieces)?;
        let inner = |m: &&Module| matches!(m, Module::Dense { .. } | Module::LayerNorm { .. });
        let dropped: Vec<String> = described
            .iter()
            .flat_map(|d| d.modules.iter().filter(inner).map(Module::describe))
            .collect();
        if !dropped.is_empty() && !output.asked {
            self.doubt(
                format!(
                    "the folder's {} is taken to be within the graph's output `{name}`",
                    dropped.join(", ")
                ),
                &format!(
                    "say `--onnx-output {name}` if it is, or name an output with token states"
                ),
            )?;
        }
        // Normalising twice changes nothing, and some exports leave it out.
        let mut modules: Vec<Module> = described
            .and_then(|d| d.modules.last())
            .filter(|m| **m == Module::Normalize)
            .cloned()
            .into_iter()
            .collect();
        self.normalize(&mut modules);
        self.describe(&modules);
        Ok(Chosen {
            modules,
            output: Some(name.clone()),
            widths,
            pools_last: described
                .and_then(|d| pooling_of(&d.modules))
                .is_some_and(|(modes, _)| modes.contains(&Pooling::LastToken)),
        })
    }

    /// What the output must be wide; it is checked at once where a graph fixes it.
    fn widths(
        &self,
        declared: Option<(usize, String)>,
        output: Option<&Output>,
        pieces: usize,
    ) -> Result<Widths, EncoderError> {
        let size = |key: &str| {
            json::size(&self.config_path, &self.config, key)
                .ok()
                .flatten()
        };
        let hidden = ["hidden_size", "d_model", "dim", "n_embd"]
            .into_iter()
            .find_map(size);
        let widths = Widths {
            declared,
            vocabulary: Some(size("vocab_size").unwrap_or(pieces))
                .filter(|tokens| hidden.is_none_or(|hidden| hidden < *tokens)),
        };
        if let Some(output) = output
            && let Some(width) = output.width
        {
            widths.check(width, Some(&output.name))?;
        }
        Ok(widths)
    }

    /// Static embeddings are a mean over tokens: only what follows it is left.
    fn static_modules(
        &mut self,
        described: Option<Described>,
        pooling_asked: bool,
        kind: Option<StaticKind>,
    ) -> Result<Chosen, EncoderError> {
        if pooling_asked {
            return Err(EncoderError::Unsupported {
                what: "static embeddings are always the mean over tokens".into(),
                hint: Some("leave `--pooling` out".into()),
            });
        }
        let mut modules = described.map(|d| d.modules).unwrap_or_default();
        if pooling_of(&modules).is_some() {
            return Err(EncoderError::Invalid {
                path: self.files.modules.join("modules.json"),
                reason: "static embeddings are pooled already, and it names a pooling".into(),
                hint: None,
            });
        }
        let configured = kind == Some(StaticKind::Model2Vec)
            && json::boolean(&self.config_path, &self.config, "normalize")? == Some(true);
        if configured && modules.last() != Some(&Module::Normalize) {
            modules.push(Module::Normalize);
        }
        self.decide(Setting::Pooling, "mean of static embeddings", "the weights");
        self.normalize(&mut modules);
        self.describe(&modules);
        Ok(Chosen {
            modules,
            output: None,
            widths: Widths::default(),
            pools_last: false,
        })
    }

    /// Adds or removes a normalisation at the end, where the user asked.
    fn normalize(&mut self, modules: &mut Vec<Module>) {
        let asked = Overrides::pick(
            self.overrides.normalize.as_ref(),
            "normalize",
            self.overrides.table.normalize.as_ref(),
        );
        let is_last = modules.last() == Some(&Module::Normalize);
        match asked {
            Some((true, source)) => {
                if !is_last {
                    modules.push(Module::Normalize);
                }
                self.decide(Setting::Normalize, "yes", source);
            }
            Some((false, source)) => {
                if is_last {
                    modules.pop();
                }
                self.decide(Setting::Normalize, "no", source);
            }
            None => {}
        }
    }

    fn describe(&mut self, modules: &[Module]) {
        if !modules.is_empty() {
            let words: Vec<_> = modules.iter().map(Module::describe).collect();
            let source = if fs::exists(&self.files.modules.join("modules.json")) {
                "modules.json"
            } else {
                "as above"
            };
            self.decide(Setting::Then, words.join(", "), source);
        }
    }

    fn check_width(
        modes: &[Pooling],
        described: Option<&Described>,
        rest: &[Module],
    ) -> Result<(), EncoderError> {
        let dimension = described.and_then(|d| d.dimension);
        let first_dense = rest.iter().find_map(|m| match m {
            Module::Dense { in_features, .. } => Some(*in_features),
            _ => None,
        });
        match (dimension, first_dense) {
            (Some(dimension), Some(width)) if dimension * modes.len() != width => {
                Err(EncoderError::Unsupported {
                    what: format!(
                        "pooling {} gives {} dimensions, the dense layer behind it takes {width}",
                        join(modes),
                        dimension * modes.len()
                    ),
                    hint: Some("choose as many pooling modes as the model has".into()),
                })
            }
            _ => Ok(()),
        }
    }

    /// Which output of a graph is read. `tokens_only`: finished embeddings do not serve.
    fn output(&mut self, graph: &GraphInfo, tokens_only: bool) -> Result<Output, EncoderError> {
        let names = || {
            graph
                .outputs
                .iter()
                .map(|o| format!("`{}`", o.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let unsupported = |what: String, hint: &str| EncoderError::Unsupported {
            what,
            hint: Some(hint.to_owned()),
        };
        let find = |name: &str| graph.outputs.iter().find(|o| o.name == name);
        let asked = Overrides::pick(
            self.overrides.onnx_output.as_ref(),
            "onnx-output",
            self.overrides.table.onnx_output.as_ref(),
        );
        if let Some((name, source)) = asked {
            let value = find(&name).ok_or_else(|| {
                unsupported(
                    format!("the graph has no output `{name}`; it has {}", names()),
                    "name one of these",
                )
            })?;
            let sentence = is_sentence(value);
            if sentence && tokens_only {
                return Err(unsupported(
                    format!(
                        "the output `{name}` holds finished embeddings, which cannot be pooled \
                         again (or have a prompt left out)"
                    ),
                    "name an output with one state per token",
                ));
            }
            self.decide(Setting::Output, name.clone(), source);
            return Ok(Output {
                asked: true,
                ..Output::of(value, sentence)
            });
        }
        if !tokens_only
            && let Some(value) = SENTENCE.iter().find_map(|n| find(n))
            && value.rank.is_none_or(|r| r == 2)
        {
            self.decide(Setting::Output, value.name.clone(), "the graph");
            return Ok(Output::of(value, true));
        }
        let named = TOKENS.iter().filter_map(|n| find(n));
        if let Some(value) = named.clone().find(|value| value.rank != Some(2)) {
            self.decide(Setting::Output, value.name.clone(), "the graph");
            return Ok(Output::of(value, false));
        }
        let mut candidates = graph
            .outputs
            .iter()
            .filter(|o| o.rank == Some(3) && o.element_type.starts_with("float"))
            .filter(|o| !is_named_scores(&o.name));
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => {
                self.guess(
                    Setting::Output,
                    &only.name,
                    "no output has a usual name, and this one alone has a state per token",
                    "--onnx-output",
                )?;
                Ok(Output::of(only, false))
            }
            (first, _) => {
                let mut flat = named.chain(&graph.outputs).filter(|o| o.rank == Some(2));
                let flat = flat.next().filter(|_| first.is_none() && !tokens_only);
                let scores = graph.outputs.iter().find(|o| is_named_scores(&o.name));
                let hint = match (scores.filter(|_| first.is_none()), flat.map(|o| &o.name)) {
                    (Some(scores), _) => format!(
                        "`{0}` is named like the scores of a classifier or of a language model: \
                         export the model with `--task feature-extraction`; `--onnx-output {0}` \
                         takes it as it is",
                        scores.name
                    ),
                    (None, Some(name)) => format!(
                        "`{name}` holds one vector for each text: `--onnx-output {name}` takes it \
                         as the finished embedding"
                    ),
                    (None, None) => "name it with `--onnx-output`".to_owned(),
                };
                Err(unsupported(
                    format!(
                        "it is not clear which output holds the token states: {}",
                        names()
                    ),
                    &hint,
                ))
            }
        }
    }
}

fn is_sentence(value: &ValueInfo) -> bool {
    match value.rank {
        Some(rank) => rank == 2,
        None => SENTENCE.contains(&value.name.as_str()),
    }
}

fn join(modes: &[Pooling]) -> String {
    modes
        .iter()
        .map(|m| m.name())
        .collect::<Vec<_>>()
        .join(" + ")
}
