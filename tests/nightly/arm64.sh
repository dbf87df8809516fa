#!/usr/bin/env bash
# The kernels of arm64, cross-compiled and emulated: NEON gives the bits of AVX2 and AVX-512.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags=(-O3 -std=c11 -fno-math-errno -fno-trapping-math -ffp-contract=off -Wall -Wextra -Werror
       -pthread -Irnncore/kernels)
sources=(tests/nightly/arm64.c rnncore/kernels/*.c)
aarch64-linux-gnu-gcc "${flags[@]}" -static "${sources[@]}" -o "$work/arm64"
"${CC:-gcc}" "${flags[@]}" "${sources[@]}" -o "$work/here"

qemu-aarch64 "$work/arm64" neon > "$work/neon"
compared=0
for isa in avx2 avx512; do
    if "$work/here" "$isa" > "$work/$isa"; then
        diff "$work/neon" "$work/$isa"
        compared=$((compared + 1))
        echo "neon and $isa: the same $(wc -l < "$work/neon") hashes"
    else
        echo "$isa is not available here"
    fi
done
((compared > 0))
