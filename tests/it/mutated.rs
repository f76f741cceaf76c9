//! Every format with random damage, the same each time: nothing panics, ends the process or hangs.
//! `KORFINSTS_FULL=1` tries 20,000 inputs, otherwise a twentieth.

use std::path::Path;
use std::time::{Duration, Instant};

use korfinsts_base::{archive, delimited, records, sums};
use korfinsts_bench::run::record::{self, Record};
use korfinsts_bench::suite::{OwnPairs, PairsOptions, Registry};
use korfinsts_encoder::onnx;
use korfinsts_encoder::open::{self, ModelOptions};
use korfinsts_encoder::tokenizer::{EncodeOptions, Tokenizer};
use korfinsts_mine::corpus;
use korfinsts_nn::safetensors;
use korfinsts_publish::submission::Bundle;

use super::submission::fixture::{self, good};
use super::submission::fuzz::Random;
use super::support::{Home, full, repository};

/// Longest time for one input: a hang, where it is passed.
const PATIENCE: Duration = Duration::from_mins(1);

/// One format: a name, good bytes, and what reads damaged ones.
type Format<'a> = (&'a str, Vec<u8>, Box<dyn Fn(&[u8]) + 'a>);

fn file(name: &str) -> Vec<u8> {
    std::fs::read(repository(name)).expect(name)
}

fn written(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}

const MANIFEST: &str = "schema = 1\nid = \"s\"\nversion = \"1.0.0\"\ntitle = \"T\"\ndescription = \"D\"\n\
    languages = [\"kor-Hang\"]\nlicence = \"NOASSERTION\"\nredistributable = false\ndefault_split = \"test\"\n\
    [scale]\nkind = \"interval\"\nmin = 0\nmax = 5\n[splits.test]\n[[source]]\nname = \"own\"\n\
    format = { kind = \"auto\" }\n\
    columns = { sentence1 = \"a\", sentence2 = \"b\", score = \"s\" }\n[source.files]\ntest = [{ name = \"t\" }]\n";
const CSV: &str = "a,b,s\n\"금리가, 올랐다\",금리 인상,4.5\nx,\"y\"\"z\",0\n";
const JSONL: &str =
    "{\"a\":\"금리가 올랐다\",\"b\":\"금리 인상\",\"s\":4.5}\n{\"a\":\"x\",\"b\":\"y\",\"s\":0}\n";
const RECIPE: &str = "schema = 1\nname = \"tiny\"\nseed = 7\n[base]\nmodel = \"m\"\n[[stage]]\nname = \"t\"\n\
    epochs = 2\nbatch = 4\nlearning_rate = 1e-3\ntemperature = 0.1\ndata = [{ triplets = \"t.jsonl\" }]\n\
    [save]\nevery = 3\n[card]\nlicence = \"CC-BY-4.0\"\nlanguages = [\"ko\"]\n";
const CORPUS: &str = "id = \"few\"\nname = \"few\"\nlanguage = \"kor-Hang\"\nsource = \"news\"\nlicence = \"MIT\"\n\
    files = [\"a.jsonl\"]\n[columns]\ntext = [\"text\"]\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// Readers of a model's folder `m`, of which one file is damaged.
fn of_a_model<'a>(home: &Home, name: &'static str, reads_tokens: bool) -> Format<'a> {
    let (folder, path) = (home.path("m"), home.path("m").join(name));
    let bytes = std::fs::read(&path).expect("read");
    let kept = bytes.clone();
    let read = move |damaged: &[u8]| {
        written(&path, damaged);
        let lenient = open::read(&folder.to_string_lossy(), &ModelOptions::default()).is_ok();
        let strict = ModelOptions {
            strict: true,
            ..ModelOptions::default()
        };
        let strict = open::read(&folder.to_string_lossy(), &strict).is_ok();
        assert!(lenient || !strict, "strict reads what is refused otherwise");
        if reads_tokens && let Ok(tokenizer) = Tokenizer::from_file(&path) {
            for text in [
                "",
                "a",
                "한국은행은 기준금리를 0.25%포인트 인상했다.",
                "\u{0} \u{fdfa}",
            ] {
                let _ = tokenizer.encode(text, &EncodeOptions::default());
            }
        }
        written(&path, &kept);
    };
    (name, bytes, Box::new(read))
}

