//! On binary gold, Spearman without ties is a fixed function of AUC: two numbers that do not fit were not
//! computed from one list of scores.

use super::super::verify::Examined;
use korfinsts_bench::suite::ScaleKind;
use korfinsts_metric::{classes, spearman_from_auc, tie_share};

/// Rounding of the two computations.
const ROUNDING: f64 = 1e-9;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let mut count = 0;
    for suite in examined.joined() {
        let metrics = &suite.entry.metrics;
        if suite.suite.scale.kind != ScaleKind::Binary {
            let claimed = |key| metrics.get(key).is_some();
            if claimed("auc") || claimed("average_precision") {
                return Err(format!(
                    "{}: AUC is claimed, but the gold scores are not binary",
                    suite.entry.name()
                ));
            }
            continue;
        }
        let (Some(rho), Some(auc), Ok(classes)) = (
            metrics.get("cosine_spearman"),
            metrics.get("auc"),
            classes(suite.gold),
        ) else {
            continue;
        };
        if tie_share(suite.predicted).is_ok_and(|t| t > 0.0) {
            // With ties the two are still bound: both follow from the same ranks, in `metrics`.
            continue;
        }
        let expected = spearman_from_auc(auc, classes);
        if (expected - rho).abs() > ROUNDING {
            return Err(format!(
                "{}: an AUC of {auc} makes Spearman {expected}, claimed is {rho}",
                suite.entry.name()
            ));
        }
        count += 1;
    }
    Ok(format!("{count} binary suites without ties agree"))
}
