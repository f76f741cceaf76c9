//! Attacks on the edges of the program: a server that is sent nonsense, an environment that leads elsewhere,
//! limits of the system, files that are no files of ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use predicates::prelude::*;

use super::server::{Answer, Server};
use super::submission::fixture;
use super::support::Home;

/// A server of a page, started by a shell that runs `limits` first.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(home: &Home, limits: &str) -> Self {
        let page = home.path("page");
        std::fs::create_dir_all(&page).expect("made");
        std::fs::write(page.join("index.html"), "<p id=board>").expect("written");
        std::fs::write(page.join(".hidden.json"), "{}").expect("written");
        std::fs::write(home.path("secret.json"), "{}").expect("written");
        let _ = std::fs::remove_file(page.join("link.json"));
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret.json", page.join("link.json")).expect("linked");
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limits}; exec \"$@\""), "sh"])
            .args([
                env!("CARGO_BIN_EXE_korfinsts"),
                "leaderboard",
                "serve",
                "--port",
                "0",
            ])
            .arg(&page)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().trim_start_matches("http://");
        let address = address.trim_end_matches('/').to_owned();
        Self { child, address }
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("connected");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("set");
        stream
    }

    /// The first line of the answer; empty where there is none.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.open();
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    fn get(&self, path: &str) -> String {
        let host = &self.address;
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_request_ends_the_server_of_a_page() {
    let home = Home::new();
    let mut serving = Serving::start(&home, "true");
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(5_000_000));
    for (request, status) in [
        (
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n",
            "200",
        ),
        (
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 18446744073709551615\r\n\r\nabc",
            "200",
        ),
        (
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
            "200",
        ),
        (
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000000000000000\r\n\r\n",
            "405",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
            "405",
        ),
        (
            "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            "405",
        ),
        (
            "GET / HTTP/1.1\r\nTE: chunked;q=nan, deflate;q=1e999\r\n\r\n",
            "200",
        ),
        (
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "200",
        ),
        ("HEAD / HTTP/1.1\r\n\r\n", "200"),
        ("GET  HTTP/1.1\r\n\r\n", "200"),
        ("\0\u{ff}\u{fe}\r\n\r\n", "405"),
        ("GET /\r\n\r\n", "200"),
        ("GET http://127.0.0.1/index.html HTTP/1.1\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"),
        ("GET /.hidden.json HTTP/1.1\r\n\r\n", "404"),
        ("GET /link.json HTTP/1.1\r\n\r\n", "404"),
        ("GET /../secret.json HTTP/1.1\r\n\r\n", "404"),
        (&long, "431"),
    ] {
        let shown: String = request.chars().take(60).collect();
        let found = serving.ask(request.as_bytes());
        // A client that goes on sending may not read the refusal.
        let refused = status == "431" && found.is_empty();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            refused || found.starts_with(&expected),
            "{shown:?}: {found:?}"
        );
        assert!(
            serving.child.try_wait().expect("asked").is_none(),
            "{shown:?} ended it"
        );
    }
    // Clients that leave before the answer.
    for _ in 0..200 {
        let _ = serving.open().write_all(b"GET / HTTP/1.1\r\n\r\n");
    }
    assert!(serving.get("/").starts_with("HTTP/1.1 200 "));
}

#[test]
fn connections_that_say_nothing_do_not_end_the_server_of_a_page() {
    let home = Home::new();
    let mut serving = Serving::start(&home, "ulimit -n 40");
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = serving.open();
            stream.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        serving.child.try_wait().expect("asked").is_none(),
        "it ended"
    );
    drop(silent);
    assert!(serving.get("/").starts_with("HTTP/1.1 200 "));
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_proxy_of_another_kind_is_not_gone_past() {
    let home = Home::new();
    for variable in ["ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
        home.command(&["eval", "org/name", "--suite", "korfin-shift"])
            .env_remove("HF_HUB_OFFLINE")
            .env("HF_ENDPOINT", "https://hub.invalid")
            .env(variable, "socks5://u:hunter2@127.0.0.1:1")
            .assert()
            .code(2)
            .stderr(predicate::str::contains(format!(
                "`{variable}` names a proxy of kind `socks5`, and only HTTP proxies are used"
            )))
            .stderr(predicate::str::contains("hint: name an HTTP proxy"))
            .stderr(predicate::str::contains("hunter2").not());
    }
    home.command(&["eval", "https://api.invalid/v1", "--suite", "korfin-shift"])
        .env("ALL_PROXY", "socks5h://127.0.0.1:1")
        .assert()
        .code(2)
        .stderr(predicate::str::contains("names a proxy of kind `socks5h`"));
    // A server of this machine is reached without one.
    let server = Server::new(|_, _| Answer::status(404));
    let url = format!("{}/v1", server.address);
    home.command(&["eval", &url, "--suite", "korfin-shift"])
        .env("ALL_PROXY", "socks5://127.0.0.1:1")
        .assert()
        .code(5);
    assert!(!server.seen().is_empty());
}

