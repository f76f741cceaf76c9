//! The domains of a claim add up to the whole, and their mean is the one that is claimed.

use super::super::verify::{Examined, domains};

const ROUNDING: f64 = 1e-9;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    for (entry, suite) in examined.bundle.manifest.suites.iter().zip(&examined.suites) {
        let (name, metrics) = (entry.name(), &entry.metrics);
        let total: usize = metrics
            .domains
            .values()
            .map(|d| d.n_pairs)
            .try_fold(0_usize, usize::checked_add)
            .unwrap_or(usize::MAX);
        if !metrics.domains.is_empty() && total != entry.n_pairs {
            return Err(format!(
                "{name}: the domains hold {total} pairs, the whole {}",
                entry.n_pairs
            ));
        }
        let scores: Option<Vec<f64>> = metrics
            .domains
            .values()
            .map(|d| d.cosine_spearman)
            .collect();
        if let (Some(mean), Some(scores)) = (metrics.get("macro_spearman"), scores) {
            let expected = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
            if (mean - expected).abs() > ROUNDING {
                return Err(format!(
                    "{name}: the mean over domains is {expected}, claimed is {mean}"
                ));
            }
        }
        if let Ok(suite) = suite {
            let known = domains(suite);
            for (domain, claimed) in &metrics.domains {
                if known.get(domain.as_str()) != Some(&claimed.n_pairs) {
                    return Err(format!(
                        "{name}: the domain `{}` is claimed with {} pairs, the suite has {}",
                        domain.escape_debug(),
                        claimed.n_pairs,
                        known.get(domain.as_str()).copied().unwrap_or_default()
                    ));
                }
            }
        }
    }
    Ok("domains add up to the whole".into())
}
