//! Data that are damaged, doubtful or not what they are taken for: each is refused once, with its
//! place and with what to do, and nothing is computed from it.

use std::path::Path;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use super::server::{Answer, Server};
use super::support::{Home, repository};

/// A suite whose format is told by the bytes of its file.
fn suite(home: &Home, name: &str, file: &str, bytes: &[u8]) {
    let manifest = format!(
        "schema = 1\nid = \"{name}\"\nversion = \"1.0.0\"\ntitle = \"T\"\ndescription = \"For a test.\"\n\
         languages = [\"kor-Hang\"]\nlicence = \"NOASSERTION\"\nredistributable = false\n\
         default_split = \"test\"\n[scale]\nkind = \"interval\"\nmin = 0\nmax = 5\n[splits.test]\n\
         [[source]]\nname = \"own\"\nformat = {{ kind = \"auto\" }}\n\
         columns = {{ sentence1 = \"sentence1\", sentence2 = \"sentence2\", score = \"score\" }}\n\
         [source.files]\ntest = [{{ name = \"{file}\" }}]\n"
    );
    let folder = home.path(name);
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("suite.toml"), manifest).expect("written");
    std::fs::write(folder.join(file), bytes).expect("written");
}

/// The findings that `suite check` prints, its exit code among them.
fn check(home: &Home, name: &str) -> (Option<i32>, String) {
    let output = home
        .command(&["suite", "check", &format!("./{name}")])
        .output()
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

const ROW: &str = "{\"sentence1\": \"금리\", \"sentence2\": \"이자율\", \"score\": 4}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

#[test]
fn rows_that_a_reader_could_read_in_two_ways_are_refused() {
    let head = "sentence1,sentence2,score\n";
    let utf16: Vec<u8> = format!("\u{feff}{head}가,나,1\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16_json: Vec<u8> = ROW.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let office = [&b"PK\x03\x04"[..], &[0; 26], b"[Content_Types].xml"].concat();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        // Quotes.
        (
            "t.csv",
            b"score,sentence1,sentence2\n1,a,b\n2,c,\"d\n3,e,f\n".to_vec(),
            "t.csv:3: a quote is opened here and never closed (column 5)",
            "is enclosed in quotes, and the quote within is written twice",
        ),
        (
            "t.tsv",
            "sentence1\tsentence2\tscore\n가\t나\t1\n\"다\t라\t2\n마\t바\t3\n사\"\t아\t4\n자\t차\t5\n"
                .into(),
            "t.tsv:3: quotes join 3 lines to one row, and each of these lines is a row of 3 fields",
            "where quotes are characters, set `quoting = false` in suite.toml",
        ),
        (
            "t.csv",
            format!("{head}\"a \"b\" c\",d,1\n").into(),
            "t.csv:2: field 1 goes on after its closing quote (column 5)",
            "written twice",
        ),
        (
            "t.csv",
            format!("{head}a \"b\" c,d,1\n").into(),
            "t.csv:2: field 1 holds a quote but does not begin with one (column 3)",
            "written twice",
        ),
        (
            "t.csv",
            format!("{head}\"a \\\"b\\\" c\",d,1\n").into(),
            "t.csv:2: field 1 goes on after its closing quote (column 6)",
            "written twice",
        ),
        // Names.
        (
            "t.csv",
            b"sentence1,sentence2,score,score\na,b,1,5\n".to_vec(),
            "t.csv:1: the column `score` occurs twice, at positions 3 and 4",
            "rename one of the two columns",
        ),
        (
            "t.tsv",
            b"\xEF\xBB\xBFsentence1\tsentence2\tscore\tsentence1 \na\tb\t1\tc\n".to_vec(),
            "t.tsv:1: the column `sentence1` occurs twice, at positions 1 and 4",
            "rename one of the two columns",
        ),
        (
            "t.json",
            br#"{"sentence1":"a","sentence2":"b","score":1,"score":5}"#.to_vec(),
            "t.json:1: not valid JSON: the key `score` occurs twice, at positions 3 and 4",
            "leave one of the two out",
        ),
        (
            "t.json",
            br#"[{"sentence1":"a","sentence2":"b","score":1,"more":{"x":1,"\u0078":2}}]"#.to_vec(),
            "t.json:1: not valid JSON: the key `x` occurs twice, at positions 1 and 2",
            "",
        ),
        // No rows.
        (
            "t.csv",
            Vec::new(),
            "t.csv: there is no pair: 0 rows were found",
            "is the file empty, cut short, or its only row read as the header?",
        ),
        ("t.csv", head.into(), "t.csv: there is no pair: 0 rows", ""),
        ("t.json", b"[]".to_vec(), "t.json: there is no pair: 0 rows", ""),
        ("t.jsonl", b" \n\n".to_vec(), "t.jsonl: there is no pair: 0 rows", ""),
        ("t.csv.gz", gzip(head.as_bytes()), "there is no pair: 0 rows", ""),
        // Other kinds of files.
        (
            "t.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec(),
            "t.csv: this is a pointer of Git LFS, not the file itself",
            "`git lfs pull`",
        ),
        (
            "t.csv",
            b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>\n".to_vec(),
            "t.csv: this is a web page",
            "download the file itself",
        ),
        (
            "t.json",
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".to_vec(),
            "t.json: this is a web page",
            "download the file itself",
        ),
        ("t.csv", b"\xFD7zXZ\0\0\x04".to_vec(), "t.csv: this is an xz file", "`xz -d FILE`"),
        ("t.tsv", b"\x28\xB5\x2F\xFD\x04".to_vec(), "t.tsv: this is a Zstandard file", "`zstd -d FILE`"),
        ("t.csv", office, "t.csv: this is a workbook", "save the sheet as CSV in UTF-8"),
        (
            "t.parquet",
            b"ARROW1\0\0\xFF\xFF\xFF\xFF".to_vec(),
            "t.parquet: this is an Arrow (Feather) file",
            "write it as Parquet",
        ),
        ("t.csv.gz", gzip(b"<html>"), "t.csv.gz: this is a web page", ""),
        (
            "t.csv",
            utf16,
            "the file looks like UTF-16 (little endian)",
            "iconv -f UTF-16LE -t UTF-8",
        ),
        ("t.json", utf16_json, "the file looks like UTF-16 (little endian)", "iconv -f UTF-16LE"),
        // Documents in place of rows.
        (
            "t.json",
            format!("{{\n \"version\": \"1\",\n \"data\": [\n  {ROW},\n  {ROW}\n ]\n}}\n").into(),
            "t.json: this is one JSON document whose key `data` holds 2 objects, not one object a row",
            "jq -c '.[\"data\"][]' FILE > FILE.jsonl",
        ),
        (
            "t.json",
            "{\"sentence1\": {\"0\": \"가\"}, \"sentence2\": {\"0\": \"나\"}, \"score\": {\"0\": 1}}".into(),
            "t.json: this is one JSON document of 3 lists or objects",
            "DataFrame.to_json(FILE, orient=\"records\", lines=True",
        ),
        (
            "t.json",
            b"{\"columns\": [\"sentence1\"], \"index\": [0], \"data\": [[\"a\"]]}".to_vec(),
            "t.json: this is one JSON document of 3 lists or objects",
            "orient=\"records\"",
        ),
        (
            "t.json",
            format!("{{\n\"data\": [\n{ROW},\n{ROW}\n").into(),
            "t.json:5: not valid JSON: EOF while parsing a list",
            "",
        ),
    ];
    for (i, (file, bytes, says, hint)) in cases.into_iter().enumerate() {
        let home = Home::new();
        suite(&home, "s", file, &bytes);
        let (code, text) = check(&home, "s");
        assert_eq!(code, Some(1), "{i} {file}: {text}");
        assert!(text.contains(says), "{i}: `{says}` is not in: {text}");
        assert!(text.contains(hint), "{i}: `{hint}` is not in: {text}");
        assert_eq!(text.matches("\nerror: ").count() + 1, 2, "{i}: {text}");
    }
}

#[test]
fn objects_over_several_lines_are_read_as_those_of_one() {
    let home = Home::new();
    let other = ROW.replace("금리", "환율").replace('4', "1");
    let pretty = |row: &str| row.replace(", ", ",\n  ").replace('{', "{\n  ");
    let [first, second] = [ROW, &other].map(pretty);
    for (name, text) in [
        ("pretty", format!("{first}\n{second}\n")),
        ("lines", format!("{ROW}\n\n{other}\n")),
        ("array", format!("[{ROW},\n{second}]")),
    ] {
        suite(&home, name, "t.json", text.as_bytes());
        let (code, text) = check(&home, name);
        assert_eq!(code, Some(0), "{name}: {text}");
        assert!(
            text.contains(": 2 pairs,") && !text.contains("error"),
            "{name}: {text}"
        );
    }
}

#[test]
fn equal_findings_are_counted_and_json_lists_them_all() {
    let home = Home::new();
    let rows = "a,b,9\n".repeat(5000);
    let text = format!("sentence1,sentence2,score\n{rows}a,,1\n");
    suite(&home, "s", "t.csv", text.as_bytes());
    let (code, text) = check(&home, "s");
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("  hint")).collect();
    assert!(lines[0].ends_with("t.csv:2: the gold score 9 is outside the declared scale 0 to 5"));
    assert!(lines[2].contains("t.csv:4:"), "{text}");
    assert_eq!(
        lines[3],
        "  and 4997 more of this kind; `--format json` lists every one"
    );
    assert!(
        lines[4].ends_with("t.csv:5002: `sentence2` is empty"),
        "{text}"
    );
    assert!(text.contains("error: 5001 errors and 0 warnings"), "{text}");
    let output = home
        .command(&["suite", "check", "./s", "--format", "json"])
        .output()
        .expect("it runs");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(all[0]["findings"].as_array().map(Vec::len), Some(5001));
}