#[test]
fn damaged_inputs_of_every_format_are_refused_or_read() {
    let home = Home::new();
    home.copy(&fixture::model(), &home.path("m"));
    let registry = Registry::open(&home.data()).expect("the built-in suites");
    let suite = |rows: &[u8], manifest: &[u8]| {
        written(&home.path("s/suite.toml"), manifest);
        written(&home.path("s/t"), rows);
        if let Ok(manifest) = registry.find(&home.path("s").to_string_lossy()) {
            let checked = registry.check(&manifest, None);
            // What loads has no error in its report.
            if registry.load(&manifest, None).is_ok() {
                assert!(checked.expect("loaded").passed());
            }
        }
    };
    let corpora = corpus::Registry::built_in().expect("the built-in corpora");
    std::fs::create_dir_all(home.path("s")).expect("made");
    let parquet = file("tests/reference/pairs/pairs.parquet");
    let v1 = walkdir::WalkDir::new(repository("tests/reference/records/v1"));
    let v1 = v1.into_iter().map(|e| e.expect("listed").into_path());
    let old: Vec<_> = v1
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    let scratch = home.path("any.json");
    let scratch = scratch.as_path();
    let tensors = file("tests/reference/encoders/bert-mean/model.safetensors");
    let header = 8 + u64::from_le_bytes(tensors[..8].try_into().expect("eight bytes")) as usize;
    let own = |name: &'static str| {
        move |bytes: &[u8]| {
            let _ = OwnPairs::read(Path::new(name), bytes, &PairsOptions::default());
        }
    };
    let record_of = |name: &'static str, format: records::Format| {
        let path = home.path(name);
        move |bytes: &[u8]| {
            written(&path, bytes);
            let _ = records::each::<records::RecordsError>(&path, format, &mut |_| Ok(()));
        }
    };
    let formats: Vec<Format<'_>> = vec![
        (
            "bundle",
            good().to_vec(),
            Box::new(|b| assert!(b == good() || Bundle::open(b).is_err())),
        ),
        (
            "zip file",
            good().to_vec(),
            Box::new(|b| _ = archive::read(b)),
        ),
        (
            "list of checksums",
            b"0123  a\n".repeat(9),
            Box::new(|b| _ = sums::read(b)),
        ),
        (
            "suite.toml",
            MANIFEST.into(),
            Box::new(|b| suite(CSV.as_bytes(), b)),
        ),
        (
            "suite, CSV",
            CSV.into(),
            Box::new(|b| suite(b, MANIFEST.as_bytes())),
        ),
        (
            "suite, JSON",
            JSONL.into(),
            Box::new(|b| suite(b, MANIFEST.as_bytes())),
        ),
        (
            "suite, gzip",
            gzip(CSV.as_bytes()),
            Box::new(|b| suite(b, MANIFEST.as_bytes())),
        ),
        (
            "suite, Parquet",
            parquet.clone(),
            Box::new(|b| suite(b, MANIFEST.as_bytes())),
        ),
        ("pairs, CSV", CSV.into(), Box::new(own("p.csv"))),
        ("pairs, JSONL", JSONL.into(), Box::new(own("p.jsonl"))),
        (
            "pairs, Parquet",
            parquet.clone(),
            Box::new(own("p.parquet")),
        ),
        (
            "rows, CSV",
            CSV.into(),
            Box::new(|b| {
                for row in delimited::Rows::new(b, b',') {
                    if row.is_err() {
                        break;
                    }
                }
            }),
        ),
        (
            "records, JSONL",
            JSONL.into(),
            Box::new(record_of("r.jsonl", records::Format::Json)),
        ),
        (
            "records, Parquet",
            parquet,
            Box::new(record_of("r.parquet", records::Format::Parquet)),
        ),
        (
            "record",
            std::fs::read(&old[0]).expect("read"),
            Box::new(move |b| {
                written(scratch, b);
                let _ = record::read_pairs(scratch);
                let _ = record::read_tokens(scratch);
                if let Ok(read) = Record::read(scratch) {
                    let text = record::to_json(&read);
                    written(scratch, text.as_ref());
                    let again = Record::read(scratch).expect("what was written");
                    assert_eq!(text, record::to_json(&again));
                }
            }),
        ),
        (
            "graph",
            file("tests/reference/onnx/bert-states/model.onnx"),
            Box::new(|b| {
                written(&home.path("g.onnx"), b);
                let _ = onnx::inspect(&home.path("g.onnx"));
            }),
        ),
        (
            "header of weights",
            tensors[..header].to_vec(),
            Box::new(|b| {
                written(
                    &home.path("t.safetensors"),
                    &[b, &tensors[header..]].concat(),
                );
                let _ = safetensors::check(&home.path("t.safetensors"));
            }),
        ),
        (
            "corpus",
            CORPUS.into(),
            Box::new(|b| {
                let path = home.path("c.toml");
                written(&path, b);
                let _ = corpora.find(&path.to_string_lossy());
            }),
        ),
        #[cfg(feature = "candle")]
        (
            "recipe",
            RECIPE.into(),
            Box::new(|b| {
                let text = String::from_utf8_lossy(b);
                let _ = korfinsts_train::recipe::Recipe::parse(&text, Path::new("r.toml"));
            }),
        ),
        of_a_model(&home, "config.json", false),
        of_a_model(&home, "modules.json", false),
        of_a_model(&home, "1_Pooling/config.json", false),
        of_a_model(&home, "sentence_bert_config.json", false),
        of_a_model(&home, "config_sentence_transformers.json", false),
        of_a_model(&home, "tokenizer_config.json", false),
        of_a_model(&home, "tokenizer.json", true),
    ];
    let all = if full("20,000 damaged inputs") {
        20_000
    } else {
        1_000
    };
    let each = usize::div_ceil(all, formats.len());
    let mut random = Random(20_261_128);
    for (name, bytes, read) in &formats {
        let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
        for _ in 0..each {
            let damaged = random.damage(bytes);
            let one = Instant::now();
            read(&damaged);
            slowest = slowest.max(one.elapsed());
        }
        let (seconds, slow) = (begun.elapsed().as_secs_f64(), slowest.as_secs_f64());
        eprintln!("| {name} | {each} | {seconds:.1} s | {slow:.2} s |");
        assert!(slowest < PATIENCE, "{name}: {slowest:?}");
    }
}
