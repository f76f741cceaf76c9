//! Any server with `/chat/completions` of the `OpenAI` protocol.

use serde_json::{Value, json};

use super::{Backend, Failure, Kind, Reply, Setting};
use crate::MineError;
use crate::generate::call::Call;
use crate::generate::prompt::{Prompt, messages};
use korfinsts_base::endpoint::{Address, Client, Refusal, Settings, Wrong};

pub(super) const KIND: Kind = Kind {
    name: "chat",
    argument: "ENDPOINT",
    about: "a server with /chat/completions: `openai:MODEL`, `vllm:MODEL@URL` or `URL#MODEL`",
    open,
};

#[derive(Debug)]
struct Chat {
    client: Client,
    url: String,
    model: ChatModel,
    server: String,
}

fn open(argument: &str, setting: &Setting) -> Result<Box<dyn Backend>, MineError> {
    let variable = |name: &str| std::env::var(name).ok();
    let address = Address::parse(argument, variable)?;
    let Some(model) = address.model.clone() else {
        return Err(MineError::usage(
            format!("`{argument}` names no model"),
            "name one: `chat:http://HOST:PORT/v1#MODEL` or `chat:openai:MODEL`",
        ));
    };
    let root = address
        .url
        .strip_suffix("/chat/completions")
        .map_or_else(|| address.roots().1.swap_remove(0), str::to_owned);
    let key = address.key(variable)?;
    Ok(Box::new(Chat {
        client: Client::new(Settings {
            key,
            patience: setting.patience,
            timeout: setting.timeout,
            concurrency: 1,
        }),
        url: format!("{root}/chat/completions"),
        server: root,
        model: ChatModel::new(&model, setting),
    }))
}

/// A model of a chat server, and how it is asked.
#[derive(Debug)]
pub(super) struct ChatModel {
    pub(super) name: String,
    pub(super) temperature: f64,
    /// How an answer's form is asked for, as in [`Setting`].
    pub(super) structured: String,
}

impl ChatModel {
    pub(super) fn new(name: &str, setting: &Setting) -> Self {
        Self {
            name: name.to_owned(),
            temperature: setting.temperature,
            structured: setting.structured.clone(),
        }
    }

    /// What its answers depend on.
    pub(super) fn parameters(&self) -> Value {
        json!({"temperature": self.temperature, "structured": self.structured})
    }

    /// The body of a request.
    pub(super) fn body(&self, call: &Call, prompt: &Prompt) -> Value {
        let mut body = json!({
            "model": self.name,
            "messages": messages(prompt),
            "temperature": self.temperature,
            "max_tokens": call.step.answer_tokens(call.text("text")),
        });
        match self.structured.as_str() {
            "json_schema" => {
                body["response_format"] = json!({
                    "type": "json_schema",
                    "json_schema": {"name": call.step.name(), "strict": true, "schema": call.schema()},
                });
            }
            "json_object" => body["response_format"] = json!({"type": "json_object"}),
            _ => {}
        }
        // Repetitions of a question differ in their seed.
        if call.sample > 0 {
            body["seed"] = call.sample.into();
        }
        body
    }
}

/// What one answer holds.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// A reply.
    Reply(Reply),
    /// A refusal, and its words.
    Refused(String, Reply),
}

/// Understands the body of an answer.
///
/// # Errors
/// In words, why it is none of the protocol.
pub(super) fn read(answer: &Value) -> Result<Said, String> {
    let choice = answer
        .pointer("/choices/0")
        .ok_or("there is no `choices[0]`")?;
    let count = |name: &str| {
        answer
            .pointer(&format!("/usage/{name}"))
            .and_then(Value::as_u64)
    };
    let mut reply = Reply {
        text: String::new(),
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
        cost: answer.pointer("/usage/cost").and_then(Value::as_f64),
    };
    let refusal = choice.pointer("/message/refusal").and_then(Value::as_str);
    if let Some(words) = refusal.filter(|r| !r.is_empty()) {
        return Ok(Said::Refused(words.to_owned(), reply));
    }
    let finish = choice.get("finish_reason").and_then(Value::as_str);
    if finish == Some("content_filter") {
        return Ok(Said::Refused("the server's content filter".into(), reply));
    }
    let text = choice
        .pointer("/message/content")
        .and_then(Value::as_str)
        .ok_or("`choices[0].message.content` is no text")?;
    // A text cut at the limit is no JSON, or worse, is; it is paid for and not understood.
    if finish != Some("length") {
        text.clone_into(&mut reply.text);
    }
    Ok(Said::Reply(reply))
}

impl Backend for Chat {
    fn model(&self) -> &str {
        &self.model.name
    }

    fn parameters(&self) -> Value {
        self.model.parameters()
    }

    fn about(&self) -> Vec<(String, String)> {
        vec![
            ("backend".into(), "chat".into()),
            ("endpoint".into(), self.server.clone()),
            ("model".into(), self.model.name.clone()),
            ("parameters".into(), self.parameters().to_string()),
        ]
    }

    fn is_limited(&self) -> bool {
        true
    }

    fn answer(&self, _: &str, call: &Call, prompt: &Prompt) -> Result<Reply, Failure> {
        let body = self.model.body(call, prompt);
        let said = self
            .client
            .post(&self.url, &body, |bytes, _| -> Result<Said, Wrong> {
                let answer: Value =
                    serde_json::from_slice(bytes).map_err(|e| Wrong::Answer(e.to_string()))?;
                read(&answer).map_err(Wrong::Answer)
            });
        match said {
            Ok(Said::Reply(reply)) => Ok(reply),
            Ok(Said::Refused(words, reply)) => Err(Failure::Refused(words, reply)),
            Err(Refusal::TooLong(_, error)) => {
                Err(Failure::Refused(error.to_string(), Reply::default()))
            }
            Err(Refusal::NotKnown(error) | Refusal::Barred(_, error)) => {
                Err(Failure::Hopeless(error.into()))
            }
            Err(Refusal::Failed(error)) => Err(Failure::Failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_reply_a_refusal_or_none() {
        let of = |message: Value, finish: &str| json!({"choices": [{"message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}});
        let reply = |text: &str| Reply {
            text: text.into(),
            prompt_tokens: Some(9),
            completion_tokens: Some(2),
            cost: None,
        };
        assert_eq!(
            read(&of(json!({"content": "{}"}), "stop")),
            Ok(Said::Reply(reply("{}")))
        );
        // Cut at the limit: what came is not read.
        assert_eq!(
            read(&of(json!({"content": "{}"}), "length")),
            Ok(Said::Reply(reply("")))
        );
        assert_eq!(
            read(&of(json!({"content": null, "refusal": "no"}), "stop")),
            Ok(Said::Refused("no".into(), reply("")))
        );
        assert!(matches!(
            read(&of(json!({"content": ""}), "content_filter")),
            Ok(Said::Refused(..))
        ));
        for (answer, reason) in [
            (json!({"choices": []}), "no `choices[0]`"),
            (of(json!({}), "stop"), "is no text"),
        ] {
            assert!(read(&answer).expect_err("refused").contains(reason));
        }
    }
}
