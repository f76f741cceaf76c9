//! Tokenizer coverage against the numbers that other software gave for real vocabularies.

use korfinsts::coverage::corpus::{self, Corpus, CorpusOptions};
use korfinsts::coverage::subject::{HangulForm, Subject};
use korfinsts::coverage::text::{TextReport, count_texts};
use korfinsts::coverage::vocabulary::{HangulCounts, VocabularyCounts, count};
use korfinsts::coverage::{ScriptQuery, gains};

use super::support::shared;

fn load(name: &str) -> Option<Subject> {
    let path = shared(&format!("tokenizers/{name}"))?;
    Some(Subject::load(&path).expect("a real tokenizer loads"))
}

/// Both sentences of every row of KorSTS test: tab separated, without quoting.
fn korsts() -> Option<Vec<String>> {
    let path = shared("data/korsts/sts-test.tsv")?;
    let text = std::fs::read_to_string(path).expect("KorSTS is UTF-8");
    let texts: Vec<String> = text
        .lines()
        .skip(1)
        .flat_map(|line| line.split('\t').skip(5).take(2).map(str::to_owned))
        .collect();
    assert_eq!(texts.len(), 2 * 1379);
    Some(texts)
}

fn on(subject: &Subject, texts: &[String]) -> TextReport {
    let texts: Vec<(&str, Option<&str>)> = texts.iter().map(|t| (t.as_str(), None)).collect();
    count_texts(subject, &texts).expect("real texts")
}

fn counts(name: &str) -> Option<VocabularyCounts> {
    let thai = ScriptQuery::parse("Thai").expect("a script");
    Some(count(&load(name)?, &[thai]))
}

#[test]
fn vocabularies_have_the_counts_of_table_6_raw_and_decoded() {
    // any raw, any decoded, only syllables, one, two or more, distinct, partial UTF-8
    for (name, size, expected) in [
        ("xlm-roberta-base", 250_002, [5413, 5413, 5373, 2108, 3265, 1725, 0]),
        ("mistral-7b-v0.1", 32_000, [346, 346, 346, 346, 0, 346, 128]),
        ("qwen2", 151_646, [0, 3567, 3473, 2718, 755, 2512, 1448]),
        ("bert-base-uncased", 30_522, [70, 70, 0, 0, 0, 0, 0]),
        ("t5-small", 32_100, [0, 0, 0, 0, 0, 0, 0]),
    ] {
        let Some(found) = counts(name) else { return };
        let HangulCounts {
            raw_any,
            decoded_any,
            decoded_syllables_only,
            decoded_single_syllable,
            decoded_multi_syllable,
            distinct_syllables,
            ..
        } = found.hangul;
        assert_eq!(found.vocab_size, size, "{name}");
        assert_eq!(
            [
                raw_any,
                decoded_any,
                decoded_syllables_only,
                decoded_single_syllable,
                decoded_multi_syllable,
                distinct_syllables,
                found.partial_utf8
            ],
            expected,
            "{name}"
        );
        let share = |n: usize| format!("{:.2}", n as f64 / found.vocab_size as f64 * 100.0);
        match name {
            "xlm-roberta-base" => assert_eq!(share(raw_any), "2.17"),
            "mistral-7b-v0.1" => assert_eq!(share(raw_any), "1.08"),
            "qwen2" => assert_eq!(share(decoded_any), "2.35"),
            _ => {}
        }
    }
}

#[test]
fn special_and_reserved_entries_stand_apart() {
    let Some(bert) = counts("bert-base-uncased") else { return };
    assert_eq!((bert.special, bert.unused), (5, 994));
    let mistral = counts("mistral-7b-v0.1").expect("it is there");
    assert_eq!((mistral.special, mistral.byte_fallback), (3, 256));
    let t5 = counts("t5-small").expect("it is there");
    assert_eq!(t5.special, 103, "pad, end, unknown and a hundred sentinels");
    let qwen = counts("qwen2").expect("it is there");
    assert_eq!(qwen.special, 3);
    let thai = &qwen.scripts["Thai"];
    assert!(thai.raw_any == 0 && thai.decoded_any > 1000, "{thai:?}");
}

#[test]
fn every_format_of_qwen2_gives_the_same_vocabulary() {
    let Some(folder) = shared("tokenizers/qwen2") else { return };
    let texts = korsts().expect("it is there");
    let texts = &texts[..200];
    let whole = Subject::load(&folder).expect("the folder");
    for file in ["tokenizer.json", "vocab.json", "merges.txt"] {
        let one = Subject::load(&folder.join(file)).expect(file);
        assert_eq!(one.name(), "qwen2", "{file}");
        assert_eq!(count(&one, &[]), count(&whole, &[]), "{file}");
        assert_eq!(on(&one, texts), on(&whole, texts), "{file}");
    }
    assert_eq!(whole.max_tokens().map(|m| m.tokens), Some(32_768));
}