#[test]
fn a_missing_file_is_named_wherever_its_suite_is_used() {
    let home = Home::new();
    suite(&home, "miss", "t.csv", b"");
    std::fs::remove_file(home.path("miss/t.csv")).expect("removed");
    let model = repository("tests/reference/encoders/bert-mean")
        .display()
        .to_string();
    home.command(&["suite", "check", "./miss"])
        .assert()
        .code(3)
        .stderr(contains(
            "the rows of `miss` (test) are not on this machine: `./miss/t.csv` is not there",
        ))
        .stderr(contains(
            "hint: put the file there, or run `korfinsts suite import ./miss PATH`",
        ));
    home.command(&["eval", &model, "--suite", "./miss"])
        .assert()
        .code(3)
        .stderr(contains("`miss` (`./miss/t.csv`) not on disk"))
        .stderr(
            contains("`korfinsts suite import ./miss PATH`").or(contains("suite import ./miss")),
        );
}

#[test]
fn a_language_is_a_real_code_and_the_one_meant_is_named() {
    let home = Home::new();
    for (code, says) in [
        ("ko", "is `kor-Hang` meant?"),
        ("kor_Hang", "is `kor-Hang` meant?"),
        ("kor-hang", "is `kor-Hang` meant?"),
        ("ko-KR", "is `kor-Hang` meant?"),
        ("zzz-Qqqq", "as in `kor-Hang`"),
        ("한-Hang", "the language `한-Hang` is not a known code"),
    ] {
        suite(&home, "s", "t.json", ROW.as_bytes());
        let path = home.path("s/suite.toml");
        let text = std::fs::read_to_string(&path).expect("a manifest");
        std::fs::write(&path, text.replace("kor-Hang", code)).expect("written");
        home.command(&["suite", "check", "./s"])
            .assert()
            .code(3)
            .stderr(contains(says));
    }
}

