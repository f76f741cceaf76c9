//! Uploads, spoken to through a small hub that keeps what it gets. `tests/push` does the same with the command, every failure and
//! the libraries of others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use korfinsts_base::hub::push::{Destination, How, PushFile, PushJob, Visibility};
use korfinsts_base::hub::{Hub, HubError, HubSettings, RepoId, RepoKind};
use serde_json::{Value, json};

use super::server::{Answer, Seen, Server};
use super::support::{Home, repository};

const TOKEN: &str = "token-of-the-tests";

/// What the hub holds: files of the newest commit by path, objects of the storage, and commits.
#[derive(Default)]
struct Held {
    exists: bool,
    private: bool,
    files: BTreeMap<String, Value>,
    stored: BTreeMap<String, Vec<u8>>,
    commits: Vec<String>,
}

impl Held {
    fn head(&self) -> String {
        format!("{:040x}", self.commits.len())
    }

    fn answer(&mut self, seen: &Seen, storage: &str) -> Answer {
        let path = seen.path.split('?').next().unwrap_or_default();
        if path == "/api/repos/create" {
            self.private = seen.json()["visibility"] == "private";
            self.exists = true;
            return Answer::json(&json!({ "url": "" }));
        }
        if !self.exists {
            return Answer::status(404);
        }
        match path.rsplit('/').nth(1) {
            Some("revision") => {
                let files: Vec<&Value> = self.files.values().collect();
                let value =
                    json!({ "sha": self.head(), "private": self.private, "siblings": files });
                Answer::json(&value)
            }
            Some("preupload") => {
                let asked = seen.json()["files"].as_array().expect("files").clone();
                let mode = |file: &Value| {
                    let apart = file["path"].as_str().is_some_and(|p| p.ends_with(".bin"));
                    json!({ "path": file["path"], "uploadMode": if apart { "lfs" } else { "regular" }, "shouldIgnore": false })
                };
                Answer::json(&json!({ "files": asked.iter().map(mode).collect::<Vec<_>>() }))
            }
            Some("objects") => {
                let asked = seen.json()["objects"].as_array().expect("objects").clone();
                let object = |object: &Value| {
                    let oid = object["oid"].as_str().expect("an oid");
                    let mut said = object.clone();
                    if !self.stored.contains_key(oid) {
                        said["actions"] = json!({ "upload": { "href": format!("{storage}/{oid}"), "header": { "x-of": "the storage" } } });
                    }
                    said
                };
                Answer::json(&json!({ "objects": asked.iter().map(object).collect::<Vec<_>>() }))
            }
            Some("commit") => {
                let text = String::from_utf8(seen.body.clone()).expect("UTF-8");
                let mut lines = text
                    .lines()
                    .map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
                let header = lines.next().expect("a header")["value"].clone();
                if header["parentCommit"] != *self.head() {
                    return Answer::status(412).body(b"{\"error\": \"another commit came first\"}");
                }
                for line in lines {
                    let (key, value) = (&line["key"], &line["value"]);
                    let name = value["path"].as_str().expect("a path").to_owned();
                    let mut file = json!({ "rfilename": name, "size": 0, "blobId": "" });
                    if key == "lfsFile" {
                        let stored = &self.stored[value["oid"].as_str().expect("an oid")];
                        assert_eq!(value["size"], stored.len());
                        file["lfs"] = json!({ "sha256": value["oid"], "size": value["size"] });
                    } else {
                        // As `printf 'small\n' | git hash-object --stdin` gives it.
                        assert_eq!(
                            (key, &value["content"]),
                            (&json!("file"), &json!("c21hbGwK"))
                        );
                        file["size"] = json!(6);
                        file["blobId"] = json!("ac790413e2d7a26c3767e78c57bb28716686eebc");
                    }
                    self.files.insert(name, file);
                }
                self.commits
                    .push(header["summary"].as_str().expect("a text").to_owned());
                Answer::json(
                    &json!({ "commitOid": self.head(), "commitUrl": format!("https://hub/commit/{}", self.head()) }),
                )
            }
            _ => Answer::status(404),
        }
    }
}

