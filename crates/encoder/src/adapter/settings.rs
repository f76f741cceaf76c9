//! `adapter_config.json`: what decides how the tensors of an adapter change those of its base.

use std::path::Path;

use fancy_regex::Regex;
use serde_json::Value;

use super::MERGE;
use crate::read::holds;
use crate::{EncoderError, json};

/// Keys that are read here.
const READ: &str = "\
    peft_type r lora_alpha use_rslora rank_pattern alpha_pattern target_modules exclude_modules \
    modules_to_save layers_to_transform layers_pattern init_lora_weights bias \
    trainable_token_indices base_model_name_or_path revision";

/// Keys that change no value of an adapter that was trained. `fan_in_fan_out` is for layers that none
/// of the networks has, and PEFT ignores it at others; the bias of an adapter is in its tensors.
const HARMLESS: &str = "\
    task_type auto_mapping peft_version inference_mode lora_dropout fan_in_fan_out lora_bias \
    megatron_core qalora_group_size runtime_config ensure_weight_tying";

/// First values of an adapter that leave the weights of the base as they are.
const INITIAL: [&str; 2] = ["gaussian", "orthogonal"];

/// The settings of an adapter.
pub(super) struct Settings {
    rank: usize,
    alpha: f64,
    rslora: bool,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    targets: Modules,
    excluded: Modules,
    saved: Vec<String>,
    layers: Vec<u64>,
    layers_pattern: Vec<Regex>,
    any_layer: Regex,
    tokens: Option<Value>,
}

/// Modules by name.
enum Modules {
    /// Names, or ends of names.
    Named(Vec<String>),
    /// The whole of a name.
    Pattern(Regex),
    /// Every linear layer.
    Linear,
}

impl Modules {
    fn holds(&self, module: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| ends(module, name)),
            Self::Pattern(pattern) => pattern.is_match(module).unwrap_or(false),
            Self::Linear => true,
        }
    }
}

/// Whether a module has that name, or ends in it.
pub(super) fn ends(module: &str, name: &str) -> bool {
    let before = module.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

impl Settings {
    /// Reads `adapter_config.json`.
    ///
    /// # Errors
    /// When a key has a value that is not understood.
    pub(super) fn read(path: &Path) -> Result<Self, EncoderError> {
        let value = json::load(path)?.unwrap_or(Value::Null);
        let file = File {
            path,
            value: &value,
        };
        file.check()?;
        let size = |key: &str, default: usize| {
            Ok::<_, EncoderError>(json::size(path, &value, key)?.unwrap_or(default))
        };
        Ok(Self {
            rank: size("r", 8)?,
            alpha: match value.get("lora_alpha") {
                None => 8.0,
                Some(found) => found
                    .as_f64()
                    .ok_or_else(|| file.wrong("lora_alpha", found, "a number"))?,
            },
            rslora: json::boolean(path, &value, "use_rslora")? == Some(true),
            ranks: file.numbers("rank_pattern")?,
            alphas: file.numbers("alpha_pattern")?,
            targets: file.modules("target_modules")?,
            excluded: file.modules("exclude_modules")?,
            saved: file.names("modules_to_save")?,
            layers: file.layers()?,
            layers_pattern: file
                .names("layers_pattern")?
                .iter()
                .map(|name| {
                    let pattern = format!(r"^(?:.*?\.)?(?:{name})\.(\d+)\.");
                    file.regex("layers_pattern", &pattern)
                })
                .collect::<Result<_, _>>()?,
            any_layer: file.regex("layers_pattern", r"^.*?\.[^.]*\.(\d+)\.")?,
            tokens: value
                .get("trainable_token_indices")
                .filter(|tokens| !tokens.is_null())
                .cloned(),
        })
    }

    /// The rank of a module's adapter, and what its product is multiplied by.
    pub(super) fn scale(&self, module: &str) -> (usize, f32) {
        let of = |patterns: &[(Regex, f64)]| {
            let mut found = patterns.iter();
            let found = found.find(|(pattern, _)| pattern.is_match(module).unwrap_or(false));
            found.map(|(_, number)| *number)
        };
        let rank = of(&self.ranks).map_or(self.rank, |rank| rank as usize);
        let alpha = of(&self.alphas).unwrap_or(self.alpha);
        let divisor = if self.rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        (rank, (alpha / divisor) as f32)
    }

    /// Whether a module gets an adapter (`check_target_module_exists` of PEFT).
    pub(super) fn targets(&self, module: &str) -> bool {
        // A module that is saved whole, or one inside of it.
        let dots = module.match_indices('.').map(|(at, _)| at);
        let mut outer = dots.chain([module.len()]).map(|end| &module[..end]);
        let saved = outer.any(|outer| self.saved.iter().any(|name| ends(outer, name)));
        if saved || self.excluded.holds(module) {
            return false;
        }
        self.targets.holds(module) && self.in_layers(module)
    }

    /// Whether a list names a module, so that the adapter should hold something of it.
    pub(super) fn names(&self, module: &str) -> bool {
        matches!(self.targets, Modules::Named(_)) && self.targets(module)
    }

    fn in_layers(&self, module: &str) -> bool {
        if self.layers.is_empty() || matches!(&self.targets, Modules::Pattern(_) | Modules::Linear)
        {
            return true;
        }
        let patterns = match &self.layers_pattern[..] {
            [] => std::slice::from_ref(&self.any_layer),
            patterns => patterns,
        };
        let number = patterns.iter().find_map(|pattern| {
            let captures = pattern.captures(module).ok()??;
            captures.get(1)?.as_str().parse::<u64>().ok()
        });
        number.is_some_and(|number| self.layers.contains(&number))
    }

    /// Numbers of the tokens of a table whose rows were trained, in the order of their values.
    pub(super) fn tokens(&self, module: &str) -> Option<Vec<usize>> {
        let list = match self.tokens.as_ref()? {
            Value::Object(tables) => tables.iter().find(|(name, _)| ends(module, name))?.1,
            list => list,
        };
        let numbers = list.as_array()?.iter();
        numbers.map(|n| usize::try_from(n.as_u64()?).ok()).collect()
    }
}

/// The file that is being read.
struct File<'a> {
    path: &'a Path,
    value: &'a Value,
}

