//! The hub, spoken to through a small server of its protocol.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use korfinsts_base::hub::{Hub, HubError, HubSettings, Progress, RepoId, RepoKind};
use korfinsts_bench::suite::Registry;

use super::server::{Answer, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn listing(files: &[&str]) -> Vec<u8> {
    let siblings: Vec<_> = files
        .iter()
        .map(|f| serde_json::json!({ "rfilename": f }))
        .collect();
    serde_json::json!({ "sha": COMMIT, "siblings": siblings })
        .to_string()
        .into_bytes()
}

fn settings(endpoint: &str, cache: &Path) -> HubSettings {
    HubSettings {
        endpoint: endpoint.to_owned(),
        cache: cache.to_owned(),
        token: Some("secret".to_owned()),
        offline: false,
        attempts: 3,
        backoff: Duration::from_millis(5),
    }
}

fn dataset() -> RepoId {
    RepoId::new(RepoKind::Dataset, "org/name").expect("a name")
}

/// A file of a repository, answered as the hub does: small ones by git hash, large ones by
/// SHA-256 and a redirect to the storage.
fn small(body: &[u8], etag: &str) -> Answer {
    Answer::status(200)
        .with("etag", format!("\"{etag}\""))
        .with("x-repo-commit", COMMIT)
        .body(body)
}

const README: &[u8] = b"test content\n";
const README_ETAG: &str = "d670460b4b4aece5915caf5c68d12f560a9fe3e4";

fn large_body() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_fresh_download_fills_the_cache_and_the_second_one_asks_nothing() {
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/api/datasets/org/name/revision/main" => {
            Answer::status(200).body(&listing(&["data/a.txt", "README.md"]))
        }
        p if p.ends_with("/README.md") => small(README, README_ETAG),
        _ => Answer::status(404),
    });
    let cache = tempfile::tempdir().expect("a cache");
    let hub = Hub::new(settings(&server.address, cache.path()));
    let snapshot = hub.resolve(&dataset(), "main").expect("it resolves");
    assert_eq!(snapshot.commit, COMMIT);
    assert_eq!(snapshot.files, ["README.md", "data/a.txt"]);
    let file = hub
        .file(&dataset(), COMMIT, "README.md")
        .expect("it downloads");
    assert_eq!(std::fs::read(&file).expect("read"), README);
    let folder = cache.path().join("datasets--org--name");
    assert_eq!(
        file,
        folder.join("snapshots").join(COMMIT).join("README.md")
    );
    assert!(folder.join("blobs").join(README_ETAG).is_file());
    assert_eq!(
        std::fs::read_to_string(folder.join("refs/main")).expect("read"),
        COMMIT
    );
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(&file).expect("a link"),
        PathBuf::from("../../blobs").join(README_ETAG)
    );
    let asked = server.seen().len();
    assert_eq!(
        hub.file(&dataset(), COMMIT, "README.md").expect("cached"),
        file
    );
    assert_eq!(hub.resolve(&dataset(), COMMIT).expect("listed"), snapshot);
    assert_eq!(hub.cached(&dataset(), COMMIT, "README.md"), Some(file));
    assert_eq!(hub.cached(&dataset(), COMMIT, "data/a.txt"), None);
    assert_eq!(server.seen().len(), asked, "the cache needs no request");
    assert!(
        server
            .seen()
            .iter()
            .all(|s| s.authorization.as_deref() == Some("Bearer secret"))
    );
}