/// The bytes that KorSTS' authors give are pinned, so what changed them can be said.
#[test]
fn a_file_with_other_line_ends_than_the_pinned_one_is_said_to_be_that() {
    let good = "sentence1,sentence2,score\n가,나,1\n";
    for (bytes, says, hint) in [
        (
            good.replace('\n', "\r\n").into_bytes(),
            "this is the same file with CRLF line ends",
            "core.autocrlf=false",
        ),
        (
            good.trim_end().replace('\n', "\r\n").into_bytes(),
            "expected sha256",
            "the file next to suite.toml was changed",
        ),
        (
            format!("\u{feff}{good}").into_bytes(),
            "this is the same file with a byte order mark",
            "without the mark",
        ),
        (
            good.trim_end().into(),
            "this is the same file without the last line end",
            "get it again",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "this is a pointer of Git LFS",
            "git lfs pull",
        ),
        (
            b"<html>".to_vec(),
            "this is a web page",
            "download the file itself",
        ),
        (
            b"other".to_vec(),
            "expected sha256",
            "the file next to suite.toml was changed",
        ),
    ] {
        let home = Home::new();
        suite(&home, "s", "t.csv", &bytes);
        let path = home.path("s/suite.toml");
        let sha256 = korfinsts_base::fs::sha256(good.as_bytes());
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let pinned = format!("name = \"t.csv\", sha256 = \"{sha256}\"");
        std::fs::write(&path, text.replace("name = \"t.csv\"", &pinned)).expect("written");
        home.command(&["suite", "check", "./s"])
            .assert()
            .code(3)
            .stderr(contains(says))
            .stderr(contains(hint));
    }
}

