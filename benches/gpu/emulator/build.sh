#!/usr/bin/env bash
# Builds the emulated driver: the CUDA build of `korfinsts` then runs on a machine without a card, slowly.
#
#   benches/gpu/emulator/build.sh OUT
#   LD_LIBRARY_PATH=OUT KORFINSTS_EMULATOR=OUT korfinsts train … --device cuda
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:?folder of the libraries}")
kernels=$here/../../../crates/nn/src/kernels/cuda
mkdir -p "$out"
flags=(-O2 -std=c++17 -w -shared -fPIC -ffp-contract=off "-I$here" "-I$kernels")
g++ "${flags[@]}" "$here/driver.cpp" -o "$out/libcuda.so.1" -ldl
for name in libcublas.so.13 libcurand.so.10; do ln -sf libcuda.so.1 "$out/$name"; done
g++ "${flags[@]}" "$here/own.cpp" -o "$out/rows.so"
for type in 0 1 2; do
    for head in 32 64 128 256; do
        g++ "${flags[@]}" "-DTYPE=$type" "-DHEAD=$head" "$here/own.cpp" -o "$out/attention-$type-$head.so"
    done
done