#[test]
fn offline_reads_a_cache_that_python_filled_and_nothing_else() {
    let cache = tempfile::tempdir().expect("a cache");
    let folder = cache.path().join("datasets--org--name");
    let put = |name: &str, text: &[u8]| {
        korfinsts_base::fs::write_atomic(&folder.join(name), text).expect("written");
    };
    put("refs/main", COMMIT.as_bytes());
    put(&format!("blobs/{README_ETAG}"), README);
    put(
        &format!("snapshots/{COMMIT}/data/copy.txt"),
        b"a copy, as on Windows",
    );
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        format!("../../blobs/{README_ETAG}"),
        folder.join(format!("snapshots/{COMMIT}/README.md")),
    )
    .expect("linked");
    #[cfg(not(unix))]
    put(&format!("snapshots/{COMMIT}/README.md"), README);
    let mut offline = settings("http://127.0.0.1:1", cache.path());
    offline.offline = true;
    let hub = Hub::new(offline);
    let snapshot = hub.resolve(&dataset(), "main").expect("in the cache");
    assert_eq!(snapshot.files, ["README.md", "data/copy.txt"]);
    let file = hub
        .file(&dataset(), &snapshot.commit, "README.md")
        .expect("in the cache");
    assert_eq!(std::fs::read(file).expect("read"), README);
    for error in [
        hub.file(&dataset(), COMMIT, "other.txt")
            .expect_err("not there"),
        hub.resolve(&dataset(), "v2").expect_err("not there"),
        hub.resolve(
            &RepoId::new(RepoKind::Model, "org/name").expect("a name"),
            "main",
        )
        .expect_err("not there"),
    ] {
        assert!(matches!(error, HubError::Offline { .. }), "{error}");
        assert_eq!(error.class().exit_code(), 5);
        assert!(error.hint().unwrap_or_default().contains("--offline"));
    }
    // The same cache answers when the hub cannot be reached; what is not there says so.
    let hub = Hub::new(settings("http://127.0.0.1:1", cache.path()));
    assert_eq!(
        hub.resolve(&dataset(), "main").expect("in the cache"),
        snapshot
    );
    let error = hub
        .file(&dataset(), COMMIT, "other.txt")
        .expect_err("unreachable");
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let body = large_body();
    let etag = korfinsts_base::fs::sha256(&body);
    let (served, tag) = (body.clone(), etag.clone());
    let server = Server::new(move |seen, number| {
        if seen.method == "HEAD" {
            return Answer::status(200)
                .with("x-linked-etag", format!("\"{tag}\""))
                .with("x-linked-size", served.len().to_string());
        }
        match &seen.range {
            Some(range) => {
                let from: usize = range
                    .trim_start_matches("bytes=")
                    .trim_end_matches('-')
                    .parse()
                    .expect("a range");
                let mut answer = Answer::status(206).body(&served[from..]);
                answer.cut_after = (number < 4).then_some(100_000);
                answer
            }
            None => {
                let mut answer = Answer::status(200).body(&served);
                answer.cut_after = Some(300_000);
                answer
            }
        }
    });
    let cache = tempfile::tempdir().expect("a cache");
    let received = Arc::new(AtomicUsize::new(0));
    let sum = Arc::clone(&received);
    let hub = Hub::new(settings(&server.address, cache.path())).with_progress(move |p| {
        if let Progress::Advance { bytes } = p {
            sum.fetch_add(bytes as usize, Ordering::Relaxed);
        }
    });
    let file = hub
        .file(&dataset(), COMMIT, "model.bin")
        .expect("it goes on");
    assert_eq!(std::fs::read(file).expect("read"), body);
    let ranges: Vec<Option<String>> = server.seen().into_iter().map(|s| s.range).collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[2].as_deref(), Some("bytes=300000-"));
    assert_eq!(ranges[3].as_deref(), Some("bytes=400000-"));
    assert_eq!(
        received.load(Ordering::Relaxed),
        body.len(),
        "no byte twice"
    );
}

#[test]
fn wrong_bytes_are_removed_and_refused() {
    let wrong = korfinsts_base::fs::sha256(b"something else");
    for etag in [README_ETAG.replace('d', "e"), wrong] {
        let tag = etag.clone();
        let server = Server::new(move |_, _| small(README, &tag));
        let cache = tempfile::tempdir().expect("a cache");
        let hub = Hub::new(settings(&server.address, cache.path()));
        let error = hub
            .file(&dataset(), COMMIT, "README.md")
            .expect_err("wrong bytes");
        let HubError::Checksum {
            expected, found, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*expected, etag);
        assert_ne!(found, expected);
        let blobs = cache.path().join("datasets--org--name/blobs");
        assert_eq!(std::fs::read_dir(blobs).expect("listed").count(), 0);
    }
}

