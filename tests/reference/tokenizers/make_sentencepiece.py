"""Small SentencePiece models trained on sentences written for this project, with token ids.

    pip install sentencepiece protobuf tokenizers
    python make_sentencepiece.py

writes `xlmr/` and `t5/` beside this script: a `.model` of 400 pieces as XLM-R and T5 name it,
`config.json`, and `golden.json` with the ids of transformers' tokenizer made from that file.
"""

import json
import shutil
from pathlib import Path

import sentencepiece
import transformers
from transformers import T5Tokenizer, XLMRobertaTokenizer

from make import TEXTS

HERE = Path(__file__).parent
SEED = [text for text in TEXTS if text.strip()] * 8


def train(folder: Path, name: str, **options) -> None:
    folder.mkdir(exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(text.replace("\n", " ") for text in SEED), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "model"),
        vocab_size=400,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    (folder / "model.model").rename(folder / name)
    (folder / "model.vocab").unlink()
    corpus.unlink()


def write(folder: Path, model_type: str, tokenizer) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}) + "\n")
    golden = {
        "made_with": {"transformers": transformers.__version__},
        "texts": TEXTS,
        "token_ids": [tokenizer(text)["input_ids"] for text in TEXTS],
    }
    text = json.dumps(golden, ensure_ascii=False)
    (folder / "golden.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    xlmr = HERE / "xlmr"
    # fairseq's own special tokens stand before the pieces, in XLM-R's place for them.
    train(xlmr, "sentencepiece.bpe.model", unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
    write(xlmr, "xlm-roberta", XLMRobertaTokenizer.from_pretrained(xlmr))
    t5 = HERE / "t5"
    train(t5, "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    write(t5, "t5", T5Tokenizer.from_pretrained(t5))
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)


if __name__ == "__main__":
    main()
