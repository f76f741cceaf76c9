"""Writes tiny graphs on which padding, the shape of a batch or an input besides the text matters.

    python3 make_padding.py

Each graph is one layer over a table of 13 rows of width 4: `padding/NAME.onnx`. `padding/golden.json` holds for each of
them the embeddings that ONNX Runtime gives for one text alone, pooled by the mean over tokens where the graph gives
states, and of length 1. A graph of a fixed shape has the embeddings of the same graph with free axes. The tokenizer is
that of `../encoders/bert-mean`.

Made with onnx 1.23, onnxruntime 1.30, tokenizers 0.23.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

HERE = Path(__file__).parent
TABLE, WIDTH = 13, 4
TEXTS = [
    "기준금리가 오르면 채권 가격은 내린다.",
    "rate",
    "Rates rose again in March.",
    "한국은행은 이달에도 금리를 동결했다",
    "Bonds fell",
]
# Tokens that a graph of fixed length takes: no text is longer.
TOKENS = 20


class Graph:
    """Nodes, constants and inputs of a graph that grows; every method gives the name of its result."""

    def __init__(self, batch="batch", tokens="tokens"):
        self.rng = np.random.default_rng(7)
        self.nodes, self.constants, self.inputs, self.extra = [], [], [], {}
        self.batch, self.tokens = batch, tokens

    def of(self, operator, *inputs, **attributes):
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape):
        return self.constant(self.rng.normal(size=shape) / np.sqrt(shape[0]) * 2)

    def text(self, name, kind=TensorProto.INT64):
        self.inputs.append(helper.make_tensor_value_info(name, kind, [self.batch, self.tokens]))
        return name

    def more(self, name, kind, shape, value):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self.extra[name] = np.asarray(value, helper.tensor_dtype_to_np_dtype(kind))
        return name

    # Parts of a network.
    def embed(self):
        ids = self.of("Mod", self.text("input_ids"), self.constant(TABLE, np.int64))
        return self.of("Gather", self.weight(TABLE, WIDTH), ids)

    def positions(self, x):
        count = self.of("Gather", self.of("Shape", "input_ids"), self.constant(1, np.int64))
        range_ = self.of("Range", self.constant(0, np.int64), count, self.constant(1, np.int64))
        return self.of("Add", x, self.of("Gather", self.weight(64, WIDTH), range_))

    def mask(self):
        return self.of("Cast", self.text("attention_mask"), to=TensorProto.FLOAT)

    def attend(self, x, mask=None, masked=-1e4):
        q, k, v = (self.of("MatMul", x, self.weight(WIDTH, WIDTH)) for _ in range(3))
        scores = self.of("MatMul", q, self.of("Transpose", k, perm=[0, 2, 1]))
        if mask:
            hidden = self.of("Mul", self.of("Sub", self.constant(1), mask), self.constant(masked))
            scores = self.of("Add", scores, self.of("Unsqueeze", hidden, self.constant([1], np.int64)))
        return self.of("Add", x, self.of("MatMul", self.of("Softmax", scores, axis=-1), v))

    def model(self, output, result, shape):
        self.nodes.append(helper.make_node("Identity", [result], [output]))
        out = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "g", self.inputs, [out], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def states(self, x):
        return self.model("last_hidden_state", x, [self.batch, self.tokens, WIDTH])

    def sentence(self, x):
        return self.model("sentence_embedding", x, [self.batch, WIDTH])


def healthy(graph):
    x = graph.embed()
    return graph.states(graph.attend(x, graph.mask()))


def no_mask(graph):
    return graph.states(graph.attend(graph.embed()))


def weak_mask(graph):
    x = graph.embed()
    return graph.states(graph.attend(x, graph.mask(), masked=-1))


def convolution(graph):
    x, _ = graph.embed(), graph.mask()
    x = graph.of("Transpose", x, perm=[0, 2, 1])
    x = graph.of("Conv", x, graph.weight(WIDTH, WIDTH, 3), pads=[1, 1], strides=[1], dilations=[1])
    return graph.states(graph.of("Transpose", x, perm=[0, 2, 1]))


def mean_of_all(graph):
    x = graph.embed()
    x = graph.attend(x, graph.mask())
    return graph.sentence(graph.of("ReduceMean", x, axes=[1], keepdims=0))


def norm_over_tokens(graph):
    x, _ = graph.embed(), graph.mask()
    x = graph.of("Sub", x, graph.of("ReduceMean", x, axes=[1], keepdims=1))
    size = graph.of("Sqrt", graph.of("ReduceMean", graph.of("Mul", x, x), axes=[1], keepdims=1))
    return graph.states(graph.of("Tanh", graph.of("Add", graph.of("Div", x, size), graph.constant([1, 2, 3, 4]))))


def norm_over_batch(graph):
    x, _ = graph.embed(), graph.mask()
    return graph.states(graph.of("Sub", x, graph.of("ReduceMax", x, axes=[0, 1], keepdims=1)))


def positions(graph):
    x = graph.positions(graph.embed())
    return graph.states(graph.attend(x, graph.mask()))


def last_position(graph):
    x = graph.embed()
    x = graph.attend(x, graph.mask())
    return graph.sentence(graph.of("Gather", x, graph.constant(-1, np.int64), axis=1))


def baked_batch(graph):
    x = graph.embed()
    x = graph.attend(x, graph.mask())
    return graph.states(graph.of("Reshape", x, graph.constant([1, -1, WIDTH], np.int64)))


def task(kind, shape, value):
    def build(graph):
        x = graph.embed()
        x = graph.attend(x, graph.mask())
        chosen = graph.of("Cast", graph.more("task_id", kind, shape, value), to=TensorProto.FLOAT)
        if shape == ["batch"]:
            chosen = graph.of("Unsqueeze", chosen, graph.constant([1, 2], np.int64))
        return graph.states(graph.of("Add", x, graph.of("Mul", chosen, graph.constant([0, 1, 0, -1]))))

    return build


def half(graph):
    """bfloat16 all through: neither runtime has its operators on a CPU."""
    ids = graph.of("Mod", graph.text("input_ids"), graph.constant(TABLE, np.int64))
    table = helper.make_tensor("table", TensorProto.BFLOAT16, [TABLE, WIDTH], graph.rng.normal(size=TABLE * WIDTH))
    graph.constants.append(table)
    x = graph.of("Gather", "table", ids)
    model = graph.states(graph.of("Softmax", x, axis=-1))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    return model


GRAPHS = {
    "healthy": healthy,
    "no-mask": no_mask,
    "weak-mask": weak_mask,
    "convolution": convolution,
    "mean-of-all": mean_of_all,
    "norm-over-tokens": norm_over_tokens,
    "norm-over-batch": norm_over_batch,
    "positions": positions,
    "last-position": last_position,
    "baked-batch": baked_batch,
    "task-int64": task(TensorProto.INT64, [], 3),
    "task-int32-list": task(TensorProto.INT32, [1], [3]),
    "task-float-batch": task(TensorProto.FLOAT, ["batch"], [3]),
    "task-bool": task(TensorProto.BOOL, [], True),
}
# Name, the graph it is made of, and its batch.
FIXED = [
    ("fixed-1-20", "healthy", 1, TOKENS),
    ("fixed-1-free", "healthy", 1, "tokens"),
    ("fixed-free-20", "healthy", "batch", TOKENS),
    ("fixed-4-20", "positions", 4, TOKENS),
    ("fixed-no-mask-20", "no-mask", "batch", TOKENS),
]


def embeddings(model, extra, tokenizer):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    rows = []
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids])
        assert ids.shape[1] <= TOKENS, (text, ids.shape)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        fed = {name: value for name, value in fed.items() if name in names} | extra
        row = session.run(None, fed)[0][0]
        row = row.mean(0) if row.ndim == 2 else row
        rows.append([float(v) for v in row / np.linalg.norm(row)])
    return rows


def main():
    tokenizer = Tokenizer.from_file(str(HERE / "../encoders/bert-mean/tokenizer.json"))
    tokenizer.no_padding()
    folder, golden = HERE / "padding", {}
    folder.mkdir(exist_ok=True)
    for name, build in GRAPHS.items():
        graph = Graph()
        model = build(graph)
        onnx.save(model, folder / f"{name}.onnx")
        golden[name] = embeddings(model, graph.extra, tokenizer)
    for name, of, batch, tokens in FIXED:
        onnx.save(GRAPHS[of](Graph(batch, tokens)), folder / f"{name}.onnx")
        golden[name] = golden[of]
    onnx.save(half(Graph()), folder / "bfloat16.onnx")
    (folder / "golden.json").write_text(json.dumps({"texts": TEXTS, "embeddings": golden}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