#[test]
fn a_busy_hub_is_asked_again_after_the_wait_it_names() {
    let server = Server::new(|_, number| match number {
        1 => Answer::status(429).with("retry-after", "1"),
        2 => Answer::status(503),
        _ => Answer::status(200).body(&listing(&["a"])),
    });
    let cache = tempfile::tempdir().expect("a cache");
    let hub = Hub::new(settings(&server.address, cache.path()));
    let start = Instant::now();
    hub.resolve(&dataset(), "main")
        .expect("the third attempt succeeds");
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "it waited as it was told"
    );
    assert_eq!(server.seen().len(), 3);
    // One that asks for too long a wait, or stays busy, is an error.
    for wait in ["3600", "0"] {
        let server = Server::new(move |_, _| Answer::status(429).with("retry-after", wait));
        let hub = Hub::new(settings(&server.address, &cache.path().join(wait)));
        let error = hub.resolve(&dataset(), "main").expect_err("it stays busy");
        assert!(
            matches!(error, HubError::Status { status: 429, .. }),
            "{error}"
        );
        assert_eq!(server.seen().len(), if wait == "0" { 3 } else { 1 });
    }
}

#[test]
fn what_does_not_exist_and_what_is_gated_are_told_apart() {
    let server = Server::new(|seen, _| {
        let path = &seen.path;
        if path.contains("gated") {
            Answer::status(401).with("x-error-code", "GatedRepo")
        } else if path.contains("secret-name") {
            Answer::status(401).with("x-error-code", "RepoNotFound")
        } else {
            Answer::status(404)
        }
    });
    let cache = tempfile::tempdir().expect("a cache");
    for (name, message, hint) in [
        (
            "org/none",
            "the hub has no dataset `org/none` at `main`",
            "spelled right",
        ),
        (
            "org/secret-name",
            "the hub has no dataset `org/secret-name` at `main`",
            "HF_TOKEN",
        ),
        (
            "org/gated",
            "the hub refuses access to dataset `org/gated` at `main` (status 401)",
            "the token was sent and does not suffice: is access granted at",
        ),
    ] {
        let hub = Hub::new(settings(&server.address, cache.path()));
        let id = RepoId::new(RepoKind::Dataset, name).expect("a name");
        let error = hub.resolve(&id, "main").expect_err("refused");
        assert_eq!(error.to_string(), message);
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{:?}",
            error.hint()
        );
        assert_eq!(error.class().exit_code(), 5);
    }
    let mut anonymous = settings(&server.address, cache.path());
    anonymous.token = None;
    let gated = RepoId::new(RepoKind::Model, "org/gated").expect("a name");
    let error = Hub::new(anonymous)
        .file(&gated, COMMIT, "a.bin")
        .expect_err("refused");
    assert!(
        error
            .hint()
            .unwrap_or_default()
            .contains("put a token into `HF_TOKEN`"),
        "{error}"
    );
    let hub = Hub::new(settings(&server.address, cache.path()));
    let error = hub
        .file(&dataset(), COMMIT, "a/b.txt")
        .expect_err("no such file");
    assert_eq!(
        error.to_string(),
        format!("the hub has no `a/b.txt` in dataset `org/name` at {COMMIT}")
    );
    assert!(hub.file(&dataset(), COMMIT, "../../x").is_err());
}

