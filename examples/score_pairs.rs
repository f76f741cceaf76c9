//! Scores one's own pairs: cosine similarity, and Spearman's ρ with a 95 % interval.
//!
//!     cargo run --release --example score_pairs -- MODEL
#![expect(clippy::print_stdout, reason = "the program prints its result")]

use korfinsts::Options;
use korfinsts_metric::{BootstrapOptions, SpearmanSample, bootstrap, cosine, spearman};

/// Two texts and how near a person finds them, from 0 to 5.
const PAIRS: [(&str, &str, f64); 6] = [
    (
        "영업이익이 전년 대비 12% 증가했다.",
        "전년보다 영업이익이 12% 늘었다.",
        5.0,
    ),
    (
        "영업이익이 전년 대비 12% 증가했다.",
        "영업이익이 전년 대비 12% 감소했다.",
        2.0,
    ),
    (
        "한국은행이 기준금리를 동결했다.",
        "한은이 기준금리를 그대로 유지했다.",
        4.8,
    ),
    (
        "한국은행이 기준금리를 동결했다.",
        "한국은행이 기준금리를 0.25%p 올렸다.",
        1.8,
    ),
    (
        "회사는 자사주를 소각하기로 했다.",
        "신제품 출시 행사가 서울에서 열렸다.",
        0.2,
    ),
    (
        "회사는 자사주를 소각하기로 했다.",
        "이사회가 자기주식 소각을 결의했다.",
        4.9,
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "nmixx-mini".into());
    let texts: Vec<&str> = PAIRS.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
    let embeddings = korfinsts::encode(&model, &texts, &Options::default())?;
    let mut predicted = Vec::new();
    for (i, (a, b, gold)) in PAIRS.iter().enumerate() {
        let score = cosine(embeddings.row(2 * i), embeddings.row(2 * i + 1))?;
        println!("{score:+.3}  gold {gold:.1}  {a} | {b}");
        predicted.push(score);
    }
    let gold: Vec<f64> = PAIRS.iter().map(|(_, _, gold)| *gold).collect();
    let sample = SpearmanSample::new(&predicted, &gold)?;
    let interval = bootstrap(&sample, &BootstrapOptions::default())?;
    println!(
        "Spearman's ρ = {:.3}, 95 % interval [{:.3}, {:.3}]",
        spearman(&predicted, &gold)?,
        interval.low,
        interval.high
    );
    Ok(())
}