impl File<'_> {
    fn wrong(&self, key: &str, found: &Value, allowed: &str) -> EncoderError {
        match json::wrong_field(self.path, key, found, allowed) {
            EncoderError::Invalid { path, reason, .. } => EncoderError::Invalid {
                path,
                reason,
                hint: Some(MERGE.to_owned()),
            },
            other => other,
        }
    }

    /// Refuses what is not known whole.
    fn check(&self) -> Result<(), EncoderError> {
        let found = self.value.get("peft_type").unwrap_or(&Value::Null);
        if found != "LORA" {
            return Err(self.wrong("peft_type", found, "`LORA`: no other adapter is known here"));
        }
        for (key, found) in self.value.as_object().into_iter().flatten() {
            let off = match found {
                Value::Null | Value::Bool(false) => true,
                Value::Object(fields) => fields.is_empty(),
                Value::Array(entries) => entries.is_empty(),
                _ => false,
            };
            if off || holds(READ, key) || holds(HARMLESS, key) {
                continue;
            }
            let allowed = match key.as_str() {
                "use_dora" => "false: DoRA changes the lengths of rows, which is not known here",
                _ => "null, or no such key: it is not known here and may change embeddings",
            };
            return Err(self.wrong(key, found, allowed));
        }
        match self.value.get("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(found) if INITIAL.iter().any(|known| found == known) => {}
            Some(found) => {
                let allowed = "true, false, `gaussian` or `orthogonal`: others change the base";
                return Err(self.wrong("init_lora_weights", found, allowed));
            }
        }
        match self.value.get("bias") {
            None | Some(Value::Null) => Ok(()),
            Some(found) if ["none", "all", "lora_only"].iter().any(|b| found == b) => Ok(()),
            Some(found) => Err(self.wrong("bias", found, "`none`, `all` or `lora_only`")),
        }
    }

    fn regex(&self, key: &str, pattern: &str) -> Result<Regex, EncoderError> {
        Regex::new(pattern).map_err(|e| EncoderError::Invalid {
            path: self.path.to_owned(),
            reason: format!("`{key}` has a pattern that is not understood: {e}"),
            hint: Some(MERGE.to_owned()),
        })
    }

    /// A table from patterns of modules to numbers.
    fn numbers(&self, key: &str) -> Result<Vec<(Regex, f64)>, EncoderError> {
        let allowed = "a table from modules to numbers above 0";
        let table = match self.value.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(table)) => table,
            Some(found) => return Err(self.wrong(key, found, allowed)),
        };
        let entries = table.iter().map(|(name, number)| {
            let pattern = self.regex(key, &format!(r"^(?:.*\.)?(?:{name})$"))?;
            match number.as_f64().filter(|number| *number > 0.0) {
                Some(number) => Ok((pattern, number)),
                None => Err(self.wrong(key, number, allowed)),
            }
        });
        entries.collect()
    }

    /// A text or a list of texts.
    fn names(&self, key: &str) -> Result<Vec<String>, EncoderError> {
        let wrong = |found: &Value| self.wrong(key, found, "a text or a list of texts");
        let text = |value: &Value| match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(value)),
        };
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(entries)) => entries.iter().map(text).collect(),
            Some(one) => text(one).map(|one| vec![one]),
        }
    }

    fn modules(&self, key: &str) -> Result<Modules, EncoderError> {
        match self.value.get(key).and_then(Value::as_str) {
            Some("all-linear") => Ok(Modules::Linear),
            Some(pattern) => {
                let pattern = self.regex(key, &format!("^(?:{pattern})$"))?;
                Ok(Modules::Pattern(pattern))
            }
            None => self.names(key).map(Modules::Named),
        }
    }

    fn layers(&self) -> Result<Vec<u64>, EncoderError> {
        const KEY: &str = "layers_to_transform";
        let number = |value: &Value| {
            let wrong = || self.wrong(KEY, value, "a number of a layer or a list of them");
            value.as_u64().ok_or_else(wrong)
        };
        match self.value.get(KEY) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(numbers)) => numbers.iter().map(number).collect(),
            Some(one) => number(one).map(|one| vec![one]),
        }
    }
}
