"""The card: what it is, and what it reaches with PyTorch."""

from __future__ import annotations

import subprocess
import sys

import torch

from common import DRY, PROGRAM, Part, median, run


def timed(function, repeats: int) -> float:
    """Median seconds of a call, behind three to warm up."""
    for _ in range(3):
        function()
    seconds = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return median(seconds)


def product(dtype: torch.dtype, n: int) -> dict:
    """Rate of a square matrix product of random numbers."""
    a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    return {"dtype": str(dtype), "n": n, "tflops": round(2 * n**3 / timed(lambda: a @ b, 20) / 1e12, 1)}


def copy() -> dict:
    """Rate of a copy inside the card, bytes read and written."""
    a = torch.empty(1 << 32, device="cuda", dtype=torch.uint8)
    b = torch.empty_like(a)
    return {"gb_per_s": round(2 * a.numel() / timed(lambda: b.copy_(a), 10) / 1e9)}


def facts() -> dict:
    """Names and versions."""
    import sentence_transformers
    import transformers

    try:
        import onnxruntime

        onnx = {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}
    except ImportError:
        onnx = None
    found = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentence_transformers": sentence_transformers.__version__,
        "onnxruntime": onnx,
        "program": run([PROGRAM, "--version"])["out"].strip(),
    }
    if not DRY:
        query = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem,compute_cap"
        said = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=True)
        found["card"] = dict(zip(query.split(","), [s.strip() for s in said.stdout.strip().split(",")], strict=False))
    return found


part = Part("card")
part.attempt("facts", facts)
if not DRY:
    for kind, size in ((torch.bfloat16, 8192), (torch.float32, 8192)):
        part.attempt("products", product, kind, size)
    part.attempt("copy", copy)
