//! SentencePiece `.model` files: the few protocol-buffer fields that shape token ids, and the
//! same pipeline in the tokenizers crate.
//!
//! Field numbers: `sentencepiece_model.proto` of google/sentencepiece.

use std::io::Cursor;
use std::path::Path;

use ahash::AHashMap;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::SpecialNames;
use super::document::{AddedTokenEntry, Document, Merge, Model, Vocab};
use super::files::unsupported;
use super::special::{around, special};
use crate::EncoderError;
use crate::base64;
use crate::family::{self, Vocabulary};
use korfinsts_base::fs;
use korfinsts_base::protobuf::{Payload, Reader, WireError};

const MAX_PIECES: usize = 1 << 24;
/// Longest piece, in bytes: every way to cut one in two is looked up.
const MAX_PIECE: u64 = 512;

/// How a model of some type uses its SentencePiece vocabulary.
pub(super) struct ConversionPlan<'a> {
    /// `model_type` of `config.json`; empty when unknown.
    pub model_type: &'a str,
    /// `add_bos_token`, where the configuration says.
    pub add_bos: Option<bool>,
    /// `add_eos_token`, where the configuration says.
    pub add_eos: Option<bool>,
    /// Sentinel tokens of T5.
    pub extra_ids: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct SpmPiece {
    text: String,
    score: f32,
    kind: Kind,
}

/// How a text is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Unigram,
    Bpe,
}

struct Proto {
    pieces: Vec<SpmPiece>,
    algorithm: Algorithm,
    byte_fallback: bool,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

/// Reads a `.model` file into a document.
pub(super) fn read(
    path: &Path,
    plan: &ConversionPlan<'_>,
    names: &SpecialNames,
    mut added: Vec<AddedTokenEntry>,
) -> Result<(Document, SpecialNames), EncoderError> {
    let bytes = fs::read_up_to(path, super::check::LONGEST_FILE)?;
    let proto = parse(&bytes).map_err(|reason| EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!("this is no SentencePiece model: {reason}"),
        hint: None,
    })?;
    let vocabulary = match plan.model_type {
        // A vocabulary by itself.
        "" => Vocabulary::Llama,
        known => family::of(known).vocabulary,
    };
    let (mut document, names) = match (proto.algorithm, vocabulary) {
        (Algorithm::Bpe, Vocabulary::Llama) => llama(&proto, plan, names),
        (Algorithm::Unigram, Vocabulary::XlmRoberta) => xlm_roberta(&proto, names),
        (Algorithm::Unigram, Vocabulary::T5) => t5(&proto, plan, names),
        _ => return Err(unsupported(path, plan.model_type)),
    };
    let control = proto
        .pieces
        .iter()
        .enumerate()
        .filter_map(|(id, piece)| match piece.kind {
            Kind::Control => Some((id, piece, true)),
            Kind::UserDefined => Some((id, piece, false)),
            _ => None,
        });
    if proto.algorithm == Algorithm::Bpe {
        for (id, piece, is_special) in control {
            document.added_tokens.push(AddedTokenEntry {
                id: id as u32,
                token: AddedToken::from(piece.text.clone(), is_special).normalized(false),
            });
        }
    }
    let told: std::collections::HashSet<&str> =
        added.iter().map(|a| a.token.content.as_str()).collect();
    let untold = |e: &AddedTokenEntry| !told.contains(e.token.content.as_str());
    document.added_tokens.retain(untold);
    document.added_tokens.append(&mut added);
    document.added_tokens.sort_by_key(|e| e.id);
    Ok((document, names))
}

