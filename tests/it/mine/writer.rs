//! A server that writes and judges: what it says is a function of what it is asked, and every
//! answer tells which question it belongs to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use korfinsts_mine::{Document, document_id};
use serde_json::{Value, json};

use super::super::server::{Answer, Seen, Server};
use super::super::support::Home;

/// What the server was asked, by question: how often, and how often it gave a whole answer.
#[derive(Debug, Default)]
pub struct Log {
    pub asked: HashMap<String, usize>,
    pub answered: HashMap<String, usize>,
    /// Questions in the order in which they came.
    pub order: Vec<String>,
    /// The question that an answer's text belongs to.
    pub of: HashMap<String, String>,
}

/// The server and its log.
pub struct Writer {
    pub server: Server,
    pub log: Arc<Mutex<Log>>,
}

/// A question, as the server understood it.
pub struct Question {
    /// 12 digits that name it.
    pub id: String,
    /// How often it was asked before.
    pub before: usize,
    /// `axis`, `negative`, …
    pub step: String,
    /// The prompt.
    pub prompt: String,
    body: Value,
}

impl Question {
    fn new(seen: &Seen) -> Self {
        let body = seen.json();
        let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            id: document_id(&body.to_string())[..12].to_owned(),
            before: 0,
            step: text(body.pointer("/response_format/json_schema/name")),
            prompt: text(body.pointer("/messages/1/content")),
            body,
        }
    }

    /// The texts between the marks.
    pub fn texts(&self) -> Vec<&str> {
        self.prompt
            .split("<<<\n")
            .skip(1)
            .filter_map(|t| t.split_once("\n>>>").map(|(t, _)| t))
            .collect()
    }

    /// The answer to it, as JSON.
    pub fn answer(&self) -> Value {
        let schema = self
            .body
            .pointer("/response_format/json_schema/schema")
            .expect("a schema");
        let texts = self.texts();
        match self.step.as_str() {
            "axis" => {
                let ids = schema
                    .pointer("/properties/variants/items/properties/id/enum")
                    .and_then(Value::as_array)
                    .expect("variants");
                let at = usize::from(self.id.as_bytes()[0]) % ids.len();
                json!({"variants": [{"id": ids[at], "span": texts[0]}]})
            }
            "judge" => {
                let scores: serde_json::Map<String, Value> = schema
                    .pointer("/properties/scores/properties")
                    .and_then(Value::as_object)
                    .expect("a rubric")
                    .iter()
                    .map(|(id, s)| (id.clone(), s["maximum"].clone()))
                    .collect();
                let word = texts[0].split_whitespace().next().expect("a word");
                json!({"scores": scores, "evidence": word, "reason": self.id})
            }
            _ => {
                let few = ["Change as few words", "Change a few words"]
                    .iter()
                    .any(|mark| self.prompt.contains(mark));
                json!({"possible": true, "text": self.reworded(texts[0], if few { 1 } else { 4 })})
            }
        }
    }

    /// The text with its first words replaced by the question's digits.
    fn reworded(&self, text: &str, words: usize) -> String {
        text.split(' ')
            .enumerate()
            .map(|(i, word)| {
                if i < words {
                    format!("{}{i}", &self.id[..word.chars().count().clamp(2, 11)])
                } else {
                    word.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The answer to a request's body, as JSON.
pub fn answer_to(seen: &Seen) -> Value {
    Question::new(seen).answer()
}

/// A chat completion.
pub fn completion(content: &str, finish: &str) -> Answer {
    Answer::json(&json!({
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    }))
}

impl Writer {
    /// A server that answers well unless `fault` has another answer; its second value says whether
    /// that one is whole, so that it was paid for and could be kept.
    pub fn new(fault: impl Fn(&Question) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::slow(Duration::ZERO, fault)
    }

    /// The same, each answer after a wait.
    pub fn slow(
        delay: Duration,
        fault: impl Fn(&Question) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        let server = Server::new(move |seen, _| {
            if seen.path != "/v1/chat/completions" {
                return Answer::status(404);
            }
            let mut question = Question::new(seen);
            let mut log = shared.lock().expect("no test thread panicked");
            let count = log.asked.entry(question.id.clone()).or_default();
            question.before = *count;
            *count += 1;
            log.order.push(question.id.clone());
            if let Some(answer) = fault(&question) {
                return answer;
            }
            let said = question.answer().to_string();
            *log.answered.entry(question.id.clone()).or_default() += 1;
            log.of.insert(said.clone(), question.id);
            drop(log);
            Answer {
                delay,
                ..completion(&said, "stop")
            }
        });
        Self { server, log }
    }

    /// The name of a model of this server.
    pub fn model(&self, name: &str) -> String {
        format!("chat:{}/v1#{name}", self.server.address)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.log
            .lock()
            .expect("no test thread panicked")
            .order
            .len()
    }
}

/// Passages of this test's own.
pub fn write_passages(folder: &Path, count: usize) {
    let companies = ["가람전자", "미르통신", "라온화학", "누리중공업", "해솔제약"];
    let mut text = String::new();
    for i in 0..count {
        let passage = format!(
            "{} 이사회는 제{i}호 안건으로 {}억원 규모의 설비 투자를 다음 달 안에 의결할 예정이라고 밝혔다.",
            companies[i % 5],
            100 + 7 * i
        );
        let document = Document {
            id: document_id(&passage),
            text: passage,
            language: "kor-Hang".into(),
            source: "disclosure".into(),
            corpus: "test".into(),
            licence: "Apache-2.0".into(),
            origin: format!("test.jsonl:{}", i + 1),
        };
        text.push_str(&serde_json::to_string(&document).expect("JSON"));
        text.push('\n');
    }
    std::fs::create_dir_all(folder).expect("made");
    std::fs::write(folder.join("passages.jsonl"), text).expect("written");
}

/// `korfinsts mine generate` in `run` with the server's two models.
pub fn generate(home: &Home, run: &Path, writer: &Writer, more: &[&str]) -> assert_cmd::Command {
    let (generator, judge) = (writer.model("writer"), writer.model("judge"));
    let mut arguments = vec![
        "mine",
        "generate",
        "--dir",
        run.to_str().expect("UTF-8"),
        "--generator",
        &generator,
        "--judge",
        &judge,
        "--variants",
        "1",
    ];
    for (flag, value) in [("--calibration", "0"), ("--retries", "4")] {
        if !more.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(more);
    let mut command = home.command(&arguments);
    command
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("KORFINSTS_API_KEY");
    command
}

/// A file of a run folder.
pub fn read(run: &Path, name: &str) -> String {
    std::fs::read_to_string(run.join(name)).expect(name)
}

/// `generation.json` of a run folder.
pub fn generation(run: &Path) -> Value {
    serde_json::from_str(&read(run, "generation.json")).expect("JSON")
}
