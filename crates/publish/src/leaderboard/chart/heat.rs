//! Shades of ρ: what makes a table of domains a heat map.

/// The shade of a score, from `h0` (−0.5 and below) over `h5` (0) to `h15` (1), in steps of 0.1.
#[must_use]
pub fn shade(score: f64) -> String {
    let step = (score.clamp(-0.5, 1.0) * 10.0).round() as i32 + 5;
    format!("h{step}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_follow_scores() {
        for (score, class) in [
            (-1.0, "h0"),
            (-0.5, "h0"),
            (0.0, "h5"),
            (0.44, "h9"),
            (1.0, "h15"),
        ] {
            assert_eq!(shade(score), class);
        }
    }
}
