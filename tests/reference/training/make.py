"""Values and gradients of objectives (also with a guide), of LoRA with dropout, and schedules, as PyTorch and transformers compute them.

    python tests/reference/training/make.py    (torch 2.11, transformers 5.17, sentence-transformers 6.0.1; writes objectives.json here)
"""
import json, pathlib
import torch
import torch.nn.functional as F
import sentence_transformers.sentence_transformer.losses.gist_embed as gist
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def case(loss, tensors):
    loss.backward()
    return {"loss": loss.item(), "gradients": [t.grad.tolist() for t in tensors],
            "inputs": [t.detach().tolist() for t in tensors]}


def margin(margin, edit=None):
    a, p, n = leaf(6, 5), leaf(6, 5), leaf(6, 5)
    if edit:
        with torch.no_grad():
            edit(a, p, n)
    loss = torch.nn.TripletMarginLoss(margin=margin, p=2)(a, p, n)
    return {"margin": margin, **case(loss, [a, p, n])}


def same(a, p, n):
    p[1] = a[1]          # distance of eps alone
    n[2] = 30 * n[2]     # far away: no loss
    n[3] = a[3]


def contrast(a, p, n):
    scores = F.normalize(a, dim=1) @ F.normalize(torch.cat([p, n]), dim=1).T
    return F.cross_entropy(scores * 50, torch.arange(len(a)))


def in_batch():
    tensors = leaf(6, 5), leaf(6, 5), leaf(6, 5)
    return case(contrast(*tensors), tensors)


def accumulated(batch):
    """Gradient accumulation: each batch has negatives of its own, and their gradients are averaged."""
    tensors = leaf(6, 5), leaf(6, 5), leaf(6, 5)
    parts = [t.split(batch) for t in tensors]
    losses = [contrast(*part) for part in zip(*parts)]
    return {"batch": batch, **case(torch.stack(losses).mean(), tensors)}


M = (1 << 64) - 1


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & M
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
    return z ^ (z >> 31)


def mask(share, seed, layer, rows, width, features):
    """Rows are pairs of the number of a text in its batch and the column of its first token."""
    kept = torch.empty(len(rows), width, features)
    for r, (text, start) in enumerate(rows):
        row = mix(seed ^ mix(layer ^ mix(text)))
        for column in range(width):
            for feature in range(features):
                at = ((column - start) * features + feature) & M
                drawn = (mix((row + at) & M) >> 11) / (1 << 53)
                kept[r, column, feature] = 0.0 if drawn < share else 1 / (1 - share)
    return kept


def lora(share, seed, layer, rows):
    """peft's forward pass: x W^T + scale * B(A(dropout(x)))."""
    x, down, up, weight = leaf(len(rows), 4, 6), leaf(2, 6), leaf(5, 2), torch.randn(5, 6)
    kept = mask(share, seed, layer, rows, 4, 6)
    assert 0 < (kept == 0).sum() < kept.numel()
    coefficients = torch.randn(len(rows), 4, 5)
    y = x @ weight.T + 2.0 * ((x * kept) @ down.T @ up.T)
    return {"share": share, "seed": seed, "layer": layer, "rows": rows, "scale": 2.0, "weight": weight.tolist(),
            "coefficients": coefficients.tolist(), **case((y * coefficients).sum(), [x, down, up])}


def schedule(make, warmup, total):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-5)
    scheduler = make(optimiser, warmup, total)
    rates = []
    for _ in range(total):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return {"peak": 2e-5, "warmup": warmup, "total": total, "rates": rates}


def guided(strategy, margin, hard):
    """GISTEmbedLoss itself, with embeddings in place of its two models."""
    tensors = [leaf(6, 5) for _ in range(3 if hard else 2)]
    # Near enough to each other that the guide masks some.
    guide = [F.normalize(torch.randn(6, 4) * 0.6 + 1, dim=1) for _ in tensors]
    loss = gist.GISTEmbedLoss.__new__(gist.GISTEmbedLoss)
    torch.nn.Module.__init__(loss)
    loss.model, loss.guide, loss.must_retokenize, loss.gather_across_devices = "model", "guide", False, False
    loss.temperature, loss.margin_strategy, loss.margin = 0.05, strategy, margin
    loss.contrast_anchors = loss.contrast_positives = False
    loss.similarity_fct, loss.cross_entropy_loss = torch.nn.CosineSimilarity(dim=-1), torch.nn.CrossEntropyLoss()
    gist.embed_columns = lambda which, _: list(tensors) if which == "model" else [g.clone() for g in guide]
    sims = guide[0] @ torch.cat(guide[1:]).T
    own = sims.diagonal().unsqueeze(1)
    masked = sims > own - margin * (own.abs() if strategy == "relative" else 1)
    masked[torch.arange(6), torch.arange(6)] = False
    assert 0 < masked.sum() < masked.numel() - 6
    return {"relative": strategy == "relative", "margin": margin, "guide": torch.cat(guide).tolist(),
            "masked": int(masked.sum()), **case(loss([{}, {}], None), tensors)}


found = {
    "margin": [margin(1.0), margin(0.2), margin(1.0, same)],
    "in_batch": in_batch(),
    "accumulated": [accumulated(2), accumulated(3)],
    "lora": [lora(0.05, 7, 11, [[0, 0], [5, 0], [2, 0]]), lora(0.5, 2**63 + 9, 2**40, [[1, 2], [0, 0]])],
    "linear": [schedule(get_linear_schedule_with_warmup, 3, 17)],
    "cosine": [schedule(get_cosine_schedule_with_warmup, w, t) for w, t in [(2, 20), (0, 7), (5, 12)]],
    "guided": [guided("absolute", 0.0, True), guided("absolute", 0.1, True), guided("relative", 0.05, True),
               guided("absolute", 0.0, False)],
}
pathlib.Path(__file__).with_name("objectives.json").write_text(json.dumps(found) + "\n")
