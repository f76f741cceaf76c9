//! Builds: one set of bytes everywhere, every flipped byte found, signatures, versions, comparison.

use korfinsts_base::archive;
use korfinsts_base::fs::sha256;
use korfinsts_publish::release::{Bump, Context, Subject, build, rebuild, verify};
use minisign::KeyPair;

use super::fixture::{CANARY, Fixture};
use crate::support::{Home, repository};

#[test]
fn twenty_four_environments_give_one_sha256() {
    let home = Home::new();
    let mut hashes = Vec::new();
    let zones = [
        "UTC",
        "Asia/Seoul",
        "America/St_Johns",
        "Pacific/Kiritimati",
    ];
    let umasks = ["000", "022", "077"];
    let locales = ["C", "ko_KR.UTF-8"];
    for (i, zone) in zones.iter().enumerate() {
        for (j, umask) in umasks.iter().enumerate() {
            for (k, locale) in locales.iter().enumerate() {
                // Another folder and another order of rows each time.
                let folder = home.path(&format!("in {i}{j}{k}/보기"));
                let mut fixture = Fixture::new();
                let turn = 7 * i + 3 * j + k;
                for (_, rows) in &mut fixture.splits {
                    let n = rows.len();
                    rows.rotate_left(turn % n);
                }
                fixture.annotations.rotate_right(turn);
                fixture.provenance.rotate_left(turn);
                fixture.write(&folder);
                let out = home.path(&format!("out{turn}"));
                let program = assert_cmd::cargo::cargo_bin("korfinsts");
                let line = format!(
                    "umask {umask}; exec \"$0\" release build \"$1\" --output \"$2\" --as-of 2026-02-03"
                );
                let status = std::process::Command::new("sh")
                    .args(["-c", &line])
                    .arg(program)
                    .arg(&folder)
                    .arg(&out)
                    .current_dir(home.path(""))
                    .env("TZ", zone)
                    .env("LC_ALL", locale)
                    .env("LANG", locale)
                    .env("KORFINSTS_DATA", home.data())
                    .env("SOURCE_DATE_EPOCH", turn.to_string())
                    .output()
                    .expect("sh runs");
                assert!(
                    status.status.success(),
                    "{}",
                    String::from_utf8_lossy(&status.stderr)
                );
                let zip = std::fs::read(out.join("fixture-1.0.0.zip")).expect("the zip file");
                hashes.push(sha256(&zip));
            }
        }
    }
    assert_eq!(hashes.len(), 24);
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "{hashes:?}");
}

#[test]
fn a_built_release_builds_again_to_the_same_bytes() {
    let fixture = Fixture::new();
    let first = build(&fixture.subject()).expect("built");
    let folder = tempfile::tempdir().expect("a folder");
    let zip = folder.path().join("fixture-1.0.0.zip");
    std::fs::write(&zip, &first.zip).expect("written");
    let subject = Subject::open(&zip, fixture.context.clone()).expect("read");
    assert!(subject.built);
    let again = rebuild(&subject).expect("built again");
    assert_eq!(again.zip, first.zip);
    assert_eq!(again.release_id, first.release_id);
    let verdict = verify(&subject, None, Some(&first.release_id));
    assert!(verdict.passed(), "{verdict:#?}");
}

#[test]
fn every_flipped_byte_of_a_release_is_found() {
    let fixture = Fixture::new();
    let built = build(&fixture.subject()).expect("built");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fixture-1.0.0.zip");
    // Every byte of the container's own structure, and a sample of those of files: reading them all
    // takes minutes. The canonical form covers each byte by construction.
    let mut found = 0;
    for at in (0..built.zip.len()).filter(|at| at % 97 == 0 || *at > built.zip.len() - 400) {
        let mut bytes = built.zip.clone();
        bytes[at] ^= 1 << (at % 8);
        let refused = match archive::read(&bytes) {
            Err(_) => true,
            Ok(files) => {
                !korfinsts_base::sums::differences(&files).is_empty()
                    || archive::write(&files).expect("packed") != bytes
            }
        };
        assert!(refused, "byte {at}");
        found += 1;
    }
    assert!(found > 1000, "{found}");
    // From outside, for one byte of each kind.
    for at in [10, built.zip.len() / 2, built.zip.len() - 1] {
        let mut bytes = built.zip.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, bytes).expect("written");
        let home = Home::new();
        let output = home
            .command(&["release", "verify"])
            .arg(&path)
            .output()
            .expect("run");
        assert!(
            matches!(output.status.code(), Some(1 | 3)),
            "{at}: {output:?}"
        );
        // A cause is said once.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.matches("not an acceptable zip file").count() <= 1,
            "{said}"
        );
    }
}

