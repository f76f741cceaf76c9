//! Corpora that are broken end in an error that says which file, where, and what to do.

use std::io::Write as _;

use super::{TEXT, manifest, tokenizer};
use crate::support::Home;

fn text() -> String {
    "{\"text\":\"한국은행은 기준금리를 동결했다.\"}\n".repeat(3)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

#[test]
fn each_broken_file_is_named_with_its_place() {
    let long = text().repeat(4000);
    let packed = gzip(long.as_bytes());
    let cases: Vec<(&str, Vec<u8>, i32, &[&str])> = vec![
        (
            "cut.jsonl",
            format!("{}{{\"text\":\"한국", text()).into_bytes(),
            3,
            &[
                "cut.jsonl:4: not a JSON object",
                "hint: was the file cut off",
            ],
        ),
        (
            "column.jsonl",
            format!("{}{{\"body\":\"x\"}}\n", text()).into_bytes(),
            3,
            &[
                "column.jsonl:4: no field `text`, found `body`",
                "hint: name the field in `columns`",
            ],
        ),
        (
            "number.jsonl",
            b"{\"text\":3}\n".to_vec(),
            3,
            &["number.jsonl:1: expected text in `text`, found a number"],
        ),
        (
            "cp949.jsonl",
            [text().as_bytes(), b"{\"text\":\"\xb1\xdd\xb8\xae\"}\n"].concat(),
            3,
            &[
                "cp949.jsonl:4: the line is not UTF-8",
                "iconv -f cp949 -t utf-8",
            ],
        ),
        (
            "cut.jsonl.gz",
            packed[..packed.len() / 2].to_vec(),
            3,
            &[
                "cut.jsonl.gz:",
                "the compressed file ends early",
                "copy or download it again",
            ],
        ),
        (
            "column.csv",
            "id,body\n1,금리\n".as_bytes().to_vec(),
            3,
            &["column.csv:1: no column `text`, found `id`, `body`"],
        ),
        (
            "fields.csv",
            "id,text\n1,금리\n2,a,b\n".as_bytes().to_vec(),
            3,
            &["fields.csv:3:", "quote fields that hold the delimiter"],
        ),
        (
            "cp949.tsv",
            b"id\ttext\n1\t\xb1\xdd\xb8\xae\n".to_vec(),
            3,
            &["cp949.tsv:2:", "iconv -f cp949 -t utf-8"],
        ),
        (
            "bad.parquet",
            b"PAR1 this is no parquet file PAR1".to_vec(),
            3,
            &["bad.parquet: not valid Parquet", "was the file cut off?"],
        ),
        (
            "open.csv",
            "id,text\n1,\"금리 인상\n2,주가 하락\n3,환율 상승\n"
                .as_bytes()
                .to_vec(),
            3,
            &[
                "open.csv:2: a quote is opened here and never closed (column 3)",
                "hint: ",
            ],
        ),
        (
            "joined.tsv",
            "id\ttext\n1\t\"금리 인상\n2\t주가 하락\"\n3\t환율 상승\n"
                .as_bytes()
                .to_vec(),
            3,
            &["joined.tsv:2: quotes join 2 lines to one row"],
        ),
        (
            "twice.csv",
            b"text,id,text\na,1,b\n".to_vec(),
            3,
            &["twice.csv:1: the column `text` occurs twice, at positions 1 and 3"],
        ),
        (
            "twice.jsonl",
            b"{\"text\":\"a\",\"text\":\"b\"}\n".to_vec(),
            3,
            &["twice.jsonl:1: not a JSON object: the key `text` occurs twice"],
        ),
        (
            "pretty.jsonl",
            b"{\n  \"text\": \"a\"\n}\n".to_vec(),
            3,
            &[
                "pretty.jsonl:1: not a JSON object",
                "One JSON object a line is read",
            ],
        ),
        (
            "header.csv",
            b"id,text\n".to_vec(),
            3,
            &["header.csv: the corpus `broken` holds no row"],
        ),
        (
            "empty.jsonl",
            Vec::new(),
            3,
            &["empty.jsonl: the corpus `broken` holds no row"],
        ),
        (
            "page.csv",
            b"<!DOCTYPE html><html></html>".to_vec(),
            3,
            &["page.csv: this is a web page", "download the file itself"],
        ),
        (
            "page.jsonl.gz",
            gzip(b"<html></html>"),
            3,
            &["page.jsonl.gz: this is a web page"],
        ),
        (
            "pointer.parquet",
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            3,
            &[
                "pointer.parquet: not valid Parquet: this is a pointer of Git LFS",
                "git lfs pull",
            ],
        ),
        (
            "arrow.parquet",
            b"ARROW1\0\0".to_vec(),
            3,
            &["arrow.parquet: not valid Parquet: this is an Arrow (Feather) file"],
        ),
        (
            "wide.txt",
            b"\xff\xfea\0b\0".to_vec(),
            3,
            &[
                "wide.txt: this is text in UTF-16",
                "iconv -f UTF-16LE -t UTF-8",
            ],
        ),
        (
            "cp949.txt",
            b"first\n\xb1\xdd\xb8\xae\n".to_vec(),
            3,
            &["cp949.txt:2: the line is not UTF-8"],
        ),
        (
            "other.pdf",
            b"%PDF".to_vec(),
            3,
            &["has no file like other.pdf", "files end in .jsonl"],
        ),
    ];
    let home = Home::new();
    tokenizer(&home);
    for (name, bytes, code, expected) in cases {
        std::fs::write(home.path(name), bytes).expect("written");
        manifest(&home, "broken", "kor-Hang", "news", name, TEXT);
        let output = home
            .command(&[
                "mine",
                "filter",
                "--corpus",
                "broken.toml",
                "--tokenizer",
                "tokenizer.json",
            ])
            .output()
            .expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
        for part in expected {
            assert!(
                stderr.contains(part),
                "{name}: `{part}` is not in: {stderr}"
            );
        }
        assert!(
            !home.path("korfinsts-mine/passages.jsonl").exists(),
            "{name}"
        );
        std::fs::remove_file(home.path(name)).expect("removed");
    }
}

#[test]
fn what_is_not_at_hand_is_named_with_what_to_give() {
    let home = Home::new();
    std::fs::write(home.path("a.jsonl"), text()).expect("written");
    manifest(&home, "mine", "kor-Hang", "news", "a.jsonl", TEXT);
    manifest(&home, "indonesian", "ind-Latn", "news", "a.jsonl", TEXT);
    tokenizer(&home);
    for (arguments, code, expected) in [
        (&["--corpus", "mine.toml"][..], 2, "is not at hand"),
        (&["--corpus", "mine.toml"], 2, "give one with `--tokenizer`"),
        (
            &[
                "--corpus",
                "indonesian.toml",
                "--tokenizer",
                "tokenizer.json",
            ],
            2,
            "there is no quality file",
        ),
        (
            &["--corpus", "nothing", "--tokenizer", "tokenizer.json"],
            2,
            "there is no corpus `nothing`",
        ),
        (
            &["--profile", "free", "--tokenizer", "tokenizer.json"],
            2,
            "profiles: `paper`, `strict`",
        ),
        (&["--tokenizer", "tokenizer.json"], 5, "offline"),
        (
            &["--corpus", "disclosures", "--tokenizer", "tokenizer.json"],
            2,
            "--corpus disclosures=PATH",
        ),
        (
            &[
                "--corpus",
                "mine.toml",
                "--shard",
                "3/2",
                "--tokenizer",
                "tokenizer.json",
            ],
            2,
            "write it as I/N",
        ),
        (&["--join"], 2, "holds no finished shard"),
    ] {
        let whole = [&["mine", "filter"][..], arguments].concat();
        let output = home.command(&whole).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn what_later_steps_lack_is_named_with_the_command_that_writes_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("run")).expect("made");
    std::fs::write(home.path("run/passages.jsonl"), "{\"id\":\"1\",\"te").expect("written");
    // Cut off inside a letter of its second line.
    let document = "{\"id\":\"1\",\"text\":\"금리\",\"language\":\"kor-Hang\",\"source\":\"news\",\
                    \"corpus\":\"c\",\"licence\":\"MIT\",\"origin\":\"a:1\"}\n";
    let twice = document.repeat(2);
    let cut = twice.rfind('리').expect("a letter") + 1;
    std::fs::create_dir(home.path("cut")).expect("made");
    std::fs::write(home.path("cut/passages.jsonl"), &twice.as_bytes()[..cut]).expect("written");
    for (arguments, expected) in [
        (
            &["mine", "generate", "--dir", "none"][..],
            &["passages.jsonl: there is no such file", "mine filter"][..],
        ),
        (
            &["mine", "generate", "--dir", "run"],
            &["passages.jsonl:1: ", "hint: was the file cut off?"],
        ),
        (
            &["mine", "generate", "--dir", "cut"],
            &["passages.jsonl:2: not UTF-8", "hint: was the file cut off?"],
        ),
        (
            &["mine", "audit", "sheet", "--dir", "cut"],
            &["passages.jsonl:2: not UTF-8", "hint: was the file cut off?"],
        ),
        (
            &["mine", "audit", "agreement", "--dir", "run"],
            &["rater-1.csv: there is no such sheet", "mine audit sheet"],
        ),
    ] {
        let output = home.command(arguments).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{arguments:?}: {stderr}");
        }
    }
}
