"""Embeddings of llm2vec 0.2.3 for tiny random decoders: its own code prepares, tokenises and pools; its classes of
networks, which need an older transformers, are those of transformers with `is_causal` off.

    python make_llm2vec.py

writes `llm2vec/golden.json` beside this script. The network and the tokenizer are those of `../encoders/mistral-last`.
Needs torch, transformers 5, peft and llm2vec 0.2.3.
"""

import json, logging, os, sys, tempfile, types
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
logging.disable(logging.ERROR)
import torch
from transformers import AutoConfig, AutoTokenizer, LlamaModel, MistralModel

models = types.ModuleType("llm2vec.models")
for name in ("MistralBiModel", "LlamaBiModel", "GemmaBiModel", "Qwen2BiModel"):
    setattr(models, name, type(name, (), {}))
sys.modules["llm2vec.models"] = models
package = types.ModuleType("llm2vec")
package.__path__ = [p for p in (os.path.join(p, "llm2vec") for p in sys.path) if os.path.isdir(p)]
sys.modules["llm2vec"] = package
from llm2vec.llm2vec import LLM2Vec

HERE = Path(__file__).resolve().parent
BASE = HERE.parent / "encoders/mistral-last"
TEXTS = [["", "기준금리 인상은 채권 가격을 떨어뜨린다."], ["", "a"], ["Retrieve similar texts:", "A rate hike  lowers bond prices. "],
         [" Given a text, find its like: ", "영업이익 1,234억원 (+12.3% YoY)"],
         ["Retrieve:", "The quick brown fox jumps over the lazy dog. " * 6]]
CASES = [
    ("llama", "org/other", {"pooling_mode": "mean", "max_length": 64, "doc_max_length": 40, "skip_instruction": True}),
    ("llama", "org/other", {"pooling_mode": "mean", "max_length": 48, "doc_max_length": 400, "skip_instruction": False}),
    ("mistral", "mistralai/Mistral-7B-Instruct-v0.2", {"pooling_mode": "mean", "doc_max_length": 30}),
    ("llama", "meta-llama/Meta-Llama-3-8B-Instruct", {"pooling_mode": "mean", "doc_max_length": 30}),
    ("mistral", "org/other", {"pooling_mode": "eos_token", "max_length": 64}),
    ("llama", "org/other", {"pooling_mode": "last_token", "max_length": 64, "doc_max_length": 20}),
]


def main():
    cases = []
    for model_type, name, settings in CASES:
        config = AutoConfig.for_model(model_type, **{k: v for k, v in json.loads((BASE / "config.json").read_text()).items() if k != "model_type"})
        config.is_causal = False
        config._attn_implementation = "eager"
        cls = {"llama": LlamaModel, "mistral": MistralModel}[model_type]
        model = cls.from_pretrained(BASE, config=config, dtype=torch.float32).eval()
        model.config._name_or_path = name
        tokenizer = AutoTokenizer.from_pretrained(BASE)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        encoder = LLM2Vec(model=model, tokenizer=tokenizer, **settings)
        rows = [encoder.encode([pair], show_progress_bar=False, device="cpu")[0].tolist() for pair in TEXTS]
        cases.append({"model_type": model_type, "name": name, "config": settings,
                      "embeddings": [[float(f"{v:.9g}") for v in row] for row in rows]})
    out = HERE / "llm2vec"
    out.mkdir(exist_ok=True)
    text = json.dumps({"made_with": "llm2vec 0.2.3", "texts": TEXTS, "cases": cases}, ensure_ascii=False, separators=(",", ":"))
    (out / "golden.json").write_text(text + "\n")


main()
