//! Lexical baselines against the figures measured while the project was planned.

use std::path::Path;

use korfinsts_encoder::lexical::BASELINES;

use super::support::shared;

type Row = (String, String, f64);

/// Columns `sentence1, sentence2, score` of a CSV file.
fn quoted(path: &Path) -> Vec<Row> {
    let bytes = korfinsts_base::fs::read(path).expect("the file is there");
    csv::Reader::from_reader(bytes.as_slice())
        .records()
        .map(|record| {
            let record = record.expect("a record");
            (
                record[0].to_owned(),
                record[1].to_owned(),
                record[2].trim().parse().expect("a score"),
            )
        })
        .collect()
}

/// Columns 4, 5 and 6 of a tab-separated file without quoting.
fn tabs(path: &Path, header: usize) -> Vec<Row> {
    let bytes = korfinsts_base::fs::read(path).expect("the file is there");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines()
        .skip(header)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (
                fields[5].to_owned(),
                fields[6].to_owned(),
                fields[4].parse().expect("a score"),
            )
        })
        .collect()
}

/// Ranks with ties averaged.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for &i in &order[start..end] {
            ranks[i] = (start + end - 1) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() - 1) as f64 / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[test]
fn baselines_score_what_was_measured_on_four_suites() {
    let expected = [
        ("finsts/FinSTS.csv", 370, [0.4630, 0.2904, 0.3176, 0.2644]),
        (
            "korfin_twice/NMIXX_kor_Fin_news.csv",
            498,
            [0.0017, -0.0228, 0.0061, 0.0030],
        ),
        (
            "korsts/sts-test.tsv",
            1379,
            [0.0451, 0.5591, 0.5467, 0.4499],
        ),
        (
            "stsbenchmark/sts-test.csv",
            1379,
            [-0.0089, 0.6241, 0.6276, 0.4937],
        ),
    ];
    for (file, n, figures) in expected {
        let Some(path) = shared(&format!("data/{file}")) else {
            return;
        };
        let rows = match file {
            "korsts/sts-test.tsv" => tabs(&path, 1),
            "stsbenchmark/sts-test.csv" => tabs(&path, 0),
            _ => quoted(&path),
        };
        assert_eq!(rows.len(), n, "{file}");
        let gold: Vec<f64> = rows.iter().map(|r| r.2).collect();
        for (baseline, figure) in BASELINES.iter().zip(figures) {
            let scores: Vec<f64> = rows.iter().map(|r| baseline.score(&r.0, &r.1)).collect();
            let rho = spearman(&scores, &gold);
            assert!(
                (rho - figure).abs() < 5e-5,
                "{file}, {}: {rho:.5}, expected {figure}",
                baseline.name
            );
        }
    }
}
