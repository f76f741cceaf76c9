#!/usr/bin/env python3
"""The steps of `step.rs` in PyTorch: same tokens, same loss, `torch.optim.AdamW`; dropout is off, as ours has none."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import cosine_similarity, cross_entropy
from transformers import AutoModel


def memory_mb(key: str) -> float:
    """A line of /proc/self/status in MB (10^6 bytes)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(key)


def cpu_s() -> float:
    """User and system seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints one JSON object, as step.rs does."""
    folder = sys.argv[1]
    texts, tokens, steps = (int(n) for n in sys.argv[2:5])
    attention = sys.argv[5] if len(sys.argv) > 5 else "sdpa"
    model = AutoModel.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32).eval()
    ids = torch.tensor([[1000 + (i * 7919 + j * 104729) % 20000 for j in range(tokens)] for i in range(texts)])
    mask = torch.ones_like(ids)
    optimiser = torch.optim.AdamW(
        [p for n, p in model.named_parameters() if not n.startswith("pooler.")], lr=5e-5, weight_decay=0.01
    )
    losses = []

    def one() -> None:
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        share = mask.unsqueeze(-1).float()
        pooled = (states * share).sum(1) / share.sum(1)
        pooled = torch.nn.functional.normalize(pooled, dim=-1)
        anchor, positive, negative = pooled.chunk(3)
        logits = torch.stack([cosine_similarity(anchor, positive), cosine_similarity(anchor, negative)], 1) / 0.05
        loss = cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))

    before = memory_mb("VmRSS:")
    one()
    started, cpu = time.perf_counter(), cpu_s()
    for _ in range(steps):
        one()
    wall, cpu = time.perf_counter() - started, cpu_s() - cpu
    print(
        json.dumps(
            {
                "cpu_s_per_step": cpu / steps,
                "wall_s_per_step": wall / steps,
                "peak_mb": memory_mb("VmHWM:"),
                "before_mb": before,
                "losses": losses,
                "version": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