#[test]
fn the_token_stays_with_its_host_when_a_download_is_redirected() {
    let body = large_body();
    let etag = korfinsts_base::fs::sha256(&body);
    let served = body.clone();
    let storage = Server::new(move |_, _| Answer::status(200).body(&served));
    let (to, tag, size) = (storage.address.clone(), etag.clone(), body.len());
    let server = Server::new(move |seen, _| {
        if seen.path.contains("old-name") {
            // A renamed repository: a redirect on the same host.
            return Answer::status(307).with("location", seen.path.replace("old-name", "name"));
        }
        Answer::status(302)
            .with("location", format!("{to}/storage?signed"))
            .with("x-linked-etag", format!("\"{tag}\""))
            .with("x-linked-size", size.to_string())
            .with("x-repo-commit", COMMIT)
    });
    let cache = tempfile::tempdir().expect("a cache");
    let hub = Hub::new(settings(&server.address, cache.path()));
    let id = RepoId::new(RepoKind::Model, "org/old-name").expect("a name");
    let file = hub
        .file(&id, COMMIT, "model.bin")
        .expect("it is redirected");
    assert_eq!(std::fs::read(file).expect("read"), body);
    assert!(
        server
            .seen()
            .iter()
            .all(|s| s.authorization.as_deref() == Some("Bearer secret"))
    );
    assert!(
        storage.seen().iter().all(|s| s.authorization.is_none()),
        "{:?}",
        storage.seen()
    );
    assert_eq!(storage.seen().len(), 1);
    assert_eq!(storage.seen()[0].path, "/storage?signed");
}

#[test]
fn two_clients_download_a_file_once() {
    let body = large_body();
    let etag = korfinsts_base::fs::sha256(&body);
    let server = Server::new(move |seen, _| {
        if seen.method == "GET" {
            std::thread::sleep(Duration::from_millis(100));
        }
        small(&body, &etag)
    });
    let cache = tempfile::tempdir().expect("a cache");
    let hub = Hub::new(settings(&server.address, cache.path()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| hub.file(&dataset(), COMMIT, "a.bin").expect("it downloads"));
        }
    });
    let downloads = server.seen().iter().filter(|s| s.method == "GET").count();
    assert_eq!(downloads, 1);
}

/// A suite is fetched from the hub and then used without it.
#[test]
fn a_suite_is_fetched_at_its_pinned_revision_and_stays() {
    const PINNED: &str = "a0d554a64d88156834ff5ae9920b964011b16384";
    let mut rows = String::new();
    for i in 0..3108 {
        rows.push_str(&format!(
            "{{\"sentence1\": \"a {i}\", \"sentence2\": \"b\", \"score\": {}}}\n",
            f64::from(i % 51) / 10.0
        ));
    }
    let server = Server::new(move |seen, _| {
        let siblings = serde_json::json!([{ "rfilename": "test.jsonl" }, { "rfilename": "x.md" }]);
        if seen.path == format!("/api/datasets/mteb/sts12-sts/revision/{PINNED}") {
            let body = serde_json::json!({ "sha": PINNED, "siblings": siblings }).to_string();
            return Answer::status(200).body(body.as_bytes());
        }
        if seen.path == format!("/datasets/mteb/sts12-sts/resolve/{PINNED}/test.jsonl") {
            return Answer::status(200)
                .with("etag", "\"weak-tag\"")
                .body(rows.as_bytes());
        }
        Answer::status(404)
    });
    let cache = tempfile::tempdir().expect("a cache");
    let home = tempfile::tempdir().expect("a data home");
    let registry = Registry::open(home.path()).expect("valid");
    let manifest = registry.find("sts12").expect("a suite");
    let hub = Hub::new(settings(&server.address, cache.path()));
    let reports = registry.fetch(&manifest, &hub).expect("it is fetched");
    assert_eq!(reports[0].hub_commit.as_deref(), Some(PINNED));
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!(suite.pairs.len(), 3108);
    assert_eq!(suite.hub_revision.as_deref(), Some(PINNED));
    assert_eq!(suite.pairs[50].gold, 5.0);
    // What the hub does not have is said with the names that were looked for.
    let korfinsts = registry.find("korfinsts").expect("a suite");
    let error = registry.fetch(&korfinsts, &hub).expect_err("not there");
    assert_eq!(
        error.to_string(),
        "the hub has no dataset `nmixx-fin/korfinSTS` at `main`"
    );
    let asked: HashMap<String, usize> =
        server
            .seen()
            .into_iter()
            .fold(HashMap::new(), |mut counts, seen| {
                *counts.entry(seen.path).or_default() += 1;
                counts
            });
    assert!(asked.contains_key("/api/datasets/nmixx-fin/NMIXX_kor_fin_STS_datasets/revision/main"));
}