/// BPE with byte fallback, as Llama, Mistral and Gemma use it.
fn llama(
    proto: &Proto,
    plan: &ConversionPlan<'_>,
    names: &SpecialNames,
) -> (Document, SpecialNames) {
    let vocab: AHashMap<String, u32> = proto
        .pieces
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.text.clone(), id as u32))
        .collect();
    let control = |given: &Option<String>, default: &str| {
        given
            .clone()
            .or_else(|| Some(default.to_owned()))
            .filter(|t| vocab.contains_key(t))
    };
    let bos = control(&names.bos, "<s>").or_else(|| control(&None, "<bos>"));
    let eos = control(&names.eos, "</s>").or_else(|| control(&None, "<eos>"));
    let unk = proto
        .pieces
        .iter()
        .find(|p| p.kind == Kind::Unknown)
        .map(|p| p.text.clone());
    let with_id = |token: &Option<String>| token.as_ref().map(|t| (t.clone(), vocab[t]));
    let before = with_id(&bos).filter(|_| plan.add_bos.unwrap_or(true));
    let behind = with_id(&eos).filter(|_| plan.add_eos.unwrap_or(false));
    let mut normalizers = charsmap(proto);
    if proto.remove_extra_whitespaces {
        normalizers.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    if proto.add_dummy_prefix {
        normalizers.push(json!({"type": "Prepend", "prepend": "▁"}));
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
    let document = Document {
        version: None,
        truncation: None,
        added_tokens: Vec::new(),
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        post_processor: around(
            before.as_ref().map(|(t, id)| (t.as_str(), *id)),
            behind.as_ref().map(|(t, id)| (t.as_str(), *id)),
        ),
        model: Model {
            kind: Some("BPE".into()),
            merges: Some(merges(proto, &vocab)),
            unk_token: unk.clone(),
            fuse_unk: Some(true),
            byte_fallback: Some(proto.byte_fallback),
            ..Model::of(Vocab::Map(vocab))
        },
    };
    let names = SpecialNames {
        bos,
        eos,
        unk,
        ..names.clone()
    };
    (document, names)
}

/// Every way to cut a piece into two others, the best pieces first; within a piece the longer
/// left part first, as transformers' converter orders them.
fn merges(proto: &Proto, vocab: &AHashMap<String, u32>) -> Vec<Merge> {
    let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
    let mut found = Vec::new();
    for piece in proto.pieces.iter().filter(|p| usable(p.kind)) {
        let first = found.len();
        for (at, _) in piece.text.char_indices().skip(1) {
            let (a, b) = piece.text.split_at(at);
            if let (Some(&left), Some(&right)) = (vocab.get(a), vocab.get(b))
                && usable(proto.pieces[left as usize].kind)
                && usable(proto.pieces[right as usize].kind)
            {
                found.push((piece.score, left, right));
            }
        }
        found[first..].sort_by_key(|&(_, left, right)| (left, right));
    }
    let length = |id: u32| proto.pieces[id as usize].text.chars().count();
    found.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| length(b.1).cmp(&length(a.1)))
            .then_with(|| length(b.2).cmp(&length(a.2)))
    });
    found
        .into_iter()
        .map(|(_, left, right)| {
            let text = |id: u32| proto.pieces[id as usize].text.clone();
            Merge(text(left), text(right))
        })
        .collect()
}

fn unigram(
    vocab: Vec<(String, f64)>,
    unk_id: usize,
    proto: &Proto,
    post_processor: Value,
) -> Document {
    let normalizers = charsmap(proto);
    Document {
        version: None,
        truncation: None,
        added_tokens: Vec::new(),
        normalizer: if normalizers.is_empty() {
            Value::Null
        } else {
            json!({"type": "Sequence", "normalizers": normalizers})
        },
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        ]}),
        post_processor,
        model: Model {
            kind: Some("Unigram".into()),
            unk_id: Some(unk_id),
            byte_fallback: Some(proto.byte_fallback),
            ..Model::of(Vocab::List(vocab))
        },
    }
}

/// XLM-R: fairseq's four special tokens first, then the pieces from the third on, then `<mask>`.
fn xlm_roberta(proto: &Proto, names: &SpecialNames) -> (Document, SpecialNames) {
    let mut vocab: Vec<(String, f64)> = ["<s>", "<pad>", "</s>", "<unk>"]
        .iter()
        .map(|t| ((*t).to_owned(), 0.0))
        .collect();
    vocab.extend(
        proto
            .pieces
            .iter()
            .skip(3)
            .map(|p| (p.text.clone(), f64::from(p.score))),
    );
    let mask = vocab.len() as u32;
    vocab.push(("<mask>".to_owned(), 0.0));
    let mut document = unigram(vocab, 3, proto, around(Some(("<s>", 0)), Some(("</s>", 2))));
    document.added_tokens = ["<s>", "<pad>", "</s>", "<unk>"]
        .iter()
        .zip(0..)
        .map(|(token, id)| special(token, id))
        .collect();
    document.added_tokens.push(AddedTokenEntry {
        id: mask,
        token: AddedToken::from("<mask>", true).lstrip(true),
    });
    let name = |text: &str| Some(text.to_owned());
    let names = SpecialNames {
        bos: name("<s>"),
        eos: name("</s>"),
        pad: name("<pad>"),
        unk: name("<unk>"),
        ..names.clone()
    };
    (document, names)
}

