//! Two small learners: logistic regression on sparse rows and boosted stumps on dense ones. Both give the
//! same weights for the same rows, on every machine and any number of threads.

/// Columns that are not 0, each with its value.
pub type Sparse = Vec<(u32, f64)>;

const ITERATIONS: usize = 400;
/// A gradient that is shorter than this ends the descent.
const FLAT: f64 = 1e-3;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The sum over the columns of a row; columns that have no weight count nothing.
pub fn dot(row: &Sparse, weights: &[f64]) -> f64 {
    let weight = |i: u32| weights.get(i as usize).copied().unwrap_or_default();
    row.iter().map(|&(i, v)| v * weight(i)).sum()
}

fn add(to: &mut [f64], row: &Sparse, times: f64) {
    for &(i, v) in row {
        to[i as usize] += times * v;
    }
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Weights that minimise ½ |w|² + C Σ log(1 + exp(∓ w·x)), as scikit-learn's `LogisticRegression` without an
/// intercept: give a column of ones for one. By Nesterov's gradient method.
pub fn logistic(rows: &[&Sparse], gold: &[bool], c: f64) -> Vec<f64> {
    let last = rows.iter().flat_map(|row| row.iter()).map(|(i, _)| *i);
    let width = last.max().map_or(0, |last| last as usize + 1);
    // The largest eigenvalue of XᵀX, by power iteration, with a margin.
    let mut direction = vec![1.0 / (width as f64).sqrt(); width];
    let mut largest = 0.0;
    for _ in 0..30 {
        let mut next = vec![0.0; width];
        for row in rows {
            add(&mut next, row, dot(row, &direction));
        }
        largest = length(&next);
        if largest == 0.0 {
            break;
        }
        direction = next.into_iter().map(|v| v / largest).collect();
    }
    let steepest = 1.0 + c * 0.25 * 1.1 * largest;
    let momentum = (steepest.sqrt() - 1.0) / (steepest.sqrt() + 1.0);
    let mut weights = vec![0.0; width];
    let mut ahead = weights.clone();
    for _ in 0..ITERATIONS {
        let mut gradient = ahead.clone();
        for (row, &gold) in rows.iter().zip(gold) {
            let error = sigmoid(dot(row, &ahead)) - f64::from(u8::from(gold));
            add(&mut gradient, row, c * error);
        }
        let before = std::mem::take(&mut weights);
        let steps = ahead.iter().zip(&gradient);
        weights = steps.map(|(w, g)| w - g / steepest).collect();
        if length(&gradient) < FLAT * c {
            break;
        }
        let moved = weights.iter().zip(&before);
        ahead = moved.map(|(w, b)| w + momentum * (w - b)).collect();
    }
    weights
}

/// One split of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stump {
    column: usize,
    threshold: f64,
    /// What is added at or below the threshold, and above it.
    added: [f64; 2],
}

const ROUNDS: usize = 150;
const RATE: f64 = 0.1;
/// Fewest rows on each side of a split.
const LEAST_ROWS: usize = 5;

/// Gradient boosting of stumps with logistic loss and Newton steps (J. H. Friedman, "Greedy function
/// approximation", 2001), 150 rounds at a rate of 0.1.
pub fn boost(rows: &[&[f64]], gold: &[bool]) -> Vec<Stump> {
    let width = rows.first().map_or(0, |row| row.len());
    let orders: Vec<Vec<usize>> = (0..width)
        .map(|column| {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by(|&a, &b| rows[a][column].total_cmp(&rows[b][column]));
            order
        })
        .collect();
    let mut scores = vec![0.0; rows.len()];
    let mut stumps = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let steps: Vec<[f64; 2]> = scores
            .iter()
            .zip(gold)
            .map(|(score, &gold)| {
                let p = sigmoid(*score);
                [f64::from(u8::from(gold)) - p, p * (1.0 - p)]
            })
            .collect();
        let Some(stump) = best(rows, &orders, &steps) else {
            break;
        };
        for (score, row) in scores.iter_mut().zip(rows) {
            *score += stump.of(row);
        }
        stumps.push(stump);
    }
    stumps
}

/// The stump that lowers the loss most; gradient and curvature of each row in `steps`.
fn best(rows: &[&[f64]], orders: &[Vec<usize>], steps: &[[f64; 2]]) -> Option<Stump> {
    let newton = |[g, h]: [f64; 2]| g / (h + 1.0);
    let gain = |[g, h]: [f64; 2]| g * g / (h + 1.0);
    let total = steps
        .iter()
        .fold([0.0; 2], |t, s| [t[0] + s[0], t[1] + s[1]]);
    let mut found: Option<(f64, Stump)> = None;
    for (column, order) in orders.iter().enumerate() {
        let mut left = [0.0; 2];
        for (at, pair) in order.windows(2).enumerate() {
            let step = steps[pair[0]];
            left = [left[0] + step[0], left[1] + step[1]];
            let [value, next] = [rows[pair[0]][column], rows[pair[1]][column]];
            if value == next || at + 1 < LEAST_ROWS || rows.len() - at - 1 < LEAST_ROWS {
                continue;
            }
            let right = [total[0] - left[0], total[1] - left[1]];
            let won = gain(left) + gain(right);
            if found.as_ref().is_none_or(|(most, _)| won > *most) {
                let stump = Stump {
                    column,
                    threshold: f64::midpoint(value, next),
                    added: [RATE * newton(left), RATE * newton(right)],
                };
                found = Some((won, stump));
            }
        }
    }
    found.map(|(_, stump)| stump)
}

impl Stump {
    /// What it adds to the score of a row.
    pub fn of(&self, row: &[f64]) -> f64 {
        self.added[usize::from(row[self.column] > self.threshold)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logistic_regression_is_scikit_learns() {
        // LogisticRegression(C=1, fit_intercept=False, tol=1e-10) on these rows.
        let rows: Vec<Sparse> = [
            [0.5, 1.0, 0.2],
            [-1.0, 0.3, 0.7],
            [1.5, -0.4, 0.1],
            [-0.3, -1.2, 0.9],
            [0.8, 0.6, -0.5],
            [-1.1, -0.2, -0.8],
        ]
        .iter()
        .map(|row| (0..).zip(row.iter().copied()).collect())
        .collect();
        let rows: Vec<&Sparse> = rows.iter().collect();
        let gold = [true, false, true, false, true, true];
        let found = logistic(&rows, &gold, 1.0);
        for (found, expected) in found.iter().zip(LOGISTIC) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }

    const LOGISTIC: [f64; 3] = [0.615_143_91, 0.422_461_43, -0.797_849_48];

    #[test]
    fn stumps_learn_a_threshold_and_a_sum_of_them() {
        let rows: Vec<[f64; 2]> = (0..120)
            .map(|i| [f64::from(i % 12), f64::from(i * 7 % 11)])
            .collect();
        let rows: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
        let gold: Vec<bool> = rows.iter().map(|r| r[0] + r[1] > 10.5).collect();
        let stumps = boost(&rows, &gold);
        let score = |row: &[f64]| stumps.iter().map(|s| s.of(row)).sum::<f64>();
        let right = rows
            .iter()
            .zip(&gold)
            .filter(|(r, g)| (score(r) > 0.0) == **g);
        assert!(right.count() > 110);
        assert!(boost(&[&[1.0], &[1.0]], &[true, false]).is_empty());
    }
}
