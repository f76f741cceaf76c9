#!/usr/bin/env bash
# Real files as seeds, under fuzz/corpus/: `bash fuzz/seeds.sh [PROGRAM]`, from the repository.
# PROGRAM is a built korfinsts [default: target/release/korfinsts]; it makes the bundle.
set -euo pipefail
cd "$(dirname "$0")/.."
program="$(realpath "${1:-target/release/korfinsts}")"
corpus="$PWD/fuzz/corpus"
mkdir -p "$corpus"/{manifest,bundle,scores,onnx,safetensors}

for suite in benchmarks/*/suite.toml; do
  cp "$suite" "$corpus/manifest/$(basename "$(dirname "$suite")")"
done
cp benchmarks/korfin-shift/korfinsts.toml "$corpus/manifest/release"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(
  cd "$work"
  export KORFINSTS_DATA="$work/data"
  "$program" eval nmixx-mini --suite korfin-shift --no-baselines --resamples 100 --quiet >/dev/null
  echo 'Looked for shared sentences, found none.' >overlap.md
  "$program" submit --name example/seed --licence apache-2.0 --statement 'Made as a seed.' --overlap-report overlap.md >/dev/null
)
cp "$work"/*.kfsub.zip "$corpus/bundle/whole"
unzip -q -o "$work"/*.kfsub.zip -d "$work/open"
# The target takes bytes as the manifest inside a good container, too.
cp "$work/open/submission.json" "$corpus/bundle/manifest"
for file in "$work"/open/scores/*.jsonl "$work/open/tokens.jsonl"; do
  head -n 20 "$file" >"$corpus/scores/$(basename "$file")"
done
cp "$work/open/SHA256SUMS" "$corpus/scores/sums"

for model in tests/reference/onnx/*/model.onnx; do
  name="$(basename "$(dirname "$model")")"
  if (($(stat -c %s "$model") < 65536)); then cp "$model" "$corpus/onnx/$name"; fi
done
cp tests/reference/model2vec/model.safetensors "$corpus/safetensors/model2vec"
cp tests/reference/encoders/t5enc-dense/2_Dense/model.safetensors "$corpus/safetensors/dense"
# The headers of whole networks, whose tensors are then cut off.
for model in tests/reference/encoders/*/model.safetensors; do
  head -c 16384 "$model" >"$corpus/safetensors/$(basename "$(dirname "$model")")"
done
du -sh "$corpus"/*
