"""A tiny random model of each `model_type`, as `korfinsts encode` and as sentence-transformers see it.

    KORFINSTS_BIN=target/debug/korfinsts python tests/reference/kin/model_types.py [model_type ...]

prints a table: model_type, and the smallest cosine and largest difference to sentence-transformers,
or the refusal. It ends with status 1 where embeddings differ without a warning. `model_types.md` keeps the
last table, with what `gradients.py` prints of the test of gradients.
Python: torch, transformers 5.17 or later, sentence-transformers 6.0.1.
"""

import json, logging, os, shutil, subprocess, sys, tempfile, warnings

warnings.filterwarnings("ignore")
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")
logging.disable(logging.ERROR)
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import AutoConfig, AutoModel

HERE = os.path.dirname(os.path.abspath(__file__))
ENCODERS = os.path.join(HERE, "..", "encoders")
BINARY = os.path.abspath(os.environ["KORFINSTS_BIN"])
TEXTS = ["기준금리 인상은 채권 가격을 떨어뜨린다.", "A rate hike lowers bond prices.", "a",
         "영업이익 1,234억원 (+12.3% YoY)", "The quick brown fox jumps over the lazy dog. " * 4]
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=130)
DECODER = dict(SIZES, num_key_value_heads=2)
# model_type, or a name of TYPES: (folder whose tokenizer it gets, settings over SIZES)
MODELS = {
    "bert": ("bert-mean", SIZES), "roberta": ("xlmr-cls", SIZES), "xlm-roberta": ("xlmr-cls", SIZES),
    "camembert": ("xlmr-cls", SIZES), "mpnet": ("bert-mean", SIZES),
    "distilbert": ("bert-mean", dict(dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=130)),
    "modernbert": ("bert-mean", dict(SIZES, local_attention=8)),
    "t5": ("t5enc-dense", dict(d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4)),
    "mt5": ("t5enc-dense", dict(d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4)),
    "umt5": ("t5enc-dense", dict(d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4)),
    "mistral": ("mistral-last", dict(DECODER, head_dim=8)), "qwen2": ("qwen3-last", DECODER),
    "qwen3": ("qwen3-last", dict(DECODER, head_dim=8)), "llama": ("mistral-last", DECODER),
    "gemma": ("mistral-last", dict(DECODER, head_dim=8)), "gemma2": ("mistral-last", dict(DECODER, head_dim=8)),
    "gemma3_text": ("mistral-last", dict(DECODER, head_dim=8)), "phi": ("qwen3-last", DECODER),
    "phi3": ("mistral-last", DECODER), "olmo2": ("qwen3-last", DECODER),
    "granite": ("qwen3-last", DECODER), "stablelm": ("qwen3-last", DECODER),
    "electra": ("bert-mean", dict(SIZES, embedding_size=32)), "albert": ("bert-mean", dict(SIZES, embedding_size=16)),
    "deberta-v2": ("bert-mean", dict(SIZES, relative_attention=True, share_att_key=True, pos_att_type=["p2c", "c2p"],
                                      position_buckets=16, norm_rel_ebd="layer_norm", position_biased_input=False)),
    "ernie": ("bert-mean", SIZES), "nomic_bert": ("bert-mean", SIZES),
    "convbert": ("bert-mean", dict(SIZES, embedding_size=32)), "roformer": ("bert-mean", dict(SIZES, embedding_size=32)),
    "rembert": ("bert-mean", dict(SIZES, input_embedding_size=32)), "megatron-bert": ("bert-mean", SIZES),
    "mobilebert": ("bert-mean", dict(SIZES, intra_bottleneck_size=16, embedding_size=16)),
    "gpt2": ("qwen3-last", dict(n_embd=32, n_layer=2, n_head=4, n_positions=130)),
    "gpt_neox": ("qwen3-last", SIZES), "xlnet": ("xlmr-cls", dict(d_model=32, n_layer=2, n_head=4, d_inner=64)),
    "big_bird": ("bert-mean", dict(SIZES, attention_type="original_full")),
    "xlm-roberta-xl": ("xlmr-cls", SIZES), "roberta-prelayernorm": ("xlmr-cls", SIZES),
    "data2vec-text": ("xlmr-cls", SIZES), "eurobert": ("bert-mean", DECODER),
    "gte": ("xlmr-cls", SIZES), "electra-small": ("bert-mean", dict(SIZES, embedding_size=16)),
    "llama-bidirectional": ("mistral-last", dict(DECODER, is_causal=False)),
    "embeddinggemma": ("mistral-last", dict(DECODER, head_dim=8, num_hidden_layers=7, sliding_window=8, query_pre_attn_scalar=8,
                                            use_bidirectional_attention=True)),
}
TYPES = {"electra-small": "electra", "llama-bidirectional": "llama", "embeddinggemma": "gemma3_text"}


def make(model_type, folder):
    source, sizes = MODELS[model_type]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(ENCODERS, source, name), folder)
    ids = {k: v for k, v in json.load(open(os.path.join(ENCODERS, source, "config.json"))).items()
           if k in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
    torch.manual_seed(0)
    config = AutoConfig.for_model(TYPES.get(model_type, model_type), **{**sizes, **ids})
    AutoModel.from_config(config).save_pretrained(folder)
    transformer = Transformer(folder, model_kwargs={"dtype": "float32"})
    pooling = Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    model.max_seq_length = 64
    shutil.rmtree(folder)
    model.save(folder)
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": "float32"})
    return np.stack([model.encode(text, show_progress_bar=False) for text in TEXTS])


def encode(folder):
    with tempfile.TemporaryDirectory() as scratch:
        texts, out = os.path.join(scratch, "t.jsonl"), os.path.join(scratch, "o.npy")
        with open(texts, "w") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
        env = dict(os.environ, KORFINSTS_DATA=scratch, NO_COLOR="1")
        done = subprocess.run([BINARY, "encode", folder, "-i", texts, "-o", out, "--no-resume"],
                              env=env, capture_output=True, text=True)
        return (np.load(out) if done.returncode == 0 else None), done.stderr.strip()


silent = 0
for model_type in sys.argv[1:] or MODELS:
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(scratch, model_type)
        os.makedirs(folder)
        try:
            expected = make(model_type, folder)
        except Exception as error:
            print(f"{model_type:22} not made: {type(error).__name__}: {str(error)[:100]}", flush=True)
            continue
        found, said = encode(folder)
    if found is None:
        line = next((l for l in said.splitlines() if l.startswith("error")), said[-120:])
        print(f"{model_type:22} refused: {line.replace(scratch, '')[:170]}", flush=True)
        continue
    warned = [line.strip() for line in said.splitlines()
              if line.strip().startswith("warning") and "truncated" not in line]
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (unit(found) * unit(expected)).sum(1).min() if found.shape == expected.shape else float("nan")
    largest = np.abs(found - expected).max() if found.shape == expected.shape else float("nan")
    wrong = not largest < 1e-4
    silent += wrong and not warned
    print(f"{model_type:22} cos {cosine:.6f} maxabs {largest:.1e} {'WRONG ' if wrong else ''}"
          f"{'; '.join(warned)[:150]}", flush=True)
sys.exit(bool(silent))