#[test]
fn korsts_is_split_as_the_reference_software_splits_it() {
    let Some(texts) = korsts() else { return };
    // tokens per eojeol, unknown rate in %, byte or partial in %: to the printed digits; tokens
    // exactly, as Python's tokenizers 0.23 and sentencepiece 0.2 count them.
    for (name, fertility, unknown, partial, tokens, form) in [
        ("xlm-roberta-base", "2.15", "0.0", "0.0", 45_324, HangulForm::Composes),
        ("qwen2", "2.77", "0.0", "16.5", 58_340, HangulForm::Composes),
        ("mistral-7b-v0.1", "4.44", "0.0", "17.2", 93_509, HangulForm::Keeps),
        ("bert-base-uncased", "5.26", "5.0", "0.0", 110_847, HangulForm::Decomposes),
        // Its table of normal forms composes nothing longer than five bytes in the tokenizers crate.
        ("t5-small", "2.17", "45.7", "0.0", 45_599, HangulForm::Keeps),
    ] {
        let Some(subject) = load(name) else { return };
        let report = on(&subject, &texts);
        let percent = |share: Option<f64>| format!("{:.1}", share.expect("a share") * 100.0);
        assert_eq!(report.counts.eojeol, 21_061);
        assert_eq!(report.counts.syllables, 56_694);
        assert_eq!(report.counts.bytes, 194_397);
        assert_eq!(report.counts.tokens, tokens, "{name}");
        let found = report.tokens_per_eojeol.expect("eojeol");
        assert_eq!(format!("{found:.2}"), fertility, "{name}");
        assert_eq!(percent(report.unknown_rate), unknown, "{name}");
        assert_eq!(percent(report.partial_utf8_share), partial, "{name}");
        assert_eq!(subject.hangul_form(), form, "{name}");
        let forms = report.unicode_forms;
        match name {
            "mistral-7b-v0.1" => assert!(forms.differing_share > Some(0.99), "{forms:?}"),
            // Composed or not, every word is unknown to it.
            "t5-small" => assert!(forms.nfd_unknown_rate > Some(0.4), "{forms:?}"),
            _ => assert_eq!(forms.differing_share, Some(0.0), "{name}"),
        }
    }
}

#[test]
fn looking_up_eojeol_changes_no_number() {
    let Some(texts) = korsts() else { return };
    let news = shared("data/korfin_twice/NMIXX_kor_Fin_news.csv").expect("it is there");
    let subjects: Vec<Subject> = [
        "xlm-roberta-base",
        "mistral-7b-v0.1",
        "qwen2",
        "bert-base-uncased",
        "t5-small",
    ]
    .iter()
    .map(|name| load(name).expect("it is there"))
    .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = folder.path().join("korsts.txt");
    std::fs::write(&lines, texts.join("\n")).expect("written");
    for corpus in [
        Corpus::new(&lines, None).expect("lines"),
        Corpus::new(&news, Some("sentence1,sentence2")).expect("a table"),
    ] {
        let count = |memo, workers| {
            corpus::count(&subjects, &corpus, CorpusOptions { workers, memo }, &|_| {})
                .expect("a corpus")
                .reports
        };
        let whole = count(false, 1);
        let looked_up = count(true, 2);
        for ((subject, a), b) in subjects.iter().zip(&whole).zip(&looked_up) {
            assert!(
                subject.tokenizer().eojeol_context().is_some(),
                "{} is looked up",
                subject.name()
            );
            assert_eq!(a, b, "{}", subject.name());
        }
    }
}

#[test]
fn the_built_in_counts_are_those_of_the_files() {
    for (name, file) in [
        ("XLM-R", "xlm-roberta-base"),
        ("Mistral v0.1", "mistral-7b-v0.1"),
        ("Qwen2", "qwen2"),
        ("BERT uncased", "bert-base-uncased"),
        ("T5", "t5-small"),
    ] {
        let Some(found) = counts(file) else { return };
        let built_in = gains::measured_vocabularies()
            .into_iter()
            .find(|v| v.name == name)
            .expect("it is listed");
        assert_eq!(
            (built_in.vocab_size, built_in.raw_any, built_in.decoded_any),
            (found.vocab_size, found.hangul.raw_any, found.hangul.decoded_any),
            "{name}"
        );
    }
}

#[test]
fn a_broken_tokenizer_is_an_error_or_a_right_result() {
    let Some(folder) = shared("reference/broken/tokenizers") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        seen += 1;
        match Subject::load(&path) {
            Err(error) => assert_eq!(error.class().exit_code(), 4, "{}: {error}", path.display()),
            Ok(subject) => {
                let report = on(&subject, &["aabb 금리".to_owned()]);
                assert!(report.counts.eojeol == 2, "{}", path.display());
            }
        }
    }
    assert_eq!(seen, 9);
}
