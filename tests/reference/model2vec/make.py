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
    # Few tokens, many characters: what stands behind the cut is not seen.
    "한국은행은 금리를 인상했다." + " " * 2100 + "The Bank of Korea raised its base rate.",
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
    # One text is longer than the number of characters at which the library cuts.
    assert len(TEXTS[-1]) > 512 * model.median_token_length
    golden = {
        "made_with": {"model2vec": model2vec.__version__},
        "texts": TEXTS,
        "embeddings": model.encode(TEXTS, use_multiprocessing=False).tolist(),
    }
    text = json.dumps(golden, ensure_ascii=False)
    (folder / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
