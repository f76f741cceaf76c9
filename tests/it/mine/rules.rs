//! The offline generator: over real texts, over another pair of languages, and as a reader sees it.

use std::path::Path;

use korfinsts_mine::generate::shortcut;
use korfinsts_mine::{Document, Transforms, Triplet, Typology, document_id};
use predicates::prelude::*;

use super::super::support::{Home, repository, shared};
use super::writer::{generation, read};

/// Texts of a column, each once, as documents.
fn documents(file: &str, column: &str, language: &str, source: &str) -> Option<Vec<Document>> {
    let path = shared(file)?;
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    let heads = reader.headers().expect("heads").clone();
    let at = heads.iter().position(|h| h == column).expect("the column");
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let text = korfinsts_base::text::nfc(&record.expect("a row")[at].replace("\r\n", "\n"));
        if text.trim().is_empty() || !seen.insert(text.clone()) {
            continue;
        }
        found.push(Document {
            id: document_id(&text),
            text,
            language: language.into(),
            source: source.into(),
            corpus: source.into(),
            licence: "none stated".into(),
            origin: format!("{column}:{}", row + 1),
        });
    }
    Some(found)
}

/// The Korean news, Korean legal and English texts that the rules were audited on.
fn real() -> Option<[Vec<Document>; 3]> {
    Some([
        documents(
            "data/korfin_twice/NMIXX_kor_Fin_news.csv",
            "sentence1",
            "kor-Hang",
            "news",
        )?,
        documents(
            "data/korfin_twice/final_law_df.csv",
            "text",
            "kor-Hang",
            "legal",
        )?,
        documents(
            "data/finsts/FinSTS.csv",
            "sentence1",
            "eng-Latn",
            "disclosure",
        )?,
    ])
}

fn write(run: &Path, documents: &[Document]) {
    std::fs::create_dir_all(run).expect("made");
    let lines: String = documents
        .iter()
        .map(|d| serde_json::to_string(d).expect("JSON") + "\n")
        .collect();
    std::fs::write(run.join("passages.jsonl"), lines).expect("written");
}

/// A text is taken for its own kind, and seldom for another: the project's suite, whose ids name the kind, and real texts.
#[test]
fn a_kind_of_text_is_known_by_its_signs() {
    let typology = Typology::built_in("ko-en").expect("built in");
    let path = repository("benchmarks/korfin-shift-2/documents.jsonl");
    let suite = std::fs::read_to_string(path).expect("the documents of the suite");
    let documents: Vec<serde_json::Value> = suite
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let share = |own: &str, kind: &str, language: &str| {
        let texts: Vec<&str> = documents
            .iter()
            .filter(|d| d["document"].as_str().is_some_and(|id| id.starts_with(own)))
            .map(|d| d[format!("{language}_src")].as_str().expect("a text"))
            .collect();
        let taken = texts
            .iter()
            .filter(|t| typology.reads_as(kind, t, language))
            .count();
        taken as f64 / texts.len() as f64
    };
    for language in ["ko", "en"] {
        for own in ["news", "report", "disclosure", "legal"] {
            let found = share(own, own, language);
            assert!(found >= 0.74, "{language} {own}: {found}");
        }
        for (own, kind) in [
            ("news", "legal"),
            ("news", "disclosure"),
            ("report", "legal"),
            ("disclosure", "legal"),
            ("legal", "report"),
        ] {
            let found = share(own, kind, language);
            assert!(found <= 0.07, "{language} {own} as {kind}: {found}");
        }
    }
    let Some(all) = real() else { return };
    for (documents, language, own, least, other, most) in [
        (&all[0], "ko", "news", 0.80, "legal", 0.02),
        (&all[0], "ko", "news", 0.80, "report", 0.12),
        (&all[2], "en", "disclosure", 0.70, "legal", 0.02),
    ] {
        let sentences: Vec<&str> = documents
            .iter()
            .flat_map(|d| {
                korfinsts_mine::transform::sentence::sentences(&d.text)
                    .into_iter()
                    .map(move |range| &d.text[range])
            })
            .filter(|s| s.chars().filter(|c| c.is_alphanumeric()).count() >= 12)
            .collect();
        let share = |kind: &str| {
            let taken = sentences
                .iter()
                .filter(|s| typology.reads_as(kind, s, language))
                .count();
            taken as f64 / sentences.len() as f64
        };
        assert!(share(own) >= least, "{own}: {}", share(own));
        assert!(share(other) <= most, "{own} as {other}: {}", share(other));
    }
    // No text of another kind: a law in the news, a filing among laws, research among laws.
    for (kind, text, taken) in [
        (
            "news",
            "상장법인은 최대주주가 변경된 경우 제3조에 따라 그 내용을 공시하여야 한다.",
            false,
        ),
        (
            "legal",
            "당사는 자기주식 50만주를 2분기 중 취득할 예정입니다.",
            false,
        ),
        (
            "legal",
            "올해 상반기 중국 경제의 성장률은 2.5%로 둔화되었다.",
            false,
        ),
        (
            "disclosure",
            "코스피지수는 전 거래일보다 12포인트 오른 2,650으로 장을 마쳤다.",
            false,
        ),
        (
            "report",
            "외국인은 이날 코스닥시장에서 순매도했다고 거래소가 밝혔다.",
            false,
        ),
        (
            "legal",
            "보고를 하지 아니한 자에게는 5천만원 이하의 과태료를 부과한다.",
            true,
        ),
        (
            "report",
            "투자의견 '매수'를 유지하고 목표주가를 9만원으로 상향한다.",
            true,
        ),
    ] {
        assert_eq!(typology.reads_as(kind, text, "ko"), taken, "{kind}: {text}");
    }
}

