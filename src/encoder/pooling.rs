//! Pooling: the states of a text's tokens to one vector.

/// A pooling mode, named as sentence-transformers names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// First token of the text.
    Cls,
    /// Largest value per dimension.
    Max,
    /// Mean over tokens.
    Mean,
    /// Sum over tokens divided by the square root of their number.
    MeanSqrtLen,
    /// Mean weighted by position (1, 2, 3, ...).
    WeightedMean,
    /// Last token of the text.
    LastToken,
}
