"""Tiny adapters of PEFT with random weights on the encoders of `../encoders` and `../families`, and what PEFT
computes of them.

    python make.py [FOLDER [NAME ...]]

writes one folder per adapter beside this script (or into FOLDER): `adapter_config.json`,
`adapter_model.safetensors`, and `golden.json` with texts and the embeddings of sentence-transformers whose
network is `PeftModel.from_pretrained(base, folder)` (float32, one text at a time). `base_model_name_or_path`
is a path from this folder. `st-native` is a folder that sentence-transformers 6 saved with an adapter in it.
Needs torch, transformers, sentence-transformers 6.0.1 and peft 0.21.
"""

import json, logging, os, shutil, sys, warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")
logging.disable(logging.ERROR)
import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
OUT = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
ENCODERS = HERE.parent / "encoders"
TEXTS = ["기준금리 인상은 채권 가격을 떨어뜨린다.", "A rate hike lowers bond prices.", "a",
         "영업이익 1,234억원 (+12.3% YoY)", "The quick brown fox jumps over the lazy dog. " * 4]

# name: (base, settings of LoraConfig)
ADAPTERS = {
    "bert-list": ("bert-mean", dict(r=3, lora_alpha=5, target_modules=["query", "value", "dense"],
                                    rank_pattern={"query": 2}, alpha_pattern={r"layer\.1\.output\.dense": 9}, fan_in_fan_out=True)),
    "bert-all": ("bert-mean", dict(r=2, lora_alpha=4, target_modules="all-linear", bias="all", use_rslora=True,
                                   lora_bias=False)),
    "bert-tables": ("bert-mean", dict(r=2, lora_alpha=3, target_modules=["word_embeddings", "key"], lora_bias=False)),
    "bert-saved": ("bert-mean", dict(r=2, lora_alpha=3, target_modules=["query"], bias="lora_only",
                                     modules_to_save=["output.LayerNorm", "position_embeddings"])),
    "xlmr-regex": ("xlmr-cls", dict(r=4, lora_alpha=8, target_modules=r".*layer\.[01]\.(attention|intermediate).*(query|dense)",
                                    lora_bias=True)),
    "qwen3-layers": ("qwen3-last", dict(r=2, lora_alpha=16, target_modules=["q_proj", "k_proj", "o_proj", "up_proj", "down_proj"],
                                        layers_to_transform=[1], layers_pattern="layers", use_rslora=True)),
    "mistral-tokens": ("mistral-last", dict(r=2, lora_alpha=2, target_modules=["v_proj", "gate_proj"],
                                            trainable_token_indices={"embed_tokens": [5, 17, 3]})),
    "llama-exclude": ("mistral-last", dict(r=2, lora_alpha=7, target_modules=["q_proj", "down_proj"], exclude_modules=["layers.0.mlp.down_proj"],
                                           init_lora_weights="gaussian")),
    "modernbert-linear": ("modernbert-mean", dict(r=2, lora_alpha=6, target_modules="all-linear")),
    "t5-gated": ("t5gated-mean", dict(r=2, lora_alpha=6, target_modules=["q", "wo", "wi_0"])),
}


def randomise(model):
    """Every value of the adapter far from its initial one, so that each shows in the result."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def golden(model, folder):
    rows = [[float(f"{v:.9g}") for v in model.encode([text], show_progress_bar=False)[0].tolist()] for text in TEXTS]
    versions = {"peft": peft.__version__, "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    text = json.dumps({"made_with": versions, "texts": TEXTS, "embeddings": rows}, ensure_ascii=False, separators=(",", ":"))
    (folder / "golden.json").write_text(text + "\n")


def settings(folder, base):
    path = folder / "adapter_config.json"
    value = json.loads(path.read_text())
    value["base_model_name_or_path"] = os.path.relpath(base, HERE)
    for key in ("target_modules", "exclude_modules"):
        if isinstance(value.get(key), list):
            value[key].sort()
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main():
    for name, (base, options) in ADAPTERS.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        model = SentenceTransformer(str(ENCODERS / base), device="cpu")
        network = get_peft_model(model[0].model, LoraConfig(**options))
        randomise(network)
        network.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        # What is stored is what counts.
        model = SentenceTransformer(str(ENCODERS / base), device="cpu")
        model[0].model = PeftModel.from_pretrained(model[0].model, folder).eval()
        golden(model, folder)
        settings(folder, ENCODERS / base)
        print(name, len(load_file(folder / "adapter_model.safetensors")), sum(f.stat().st_size for f in folder.iterdir()))
    name = "st-native"
    if sys.argv[2:] and name not in sys.argv[2:]:
        return
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = SentenceTransformer(str(ENCODERS / "bert-mean"), device="cpu")
    model.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=["query", "key"]))
    randomise(model[0].model)
    model.max_seq_length = 48
    model.prompts = {"query": "query: "}
    model.save(str(folder))
    os.chdir(folder)
    settings(folder, ENCODERS / "bert-mean")
    value = json.loads((folder / "adapter_config.json").read_text())
    loaded = dict(value, base_model_name_or_path=str(ENCODERS / "bert-mean"))
    (folder / "adapter_config.json").write_text(json.dumps(loaded))
    golden(SentenceTransformer(str(folder), device="cpu"), folder)
    (folder / "adapter_config.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    print(name, sorted(p.name for p in folder.iterdir()))


main()
