#!/usr/bin/env bash
# Real files as seeds, under fuzz/corpus/: `bash fuzz/seeds.sh [PROGRAM]`, from the repository.
# PROGRAM is a built korfinsts [default: target/release/korfinsts]; it makes the bundle.
set -euo pipefail
cd "$(dirname "$0")/.."
program="$(realpath "${1:-target/release/korfinsts}")"
corpus="$PWD/fuzz/corpus"
mkdir -p "$corpus"/{manifest,bundle,scores,onnx,safetensors,record,suite,model}

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
# Records of today and of the first schema, with some of their scores and token counts.
for file in "$work"/korfinsts-results/*/*.json* tests/reference/records/v1/*/*.json*; do
  head -c 16384 "$file" >"$corpus/record/$(basename "$(dirname "$file")").$(basename "$file")"
done
# A manifest, a NUL, rows: one for each format.
declare -A rows=(
  [csv]=$'a,b,s\n"금리가, 올랐다",금리 인상,4.5\nx,y,0\n'
  [tsv]=$'a\tb\ts\n금리가 올랐다\t금리 인상\t4.5\nx\ty\t0\n'
  [json]='[{"a":"금리가 올랐다","b":"금리 인상","s":4.5},{"a":"x","b":"y","s":0}]'
  [jsonl]=$'{"a":"금리가 올랐다","b":"금리 인상","s":4.5}\n{"a":"x","b":"y","s":0}\n'
)
for format in "${!rows[@]}"; do
  {
    cat <<TOML
schema = 1
id = "seed"
version = "1.0.0"
title = "seed"
description = "a seed"
languages = ["kor-Hang"]
licence = "CC0-1.0"
redistributable = true
default_split = "test"
[scale]
kind = "interval"
min = 0
max = 5
[splits.test]
[[source]]
name = "own"
format = { kind = "auto" }
columns = { sentence1 = "a", sentence2 = "b", score = "s" }
[source.files]
test = [{ name = "rows.$format" }]
TOML
    printf '\0%s' "${rows[$format]}"
  } >"$corpus/suite/$format"
done
# The four files that configure a model, a NUL between them.
for folder in tests/reference/encoders/*/; do
  files=("$folder"{config,tokenizer_config,sentence_bert_config}.json "${folder}1_Pooling/config.json")
  for file in "${files[@]}"; do
    if [[ -f $file ]]; then cat "$file"; fi
    printf '\0'
  done >"$corpus/model/$(basename "$folder")"
done
du -sh "$corpus"/*