#[test]
fn a_release_is_built_signed_verified_and_loaded_from_outside() {
    let home = Home::new();
    let folder = home.path("source");
    Fixture::new().write(&folder);
    let out = home.path("out");
    let output = home
        .command(&["release", "build"])
        .arg(&folder)
        .arg("--output")
        .arg(&out)
        .output()
        .expect("run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let zip = out.join("fixture-1.0.0.zip");
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let secret = home.path("secret.key");
    let public = home.path("public.pub");
    std::fs::write(&secret, keys.sk.to_box(None).expect("a box").into_string()).expect("written");
    std::fs::write(&public, keys.pk.to_box().expect("a box").into_string()).expect("written");
    let other = KeyPair::generate_unencrypted_keypair().expect("keys");
    let wrong = home.path("wrong.pub");
    std::fs::write(&wrong, other.pk.to_box().expect("a box").into_string()).expect("written");
    for release in [zip.clone(), out.join("fixture-1.0.0")] {
        let run = |arguments: &[&str], key: Option<(&str, &std::path::Path)>| {
            let mut command = home.command(arguments);
            command.arg(&release);
            if let Some((flag, key)) = key {
                command.arg(flag).arg(key);
            }
            command.output().expect("run").status.code()
        };
        // The key that verified the one before is kept.
        std::fs::remove_dir_all(home.data().join("keys")).unwrap_or_default();
        assert_eq!(run(&["release", "verify"], None), Some(0));
        assert_eq!(
            run(&["release", "verify"], Some(("--public-key", &public))),
            Some(1),
            "not signed yet"
        );
        assert_eq!(
            run(&["release", "sign"], Some(("--secret-key", &public))),
            Some(1),
            "no secret key"
        );
        assert_eq!(
            run(&["release", "sign"], Some(("--secret-key", &secret))),
            Some(0)
        );
        assert_eq!(
            run(&["release", "verify"], Some(("--public-key", &public))),
            Some(0)
        );
        assert_eq!(
            run(&["release", "verify"], Some(("--public-key", &wrong))),
            Some(1)
        );
        assert_eq!(
            run(
                &["release", "check", "--as-of", "2026-02-03"],
                Some(("--public-key", &public))
            ),
            Some(0)
        );
    }
    // A file too many, in the folder.
    std::fs::write(out.join("fixture-1.0.0/extra.txt"), "x").expect("written");
    let output = home
        .command(&["release", "verify", "--format", "json"])
        .arg(out.join("fixture-1.0.0"))
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(1));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        printed["checks"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|c| c["id"] == "checksums" && c["passed"] == false)
    );
}

#[test]
fn a_release_that_does_not_pass_is_not_built() {
    let home = Home::new();
    let folder = home.path("source");
    let mut fixture = Fixture::new();
    fixture.row(0)["sentence1"] = "연락은 010-1234-5678 로 한다.".into();
    fixture.write(&folder);
    let output = home
        .command(&["release", "build"])
        .arg(&folder)
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("1 errors in R10: nothing was built") && said.contains("hint: "),
        "{said}"
    );
    assert!(!folder.join("releases").exists());
}

