#!/usr/bin/env bash
# The sizes of the paper's Table 1, filtered whole, in two shards, and in four: time, memory, and whether the bytes agree.
#
#   benches/mine/shards.sh WORK TOKENIZER KO-NEWS.txt KO-LAW.txt EN-FILINGS.txt [KO-SUITE.txt EN-SUITE.txt]
#
# The text files hold one text a line; WORK needs 16 GB. DIVISOR=100 makes a hundredth of it. KORFINSTS names the binary.
# Rows are those of `generate.rs`; the corpora stay in WORK/corpora and are made once.
set -euo pipefail

work=$1 tokenizer=$2 news=$3 law=$4 filings=$5 korean_suite=${6:-} english_suite=${7:-}
korfinsts=${KORFINSTS:-target/release/korfinsts}
divisor=${DIVISOR:-1}
mkdir -p "$work/corpora"
[ -x "$work/generate" ] || rustc -O --edition 2024 "$(dirname "$0")/generate.rs" -o "$work/generate"

corpora=()
corpus() { # id rows seed ko|en language source texts suite
    local file="$work/corpora/$1.jsonl"
    [ -s "$file" ] || { "$work/generate" $(($2 / divisor)) "$3" "$4" "$7" ${8:+"$8"} > "$file.part" && mv "$file.part" "$file"; }
    printf 'id = "%s"\nname = "%s"\nlanguage = "%s"\nsource = "%s"\nlicence = "MIT"\nfiles = ["%s.jsonl"]\n[columns]\ntext = ["text"]\n' \
        "$1" "$1" "$5" "$6" "$1" > "$work/corpora/$1.toml"
    corpora+=(--corpus "$work/corpora/$1.toml")
}
corpus ko-news 178000 1 ko kor-Hang news "$news" "$korean_suite"
corpus ko-legal 359000 2 ko kor-Hang legal "$law" "$korean_suite"
corpus ko-report 8800 3 ko kor-Hang report "$news" "$korean_suite"
corpus en-report 206000 4 en eng-Latn report "$filings" "$english_suite"
corpus en-news 76800 5 en eng-Latn news "$filings" "$english_suite"
corpus en-fnspid 1630000 6 en eng-Latn news "$filings" "$english_suite"
du -ch --apparent-size "$work"/corpora/*.jsonl | tail -1

filter() { # folder, then further arguments
    local folder=$1
    shift
    /usr/bin/time -f "%e s, %U + %S CPU-seconds, peak %M kB: $(basename "$folder") $*" \
        "$korfinsts" mine filter "${corpora[@]}" --tokenizer "$tokenizer" --dir "$folder" --offline --quiet "$@"
}
rm -rf "$work"/one "$work"/two "$work"/four
filter "$work/one"
for shard in 1/2 2/2; do filter "$work/two" --shard "$shard"; done
filter "$work/two" --join
for shard in 3/4 1/4 4/4 2/4; do filter "$work/four" --shard "$shard"; done
filter "$work/four" --join

for other in two four; do
    for file in passages.jsonl filter.json run.toml; do
        cmp "$work/one/$file" "$work/$other/$file"
    done
    # Shards number their chunks; which file a verdict stands in may differ, which verdicts there are may not.
    for folder in one "$other"; do
        cat "$work/$folder"/verdicts/*.jsonl | sort | sha256sum > "$work/$folder.verdicts"
    done
    cmp "$work/one.verdicts" "$work/$other.verdicts"
done
echo "one, two and four shards: the same passages, counts and verdicts"
sha256sum "$work/one/passages.jsonl" && wc -l "$work/one/passages.jsonl"
