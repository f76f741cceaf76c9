"""Small byte-level BPE vocabularies trained on sentences written for this project, with token ids.

    pip install transformers tokenizers
    python make_byte_level.py

writes `roberta/` and `gpt2/` beside this script: `vocab.json`, `merges.txt`,
`tokenizer_config.json`, `config.json`, and `golden.json` with the ids of transformers' tokenizer
made from those files.
"""

import json
import shutil
from pathlib import Path

import transformers
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Tokenizer, RobertaTokenizer

from make import TEXTS

HERE = Path(__file__).parent


def write(name: str, special: list[str], settings: dict, cls) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS * 4, vocab_size=500, special_tokens=special)
    trained.save_model(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": name}) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")
    tokenizer = cls.from_pretrained(folder)
    golden = {
        "made_with": {"transformers": transformers.__version__},
        "texts": TEXTS,
        "token_ids": [tokenizer(text)["input_ids"] for text in TEXTS],
    }
    text = json.dumps(golden, ensure_ascii=False)
    (folder / "golden.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    named = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
             "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    write("roberta", special, named, RobertaTokenizer)
    end = "<|endoftext|>"
    write("gpt2", [end], {"bos_token": end, "eos_token": end, "unk_token": end}, GPT2Tokenizer)
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)


if __name__ == "__main__":
    main()
