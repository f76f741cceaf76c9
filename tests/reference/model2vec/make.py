"""A small random model2vec folder with embeddings made by the model2vec library.

    pip install model2vec
    python make.py

The vocabulary is that of `bert-mean`; the table is shared between tokens through `mapping` and
scaled by `weights`, as vocabulary-quantised models are.
"""

import json
from pathlib import Path

import model2vec
import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer

HERE = Path(__file__).parent
TEXTS = [
    "",
    "금리",
    "한국은행은 기준금리를 0.25%포인트 인상했다.",
    "The Bank of Korea raised its base rate by 25bp.",
    "ㅋㅋㅋ 漢字 🚀 unknown",
    "🚀🚀",
    "코스피 " * 700,
]


def main() -> None:
    tokenizer = Tokenizer.from_file(str(HERE.parent / "encoders" / "bert-mean" / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    rng = np.random.default_rng(20240501)
    model = StaticModel(
        vectors=rng.standard_normal((256, 16)).astype(np.float32),
        tokenizer=tokenizer,
        normalize=True,
        weights=rng.uniform(0.1, 2.0, size).astype(np.float64),
        token_mapping=rng.integers(0, 256, size),
    )
    folder = HERE
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    model = StaticModel.from_pretrained(folder)
    # The library cuts long texts at a number of characters before it counts tokens; here only
    # the count of tokens is compared.
    model.median_token_length = 10_000
    golden = {
        "made_with": {"model2vec": model2vec.__version__},
        "texts": TEXTS,
        "embeddings": model.encode(TEXTS, use_multiprocessing=False).tolist(),
    }
    text = json.dumps(golden, ensure_ascii=False)
    (folder / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
