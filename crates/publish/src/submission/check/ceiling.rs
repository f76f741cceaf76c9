//! No Spearman exceeds what the ties of the gold scores allow.

use super::super::verify::Examined;
use korfinsts_metric::spearman_ceiling;

const ROUNDING: f64 = 1e-9;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    for suite in examined.joined() {
        let Some(rho) = suite.entry.metrics.get("cosine_spearman") else {
            continue;
        };
        // Predictions that tie as the gold does may reach 1; those without ties may not.
        let tied = korfinsts_metric::tie_share(suite.predicted).is_ok_and(|t| t > 0.0);
        let ceiling = if tied {
            1.0
        } else {
            spearman_ceiling(suite.gold).unwrap_or(1.0)
        };
        if rho > ceiling + ROUNDING {
            return Err(format!(
                "{}: Spearman is claimed as {rho}, the ceiling is {ceiling}",
                suite.entry.name()
            ));
        }
    }
    Ok("every Spearman is at or below its ceiling".into())
}