#[test]
fn rules_reach_as_many_real_texts_as_documented() {
    let Some(all) = real() else { return };
    let rules = Transforms::built_in("ko-en").expect("built in");
    for (documents, language, texts, negatives) in [
        (&all[0], "ko", 498, 139),
        (&all[1], "ko", 499, 30),
        (&all[2], "en", 370, 88),
    ] {
        assert_eq!(documents.len(), texts);
        let mut by_rule: std::collections::BTreeMap<&str, usize> =
            std::collections::BTreeMap::default();
        let (mut negative, mut positive, mut both) = (0, 0, 0);
        for document in documents {
            for rule in &rules.negatives {
                if rule.is_for(language, &document.source)
                    && !rule
                        .apply(&document.text, rules.particles.as_ref())
                        .is_empty()
                {
                    *by_rule.entry(&rule.text.id).or_default() += 1;
                }
            }
            let n = !rules
                .negatives(&document.text, language, &document.source)
                .is_empty();
            let p = !rules
                .light(&document.text, language, &document.source)
                .is_empty();
            negative += usize::from(n);
            positive += usize::from(p);
            both += usize::from(n && p);
        }
        eprintln!(
            "{}: a negative on {negative} of {texts}, a positive on {positive}, both on {both}; {by_rule:?}",
            documents[0].source
        );
        assert!(
            negative >= negatives,
            "{negative} of {texts}, they reached {negatives}"
        );
    }
}

