//! Writes a corpus with planted flaws.
//!
//!     rustc -O --edition 2024 benches/mine/generate.rs -o /tmp/corpus
//!     /tmp/corpus ROWS SEED ko|en SEEDS.txt [SUITE.txt] > corpus.jsonl
//!
//! SEEDS and SUITE hold one text a line.

mod corpus;

use std::io::{BufWriter, Write as _, stdout};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rows, seed, language, seeds, suite @ ..] = &arguments[..] else {
        eprintln!("usage: corpus ROWS SEED ko|en SEEDS.txt [SUITE.txt]");
        std::process::exit(2);
    };
    let texts = |path: &String| -> Vec<String> {
        std::fs::read_to_string(path)
            .unwrap_or_else(|e| panic!("{path}: {e}"))
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let options = corpus::Options {
        rows: rows.parse().expect("ROWS is a number"),
        seed: seed.parse().expect("SEED is a number"),
        seeds: &texts(seeds),
        suite: &suite.first().map(texts).unwrap_or_default(),
        korean: language == "ko",
    };
    let mut out = BufWriter::with_capacity(1 << 20, stdout().lock());
    corpus::write(&options, &mut out).expect("stdout can be written");
    out.flush().expect("stdout can be written");
}
