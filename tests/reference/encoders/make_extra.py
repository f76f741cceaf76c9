"""Makes the reference encoders that the other folders do not cover: tiny random transformers in
the sentence-transformers layout, with the embeddings that sentence-transformers computes.

    python make_extra.py [FOLDER]

writes mpnet-mean, distilbert-mean, t5gated-mean, qwen2bi-mean, mistralwindow-last, qwen2yarn-last
and qwen3llama3-last beside this script (or into FOLDER). Tokenizers and texts are those of the
folders that lie here already. Needs torch, transformers 5 and sentence-transformers 6.
"""

import json
import shutil
import sys
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from sentence_transformers.base.modules import Transformer

HERE = Path(__file__).resolve().parent
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
PROMPT = "Instruct: Retrieve semantically similar text.\nQuery: "


def encoders():
    """Name, folder whose tokenizer is used, configuration, pooling."""
    from transformers import DistilBertConfig, MistralConfig, MPNetConfig, Qwen2Config
    from transformers import Qwen3Config, T5Config

    wordpiece = dict(vocab_size=2000, pad_token_id=0)
    body = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    grouped = dict(num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False)
    bpe = dict(vocab_size=2200, pad_token_id=1, bos_token_id=0, eos_token_id=0)
    yield (
        "mpnet-mean",
        "xlmr-cls",
        MPNetConfig(vocab_size=2400, max_position_embeddings=66, **body),
        "mean",
    )
    yield (
        "distilbert-mean",
        "bert-mean",
        DistilBertConfig(
            dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=64, **wordpiece
        ),
        "mean",
    )
    yield (
        "t5gated-mean",
        "t5enc-dense",
        T5Config(
            vocab_size=2400,
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
        ),
        "mean",
    )
    yield (
        "qwen2bi-mean",
        "qwen2-last",
        Qwen2Config(
            is_causal=False,
            use_sliding_window=True,
            sliding_window=6,
            max_window_layers=1,
            **bpe,
            **body,
            **grouped,
        ),
        "mean",
    )
    yield (
        "mistralwindow-last",
        "mistral-last",
        MistralConfig(vocab_size=2400, pad_token_id=2, sliding_window=8, **body, **grouped),
        "lasttoken",
    )
    yield (
        "qwen2yarn-last",
        "qwen2-last",
        Qwen2Config(
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            **bpe,
            **body,
            **grouped,
        ),
        "lasttoken",
    )
    yield (
        "qwen3llama3-last",
        "qwen3-last",
        Qwen3Config(
            head_dim=16,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            **bpe,
            **body,
            **grouped,
        ),
        "lasttoken",
    )


def randomise(model):
    """Weights far enough from their initial values that every part shows in the result."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm = "norm" in name.lower() and name.endswith("weight")
        with torch.no_grad():
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.15 * noise)


def token_ids(model, texts):
    return [model.tokenize([t])["input_ids"][0].tolist() for t in texts]


def main():
    for name, source, config, pooling in encoders():
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        network = transformers.AutoModel.from_config(config)
        if config.model_type == "t5":
            network = transformers.T5EncoderModel(config)
        randomise(network)
        raw = OUT / f"{name}.raw"
        network.save_pretrained(raw)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(HERE / source / file, raw / file)
        transformer = Transformer(str(raw), max_seq_length=48)
        model = SentenceTransformer(
            modules=[
                transformer,
                Pooling(transformer.get_embedding_dimension(), pooling),
                Normalize(),
            ],
            prompts={"sts": PROMPT},
            device="cpu",
        )
        model.save(str(folder), create_model_card=False)
        shutil.rmtree(raw)
        model = SentenceTransformer(str(folder), device="cpu")
        texts = json.loads((HERE / source / "golden.json").read_text())["texts"]

        def embed(texts, **options):
            rows = [model.encode([t], **options)[0].tolist() for t in texts]
            return [[float(f"{value:.9g}") for value in row] for row in rows]

        golden = {
            "made_with": {
                "sentence_transformers": sentence_transformers.__version__,
                "transformers": transformers.__version__,
                "torch": torch.__version__.split("+")[0],
                "tokenizers": tokenizers.__version__,
            },
            "note": "float32, CPU; one text per forward pass; made by make_extra.py",
            "texts": texts,
            "token_ids": token_ids(model, texts),
            "embeddings": embed(texts),
            "prompt_name": "sts",
            "prompt": PROMPT,
            "token_ids_with_prompt": token_ids(model, [PROMPT + t for t in texts]),
            "embeddings_with_prompt": embed(texts, prompt_name="sts"),
        }
        (folder / "golden.json").write_text(json.dumps(golden, ensure_ascii=False))
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(name, size, len(golden["token_ids"][3]), golden["token_ids"][3][:6])


main()
