//! What is decided of a model, each setting with its name in records.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! settings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is decided of a model. Its text is what records hold.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Setting {
            $($(#[$doc])* $variant,)*
            /// A setting that another version wrote.
            Other(String),
        }

        impl Setting {
            /// Every setting that this version writes.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            /// Its text in records.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

settings! {
    /// The weights file.
    Weights = "weights",
    /// Adapters that are merged into the weights.
    Adapter = "adapter",
    /// The model that they change.
    Base = "base",
    /// What runs the network.
    Backend = "backend",
    /// Where it runs.
    Device = "device",
    /// Number type of the computation.
    Dtype = "dtype",
    /// Format of the tokenizer.
    Tokenizer = "tokenizer",
    /// Output of the ONNX graph.
    Output = "output",
    /// Values of ONNX inputs that no text gives.
    Inputs = "inputs",
    /// From token states to one vector.
    Pooling = "pooling",
    /// Whether the model's pooling takes the prompt's tokens.
    Prompt = "prompt",
    /// Whether the protocol's pooling takes the prompt's tokens.
    PromptTokens = "prompt tokens",
    /// A normalisation that the user added or removed.
    Normalize = "normalize",
    /// The modules behind the pooling.
    Then = "then",
    /// Maximum length in tokens.
    MaxTokens = "max tokens",
    /// Length in characters that a text is cut to first.
    MaxCharacters = "max characters",
    /// Side of the padding.
    Padding = "padding",
    /// Token that ends every text.
    EndToken = "end token",
    /// Direction of attention.
    Attention = "attention",
    /// The model's own similarity.
    Similarity = "similarity",
    /// Names of the model's prompts.
    Prompts = "prompts",
    /// Name of the prompt used when none is asked for.
    DefaultPrompt = "default prompt",
    /// Address of the server.
    Endpoint = "endpoint",
    /// What the server speaks.
    Dialect = "dialect",
    /// Name of the model that is served.
    Model = "model",
    /// Its revision.
    Revision = "revision",
    /// The server's software.
    Server = "server",
    /// Width of an embedding.
    Dimension = "dimension",
    /// Maximum length in tokens, as the server reports it.
    ServedMaxTokens = "max_tokens",
    /// Hash of the embedding of a fixed text.
    Fingerprint = "fingerprint",
}

impl From<String> for Setting {
    fn from(name: String) -> Self {
        let known = Self::KNOWN.iter().find(|setting| setting.name() == name);
        known.cloned().unwrap_or(Self::Other(name))
    }
}

impl From<Setting> for String {
    fn from(setting: Setting) -> Self {
        setting.name().to_owned()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
