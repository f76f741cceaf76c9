"""The folder of `make.py` in the quantised forms of model2vec, with the embeddings that the library gives.

    pip install "model2vec[quantization]"
    python make.py && python quantized.py

`quantized.safetensors` holds the tensors that differ from those of `model.safetensors`; `quantized.json` says for each form
which tensors it has, and its embeddings. Of a form without a mapping the table is `embeddings[mapping]`.
"""

import json
import tempfile
from pathlib import Path

import model2vec
import numpy as np
from make import HERE, TEXTS
from model2vec import StaticModel
from model2vec.model import quantize_model
from safetensors.numpy import load_file, save_file


def main() -> None:
    base = StaticModel.from_pretrained(HERE)
    tensors: dict[str, np.ndarray] = {}
    forms = []

    def form(name: str, model: StaticModel, **tensor_of: str | bool) -> None:
        """Saves, loads again and encodes; tensors that are not named are new."""
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            saved = load_file(Path(folder) / "model.safetensors")
            model = StaticModel.from_pretrained(folder)
        shown = {"gather": bool(tensor_of.pop("gather", False))}
        for key, values in saved.items():
            own = tensor_of.get(key, f"{name}.{key}")
            shown[key] = own
            if own not in tensors and "." in own:
                tensors[own] = values
        shown = {**shown, **({"embeddings": tensor_of["embeddings"]} if shown["gather"] else {})}
        encoded = model.encode(TEXTS, use_multiprocessing=False)
        forms.append({"name": name, "dtype": str(encoded.dtype), "normalize": model.normalize, **shown,
                      "rows": encoded.astype(np.float64).tolist()})

    def like(vectors: np.ndarray, weights: np.ndarray | None, mapping: np.ndarray | None, normalize: bool = True) -> StaticModel:
        return StaticModel(vectors=vectors, tokenizer=base.tokenizer, normalize=normalize, weights=weights, token_mapping=mapping)

    table = {kind: quantize_model(base, quantize_to=kind).embedding for kind in ("float16", "int8")}
    half = base.weights.astype(np.float16)
    kept = {"weights": "weights", "mapping": "mapping"}
    for kind, vectors in table.items():
        own = {"embeddings": f"{kind}.embeddings"}
        form(kind, like(vectors, base.weights, base.token_mapping), **kept)
        form(f"{kind} with weights in float16", like(vectors, half, base.token_mapping), mapping="mapping", weights="half.weights", **own)
        form(f"{kind} with weights in float32", like(vectors, base.weights.astype(np.float32), base.token_mapping),
             mapping="mapping", weights="single.weights", **own)
        form(f"{kind} without weights", like(vectors, None, base.token_mapping), mapping="mapping", **own)
        form(f"{kind} alone", like(vectors[base.token_mapping], None, None), gather=True, **own)
    form("float16 not normalised", like(table["float16"], base.weights, base.token_mapping, normalize=False),
         embeddings="float16.embeddings", **kept)
    form("mapping in uint16", like(table["float16"], base.weights, base.token_mapping.astype(np.uint16)),
         embeddings="float16.embeddings", weights="weights")
    # As `from_pretrained(..., vocabulary_quantization=64, quantize_to="int8")` makes it.
    rng = np.random.default_rng(20240502)
    whole = like(rng.standard_normal((len(base.tokens), 16)).astype(np.float32), None, None)
    form("vocabulary", quantize_model(whole, vocabulary_quantization=64))
    form("vocabulary in int8", quantize_model(whole, vocabulary_quantization=64, quantize_to="int8"),
         weights="vocabulary.weights", mapping="vocabulary.mapping")
    save_file(tensors, HERE / "quantized.safetensors")
    golden = {"made_with": {"model2vec": model2vec.__version__, "numpy": np.__version__}, "texts": TEXTS, "forms": forms}
    (HERE / "quantized.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
