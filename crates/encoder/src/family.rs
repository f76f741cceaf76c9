//! What is known of each family of models, by the `model_type` of its `config.json`.
//!
//! To add a family: one line in [`FAMILIES`].

/// How a model knows the position of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// By relative or rotary positions, or not at all: no table limits the length of a text.
    Unlimited,
    /// By a table of learned positions; the first token has the first row.
    FromZero,
    /// By a table of learned positions; padding has the row of its id, the first token the next.
    AfterPadding,
}

/// Which tokenizer reads a vocabulary that comes without a `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Not known: a `vocab.txt` is WordPiece, a `vocab.json` is byte-level BPE, and a
    /// SentencePiece model is refused.
    Unknown,
    /// Byte-level BPE between `<s>` and `</s>`; a `vocab.txt` is refused.
    Roberta,
    /// SentencePiece unigram pieces behind fairseq's four special tokens.
    XlmRoberta,
    /// SentencePiece unigram pieces, then sentinels.
    T5,
    /// SentencePiece BPE with byte fallback.
    Llama,
    /// Byte-level BPE of NFC text.
    Qwen,
}

/// What kind of model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A transformer in which every token sees every other.
    Encoder,
    /// A transformer in which a token sees only those before it.
    Decoder,
    /// A table of static embeddings.
    Static,
}

/// What is known of the models of one `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// `model_type`; with a `*` at the end, every one that begins so.
    pub name: &'static str,
    /// What kind of model it is.
    pub kind: Kind,
    /// How positions are known.
    pub positions: Positions,
    /// The tokenizer of vocabulary files without a `tokenizer.json`.
    pub vocabulary: Vocabulary,
    /// Whether `korfinsts export` writes it as ONNX.
    pub exports_onnx: bool,
    /// Whether the word table's row of the padding id has a gradient.
    pub trains_padding: bool,
    /// Code of a model's own, by the names of its classes, that computes this network.
    pub code: &'static [&'static str],
    /// The same where every token sees every other.
    pub bidirectional_code: &'static [&'static str],
    /// Whether its own code pools the mean of the tokens behind the prompt, without the white space
    /// at its end.
    pub means_behind_prompt: bool,
}

impl Family {
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Encoder,
            positions: Positions::Unlimited,
            vocabulary: Vocabulary::Unknown,
            exports_onnx: false,
            trains_padding: false,
            code: &[],
            bidirectional_code: &[],
            means_behind_prompt: false,
        }
    }

    const fn coded(self, code: &'static [&'static str]) -> Self {
        Self { code, ..self }
    }

    const fn from_zero(name: &'static str) -> Self {
        Self {
            positions: Positions::FromZero,
            ..Self::of(name)
        }
    }

    const fn after_padding(name: &'static str, vocabulary: Vocabulary) -> Self {
        Self {
            positions: Positions::AfterPadding,
            vocabulary,
            ..Self::of(name)
        }
    }

    const fn decoder(name: &'static str, vocabulary: Vocabulary) -> Self {
        Self {
            kind: Kind::Decoder,
            vocabulary,
            ..Self::of(name)
        }
    }

    const fn t5(name: &'static str) -> Self {
        Self {
            vocabulary: Vocabulary::T5,
            trains_padding: true,
            ..Self::of(name)
        }
    }

    const fn exported(self) -> Self {
        Self {
            exports_onnx: true,
            ..self
        }
    }
}

/// What holds for a `model_type` that is in no line.
const UNKNOWN: Family = Family::of("");

