"""Writes the tiny ONNX encoders beside this script.

    python3 make.py REFERENCE_ENCODERS

REFERENCE_ENCODERS is a folder of tiny sentence-transformers models (`bert-mean`, `qwen3-last`,
...), each with a `golden.json`. Every variant stands in a folder of its own with `model.onnx`
and a `golden.json` cut down to what the tests compare: token ids and embeddings, float32, one
text per forward pass.

Made with torch 2.15, transformers 5.23, onnx 1.23.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoModel
from transformers.cache_utils import DynamicCache

HERE = Path(__file__).parent
BATCH, TOKENS, PAST = "batch", "tokens", "past"


class States(torch.nn.Module):
    """Token states of a bidirectional encoder."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids=None, position_ids=None):
        more = {}
        if token_type_ids is not None:
            more["token_type_ids"] = token_type_ids
        if position_ids is not None:
            more["position_ids"] = position_ids
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **more)[0]


class Sentence(States):
    """Token states, and the mean over tokens with L2 normalisation."""

    def forward(self, input_ids, attention_mask, token_type_ids):
        states = super().forward(input_ids, attention_mask, token_type_ids)
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return states, torch.nn.functional.normalize(mean, dim=1)


class Decoder(torch.nn.Module):
    """Token states of a decoder that wants a key-value cache, which may be empty."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, *past):
        layers = [(past[i], past[i + 1]) for i in range(0, len(past), 2)]
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=DynamicCache(layers),
            use_cache=True,
        )
        return out.last_hidden_state


def load(folder):
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    return model.eval()


def export(module, inputs, outputs, past=()):
    ids = torch.ones(2, 5, dtype=torch.int64)
    mask = torch.ones(2, 5 + (3 if past else 0), dtype=torch.int64)
    positions = torch.arange(5).repeat(2, 1)
    known = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(ids),
        "position_ids": positions + (3 if past else 0),
    }
    args = [known[name] for name in inputs]
    axes = {name: {0: BATCH, 1: TOKENS} for name in inputs}
    if past:
        axes["attention_mask"] = {0: BATCH, 1: "all_tokens"}
    names = list(inputs)
    for name, shape in past:
        args.append(torch.zeros(2, shape[0], 3, shape[1]))
        axes[name] = {0: BATCH, 2: PAST}
        names.append(name)
    for name in outputs:
        axes[name] = {0: BATCH} if name == "sentence_embedding" else {0: BATCH, 1: TOKENS}
    if inputs[2:] == ("position_ids",) and not past:
        args = [ids, mask, None, positions]
    file = HERE / "export.tmp.onnx"
    with torch.no_grad():
        torch.onnx.export(
            module,
            tuple(args),
            str(file),
            input_names=names,
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(file)
    file.unlink()
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    return model


def to_float16(model):
    """Weights in float16 and the computation too, as fp16 exports on hubs have it."""
    for tensor in model.graph.initializer:
        convert(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                convert(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for value in list(model.graph.input) + list(model.graph.output) + list(model.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def convert(tensor):
    if tensor.data_type != TensorProto.FLOAT:
        return
    values = np.clip(numpy_helper.to_array(tensor), -65504, 65504).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def contrib():
    """`com.microsoft.BiasGelu` over an embedding table: an operator outside the ONNX standard."""
    table = np.arange(24, dtype=np.float32).reshape(6, 4) / 10 - 1
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
                helper.make_node("BiasGelu", ["rows", "bias"], ["last_hidden_state"], domain="com.microsoft"),
            ],
            "contrib",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, [BATCH, TOKENS]),
                helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [BATCH, TOKENS]),
            ],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [BATCH, TOKENS, 4])],
            [
                numpy_helper.from_array(table, "table"),
                numpy_helper.from_array(np.full(4, 0.5, np.float32), "bias"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )


def write(name, source, model, external=False):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if external:
        onnx.save(
            model,
            folder / "model.onnx",
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location="model.onnx_data",
            size_threshold=1024,
        )
    else:
        onnx.save(model, folder / "model.onnx")
    if source is None:
        return
    golden = json.loads((source / "golden.json").read_text())
    kept = {key: golden[key] for key in ("made_with", "note", "token_ids", "embeddings")}
    (folder / "golden.json").write_text(json.dumps(kept) + "\n")


def main(root):
    bert = root / "bert-mean"
    three = ("input_ids", "attention_mask", "token_type_ids")
    states = ("last_hidden_state",)
    write("bert-states", bert, export(States(load(bert)), three, states))
    write("bert-external", bert, export(States(load(bert)), three, states), external=True)
    write("bert-float16", bert, to_float16(export(States(load(bert)), three, states)))
    write(
        "bert-sentence",
        bert,
        export(Sentence(load(bert)), three, ("token_embeddings", "sentence_embedding")),
    )
    write(
        "bert-positions",
        bert,
        export(States(load(bert)), ("input_ids", "attention_mask", "position_ids"), states),
    )
    xlmr = root / "xlmr-cls"
    write("xlmr-states", xlmr, export(States(load(xlmr)), ("input_ids", "attention_mask"), states))
    qwen = root / "qwen3-last"
    model = load(qwen)
    shape = (model.config.num_key_value_heads, model.config.head_dim)
    past = [
        (f"past_key_values.{layer}.{part}", shape)
        for layer in range(model.config.num_hidden_layers)
        for part in ("key", "value")
    ]
    write(
        "qwen3-cache",
        qwen,
        export(Decoder(model), ("input_ids", "attention_mask", "position_ids"), states, past),
    )
    write("contrib", None, contrib())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
