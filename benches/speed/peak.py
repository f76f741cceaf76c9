#!/usr/bin/env python3
"""The best float32 matrix product of NumPy and PyTorch on all cores, in GFLOP/s, as JSON."""

from __future__ import annotations

import json
import time

#: As in `crates/nn/src/peak.rs`.
SHAPES = ((512, 384, 1536), (512, 768, 3072), (512, 3072, 768), (1536, 1536, 1536))
RUN, RUNS = 2e9, 8


def best(multiply, make) -> float:
    """Operations per second of the best run of the best shape, in 10^9."""
    found = 0.0
    for m, k, n in SHAPES:
        a, b = make(m, k), make(k, n)
        times = -(-int(RUN) // (2 * m * k * n))
        for _ in range(RUNS):
            started = time.perf_counter()
            for _ in range(times):
                multiply(a, b)
            found = max(found, 2 * m * k * n * times / (time.perf_counter() - started))
    return round(found / 1e9, 1)


def main() -> None:
    """Prints what is installed."""
    peaks = {}
    try:
        import numpy

        peaks["numpy"] = best(numpy.matmul, lambda *s: numpy.ones(s, numpy.float32))
    except ImportError:
        pass
    try:
        import torch

        peaks["torch"] = best(torch.matmul, lambda *s: torch.ones(s))
    except ImportError:
        pass
    print(json.dumps(peaks))


if __name__ == "__main__":
    main()