/// Every family. Positions and tokenizers are those of transformers 4.57.
pub static FAMILIES: &[Family] = &[
    Family::from_zero("bert").exported(),
    Family::after_padding("roberta", Vocabulary::Roberta).exported(),
    Family::after_padding("xlm-roberta", Vocabulary::XlmRoberta).exported(),
    Family::after_padding("camembert", Vocabulary::Unknown).exported(),
    Family::from_zero("albert"),
    Family::from_zero("big_bird"),
    Family::after_padding("data2vec-text", Vocabulary::Roberta),
    Family::of("deberta-v2"),
    Family::from_zero("distilbert").exported(),
    Family::from_zero("electra").exported(),
    Family::from_zero("ernie"),
    Family::of("eurobert").coded(&["EuroBertModel", "EuroBertConfig"]),
    Family::of("gte").coded(&["GteModel", "GteConfig"]),
    Family::of("new").coded(&["NewModel", "NewConfig"]),
    Family::of("nomic_bert").coded(&["NomicBertModel", "NomicBertConfig"]),
    Family::after_padding("esm", Vocabulary::Unknown),
    Family::after_padding("ibert", Vocabulary::Roberta),
    Family::after_padding("longformer", Vocabulary::Roberta),
    Family::after_padding("luke", Vocabulary::Roberta),
    Family::of("modernbert").exported(),
    Family::after_padding("mpnet", Vocabulary::Roberta).exported(),
    Family::after_padding("roberta-prelayernorm", Vocabulary::Roberta),
    Family::after_padding("xlm-roberta-xl", Vocabulary::XlmRoberta),
    Family::t5("t5").exported(),
    Family::t5("mt5").exported(),
    Family::t5("umt5"),
    Family {
        kind: Kind::Static,
        ..Family::of("model2vec")
    },
    Family::decoder("bloom", Vocabulary::Unknown),
    Family::decoder("codegen", Vocabulary::Unknown),
    Family::decoder("falcon", Vocabulary::Unknown),
    Family::decoder("gemma", Vocabulary::Llama),
    Family::decoder("gemma2", Vocabulary::Llama),
    Family {
        vocabulary: Vocabulary::Llama,
        ..Family::of("gemma3")
    },
    Family::decoder("gemma3_text", Vocabulary::Llama),
    Family {
        kind: Kind::Decoder,
        ..Family::from_zero("gpt2")
    },
    Family::decoder("gpt_bigcode", Vocabulary::Unknown),
    Family::decoder("gpt_neo", Vocabulary::Unknown),
    Family::decoder("gpt_neox", Vocabulary::Unknown),
    Family::decoder("gptj", Vocabulary::Unknown),
    Family::decoder("granite", Vocabulary::Unknown),
    Family {
        bidirectional_code: &["LlamaEncoderModel"],
        ..Family::decoder("llama", Vocabulary::Llama)
    },
    Family {
        code: &["Kanana2VecModel", "Kanana2VecConfig"],
        means_behind_prompt: true,
        ..Family::of("kanana2vec")
    },
    Family::of("llama_bidirec").coded(&["LlamaBidirectionalModel", "LlamaBidirectionalConfig"]),
    Family::decoder("mistral", Vocabulary::Llama),
    Family::decoder("mixtral", Vocabulary::Llama),
    Family::decoder("mpt", Vocabulary::Unknown),
    Family::decoder("olmo", Vocabulary::Unknown),
    Family::decoder("olmo2", Vocabulary::Unknown),
    Family {
        kind: Kind::Decoder,
        ..Family::from_zero("opt")
    },
    Family::decoder("phi", Vocabulary::Unknown),
    Family::decoder("phi3", Vocabulary::Llama),
    Family::decoder("qwen2", Vocabulary::Qwen),
    Family::decoder("qwen3", Vocabulary::Qwen),
    Family {
        vocabulary: Vocabulary::Qwen,
        ..Family::of("qwen*")
    },
    Family::decoder("stablelm", Vocabulary::Unknown),
];

/// What is known of models of this `model_type`; of one that is in no line, the defaults.
#[must_use]
pub fn of(model_type: &str) -> &'static Family {
    FAMILIES
        .iter()
        .find(|family| match family.name.strip_suffix('*') {
            Some(start) => model_type.starts_with(start),
            None => family.name == model_type,
        })
        .unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_found_by_its_name() {
        for family in FAMILIES {
            assert_eq!(of(family.name), family, "{}", family.name);
        }
        assert_eq!(of("qwen3").name, "qwen3");
        assert_eq!(of("qwen2_moe").vocabulary, Vocabulary::Qwen);
        for unknown in ["", "bert2", "no-such"] {
            assert_eq!(of(unknown), &UNKNOWN, "{unknown}");
        }
    }

    #[cfg(feature = "candle")]
    #[test]
    fn every_candle_architecture_has_a_line() {
        for architecture in korfinsts_nn::architecture::ARCHITECTURES {
            for name in architecture.names {
                assert_eq!(of(name).name, *name);
                assert_eq!(
                    of(name).kind == Kind::Decoder,
                    architecture.causal,
                    "{name}"
                );
            }
        }
    }
}
