#![doc = include_str!("../README.md")]
//!
//! # For those who change it
//!
//! Imports no other crate of the workspace. A function takes plain slices, one entry per pair:
//! predicted scores first, gold scores second.
//!
//! To add a similarity: one variant and one line in [`Similarity::ALL`]. To add a statistic that
//! can be bootstrapped: one implementation of [`Statistic`].

mod agreement;
mod binary;
mod bootstrap;
mod clusters;
mod correlation;
mod domains;
mod family;
mod field;
mod median;
mod normal;
mod paired;
mod permutation;
mod power;
mod random;
mod rank;
mod ranking;
mod resampled;
mod similarity;
mod triplet;
mod undefined;

pub use agreement::{Agreement, Measurement, krippendorff, krippendorff_clustered};
pub use binary::{Classes, auc, average_precision, classes, spearman_from_auc};
pub use bootstrap::{
    BootstrapOptions, Interval, LEAST_RESAMPLES, Statistic, Workspace, bootstrap,
    bootstrap_domains, bootstrap_with, replicates,
};
pub use clusters::{Clusters, Resampling, design_effect};
pub use correlation::{LEAST_PAIRS, pearson, share_of_ceiling, spearman, spearman_ceiling};
pub use domains::{
    DomainScore, DomainScores, Domains, PoolingWarning, domain_scores, macro_mean, pooling_warning,
    within_domain_spearman,
};
pub use family::holm;
pub use median::{Median, median};
pub use normal::{normal_quantile, spearman_error, spearman_interval};
pub use paired::{Comparison, PairedStatistic, compare};
pub use permutation::{Permutation, flip_test, permutation_test};
pub use power::{detectable_difference, detectable_shift};
pub use rank::{mid_ranks, tie_share};
pub use ranking::{Difference, Field, Part, RankRange, rank_ranges};
pub use resampled::{
    AucSample, AveragePrecisionSample, MacroSample, PearsonSample, SpearmanSample, WithinSample,
};
pub use similarity::{Similarity, cosine, cosine_f32, dot, negated_euclidean, negated_manhattan};
pub use triplet::{TripletAccuracy, TripletSample, sign_test, triplet_accuracy};
pub use undefined::{Operand, Undefined};
