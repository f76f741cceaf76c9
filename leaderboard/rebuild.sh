#!/usr/bin/env bash
# Builds `leaderboard/page` anew, with the records it is made of, from the suites of a folder and the models named:
#
#   bash leaderboard/rebuild.sh DATA MODEL...
#
# DATA is a folder that holds the files of the suites, at any depth; `korfinsts suite info NAME` lists them. MODEL is what
# `korfinsts eval` takes. The lexical baselines are always among them. KORFINSTS names the program [default: target/release/korfinsts],
# SUITES the suites, WORK a folder that keeps embeddings and per-pair scores, so that a second run encodes nothing again
# [default: target/leaderboard].
set -euo pipefail
cd "$(dirname "$0")/.."

if (($# < 2)); then
  echo "usage: bash leaderboard/rebuild.sh DATA MODEL..." >&2
  exit 2
fi
data="$1"
shift
program="${KORFINSTS:-target/release/korfinsts}"
work="${WORK:-target/leaderboard}"
suites="${SUITES:-finsts klue-sts korsts korsts-mteb sickr sts12 sts14 stsb}"
# What lies in the data home of this machine must not shape the page.
export KORFINSTS_DATA="$work/data"
mkdir -p "$work"

for suite in $suites; do
  "$program" suite import "$suite" "$data"
done
# Records of models that are not named now would be shown too.
rm -rf "$work/results" "$work/page"
chosen="korfin-shift,korfin-shift-2,${suites// /,}"
"$program" eval "$@" --protocol mteb --suite "$chosen" --results "$work/results"

"$program" leaderboard build --records "$work/results" --output "$work/page" --strict

# The records without per-pair scores: those hold the gold scores of suites that may not be passed on.
rm -rf leaderboard/records leaderboard/page
(cd "$work/results" && find . -name '*.json' ! -name '*.timing.json' -print0 | sort -z) |
  while IFS= read -r -d '' record; do
    mkdir -p "leaderboard/records/$(dirname "$record")"
    cp "$work/results/$record" "leaderboard/records/$record"
  done
mv "$work/page" leaderboard/page