/// The first address of this machine that is not its own, without a packet sent.
fn another_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn a_key_that_went_out_unencrypted_is_said_whatever_the_server_answers() {
    let home = Home::new();
    let Some(address) = another_address() else {
        eprintln!("SKIPPED: this machine has no address but its own");
        return;
    };
    let listener = std::net::TcpListener::bind((address, 0)).expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream
                .write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    home.command(&["eval", &url, "--suite", "korfin-shift"])
        .env("KORFINSTS_API_KEY", "sk-secret")
        .assert()
        .code(5)
        .stderr(predicate::str::contains(
            "the key in `KORFINSTS_API_KEY` is sent unencrypted to",
        ))
        .stderr(predicate::str::contains("sk-secret").not());
}

#[test]
fn a_template_that_is_a_link_is_refused() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("templates")).expect("made");
    std::fs::write(home.path("secret"), "a secret").expect("written");
    #[cfg(unix)]
    for name in ["pairs.html", "index.html"] {
        let link = home.path("templates").join(name);
        std::os::unix::fs::symlink(home.path("secret"), &link).expect("linked");
        home.command(&[
            "leaderboard",
            "build",
            "--templates",
            "templates",
            "-o",
            "site",
        ])
        .assert()
        .failure()
        .stderr(predicate::str::contains("is a link: copy the file"));
        std::fs::remove_file(&link).expect("removed");
        assert!(!home.path("site/index.html").exists());
    }
}

