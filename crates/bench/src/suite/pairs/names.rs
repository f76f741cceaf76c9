//! The usual names of columns. To add one: its place in these lists, in lower case, without spaces, `_`
//! and `-`. The first that a file has counts.

/// Names of two texts that go together.
pub(super) const TEXTS: &[[&str; 2]] = &[
    ["sentence1", "sentence2"],
    ["sentencea", "sentenceb"],
    ["sent1", "sent2"],
    ["senta", "sentb"],
    ["text1", "text2"],
    ["texta", "textb"],
    ["s1", "s2"],
    ["string1", "string2"],
    ["question1", "question2"],
    ["q1", "q2"],
    ["premise", "hypothesis"],
    ["source", "target"],
    ["src", "tgt"],
    ["question", "answer"],
    ["query", "passage"],
    ["query", "document"],
    ["query", "answer"],
    ["anchor", "positive"],
    ["문장1", "문장2"],
    ["텍스트1", "텍스트2"],
    ["글1", "글2"],
    ["질문1", "질문2"],
    ["질문", "답변"],
    ["질문", "답"],
    ["질의", "문서"],
    ["원문", "번역문"],
    ["원문", "번역"],
];

/// Names of gold scores.
pub(super) const SCORE: &[&str] = &[
    "score",
    "scores",
    "goldscore",
    "gold",
    "label",
    "labels",
    "similarity",
    "similarityscore",
    "sim",
    "relatedness",
    "relatednessscore",
    "rating",
    "labels.reallabel",
    "점수",
    "유사도",
    "유사도점수",
    "평점",
    "라벨",
    "레이블",
    "정답",
];

/// Names of domains.
pub(super) const DOMAIN: &[&str] = &["domain", "genre", "도메인", "분야"];

/// A name as it is compared: lower case, composed, without spaces, `_` and `-`.
pub(super) fn plain(name: &str) -> String {
    let name = korfinsts_base::text::nfc(name).to_lowercase();
    name.chars()
        .filter(|c| !c.is_whitespace() && !"_-".contains(*c))
        .collect()
}
