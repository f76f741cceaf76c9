//! Lexical baselines: similarity of two texts without a model.
