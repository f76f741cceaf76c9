"""Models of two published shapes: XLM-RoBERTa large as in bge-m3, and the small BERT of multilingual-e5-small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from common import DRY, INPUTS, WORK

PIECES = 250_002
#: Shape: kind of configuration, its sizes, pooling.
SHAPES: dict[str, tuple[str, dict, str]] = {
    "bge-m3": (
        "xlm-roberta",
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
             "max_position_embeddings": 8194, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
        "cls",
    ),
    "e5-small": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536,
             "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0},
        "mean",
    ),
}  # fmt: skip


def sizes(name: str) -> dict:
    """The sizes of a shape; few and small ones in a dry run."""
    values = dict(SHAPES[name][1])
    if DRY:
        values |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    return values


def flops(name: str, tokens: list[int]) -> float:
    """Floating-point operations of a forward pass: matrix products of real tokens, no padding."""
    s = sizes(name)
    hidden, inner, layers = s["hidden_size"], s["intermediate_size"], s["num_hidden_layers"]
    return float(sum(layers * (t * (8 * hidden * hidden + 4 * hidden * inner) + 4 * t * t * hidden) for t in tokens))


def folder(name: str) -> Path:
    """Writes the model, once: random weights, without dropout."""
    target = WORK / "models" / name
    if (target / "model.safetensors").exists():
        return target
    import torch
    from transformers import AutoConfig, AutoModel

    kind, _, pooling = SHAPES[name]
    config = AutoConfig.for_model(
        kind, vocab_size=PIECES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes(name)
    )
    torch.manual_seed(0)
    with torch.device("cpu" if DRY else "cuda"):
        model = AutoModel.from_config(config, dtype=torch.float32)
    model.save_pretrained(target, max_shard_size="100GB")
    del model
    finish(target, pooling, sizes(name)["hidden_size"])
    return target


def finish(target: Path, pooling: str, width: int) -> None:
    """What makes a sentence-transformers folder of it."""
    shutil.copy(INPUTS / "tokenizer.json", target / "tokenizer.json")
    pad = json.loads((target / "config.json").read_text())["pad_token_id"]

    def write(name: str, value: object) -> None:
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(json.dumps(value, indent=1))

    kinds = "sentence_transformers.models."
    write("modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": kinds + "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": kinds + "Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": kinds + "Normalize"},
    ])  # fmt: skip
    write("1_Pooling/config.json", {
        "word_embedding_dimension": width, "pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False,
    })  # fmt: skip
    (target / "2_Normalize").mkdir(exist_ok=True)
    write("sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>",
    })  # fmt: skip
    assert pad in (0, 1)


def given() -> Path | None:
    """The model that `prepare.sh --model` packed, with the weights it had."""
    packed = INPUTS / "model"
    if not packed.exists():
        return None
    target = WORK / "models" / "given"
    if not (target / "model.safetensors").exists():
        from pack import unpack

        shutil.copytree(packed, target, dirs_exist_ok=True)
        unpack(target)
        (target / "packed.npz").unlink()
        shutil.copy(INPUTS / "tokenizer.json", target / "tokenizer.json")
    return target


def load(path: Path, dtype: str = "float32"):
    """A model opened by sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        str(path), device="cpu" if DRY else "cuda", model_kwargs={"dtype": getattr(torch, dtype)}, local_files_only=True
    )
