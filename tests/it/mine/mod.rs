//! `korfinsts mine`: corpora to passages to triplets, from outside.

mod broken;
#[path = "../../../benches/mine/corpus.rs"]
mod corpus;
mod generate;
mod kill;
mod language;
mod negatives;
mod personal;
mod planted;
mod rules;
mod synthesise;
mod writer;

use std::path::{Path, PathBuf};

use super::support::{Home, repository};

/// A small byte-level tokenizer: one token per byte, split at white space as Qwen2's.
pub fn tokenizer(home: &Home) -> PathBuf {
    let path = home.path("tokenizer.json");
    let alphabet: Vec<char> = (0..=255_u8).map(stand_in).collect();
    let vocabulary: serde_json::Map<String, serde_json::Value> = alphabet
        .iter()
        .enumerate()
        .map(|(i, c)| (c.to_string(), i.into()))
        .collect();
    let document = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocabulary, "merges": []},
    });
    std::fs::write(&path, document.to_string()).expect("written");
    path
}

/// The letter that stands for a byte in GPT-2's alphabet.
fn stand_in(byte: u8) -> char {
    let plain = |b: u8| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if plain(byte) {
        return byte as char;
    }
    let before = (0..byte).filter(|b| !plain(*b)).count() as u32;
    char::from_u32(256 + before).expect("a letter")
}

/// Writes a corpus's TOML next to its data and returns its path.
pub fn manifest(
    home: &Home,
    id: &str,
    language: &str,
    source: &str,
    files: &str,
    rest: &str,
) -> PathBuf {
    let path = home.path(&format!("{id}.toml"));
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\nlanguage = \"{language}\"\nsource = \"{source}\"\n\
         licence = \"MIT\"\nfiles = [\"{files}\"]\n{rest}\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

const TEXT: &str = "[columns]\ntext = [\"text\"]";

/// Texts of business words with particles: enough of them that none comes twice by chance.
fn seeds() -> Vec<String> {
    const NOUNS: &str = "매출 영업이익 순이익 부채 자본 금리 환율 물가 수출 수입 투자 배당 주가 채권 예금 대출 \
        보험 연금 펀드 지수 시장 은행 증권사 기업 정부 당국 총재 위원회 전망 실적 성장률 분기 상반기 \
        하반기 반도체 자동차 조선 철강 화학 바이오 유통 건설 부동산 가계 소비 고용 임금 세금 예산 \
        적자 흑자 계약 공시 감사 주주 이사회 합병 분할 상장 증자 감자 차입금 유동성 자산 손실 비용";
    const VERBS: &str = "늘었다 줄었다 올랐다 내렸다 밝혔다 전망했다 결정했다 발표했다 유지했다 동결했다 확대했다 \
        축소했다 검토한다 추진한다 예상된다 이어졌다 나타났다 기록했다 웃돌았다 밑돌았다";
    const PARTICLES: [&str; 6] = ["이", "을", "은", "의", "에서", "으로"];
    let nouns: Vec<&str> = NOUNS.split_whitespace().collect();
    let verbs: Vec<&str> = VERBS.split_whitespace().collect();
    let mut random = corpus::Random(7);
    (0..400)
        .map(|_| {
            let words: Vec<String> = (0..40)
                .map(|i| {
                    if i % 8 == 7 {
                        return verbs[random.below(verbs.len())].to_owned();
                    }
                    let noun = nouns[random.below(nouns.len())];
                    let particle = PARTICLES[random.below(PARTICLES.len())];
                    format!("{noun}{particle}")
                })
                .collect();
            words.join(" ")
        })
        .collect()
}

/// Sentences of the suite that is built in, long enough to be looked for inside documents.
fn suite() -> Vec<String> {
    let folder = repository("benchmarks/korfin-shift/data");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the suite's data") {
        let path = entry.expect("listed").path();
        if path.extension().is_some_and(|e| e == "jsonl") {
            for row in lines(&path) {
                let text = row["sentence1"].as_str().unwrap_or_default();
                if text.chars().filter(|c| c.is_alphanumeric()).count() >= 30 {
                    found.push(text.to_owned());
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    assert!(found.len() > 20, "{}", found.len());
    found
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}
