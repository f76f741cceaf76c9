//! Correlations of a similarity with the gold scores.

use super::{SCORE, Score, decimal};
use korfinsts_metric::{self as metric, Similarity, SpearmanSample};

/// Spearman of a similarity.
pub(super) const fn spearman(similarity: Similarity) -> Score {
    Score {
        similarity,
        warned: match similarity {
            Similarity::Cosine | Similarity::CosineF32 => "Spearman",
            Similarity::Dot => "dot Spearman",
            Similarity::Manhattan => "Manhattan Spearman",
            Similarity::Euclidean => "Euclidean Spearman",
        },
        compute: Some(|s| Some(metric::spearman(s.predicted, s.gold))),
        ..SCORE
    }
}

/// Pearson of a similarity.
pub(super) const fn pearson(similarity: Similarity) -> Score {
    Score {
        similarity,
        warned: match similarity {
            Similarity::Cosine | Similarity::CosineF32 => "Pearson",
            Similarity::Dot => "dot Pearson",
            Similarity::Manhattan => "Manhattan Pearson",
            Similarity::Euclidean => "Euclidean Pearson",
        },
        compute: Some(|s| Some(metric::pearson(s.predicted, s.gold))),
        ..SCORE
    }
}

/// The main score. Tables give it a column of their own, with its interval.
pub(super) const MAIN: Score = Score {
    interval: Some(|s, how| metric::bootstrap(&SpearmanSample::new(s.predicted, s.gold)?, how)),
    card: Some("Spearman cosine"),
    claimed: true,
    ..spearman(Similarity::Cosine)
};

pub(super) const MAIN_PEARSON: Score = Score {
    report: decimal("Pearson"),
    board: decimal("pearson"),
    card: Some("Pearson cosine"),
    claimed: true,
    ..pearson(Similarity::Cosine)
};