#[test]
fn a_second_release_is_bumped_built_and_compared() {
    let home = Home::new();
    let folder = home.path("source");
    Fixture::new().write(&folder);
    home.command(&["release", "build"])
        .arg(&folder)
        .assert()
        .success();
    // A label is corrected.
    let mut fixture = Fixture::new();
    fixture.row(0)["score"] = 5.into();
    for annotation in fixture
        .annotations
        .iter_mut()
        .filter(|a| a["id"] == "test-000")
    {
        annotation["label"] = 5.into();
    }
    fixture.write(&folder);
    let output = home
        .command(&["release", "bump", "--write"])
        .arg(&folder)
        .output()
        .expect("run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2.0.0\n");
    let log = std::fs::read_to_string(folder.join("CHANGELOG.md")).expect("read");
    assert!(
        log.contains("## 2.0.0")
            && log.contains("label changed (1): `test-000`")
            && log.contains(CANARY),
        "{log}"
    );
    home.command(&["release", "check"])
        .arg(&folder)
        .assert()
        .success();
    home.command(&["release", "build"])
        .arg(&folder)
        .assert()
        .success();
    let releases = folder.join("releases");
    let output = home
        .command(&["release", "diff", "--format", "json"])
        .arg(releases.join("fixture-1.0.0.zip"))
        .arg(releases.join("fixture-2.0.0.zip"))
        .output()
        .expect("run");
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed["bump"], "major");
    assert_eq!(printed["changes"]["label"], serde_json::json!(["test-000"]));
    // The figures of records, on each release as a whole and on what they share.
    let records = home.path("records");
    for (id, folder) in [("fixture", &folder), ("fixture-2", &folder)] {
        let suite = home.path(&format!("suites/{id}"));
        std::fs::create_dir_all(&suite).expect("a folder");
        let version = if id == "fixture" { "1.0.0" } else { "2.0.0" };
        let rows = folder.join(format!("releases/fixture-{version}/data/test.jsonl"));
        std::fs::copy(rows, suite.join("test.jsonl")).expect("copied");
        let text = format!(
            "schema = 1\nid = \"{id}\"\nversion = \"{version}\"\ntitle = \"t\"\ndescription = \"d\"\nlanguages = [\"kor-Hang\"]\n\
             licence = \"MIT\"\nredistributable = true\ndefault_split = \"test\"\nscale = {{ kind = \"interval\", min = 0, max = 5 }}\n\
             [splits.test]\n[[source]]\nname = \"own\"\nformat = {{ kind = \"jsonl\" }}\nfiles = {{ test = [{{ name = \"test.jsonl\" }}] }}\n\
             columns = {{ id = [\"id\"], sentence1 = \"sentence1\", sentence2 = \"sentence2\", score = \"score\" }}\n"
        );
        std::fs::write(suite.join("suite.toml"), text).expect("written");
        home.command(&["eval", "--resamples", "100", "--results"])
            .arg(&records)
            .arg("--suite")
            .arg(&suite)
            .assert()
            .success();
    }
    let output = home
        .command(&["release", "diff", "--format", "json"])
        .arg(releases.join("fixture-1.0.0.zip"))
        .arg(releases.join("fixture-2.0.0.zip"))
        .arg("--records")
        .arg(&records)
        .output()
        .expect("run");
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let whole = &printed["whole"][0];
    let rho = |side: &str| {
        assert_eq!(whole[side][0], 60, "{printed}");
        whole[side][1].as_f64().expect("a correlation")
    };
    assert!(
        (rho("before") - rho("after")).abs() > 1e-6,
        "a label changed: {printed}"
    );
    assert_eq!(printed["submissions"][0]["after"][1], whole["after"][1]);
    // Without the earlier release at hand, the second cannot be checked.
    std::fs::remove_file(releases.join("fixture-1.0.0.zip")).expect("removed");
    home.command(&["release", "check"])
        .arg(&folder)
        .assert()
        .code(1);
}