/// Manifests whose rows were not seen when they were written: the names of files and columns are those of the benchmarks' code.
#[test]
fn suites_of_other_benchmarks_are_fetched_by_their_names() {
    use std::io::Write as _;
    const PINNED: &str = "faeb762787bd10488a50c8b5be4a3b82e411949c";
    const HEAD: &str = "0123456789012345678901234567890123456789";
    let sets = [
        ("korfinmteb-disclosure", "NMIXX_kor_fin_DART_report_STS"),
        ("korfinmteb-report", "NMIXX_kor_fin_report_STS"),
        ("korfinmteb-law", "NMIXX_kor_fin_law_STS"),
        ("korfinmteb-news", "NMIXX_kor_fin_news_STS"),
    ];
    let sts17: String = (0..2846)
        .map(|i| format!("{{\"sentence1\": \"가 {i}\", \"sentence2\": \"나\", \"score\": {}, \"lang\": \"ko-ko\"}}\n", i % 6))
        .collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(sts17.as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    let server = Server::new(move |seen, _| {
        let listing = |sha: &str, file: &str| {
            let siblings = serde_json::json!([{ "rfilename": file }, { "rfilename": "README.md" }]);
            let body = serde_json::json!({ "sha": sha, "siblings": siblings }).to_string();
            Answer::status(200).body(body.as_bytes())
        };
        let file = |body: &[u8]| Answer::status(200).with("etag", "\"weak-tag\"").body(body);
        if seen.path == format!("/api/datasets/mteb/sts17-crosslingual-sts/revision/{PINNED}") {
            return listing(PINNED, "test/ko-ko.jsonl.gz");
        }
        if seen.path
            == format!("/datasets/mteb/sts17-crosslingual-sts/resolve/{PINNED}/test/ko-ko.jsonl.gz")
        {
            return file(&packed);
        }
        for (_, repo) in sets {
            if seen.path == format!("/api/datasets/nmixx-fin/{repo}/revision/main") {
                return listing(HEAD, "train.csv");
            }
            if seen.path == format!("/datasets/nmixx-fin/{repo}/resolve/{HEAD}/train.csv") {
                return file("text1,text2,score\n가나다,가나,1\n라마,,0\n".as_bytes());
            }
        }
        Answer::status(404)
    });
    let cache = tempfile::tempdir().expect("a cache");
    let home = tempfile::tempdir().expect("a data home");
    let registry = Registry::open(home.path()).expect("valid");
    let hub = Hub::new(settings(&server.address, cache.path()));
    for (id, _) in sets {
        let manifest = registry.find(id).expect("a suite");
        registry.fetch(&manifest, &hub).expect("it is fetched");
        let suite = registry.load(&manifest, None).expect("it loads");
        assert_eq!(suite.pairs.len(), 2, "{id}");
        assert_eq!(suite.hub_revision.as_deref(), Some(HEAD), "{id}");
        assert!(
            suite
                .warnings
                .iter()
                .any(|w| w.contains("1 pairs have an empty text")),
            "{id}"
        );
    }
    let manifest = registry.find("sts17-ko").expect("a suite");
    registry.fetch(&manifest, &hub).expect("it is fetched");
    let suite = registry.load(&manifest, None).expect("it loads");
    assert_eq!((suite.pairs.len(), suite.pairs[5].gold), (2846, 5.0));
    assert_eq!(suite.hub_revision.as_deref(), Some(PINNED));
}