#[test]
fn the_default_mix_passes_the_shortcut_check_and_the_naive_one_fails() {
    let Some(all) = real() else { return };
    let home = Home::new();
    let run = home.path("run");
    write(&run, &all.concat());
    home.command(&["mine", "generate", "--dir", "run"])
        .assert()
        .success();
    let balanced = generation(&run);
    let rows = read(&run, "triplets.jsonl");
    eprintln!("balanced: {}", balanced["shortcut"]);
    eprintln!("calibration: {}", balanced["calibration"]);
    eprintln!("{} triplets", balanced["triplets"]);
    assert_eq!(balanced["shortcut"]["passed"], true);
    assert_eq!(balanced["status"], "complete");
    assert_eq!(
        balanced["beyond_rules"]["report.scope.micro_to_macro"],
        "slot templates"
    );
    assert_eq!(balanced["beyond_rules"]["news.framing.causal"], "a model");
    let triplets: Vec<Triplet> = rows
        .lines()
        .map(|l| serde_json::from_str(l).expect("a triplet"))
        .collect();
    assert!(triplets.len() > 150, "{}", triplets.len());
    // One text, one label; and a label of the text's own kind.
    let pairs: std::collections::HashSet<[&String; 2]> =
        triplets.iter().map(|t| [&t.anchor, &t.negative]).collect();
    assert_eq!(pairs.len(), triplets.len());
    for triplet in &triplets {
        assert!(triplet.variant.starts_with(&format!("{}.", triplet.source)));
        assert_ne!(triplet.positive, triplet.negative);
        assert!(triplet.negative_score >= 8 && triplet.positive_score >= 9);
        for [start, end] in &triplet.edits {
            assert!(
                triplet.anchor.get(*start..*end).is_some(),
                "{:?}",
                triplet.edits
            );
        }
        if triplet.origin == "document" {
            assert!(!triplet.edits.is_empty() && !triplet.negative_rules.is_empty());
        }
    }
    // The figures can be had from the rows alone.
    let checked = shortcut::check(&triplets, &[]);
    assert_eq!(
        serde_json::json!(checked.overlap_auc),
        balanced["shortcut"]["overlap_auc"]
    );
    // Twice the same.
    home.command(&["mine", "generate", "--dir", "run"])
        .assert()
        .success();
    assert_eq!(read(&run, "triplets.jsonl"), rows);

    home.command(&["mine", "generate", "--dir", "run", "--mix", "naive"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains(
            "can be told apart without reading",
        ));
    let naive = generation(&run);
    eprintln!("naive: {}", naive["shortcut"]);
    assert_eq!(naive["shortcut"]["passed"], false);
}

#[test]
fn another_pair_of_languages_is_two_files() {
    let home = Home::new();
    let run = home.path("run");
    let typology = Typology::built_in("id-en").expect("built in");
    let mut passages = Vec::new();
    for (i, quarter) in ["pertama", "kedua", "ketiga", "keempat"].iter().enumerate() {
        for (text, source) in [
            (
                format!(
                    "Penjualan Semen Bahari naik {}% pada kuartal {quarter}. Saham ditutup menguat.",
                    3 + i
                ),
                "news",
            ),
            (
                format!(
                    "Perseroan berencana menerbitkan obligasi senilai Rp{} miliar pada kuartal {quarter}.",
                    50 + i
                ),
                "disclosure",
            ),
        ] {
            passages.push(Document {
                id: document_id(&text),
                text,
                language: typology.languages[0].code.clone(),
                source: source.into(),
                corpus: "test".into(),
                licence: "Apache-2.0".into(),
                origin: "test:1".into(),
            });
        }
    }
    write(&run, &passages);
    let mut arguments = vec!["mine", "generate", "--dir", "run", "--typology"];
    let typology = repository("training/typology/id-en.toml");
    let rules = repository("training/transforms/id-en.toml");
    arguments.extend([
        typology.to_str().expect("UTF-8"),
        "--transforms",
        rules.to_str().expect("UTF-8"),
    ]);
    home.command(&arguments).assert().success();
    let rows = read(&run, "triplets.jsonl");
    let triplets: Vec<Triplet> = rows
        .lines()
        .map(|l| serde_json::from_str(l).expect("a triplet"))
        .collect();
    let of = |origin: &str| triplets.iter().filter(|t| t.origin == origin).count();
    assert_eq!((of("document"), of("template")), (8, 1));
    assert!(
        triplets
            .iter()
            .any(|t| t.negative.contains("telah selesai menerbitkan"))
    );
    assert!(triplets.iter().any(|t| t.negative.contains("turun 3%")));
    let found = generation(&run);
    assert_eq!(
        found["triplets_by_language"]["ind-Latn"]
            .as_u64()
            .map(|n| n >= 8),
        Some(true)
    );
}

#[test]
fn the_guide_is_that_of_the_typology() {
    let home = Home::new();
    let output = home
        .command(&["mine", "typology", "--format", "markdown"])
        .assert()
        .success()
        .get_output()
        .clone();
    let made = String::from_utf8(output.stdout).expect("UTF-8");
    let kept = std::fs::read_to_string(repository("docs/patterns.md")).expect("docs/patterns.md");
    assert!(
        made == kept,
        "docs/patterns.md is not what `korfinsts mine typology --format markdown` prints: write it anew"
    );
    let typology = Typology::built_in("ko-en").expect("built in");
    for variant in &typology.variants {
        assert!(
            kept.contains(&format!("**`{}`**", variant.id)),
            "{}",
            variant.id
        );
    }
    home.command(&["mine", "typology", "--transforms", "ko-en"])
        .assert()
        .success()
        .stdout(predicate::str::contains("legal.sanction.kind"));
    home.command(&["mine", "typology", "--transforms", "id-en"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("belong together"));
}

#[test]
fn the_audit_of_the_rules_is_kept_and_counts_what_the_documents_say() {
    let text = std::fs::read_to_string(repository("training/transforms/audit-ko-en.tsv"))
        .expect("the audit");
    let mut counts: std::collections::BTreeMap<String, [usize; 2]> =
        std::collections::BTreeMap::default();
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    assert_eq!(
        lines.next(),
        Some("round\tlanguage\tkind\trule\tsource\tdocument\tverdict\twhy")
    );
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 8, "{line}");
        assert_eq!(fields[6] == "wrong", !fields[7].is_empty(), "{line}");
        assert!(["right", "wrong"].contains(&fields[6]), "{line}");
        let [wrong, outputs] = counts.entry(fields[..3].join(" ")).or_default();
        *outputs += 1;
        *wrong += usize::from(fields[6] == "wrong");
    }
    // The table of `docs/generating.md`: a row for each round with a cell for each kind.
    let documented = std::fs::read_to_string(repository("docs/generating.md")).expect("the page");
    let kinds = ["ko neg", "en neg", "ko pos", "en pos"];
    for round in 1..=9 {
        let cells = kinds.map(|kind| match counts.get(&format!("{round} {kind}")) {
            Some([wrong, outputs]) => format!("{wrong} of {outputs}"),
            None => "–".to_owned(),
        });
        let cells = format!("| {} |\n", cells.join(" | "));
        let row = documented
            .lines()
            .find(|l| l.starts_with(&format!("| {round} |")))
            .expect("a row for the round");
        assert!(format!("{row}\n").ends_with(&cells), "{row}: {cells}");
    }
}
