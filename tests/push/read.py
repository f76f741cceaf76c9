"""Reads what was pushed with the libraries of others, against the hub that `HF_ENDPOINT` names, and prints it as JSON."""

import json
import sys

from huggingface_hub import HfApi, ModelCard, hf_hub_download, parse_eval_result_entries, snapshot_download


def model(name, texts):
    """Files of a snapshot, and embeddings where sentence-transformers is installed."""
    folder = snapshot_download(name)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return {"folder": folder, "embeddings": None}
    encoder = SentenceTransformer(name, device="cpu")
    return {"folder": folder, "embeddings": encoder.encode(json.loads(texts)).tolist()}


def upload(name, folder):
    """A folder, pushed by the hub's own library (large files by Git LFS)."""
    HfApi().create_repo(name, private=True)
    return HfApi().upload_folder(repo_id=name, folder_path=folder).oid


def dataset(name):
    """Rows of every split."""
    from datasets import load_dataset

    return {split: list(rows) for split, rows in load_dataset(name).items()}


def results(name, number):
    """What the card and the files of a pull request say."""
    import yaml

    revision = f"refs/pr/{number}"
    card = ModelCard.load(hf_hub_download(name, "README.md", revision=revision))
    names = [f for f in HfApi().list_repo_files(name, revision=revision) if f.startswith(".eval_results/")]
    files = [yaml.safe_load(open(hf_hub_download(name, f, revision=revision), encoding="utf-8")) for f in names]
    entries = [e for f in files for e in parse_eval_result_entries(f)]
    return {
        "license": card.data.license, "name": card.data.model_name, "text": card.text,
        "scores": {r.metric_type: r.metric_value for r in card.data.eval_results}, "datasets": sorted({r.dataset_config for r in card.data.eval_results}),
        "entries": [[e.task_id, e.value, str(e.date)] for e in entries], "requests": [d.title for d in HfApi().get_repo_discussions(name)],
    }  # fmt: skip


def mteb(name, branch, model):
    """Main scores by task, as mteb loads the branch of a repository of results; null where mteb is not installed."""
    try:
        from mteb import ResultCache
    except ImportError:
        return None
    folder = snapshot_download(name, repo_type="dataset", revision=branch)
    found = ResultCache(cache_path=folder).load_results(models=[model], include_remote=False)
    return {r.model_name: {t.task_name: t.get_score() for t in r.task_results} for r in found.model_results}


print(json.dumps({"model": model, "upload": upload, "dataset": dataset, "results": results, "mteb": mteb}[sys.argv[1]](*sys.argv[2:])))