/// A hub, its storage and what it holds. `fails` may replace the answer to a request, after it was done.
fn hub(
    fails: impl Fn(&Seen, Answer) -> Answer + Send + Sync + 'static,
) -> (Server, Server, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(Held::default()));
    let kept = Arc::clone(&held);
    let storage = Server::new(move |seen, _| {
        let oid = korfinsts_base::fs::sha256(&seen.body);
        if seen.method != "PUT" || seen.path != format!("/{oid}") {
            return Answer::status(400);
        }
        kept.lock()
            .expect("no thread panicked")
            .stored
            .insert(oid, seen.body.clone());
        Answer::status(200)
    });
    let (kept, place) = (Arc::clone(&held), storage.address.clone());
    let server = Server::new(move |seen, _| {
        let answer = kept
            .lock()
            .expect("no thread panicked")
            .answer(seen, &place);
        fails(seen, answer)
    });
    (server, storage, held)
}

fn client(server: &Server) -> Hub {
    Hub::new(HubSettings {
        endpoint: server.address.clone(),
        cache: "cache-that-is-not-used".into(),
        token: Some(TOKEN.to_owned()),
        offline: false,
        attempts: 3,
        backoff: Duration::from_millis(5),
    })
}

fn job(files: Vec<PushFile>) -> PushJob {
    PushJob {
        id: RepoId::new(RepoKind::Model, "org/name").expect("a name"),
        files,
        message: "Add name".into(),
        to: Destination::Main,
        visibility: Some(Visibility::Private),
        delete: false,
    }
}

fn files(folder: &Path) -> Vec<PushFile> {
    std::fs::write(folder.join("large.bin"), vec![7; 300_000]).expect("written");
    vec![
        PushFile::from_disk("a/large.bin", &folder.join("large.bin")).expect("read"),
        PushFile::from_bytes("small.txt", b"small\n".to_vec()).expect("a path"),
    ]
}

#[test]
fn a_push_is_one_commit_and_the_storage_gets_no_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, storage, held) = hub(|_, answer| answer);
    let job = job(files(folder.path()));
    let client = client(&server);
    let plan = client.plan_push(&job).expect("a plan");
    assert!(plan.head.is_none() && plan.guessed && !plan.is_done());
    assert_eq!(
        [plan.files[0].how, plan.files[1].how],
        [How::Lfs, How::Inline]
    );
    assert!(!held.lock().expect("held").exists, "a plan writes nothing");
    let pushed = client.push(&job).expect("pushed");
    assert_eq!((pushed.already, pushed.sent), (false, 300_000));
    let again = client.push(&job).expect("pushed");
    assert_eq!((again.already, again.commit), (true, pushed.commit));
    let held = held.lock().expect("held");
    assert!(held.private);
    assert_eq!(held.commits, ["Add name"]);
    assert_eq!(
        held.files.keys().collect::<Vec<_>>(),
        ["a/large.bin", "small.txt"]
    );
    assert_eq!(held.stored.values().next(), Some(&vec![7; 300_000]));
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(server.seen().iter().all(|s| s.authorization == bearer));
    assert!(storage.seen().iter().all(|s| s.authorization.is_none()));
    assert_eq!(storage.seen().len(), 1);
}

#[test]
fn a_lost_answer_makes_no_second_commit() {
    let lost: [fn(Answer) -> Answer; 3] = [
        |_| Answer::status(502),
        |answer| Answer {
            cut_after: Some(9),
            ..answer
        },
        |answer| Answer {
            hang_up: true,
            ..answer
        },
    ];
    for lose in lost {
        let folder = tempfile::tempdir().expect("a folder");
        let (server, _storage, held) = hub(move |seen, answer| {
            if seen.path.contains("/commit/") {
                lose(answer)
            } else {
                answer
            }
        });
        let job = job(files(folder.path()));
        let pushed = client(&server).push(&job).expect("it is found");
        let held = held.lock().expect("held");
        assert_eq!((held.commits.len(), pushed.commit), (1, held.head()));
    }
}

