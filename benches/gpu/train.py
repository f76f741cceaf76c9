"""Training: triplets per second and memory of `korfinsts train` and of sentence-transformers' trainer.

Both take the same 64 triplets at every step, so that losses can be compared: in-batch negatives with a hard one each
(`MultipleNegativesRankingLoss`, scale 20), AdamW, clipping at 1, no dropout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import models
from common import DEVICE, DRY, WORK, Part, Peak, median, programs, texts, write_lines

#: Triplets of a step, and longest text in tokens.
BATCH = {"e5-small": 64, "bge-m3": 16}
TOKENS = 128
STEPS = 4 if DRY else 24
#: Steps at the start that do not count.
WARM = 1 if DRY else 4
RATE = 2e-5


def triplets(shape: str) -> list[dict]:
    """The texts of a step."""
    return texts()["triplets"][: 8 if DRY else BATCH[shape]]


def rates(seconds: list[float], n: int, lengths: int, shape: str) -> dict:
    """Rates of the steps that count."""
    step = median(seconds[WARM:])
    # Forward once and backward twice, on texts that are all cut at the same length.
    operations = 3 * models.flops(shape, [TOKENS] * lengths)
    return {
        "step_ms": round(1e3 * step, 1), "triplets_per_s": round(n / step, 1), "tflops": round(operations / step / 1e12, 2),
        "steps": len(seconds),
    }  # fmt: skip


def theirs(shape: str, folder, dtype: str) -> dict:
    """sentence-transformers' trainer; with bfloat16 under autocast, parameters in float32."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    rows = triplets(shape)
    model = models.load(folder)
    model.max_seq_length = TOKENS
    seconds: list[float] = []
    losses: list[float] = []

    class Watch(TrainerCallback):
        """The clock from the end of a step to the end of the next, and the loss of every step."""

        def on_train_begin(self, *_args, **_more) -> None:
            self.last = time.perf_counter()

        def on_step_end(self, *_args, **_more) -> None:
            if not DRY:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - self.last)
            self.last = time.perf_counter()

        def on_log(self, _args, _state, _control, logs=None, **_more) -> None:
            if logs and "loss" in logs:
                losses.append(logs["loss"])

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(WORK / "trainer"), num_train_epochs=STEPS, per_device_train_batch_size=len(rows), learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=0.01, max_grad_norm=1.0, bf16=dtype == "bfloat16", logging_steps=1, save_strategy="no",
        report_to="none", use_cpu=DRY, disable_tqdm=True, dataloader_num_workers=0,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows), callbacks=[Watch()],
        loss=MultipleNegativesRankingLoss(model, scale=20.0),
    )  # fmt: skip
    if not DRY:
        torch.cuda.reset_peak_memory_stats()
    with Peak() as used:
        trainer.train()
    memory = None if DRY else round(torch.cuda.max_memory_allocated() / 1e6)
    del trainer, model
    release()
    return {
        "shape": shape, "dtype": dtype, "who": "sentence-transformers", "batch": len(rows), "peak_mb": used.mb, "peak_allocated_mb": memory,
        **rates(seconds, len(rows), 3 * len(rows), shape), "losses": losses,
    }  # fmt: skip


