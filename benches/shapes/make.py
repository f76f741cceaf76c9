#!/usr/bin/env python3
"""Writes an encoder of a published model's real shape with random weights, to see what running
that shape takes in time and memory. Scores of such a model mean nothing.

    python3 benches/shapes/make.py bge-m3 --tokenizer tokenizers/xlm-roberta-base --out /tmp/shapes
    python3 benches/shapes/make.py gte-Qwen2-1.5B-instruct --dtype bfloat16 \
        --tokenizer tokenizers/qwen2 --shard 1GB --out /tmp/shapes

The configuration is that of `tests/reference/paper/<model>`, or a shape of its own below;
`--tokenizer` is a folder with a `tokenizer.json` of the model's vocabulary; `--onnx` writes
`onnx/model.onnx` as well. Needs torch and transformers, and onnx for `--onnx`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

PAPER = Path(__file__).resolve().parents[2] / "tests" / "reference" / "paper"

#: Shapes that are measured besides those of the paper: the model they are like, and what differs.
SHAPES = {
    "bert-base": (
        "all-MiniLM-L12-v2",
        {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
        },
    ),
}


def configure(folder: Path, name: str) -> None:
    """Writes the configuration of a model or shape into `folder`."""
    like, changes = SHAPES.get(name, (name, {}))
    shutil.copytree(PAPER / like, folder, dirs_exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2) + "\n")
    if "hidden_size" in changes:
        path = folder / "1_Pooling" / "config.json"
        pooling = json.loads(path.read_text()) | {"word_embedding_dimension": changes["hidden_size"]}
        path.write_text(json.dumps(pooling, indent=2) + "\n")


def export(model: torch.nn.Module, folder: Path) -> None:
    """Writes `onnx/model.onnx` with token states as its output."""

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, ids, mask, types):
            return self.inner(ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones(2, 5, dtype=torch.int64)
    (folder / "onnx").mkdir(exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(
            States().eval(),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(folder / "onnx" / "model.onnx"),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, "last_hidden_state"]},
            opset_version=17,
            dynamo=False,
        )


def main() -> None:
    """Writes one model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    known = sorted([*SHAPES, *(p.name for p in PAPER.iterdir() if p.is_dir())])
    parser.add_argument("model", choices=known)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--layers", type=int, help="fewer layers than the model has")
    parser.add_argument("--shard", default="100GB", help="largest weights file")
    parser.add_argument("--onnx", action="store_true", help="write onnx/model.onnx too (BERT kinds)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    folder = args.out / args.model
    configure(folder, args.model)
    kept = (folder / "config.json").read_bytes()
    config = AutoConfig.from_pretrained(folder)
    if args.layers:
        config.num_hidden_layers = args.layers
    torch.manual_seed(args.seed)
    model = AutoModel.from_config(config, dtype=getattr(torch, args.dtype))
    parameters = sum(p.numel() for p in model.parameters())
    model.save_pretrained(folder, max_shard_size=args.shard)
    if not args.layers:
        # What the model's authors publish, not what this version of transformers makes of it.
        (folder / "config.json").write_bytes(kept)
    for name in ["tokenizer.json", "vocab.txt"]:
        if (args.tokenizer / name).exists():
            shutil.copy(args.tokenizer / name, folder / name)
    if args.onnx:
        export(model, folder)
    size = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    print(f"{folder}: {parameters:,} parameters, {size:,} bytes of weights in {args.dtype}")


if __name__ == "__main__":
    main()