#[test]
fn data_files_are_never_altered_and_tables_for_people_are_safe() {
    let mut fixture = Fixture::new();
    let text = "=HYPERLINK(\"x\") 금리가 올랐다고 한다.";
    fixture.row(0)["sentence1"] = text.into();
    fixture.row(1)["sentence1"] = "@SUM(1) 환율이 내렸다고 한다.".into();
    let built = build(&fixture.subject()).expect("built");
    let lines = String::from_utf8(built.files["data/test.jsonl"].clone()).expect("UTF-8");
    assert!(
        lines.contains(r#""sentence1":"=HYPERLINK(\"x\") 금리가 올랐다고 한다.""#),
        "{lines}"
    );
    let home = Home::new();
    let folder = home.path("source");
    fixture.row(0)["id"] = "=cmd()".into();
    fixture.write(&folder);
    let output = home
        .command(&["release", "check", "--format", "csv"])
        .arg(&folder)
        .output()
        .expect("run");
    let csv = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(csv.contains("'=cmd()") && !csv.contains(",=cmd()"), "{csv}");
}

#[test]
fn the_releases_of_korfin_shift_in_the_repository_are_what_their_sources_give() {
    let folder = repository("benchmarks/korfin-shift");
    let zip = |version: &str| folder.join(format!("releases/korfin-shift-{version}.zip"));
    let context = Context::on("2026-11-25".parse().expect("a day"));
    let first = Subject::open(&zip("1.0.0"), context.clone()).expect("the first release");
    let first_id = sha256(&first.files["SHA256SUMS"]);
    let mut later = context.clone();
    later.earlier.push(first.as_earlier(first_id.clone()));
    let built = build(&Subject::open(&folder, later.clone()).expect("read")).expect("built");
    assert_eq!(
        std::fs::read(zip("1.1.0")).expect("the released zip file"),
        built.zip
    );
    let card = std::fs::read_to_string(folder.join("README.md")).expect("a card");
    for (version, id, context) in [
        ("1.0.0", &first_id, &context),
        ("1.1.0", &built.release_id, &later),
    ] {
        assert!(card.contains(&format!("| {version} | `{id}` |")), "{id}");
        for place in [
            folder.join(format!("releases/korfin-shift-{version}")),
            zip(version),
        ] {
            let released = Subject::open(&place, context.clone()).expect("released");
            let verdict = verify(&released, None, Some(id));
            assert!(verdict.passed(), "{verdict:#?}");
        }
    }
    // Rows were added alone, and the tool says so.
    let released = Subject::open(&zip("1.1.0"), later).expect("the zip file");
    let change = korfinsts_publish::release::difference(&first.splits, &released.splits);
    assert_eq!(change.bump(), Bump::Minor);
    assert_eq!(change.ids().count(), 888 + 444 - 222);
    // Whoever got this release alone can verify it, and is told what was left out.
    let alone = Subject::open(&zip("1.1.0"), context).expect("the zip file");
    let verdict = verify(&alone, None, Some(&built.release_id));
    assert!(verdict.passed(), "{verdict:#?}");
    let last = verdict.checks.last().expect("checks");
    assert!(
        last.message.contains("give that release with `--previous`"),
        "{last:?}"
    );
    // The suite that ships in the binary has the same rows.
    let registry = korfinsts_bench::suite::Registry::open(std::path::Path::new("nowhere"))
        .expect("built-in suites");
    let manifest = registry.find("korfin-shift").expect("built in");
    for split in &released.splits {
        let suite = registry.load(&manifest, Some(&split.name)).expect("loaded");
        let rows: std::collections::BTreeMap<&str, _> =
            split.rows.iter().map(|r| (r.id.as_str(), r)).collect();
        assert_eq!(suite.pairs.len(), rows.len());
        for pair in &suite.pairs {
            let row = rows[pair.id.as_str()];
            assert_eq!(
                (&pair.sentence1, &pair.sentence2, Some(pair.gold)),
                (&row.sentence1, &row.sentence2, row.score)
            );
        }
    }
}

#[test]
fn the_command_verifies_each_release_where_it_lies_and_alone() {
    let folder = repository("benchmarks/korfin-shift/releases");
    let home = Home::new();
    let verify = |arguments: &[&str]| {
        let output = home
            .command(&[&["release", "verify", "--as-of", "2026-11-25"], arguments].concat())
            .assert()
            .success();
        String::from_utf8_lossy(&output.get_output().stdout).into_owned()
    };
    for name in ["korfin-shift-1.1.0.zip", "korfin-shift-1.1.0"] {
        let place = folder.join(name).display().to_string();
        assert!(verify(&[&place]).contains("its inputs build to the same files"));
        assert!(!verify(&[&place]).contains("--previous"), "{name}");
    }
    // In the folder that it was downloaded to, with and without the one before.
    for (name, told) in [
        ("korfin-shift-1.1.0.zip", true),
        ("korfin-shift-1.0.0.zip", false),
    ] {
        std::fs::copy(folder.join(name), home.path(name)).expect("copied");
        let said = verify(&["korfin-shift-1.1.0.zip"]);
        assert_eq!(said.contains("--previous"), told, "{said}");
    }
}

#[test]
fn a_key_inside_the_release_says_nothing_of_who_made_it() {
    let home = Home::new();
    let keys = [0, 1].map(|_| KeyPair::generate_unencrypted_keypair().expect("keys"));
    for (name, pair) in ["own", "evil"].iter().zip(&keys) {
        let secret = pair.sk.to_box(None).expect("a box").into_string();
        std::fs::write(home.path(&format!("{name}.key")), secret).expect("written");
        let public = pair.pk.to_box().expect("a box").into_string();
        std::fs::write(home.path(&format!("{name}.pub")), public).expect("written");
    }
    // A release that names the key, signed with it; and one without either.
    for (name, key) in [
        ("own", Some(&keys[0])),
        ("evil", Some(&keys[1])),
        ("bare", None),
    ] {
        let source = home.path(&format!("{name}-source"));
        Fixture::new().write(&source);
        let path = source.join("korfinsts.toml");
        let text = std::fs::read_to_string(&path).expect("read");
        let line = key.map_or(String::new(), |k| {
            format!("public_key = \"{}\"\n", k.pk.to_base64())
        });
        std::fs::write(&path, format!("{line}{text}")).expect("written");
        home.command(&["release", "build", "--output", name])
            .arg(&source)
            .assert()
            .success();
        if key.is_some() {
            let secret = format!("{name}.key");
            home.command(&[
                "release",
                "sign",
                "--secret-key",
                &secret,
                &format!("{name}/fixture-1.0.0.zip"),
            ])
            .assert()
            .success();
        }
    }
    let verify = |name: &str, more: &[&str]| {
        let output = home
            .command(&[
                "release",
                "verify",
                &format!("{name}/fixture-1.0.0.zip"),
                "--format",
                "json",
            ])
            .args(more)
            .output()
            .expect("run");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for name in ["own", "evil"] {
        let (code, said) = verify(name, &[]);
        assert!(
            code == Some(0) && said.contains("signed by an unknown key, not checked"),
            "{said}"
        );
    }
    let (code, said) = verify("bare", &[]);
    assert!(
        code == Some(0) && said.contains("not signed: compare the release id"),
        "{said}"
    );
    // A signature that is taken off while the key is named.
    let zip = home.path("own/fixture-1.0.0.zip");
    let signed = std::fs::read(&zip).expect("read");
    let mut files = korfinsts_base::archive::read(&signed).expect("a release");
    files.remove(korfinsts_base::sums::SIGNATURE);
    std::fs::write(
        &zip,
        korfinsts_base::archive::write(&files).expect("packed"),
    )
    .expect("written");
    let (code, said) = verify("own", &[]);
    assert!(
        code == Some(1) && said.contains("it is not signed, but it names a public key"),
        "{said}"
    );
    std::fs::write(&zip, signed).expect("written");
    // Once the key is known, other releases of the suite must be signed with it.
    let (code, said) = verify("own", &["--public-key", "own.pub"]);
    assert!(code == Some(0) && !said.contains("unknown key"), "{said}");
    assert!(home.data().join("keys/fixture.pub").is_file());
    let (code, said) = verify("own", &[]);
    assert!(code == Some(0) && !said.contains("unknown key"), "{said}");
    let (code, said) = verify("evil", &[]);
    assert!(
        code == Some(1) && said.contains("does not verify"),
        "{said}"
    );
    let (code, said) = verify("bare", &[]);
    assert!(
        code == Some(1) && said.contains("it is not signed, but a public key is trusted for it"),
        "{said}"
    );
}

#[test]
fn hidden_files_of_a_release_folder_are_found() {
    let home = Home::new();
    Fixture::new().write(&home.path("source"));
    home.command(&["release", "build", "source", "--output", "out"])
        .assert()
        .success();
    for name in [".evil", ".hidden/x"] {
        let path = home.path("out/fixture-1.0.0").join(name);
        korfinsts_base::fs::write_atomic(&path, b"x").expect("written");
        let output = home
            .command(&["release", "verify", "out/fixture-1.0.0"])
            .output()
            .expect("run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() != Some(0), "{name}: {said}");
        std::fs::remove_file(path).expect("removed");
    }
}