/// T5: the pieces, then the sentinels from the last to the first.
fn t5(proto: &Proto, plan: &ConversionPlan<'_>, names: &SpecialNames) -> (Document, SpecialNames) {
    let mut vocab: Vec<(String, f64)> = proto
        .pieces
        .iter()
        .map(|p| (p.text.clone(), f64::from(p.score)))
        .collect();
    let find = |kind: Kind, text: &str| {
        proto
            .pieces
            .iter()
            .position(|p| p.kind == kind && (text.is_empty() || p.text == text))
    };
    let eos = find(Kind::Control, "</s>");
    let unk = find(Kind::Unknown, "").unwrap_or(0);
    let first = vocab.len() as u32;
    let sentinels: Vec<String> = (0..plan.extra_ids)
        .rev()
        .map(|i| format!("<extra_id_{i}>"))
        .collect();
    vocab.extend(sentinels.iter().map(|t| (t.clone(), 0.0)));
    let post_processor = around(None, eos.map(|id| ("</s>", id as u32)));
    let mut document = unigram(vocab, unk, proto, post_processor);
    document.added_tokens = [("<pad>", Kind::Control), ("</s>", Kind::Control)]
        .iter()
        .filter_map(|(token, kind)| find(*kind, token).map(|id| special(token, id as u32)))
        .chain([special(&proto.pieces[unk].text, unk as u32)])
        .chain(
            sentinels
                .iter()
                .zip(first..)
                .map(|(token, id)| special(token, id)),
        )
        .collect();
    let names = SpecialNames {
        eos: eos.map(|_| "</s>".to_owned()),
        pad: find(Kind::Control, "<pad>").map(|_| "<pad>".to_owned()),
        unk: Some(proto.pieces[unk].text.clone()),
        ..names.clone()
    };
    (document, names)
}

fn charsmap(proto: &Proto) -> Vec<Value> {
    if proto.charsmap.is_empty() {
        return Vec::new();
    }
    vec![json!({
        "type": "Precompiled",
        "precompiled_charsmap": base64::encode(&proto.charsmap),
    })]
}

type Wire<'a> = Reader<Cursor<&'a [u8]>>;

fn parse(bytes: &[u8]) -> Result<Proto, String> {
    let mut proto = Proto {
        pieces: Vec::new(),
        algorithm: Algorithm::Unigram,
        byte_fallback: false,
        charsmap: Vec::new(),
        add_dummy_prefix: true,
        remove_extra_whitespaces: true,
    };
    let mut model_type = 1;
    let end = bytes.len() as u64;
    let mut wire = Wire::new(Cursor::new(bytes), end);
    while let Some(field) = wire.next(end).map_err(damaged)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes { end }) => {
                if proto.pieces.len() == MAX_PIECES {
                    return Err("it has too many pieces".into());
                }
                proto.pieces.push(parse_piece(&mut wire, end)?);
            }
            (2, Payload::Bytes { end }) => {
                while let Some(field) = wire.next(end).map_err(damaged)? {
                    match (field.number, field.payload) {
                        (3, Payload::Varint(n)) => model_type = n,
                        (35, Payload::Varint(n)) => proto.byte_fallback = n != 0,
                        _ => wire.skip(field).map_err(damaged)?,
                    }
                }
            }
            (3, Payload::Bytes { end }) => {
                while let Some(field) = wire.next(end).map_err(damaged)? {
                    match (field.number, field.payload) {
                        (2, Payload::Bytes { end }) => {
                            proto.charsmap = wire.bytes(end).map_err(damaged)?;
                        }
                        (3, Payload::Varint(n)) => proto.add_dummy_prefix = n != 0,
                        (4, Payload::Varint(n)) => proto.remove_extra_whitespaces = n != 0,
                        _ => wire.skip(field).map_err(damaged)?,
                    }
                }
            }
            _ => wire.skip(field).map_err(damaged)?,
        }
    }
    proto.algorithm = match model_type {
        1 => Algorithm::Unigram,
        2 => Algorithm::Bpe,
        other => {
            return Err(format!(
                "its model type is {other}, allowed are 1 (unigram) and 2 (BPE)"
            ));
        }
    };
    if proto.pieces.is_empty() {
        return Err("it holds no pieces".into());
    }
    Ok(proto)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it is used in `map_err`, which gives the error away"
)]
fn damaged(error: WireError) -> String {
    error.to_string()
}

fn parse_piece(wire: &mut Wire<'_>, end: u64) -> Result<SpmPiece, String> {
    let mut piece = SpmPiece {
        text: String::new(),
        score: 0.0,
        kind: Kind::Normal,
    };
    while let Some(field) = wire.next(end).map_err(damaged)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes { end }) => {
                let length = end - wire.position();
                if length > MAX_PIECE {
                    return Err(format!(
                        "a piece has {length} bytes, allowed are {MAX_PIECE}"
                    ));
                }
                let text = wire.bytes(end).map_err(damaged)?;
                piece.text = String::from_utf8(text).map_err(|_| "a piece is not UTF-8")?;
            }
            (2, Payload::Fixed32(bytes)) => {
                piece.score = f32::from_le_bytes(bytes);
                if !piece.score.is_finite() {
                    return Err("a piece has a score that is not finite".into());
                }
            }
            (3, Payload::Varint(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    other => return Err(format!("a piece has the type {other}")),
                };
            }
            _ => wire.skip(field).map_err(damaged)?,
        }
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_are_refused() {
        for bytes in [
            &b"\x0a\xff"[..],
            b"\x0a\x05ab",
            b"\x00\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0b",
            b"",
            b"\x0a\x03\x0a\x01\xff",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
