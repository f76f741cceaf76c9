#!/usr/bin/env bash
# Builds `korfinsts` for NVIDIA GPUs on a machine without one, and packs what `run.sh` needs.
#
#   benches/gpu/prepare.sh OUT [--tokenizer FILE] [--model DIR] [--data DIR] [--python PYTHON] [--no-build]
#
# OUT          folder of the two archives, `program.tar.xz` and `inputs.tar.xz`
# --tokenizer  `tokenizer.json` with the vocabulary of XLM-RoBERTa (250,002 pieces)
# --model      a sentence-transformers folder with that vocabulary, to be adapted on the card
# --data       a data folder of `korfinsts` whose imported suites travel too
# --python     a Python with numpy, safetensors and tokenizers [default: python3]
# --no-build   pack the binary that is there
#
# Environment: WORK (nvcc and the build, default `target/gpu`), CUDA_COMPUTE_CAP (default 90),
# PROGRAM (binary to pack, default the built one), CARGO_FLAGS (for example `-j2`).
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:?folder of the archives}
shift
python=python3 build=yes pack=()
while [ $# -gt 0 ]; do
    case $1 in
        --tokenizer | --model | --data) pack+=("$1" "$2") && shift 2 ;;
        --python) python=$2 && shift 2 ;;
        --no-build) build=no && shift ;;
        *) echo "unknown argument: $1" >&2 && exit 2 ;;
    esac
done
work=${WORK:-$PWD/target/gpu}
mkdir -p "$out" "$work"
program=${PROGRAM:-$work/target/release/korfinsts}

# The compiler and the headers of CUDA 13.0, from PyPI.
compiler() {
    [ -d "$work/cuda" ] || python3 -m venv "$work/cuda"
    "$work/cuda/bin/pip" install -q \
        nvidia-cuda-nvcc==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88 \
        nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88 nvidia-nvvm==13.0.88 nvidia-curand==10.4.0.35
}

# What the linker asks for and the packages lack: empty functions with the right library names. The program
# loads the real libraries where it runs.
stand_in() {
    local name=$1 version=$2 source=$3
    [ -e "$stubs/lib$name.so" ] && return
    grep -rhoE 'pub unsafe fn (cu|nvrtc|curand|cublas)[A-Za-z0-9_]+' "$cudarc/src/$source" | sort -u |
        sed -E 's/pub unsafe fn (.*)/void \1(void) {}/' > "$stubs/$name.c"
    gcc -shared -fPIC -w -Wl,-soname,"lib$name.so.$version" -o "$stubs/lib$name.so" "$stubs/$name.c"
}

if [ "$build" = yes ]; then
    compiler
    CUDA_HOME=$(echo "$work"/cuda/lib/python3*/site-packages/nvidia/cu13)
    export CUDA_HOME CUDA_PATH=$CUDA_HOME NVCC=$CUDA_HOME/bin/nvcc CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
    export PATH=$CUDA_HOME/bin:$PATH
    cargo fetch --locked
    cudarc=$(cargo metadata --locked --format-version 1 |
        python3 -c 'import json,sys,os; print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
    stubs=$work/stubs
    mkdir -p "$stubs"
    stand_in cuda 1 driver
    stand_in cublas 13 cublas
    stand_in cublasLt 13 cublaslt
    stand_in curand 10 curand
    stand_in nvrtc 13 nvrtc
    ln -sf "$CUDA_HOME/lib/libcudart.so.13" "$stubs/libcudart.so"
    export LIBRARY_PATH=$stubs RUSTFLAGS="${RUSTFLAGS:-} -L native=$stubs"
    # shellcheck disable=SC2086 # several flags
    cargo build --release --locked --bin korfinsts --no-default-features --features cuda \
        --target-dir "$work/target" ${CARGO_FLAGS:-}
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/program"
cp "$program" "$stage/program/korfinsts"
strip "$stage/program/korfinsts"
if [ -n "${BESIDE:-}" ]; then
    # A second build to compare with.
    cp "$BESIDE" "$stage/program/korfinsts-beside" && strip "$stage/program/korfinsts-beside"
fi
# One window over both binaries: what they share is packed once.
tar -C "$stage/program" -c . | xz --lzma2=preset=7,dict=192MiB > "$out/program.tar.xz"

mkdir "$stage/inputs"
"$python" benches/gpu/pack.py "$stage/inputs" "${pack[@]}"
cp training/recipes/nmixx-minilm-shift.toml "$stage/inputs/recipe.toml"
tar -C "$stage/inputs" -c . | xz -6 > "$out/inputs.tar.xz"
du -h "$out"/*.tar.xz