/// A hub that gives this body for each file, with the hash of the body as its tag.
fn hub(body: Vec<u8>) -> Server {
    const COMMIT: &str = "349481ec73fff722f88e0453ca05c77a447d967c";
    Server::new(move |seen, _| {
        if seen.path.starts_with("/api/") {
            let files = [
                "sts/train-00000-of-00001.parquet",
                "sts/validation-00000-of-00001.parquet",
            ];
            let siblings: Vec<_> = files.map(|f| serde_json::json!({ "rfilename": f })).into();
            return Answer::json(&serde_json::json!({ "sha": COMMIT, "siblings": siblings }));
        }
        let tag = format!("\"{}\"", korfinsts_base::fs::sha256(&body));
        Answer::status(200).with("etag", tag).body(&body)
    })
}

#[test]
fn what_a_hub_gave_in_place_of_a_file_is_not_kept() {
    let fetch = |home: &Home, server: &Server| {
        home.command(&["suite", "fetch", "klue-sts"])
            .env("HF_HUB_OFFLINE", "0")
            .env("HF_ENDPOINT", &server.address)
            .assert()
    };
    let kept = |home: &Home| {
        let blobs = walkdir::WalkDir::new(home.path("hub")).into_iter();
        let within = |path: &Path| path.components().any(|c| c.as_os_str() == "blobs");
        blobs
            .filter(|e| {
                e.as_ref()
                    .is_ok_and(|e| e.file_type().is_file() && within(e.path()))
            })
            .count()
    };
    let page = b"<!DOCTYPE html><html><title>Login</title></html>".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n".to_vec();
    for (body, says) in [
        (page, "the hub gave a web page"),
        (pointer, "the hub gave a pointer of Git LFS"),
    ] {
        let home = Home::new();
        fetch(&home, &hub(body))
            .code(5)
            .stderr(contains(says))
            .stderr(contains("hint: nothing was kept"));
        assert_eq!(kept(&home), 0);
    }
    let home = Home::new();
    fetch(&home, &hub(b"PAR1 cut short".to_vec()))
        .code(3)
        .stderr(contains("not valid Parquet"))
        .stderr(contains(
            "the file was removed from the hub's cache: run the same command again",
        ));
    // A page that an earlier version kept leaves the cache, too.
    let snapshots = walkdir::WalkDir::new(home.path("hub")).into_iter();
    let folder = snapshots
        .filter_map(Result::ok)
        .find(|e| e.file_name() == "sts" && e.file_type().is_dir());
    let file = folder
        .expect("a folder")
        .path()
        .join("validation-00000-of-00001.parquet");
    std::fs::write(&file, "<!DOCTYPE html>").expect("written");
    fetch(&home, &hub(Vec::new()))
        .code(3)
        .stderr(contains("this is a web page"))
        .stderr(contains("the file was removed from the hub's cache"));
    assert!(!file.exists());
    // What is asked for again is downloaded again, and gives its own error.
    let server = hub(b"PAR1 cut elsewhere".to_vec());
    fetch(&home, &server)
        .code(3)
        .stderr(contains("not valid Parquet"));
    assert!(
        server
            .seen()
            .iter()
            .any(|s| s.method == "GET" && s.path.contains("/resolve/"))
    );
}
