#!/usr/bin/env bash
#===- run.sh - packs a small GPU suite and runs it on the emulator --------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: run.sh SOURCE BUILD FOLDER
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
source=$1 build=$2 folder=$3
fail() {
  echo "error: $*" >&2
  exit 1
}

rm -rf "$folder"
"$source/tools/gpu-suite.sh" --no-build --small --build="$build" \
  --out="$folder"
# What the folder needs is in it: but for the C library nothing is looked up
# elsewhere.
for program in "$folder"/bin/*; do
  ldd "$program" | while read -r name _ path _; do
    case $name in
    libomp* | libpcre2* | libstdc++* | libgcc_s*)
      [[ $(realpath "$path") == "$(realpath "$folder")"/lib/* ]] ||
        fail "$program takes $name from $path"
      ;;
    esac
  done
done
export DSV2_EMULATOR_LIBRARY=$build/lib/libdsv2-emulator.so
DSV2_SUITE_BENCH='-p 6 -n 3 -r 1' "$folder/run.sh" --device=emulator \
  --budget=600 checks models bench-all sweep model-bench
grep -q '^checks  *ok .* passed, 0 failed;' "$folder/results/summary.txt" ||
  fail "no checks in the summary"
grep -q ' us .*GB/s.* decode h=16 imbalanced' "$folder/results/summary.txt" ||
  fail "no timings in the summary"
grep -q '| pp6 | ' "$folder/results/summary.txt" ||
  fail "no model's timings in the summary"

# What is wrong has to show: a model with other weights.
sed -i 's/random:2/random:4/' "$folder/data/models/list"
if "$folder/run.sh" --device=emulator models >"$folder/wrong.txt"; then
  fail "a model with other weights passed"
fi
grep -q '^FAILED  T0' "$folder/wrong.txt" || fail "no model is named"
grep -q '^models  *FAILED .*0 of 4 model runs' "$folder/wrong.txt" ||
  fail "the summary does not say what failed"
if "$folder/run.sh" --wrong 2>/dev/null; then
  fail "an unknown argument passed"
fi