def loop(shape: str, folder, dtype: str) -> dict:
    """The same steps as a plain loop over sentence-transformers' model, tokenised beforehand, fused AdamW, loss in float32."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    rows = triplets(shape)
    model = models.load(folder)
    model.max_seq_length = TOKENS
    features = []
    for role in ("anchor", "positive", "negative"):
        made = model.tokenizer([row[role] for row in rows], truncation=True, max_length=TOKENS, padding=True, return_tensors="pt")
        features.append({key: value.to(model.device) for key, value in made.items()})
    kinds = [[p for p in model.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    groups = [{"params": kinds[0], "weight_decay": 0.01}, {"params": kinds[1], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, fused=not DRY)
    seconds, losses = [], []
    model.train()
    if not DRY:
        torch.cuda.reset_peak_memory_stats()
    with Peak() as used:
        for _ in range(STEPS):
            began = time.perf_counter()
            with torch.autocast("cpu" if DRY else "cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
                found = [model(dict(f))["sentence_embedding"] for f in features]
            anchor, *candidates = (normalize(f.float(), dim=1) for f in found)
            scores = 20.0 * anchor @ torch.cat(candidates).T
            loss = cross_entropy(scores, torch.arange(len(rows), device=scores.device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(float(loss))
            if not DRY:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    memory = None if DRY else round(torch.cuda.max_memory_allocated() / 1e6)
    del model, optimiser, features, kinds, groups, loss, found, anchor, candidates, scores
    release()
    return {
        "shape": shape, "dtype": dtype, "who": "PyTorch loop", "batch": len(rows), "peak_mb": used.mb, "peak_allocated_mb": memory,
        **rates(seconds, len(rows), 3 * len(rows), shape), "losses": losses,
    }  # fmt: skip


def release() -> None:
    """Gives memory of the card back, so that the next run finds it."""
    if not DRY:
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


def ours(shape: str, folder, dtype: str, name: str, program, checkpointing: bool = False) -> dict:
    """The command, stopped once it has made its steps: what it writes behind them is not measured."""
    rows = triplets(shape)
    here = WORK / "train" / f"{shape}-{dtype}-{name.replace(', ', '-')}-{checkpointing}"
    # A run goes on where an earlier one stopped, and its log would be read as this one's.
    shutil.rmtree(here, ignore_errors=True)
    write_lines(here / "triplets.jsonl", rows)
    recipe = here / "recipe.toml"
    recipe.write_text(f"""\
schema = 1
name = "speed"
leakage = "report"
leakage_suites = ["korfin-shift"]
[base]
model = "{folder}"
[compute]
max_tokens = {TOKENS}
matmul = "{dtype}"
gradient_checkpointing = {str(checkpointing).lower()}
[[stage]]
name = "triplets"
epochs = 1000
batch = {len(rows)}
learning_rate = {RATE}
warmup = 0.0
schedule = "constant"
temperature = 0.05
negatives = "hard+batch"
[[stage.data]]
triplets = "triplets.jsonl"
[save]
every = 0
""")
    command = [program, "train", recipe, "--output", here / "out", "--device", DEVICE, "--quiet"]
    path = here / "out" / "training" / "metrics.jsonl"
    lines: list[dict] = []
    until = time.monotonic() + 60
    with Peak() as used, (here / "messages").open("wb") as messages:
        process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.DEVNULL, stderr=messages, env=os.environ | {"KORFINSTS_DATA": str(WORK / "data")}
        )
        try:
            while len(lines) < STEPS and process.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
                if path.exists():
                    lines = [json.loads(t) for t in path.read_text().splitlines() if t.endswith("}")]
        finally:
            process.kill()
            process.wait()
    if len(lines) <= WARM:
        raise RuntimeError(f"{len(lines)} steps: {(here / 'messages').read_text()[-900:]}")
    seconds = [len(rows) / line["triplets_per_second"] for line in lines]
    return {
        "shape": shape, "dtype": dtype, "who": name, "batch": len(rows), "gradient_checkpointing": checkpointing, "peak_mb": used.mb,
        **rates(seconds, len(rows), 3 * len(rows), shape), "losses": [line["loss"] for line in lines[:STEPS]],
    }  # fmt: skip


part = Part("train")
for shape in sys.argv[1:] or ["e5-small", "bge-m3"]:
    given = models.given() if shape == "e5-small" and not DRY else None
    path = given or models.folder(shape)
    if given:
        # The card of a published model asks for dropout; here both sides go without.
        config = json.loads((path / "config.json").read_text())
        config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        (path / "config.json").write_text(json.dumps(config))
    for dtype in ("bfloat16", "float32"):
        for name, program in programs().items():
            part.attempt("runs", ours, shape, path, dtype, name, program)
        if dtype == "bfloat16":
            part.attempt("runs", ours, shape, path, dtype, "korfinsts", programs()["korfinsts"], True)
        part.attempt("runs", loop, shape, path, dtype)
        part.attempt("runs", theirs, shape, path, dtype)
        release()
