#!/usr/bin/env bash
# Measures `korfinsts` on the NVIDIA card of this machine, with what `prepare.sh` packed.
#
#   benches/gpu/run.sh ARCHIVES OUT [PART ...]
#
# ARCHIVES  folder with `program.tar.xz` and `inputs.tar.xz`
# OUT       folder of the results: one JSON file per part, and `messages.txt`
# PART      card, agree, encode, train, adapt [default: all]; each has a time limit of its own, and one that
#           fails does not stop the others
#
# Needs python3 with torch, transformers, sentence-transformers, accelerate, datasets and nvidia-ml-py.
# KORFINSTS_GPU_DRY=1 tries everything on a CPU at toy sizes; then KORFINSTS names a binary built without CUDA.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
archives=${1:?folder of the archives} out=${2:?folder of the results}
shift 2
[ $# -gt 0 ] || set -- card agree encode train adapt

export GPU_WORK=${GPU_WORK:-${TMPDIR:-/tmp}/korfinsts-gpu}
mkdir -p "$GPU_WORK" "$out"
for archive in program inputs; do
    if [ ! -e "$GPU_WORK/$archive" ] && [ -e "$archives/$archive.tar.xz" ]; then
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' \
            "$archives/$archive.tar.xz" "$GPU_WORK/$archive"
    fi
done
export KORFINSTS=${KORFINSTS:-$GPU_WORK/program/korfinsts} KORFINSTS_BESIDE=${KORFINSTS_BESIDE:-$GPU_WORK/program/korfinsts-beside}
export GPU_INPUTS=$GPU_WORK/inputs GPU_OUT=$out
export GPU_ENCODERS=${GPU_ENCODERS:-$here/../../tests/reference/encoders}
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=true PYTHONUNBUFFERED=1

# CUDA's libraries: those of the Python packages that PyTorch brings, and the driver's.
packages=$(python3 -c 'import glob, sysconfig; print(":".join(glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib")))')
export LD_LIBRARY_PATH=$packages:/usr/local/cuda/lib64:/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-}

declare -A limit=([card]=60 [agree]=120 [encode]=240 [train]=200 [adapt]=90)
for part in "$@"; do
    started=$SECONDS
    most=${limit[$part]}
    [ -z "${KORFINSTS_GPU_DRY:-}" ] || most=1200
    timeout -k 5 "$most" python3 "$here/$part.py" >> "$out/messages.txt" 2>&1
    echo "$part: exit $? after $((SECONDS - started)) s" | tee -a "$out/messages.txt"
done
