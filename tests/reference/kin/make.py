"""What sentence-transformers, transformers and model2vec give for folders that `tests/it/kin.rs`
makes out of the reference encoders.

    python make.py

writes golden.json. Needs torch, transformers 5.17, sentence-transformers 6.0, model2vec 0.10.
"""

import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from model2vec import StaticModel
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

HERE = Path(__file__).resolve().parent
ENCODERS = HERE.parent / "encoders"
TEXTS = ["한국은행은 기준금리를 0.25%포인트 인상했다.", "BANK OF KOREA Rate Hike ÀÉ", "漢字 금리 a"]


def folder(name, **files):
    """A copy of a reference encoder with fields of its JSON files changed."""
    path = Path(tempfile.mkdtemp()) / name
    shutil.copytree(ENCODERS / name, path)
    for file, fields in files.items():
        file = path / file.replace("__", "/")
        file = file.with_name(file.name + ".json")
        value = json.loads(file.read_text()) if file.exists() else {}
        value.update(fields)
        file.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}))
    return path


def opened(path):
    model = SentenceTransformer(str(path), device="cpu", model_kwargs={"dtype": "float32"})
    return [model.encode(text).tolist() for text in TEXTS]


def projected():
    """Bidirectional Qwen3 with a projection of every state, mean, normalised (voyage-4-nano)."""
    path = folder("qwen3-last", config={"is_causal": False})
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    head = torch.tensor([[((i * 31 + j * 17) % 13 - 6) / 20 for j in range(32)] for i in range(64)])
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=48)
            states = model(**ids).last_hidden_state @ head.T
        rows.append(torch.nn.functional.normalize(states.mean(1))[0].tolist())
    return rows


def flags():
    """Token ids under every combination of a `tokenizer.json` and flags that contradict it."""
    choices = itertools.product(
        [("BertTokenizer", "bert"), ("DistilBertTokenizerFast", "distilbert"), ("MPNetTokenizer", "mpnet"),
         ("PreTrainedTokenizerFast", "bert"), (None, "bert")],
        [dict(lowercase=low, strip_accents=strip, handle_chinese_chars=cut)
         for low in (True, False) for strip in (None, True) for cut in (True, False)],
        [{}, {"do_lower_case": True}, {"do_lower_case": False}, {"strip_accents": False},
         {"do_lower_case": False, "strip_accents": True}, {"tokenize_chinese_chars": False}],
    )
    special = {f"{n}_token": f"[{n.upper()}]" for n in ("cls", "sep", "unk", "pad", "mask")}
    for (name, model_type), normalizer, settings in choices:
        path = folder("bert-mean", config={"model_type": model_type})
        document = json.loads((path / "tokenizer.json").read_text())
        document["normalizer"] = {"type": "BertNormalizer", "clean_text": True, **normalizer}
        (path / "tokenizer.json").write_text(json.dumps(document))
        settings = {**special, **settings, **({"tokenizer_class": name} if name else {})}
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
        ids = AutoTokenizer.from_pretrained(path)(TEXTS).input_ids
        yield {"model_type": model_type, "normalizer": normalizer, "settings": settings, "ids": ids}


def spaces():
    """The same for `add_prefix_space` of byte-level tokenizers."""
    for name, in_file, flag in itertools.product(
        ["GPT2TokenizerFast", "RobertaTokenizer"], [True, False], [None, True, False]
    ):
        path = folder("qwen3-last")
        document = json.loads((path / "tokenizer.json").read_text())
        document["normalizer"] = None
        document["pre_tokenizer"]["add_prefix_space"] = in_file
        (path / "tokenizer.json").write_text(json.dumps(document))
        settings = json.loads((path / "tokenizer_config.json").read_text())
        settings.update(tokenizer_class=name, **({} if flag is None else {"add_prefix_space": flag}))
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
        ids = AutoTokenizer.from_pretrained(path)(TEXTS, add_special_tokens=False).input_ids
        yield {"in_file": in_file, "settings": settings, "ids": ids}


def whole_numbers():
    """model2vec with a table of int8, which has no scale."""
    tokenizer = Tokenizer.from_file(str(ENCODERS / "bert-mean" / "tokenizer.json"))
    rows = tokenizer.get_vocab_size()
    table = np.array([[(i * 7 + j * 13) % 255 - 127 for j in range(16)] for i in range(rows)])
    model = StaticModel(table.astype(np.int8), tokenizer, normalize=True)
    return [model.encode(text).tolist() for text in TEXTS]


(HERE / "golden.json").write_text(json.dumps({
    "texts": TEXTS,
    "projected": projected(),
    "config_kwargs": opened(folder("qwen3-last", config={"is_causal": True}, sentence_bert_config={"config_kwargs": {"is_causal": False}})),
    "flags": list(flags()),
    "spaces": list(spaces()),
    "whole_numbers": whole_numbers(),
}, ensure_ascii=False, separators=(",", ":")))