#[cfg(unix)]
#[test]
fn what_is_written_is_readable_as_the_umask_says() {
    use std::os::unix::fs::PermissionsExt as _;
    for (umask, mode) in [("077", 0o600), ("022", 0o644)] {
        let home = Home::new();
        let arguments = [
            "eval",
            "--suite",
            "korfin-shift",
            "--limit",
            "8",
            "--resamples",
            "100",
            "--format",
            "csv",
            "-o",
            "table.csv",
        ];
        let output = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
            .arg(env!("CARGO_BIN_EXE_korfinsts"))
            .args(arguments)
            .arg(fixture::model())
            .current_dir(home.path(""))
            .env("KORFINSTS_DATA", home.data())
            .output()
            .expect("sh starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let mut seen = 0;
        for entry in walkdir::WalkDir::new(home.path("")) {
            let entry = entry.expect("listed");
            if entry.file_type().is_file() {
                let found = entry.metadata().expect("read").permissions().mode() & 0o777;
                assert_eq!(found, mode, "{}", entry.path().display());
                seen += 1;
            }
        }
        assert!(seen >= 4, "{seen} files");
    }
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_signal() {
    let home = Home::new();
    let texts = (0..400).map(|i| format!("회사 {i}는 배당을 늘렸다.\n"));
    std::fs::write(home.path("texts.txt"), texts.collect::<String>()).expect("written");
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 16; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_korfinsts"), "encode"])
        .arg(fixture::model())
        .args(["-i", "texts.txt", "-o", "o.npy"])
        .current_dir(home.path(""))
        .env("KORFINSTS_DATA", home.data())
        .env("KORFINSTS_LANG", "en")
        .output()
        .expect("sh starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(
        said.contains("File too large") && said.contains("`ulimit -f`"),
        "{said}"
    );
    let left = std::fs::read_dir(home.path("")).expect("listed");
    let left = left.filter(|e| {
        e.as_ref()
            .is_ok_and(|e| e.file_name().to_string_lossy().starts_with('.'))
    });
    assert_eq!(left.count(), 0, "an unfinished file stays");
}

#[cfg(target_os = "linux")]
#[test]
fn a_stderr_that_takes_nothing_ends_no_run() {
    let home = Home::new();
    for redirect in [
        "2>/dev/full",
        "2>&-",
        "2>&1 >/dev/null | head -c 1 >/dev/null",
    ] {
        let results = home.path("korfinsts-results");
        let _ = std::fs::remove_dir_all(&results);
        let script = format!(
            "set -o pipefail 2>/dev/null; \"$0\" eval \"$1\" --suite korfin-shift --limit 8 --resamples 100 {redirect}"
        );
        let status = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_korfinsts")])
            .arg(fixture::model())
            .current_dir(home.path(""))
            .env("KORFINSTS_DATA", home.data())
            .stdout(Stdio::null())
            .status()
            .expect("bash starts");
        assert_eq!(status.code(), Some(0), "{redirect}");
        assert!(
            walkdir::WalkDir::new(&results).into_iter().count() > 2,
            "{redirect}: no record"
        );
    }
}

#[test]
fn doctor_prints_no_password() {
    let home = Home::new();
    let output = home
        .command(&["doctor"])
        .env_remove("HF_HUB_OFFLINE")
        .env("HF_ENDPOINT", "https://u:hunter2@hub.invalid")
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("hub.invalid") && !said.contains("hunter2"),
        "{said}"
    );
}

/// Texts of others that reach a terminal: names in configurations, headers, graphs, suites and answers.
#[test]
fn what_others_wrote_reaches_a_terminal_without_its_escapes() {
    const EVIL: &str = "m\u{1b}[31mred\u{1b}]0;title\u{7}\u{202e}";
    let home = Home::new();
    let silent = |what: &str, arguments: &[&str]| {
        let output = home.command(arguments).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            !said.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{what}: {said:?}"
        );
        assert!(said.contains("red"), "{what} is not said at all: {said}");
    };
    let model = |file: &str, change: &dyn Fn(&mut serde_json::Value)| {
        home.copy(&fixture::model(), &home.path("m"));
        let path = home.path("m").join(file);
        let text = std::fs::read(&path).expect("read");
        let mut value = serde_json::from_slice(&text).expect("JSON");
        change(&mut value);
        std::fs::write(&path, value.to_string()).expect("written");
    };
    let eval = [
        "eval",
        "./m",
        "--suite",
        "korfin-shift",
        "--limit",
        "8",
        "--no-baselines",
    ];
    model("config.json", &|j| j["model_type"] = EVIL.into());
    silent("model_type", &eval);
    model("modules.json", &|j| j[1]["path"] = EVIL.into());
    silent("a path in modules.json", &eval);
    model("modules.json", &|j| j[1]["type"] = EVIL.into());
    silent("a type in modules.json", &eval);
    model("config_sentence_transformers.json", &|j| {
        j["prompts"] = serde_json::json!({EVIL: EVIL});
        j["default_prompt_name"] = EVIL.into();
    });
    silent(
        "a prompt",
        &[&eval[..], &["-v", "--resamples", "100"]].concat(),
    );
    for key in ["dtype", "name"] {
        home.copy(&fixture::model(), &home.path("m"));
        let path = home.path("m/model.safetensors");
        let bytes = std::fs::read(&path).expect("read");
        let length = length_of(&bytes);
        let header: serde_json::Value =
            serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        let mut header = header.as_object().expect("an object").clone();
        let first = header
            .keys()
            .find(|k| *k != "__metadata__")
            .expect("a tensor")
            .clone();
        let mut tensor = header.remove(&first).expect("a tensor");
        match key {
            "dtype" => tensor["dtype"] = EVIL.into(),
            _ => tensor["data_offsets"][0] = 3.into(),
        }
        header.insert(EVIL.to_owned(), tensor);
        let text = serde_json::Value::Object(header).to_string();
        let counted = (text.len() as u64).to_le_bytes();
        let new = [&counted[..], text.as_bytes(), &bytes[8 + length..]].concat();
        std::fs::write(&path, new).expect("written");
        silent(&format!("the {key} of a tensor"), &eval);
    }
    let manifest = format!(
        "schema = 1\nid = \"s\"\nversion = \"1.0.0\"\ntitle = {title}\ndescription = {title}\n\
         languages = [\"kor-Hang\"]\nlicence = \"NOASSERTION\"\nredistributable = false\n\
         default_split = \"test\"\n[scale]\nkind = \"interval\"\nmin = 0\nmax = 5\n[splits.test]\n\
         [[source]]\nname = \"own\"\nformat = {{ kind = \"auto\" }}\n\
         columns = {{ sentence1 = \"a\", sentence2 = \"b\", score = \"s\" }}\n\
         [source.files]\ntest = [{{ name = \"t.csv\" }}]\n",
        title = serde_json::json!(EVIL),
    );
    std::fs::create_dir_all(home.path("s")).expect("made");
    std::fs::write(home.path("s/suite.toml"), manifest).expect("written");
    std::fs::write(home.path("s/t.csv"), "a,b,s\nx,y,1\nz,w,2\nred,v,3\n").expect("written");
    silent("the title of a suite", &["suite", "info", "./s"]);
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/v1/models" => Answer::json(&serde_json::json!({"data": [{"id": EVIL}]})),
        _ => Answer {
            status: 400,
            ..Answer::json(&serde_json::json!({"error": {"message": EVIL}}))
        },
    });
    let url = format!("{}/v1", server.address);
    silent(
        "the error of a server",
        &["eval", &url, "--suite", "korfin-shift"],
    );
}

/// Bytes of the header of a safetensors file.
fn length_of(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize
}