#[test]
fn another_commit_is_not_overwritten_and_a_changed_file_not_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, _storage, held) = hub(|_, answer| answer);
    let mut job = job(files(folder.path()));
    client(&server).push(&job).expect("pushed");
    let between = Arc::clone(&held);
    let (place, kept) = (server.address.clone(), Arc::clone(&held));
    let late = Server::new(move |seen, _| {
        let mut held = kept.lock().expect("held");
        if seen.path.contains("/commit/") {
            held.commits.push("theirs".into());
        }
        held.answer(seen, &place)
    });
    job.files[1] = PushFile::from_bytes("other.txt", b"small\n".to_vec()).expect("a path");
    let error = client(&late).push(&job).expect_err("too late");
    assert!(matches!(error, HubError::Conflict { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "model `org/name`: the hub refuses the commit: another commit came first"
    );
    assert_eq!(
        between
            .lock()
            .expect("held")
            .commits
            .last()
            .map(String::as_str),
        Some("theirs")
    );

    let (server, _storage, held) = hub(|_, answer| answer);
    job.files = files(folder.path());
    std::fs::write(folder.path().join("large.bin"), vec![8; 300_000]).expect("written");
    let error = client(&server).push(&job).expect_err("it changed");
    assert_eq!(
        error.to_string(),
        "a/large.bin: the file changed while it was sent: nothing was committed"
    );
    let held = held.lock().expect("held");
    assert!(held.commits.is_empty() && held.stored.is_empty());
}

#[test]
fn a_public_repository_an_unknown_path_and_a_missing_token_are_refused() {
    let (server, _storage, held) = hub(|_, answer| answer);
    held.lock().expect("held").exists = true;
    let job = job(vec![
        PushFile::from_bytes("small.txt", b"small\n".to_vec()).expect("a path"),
    ]);
    let error = client(&server).push(&job).expect_err("public");
    assert!(
        error.hint().is_some_and(|h| h.contains("`--public`")),
        "{error}"
    );
    assert_eq!(error.class().exit_code(), 2);
    for path in ["../x", "/x", "a//b", "a\\b", "a\nb", ""] {
        assert!(PushFile::from_bytes(path, Vec::new()).is_err(), "{path:?}");
    }
    let mut settings = client(&server).settings().clone();
    settings.token = None;
    let error = Hub::new(settings).push(&job).expect_err("no token");
    assert_eq!(error.to_string(), "a push needs a token of the hub");
    assert!(held.lock().expect("held").commits.is_empty());
}

#[test]
fn a_dry_run_without_network_lists_the_model_and_refuses_what_is_none() {
    let home = Home::new();
    let model = home.path("model");
    let source = repository("tests/reference/encoders/bert-mean");
    home.copy(&source, &model);
    let run = |more: &[&str]| {
        let output = home
            .command(&["push", "model", "model", "org/model"])
            .args(more)
            .output()
            .expect("run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, _, said) = run(&["--dry-run"]);
    assert!(
        code == Some(3)
            && said.contains("the model has no card")
            && said.contains("hint: write README.md"),
        "{said}"
    );
    std::fs::write(model.join("README.md"), "---\nlicense: mit\n---\n").expect("written");
    std::fs::write(model.join(".env"), "A=1").expect("written");
    let (code, listed, said) = run(&["--dry-run", "--offline"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        listed.starts_with("model org/model (not looked at, private), to main: Add org/model"),
        "{listed}"
    );
    assert!(
        said.contains("not pushed: .env (hidden)") && said.contains("nothing was written"),
        "{said}"
    );
    let (code, _, said) = run(&["--offline"]);
    assert!(
        code == Some(5) && said.contains("add `--dry-run`"),
        "{said}"
    );
}
