//! Scores are similarities: finite and in \[−1, 1\], up to rounding of a cosine in float32.

use super::super::verify::Examined;

/// By how much a rounded cosine may leave the range.
const ROUNDING: f64 = 1e-6;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    for entry in &examined.bundle.manifest.suites {
        for line in examined.lines(entry) {
            if !line.score.is_finite() || line.score.abs() > 1.0 + ROUNDING {
                return Err(format!(
                    "{}: the score of `{}` is {}, allowed are -1 to 1",
                    entry.name(),
                    line.id.escape_debug(),
                    line.score
                ));
            }
        }
    }
    Ok("every score is finite and in [-1, 1]".into())
}
