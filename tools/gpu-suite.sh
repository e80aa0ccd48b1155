#!/usr/bin/env bash
#===- gpu-suite.sh - pack everything that is to run on a GPU --------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: tools/gpu-suite.sh [--out=FOLDER] [--build=FOLDER] [--no-build]
#                           [--chips=LIST] [--small]
# Makes a folder (default: gpu-suite) that runs on any x86-64 machine with a
# CUDA driver and glibc 2.36 or later: FOLDER/run.sh. See docs/GPUSuite.md.
# --small: few cases, as bitcode for the emulator.
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=gpu-suite build=build make=1 small=0 chips=sm_90a,sm_80
for argument; do
  case $argument in
  --out=*) out=${argument#*=} ;;
  --build=*) build=${argument#*=} ;;
  --chips=*) chips=${argument#*=} ;;
  --no-build) make=0 ;;
  --small) small=1 ;;
  *)
    echo "gpu-suite.sh: error: unknown argument '$argument'" >&2
    exit 2
    ;;
  esac
done
targets=(dsv2-gpu-check dsv2-run dsv2-bench dsv2-compile dsv2-kernel-cases
  dsv2-emulator GPUKernelTests)
if ((make)); then
  cmake --build "$build" --target "${targets[@]}"
fi
build=$(realpath "$build")
# A folder that something else made is not for this to clear.
if [[ -e $out && -n $(ls -A "$out") && ! -f $out/run.sh ]]; then
  echo "gpu-suite.sh: error: '$out' exists and holds something else" >&2
  exit 2
fi
mkdir -p "$out"
out=$(realpath "$out")
rm -rf "${out:?}"/{bin,lib,cases,models,data,data.tar.gz,run.sh,results}
mkdir -p "$out"/{bin,lib,cases,models}
step() { echo "[$SECONDS s] $*"; }

step "programs and the libraries that a machine may lack"
for tool in dsv2-gpu-check dsv2-run dsv2-bench; do
  strip -o "$out/bin/$tool" "$build/bin/$tool"
done
ldd "$out"/bin/* |
  awk '/lib(omp|pcre2-8|stdc\+\+|gcc_s)\.so/ { print $1, $3 }' | sort -u |
  while read -r name path; do cp -L "$path" "$out/lib/$name"; done

step "cases of the tests, which run on the emulator meanwhile"
mkdir "$out/cases/checks"
filter='*Run.*:-*Reference*'
if ((small)); then
  filter='*GemmRun.DeepStages*:*MLADecodeRun.SmallModel*:*MLAPrefillRun.SmallModel*'
fi
code=cubin
if ((small)); then code=bitcode; fi
DSV2_DUMP_CASES="$out/cases/checks" DSV2_DUMP_CASES_CODE=$code \
  "$build/bin/unit/GPUKernelTests" --gtest_filter="$filter" --gtest_brief=1

step "cases to be timed"
for chip in ${chips//,/ }; do
  flags=(--gpu-chip="$chip" --gpu-code="$code")
  if ((small)); then flags+=(--small); fi
  "$build/bin/dsv2-kernel-cases" -o "$out/cases/bench-$chip" "${flags[@]}" \
    >/dev/null
done
flags[0]=--gpu-chip=${chips%%,*}
"$build/bin/dsv2-kernel-cases" -o "$out/cases/sweep" --sweep "${flags[@]}" \
  >/dev/null

# model NAME CONFIG WEIGHTS ARGUMENTS...: an artifact with weights in $format,
# and what the CPU target answers to a prompt. WEIGHTS in the folder are named by
# it alone. The suite compares with the CPU target, not op by op.
format=bf16
host=(--target-cpu=x86-64-v3 --no-reference)
compiled=$(mktemp -d)
trap 'rm -rf "$compiled"' EXIT
model() {
  local name=$1 config=$2 weights=$3
  shift 3
  if [[ ! -e $out/models/$config.dsv2 ]]; then
    "$build/bin/dsv2-compile" "$source" "${host[@]}" --target=cuda \
      --weight-format="$format" --gpu-chip="$chips" --gpu-code="$code" \
      -o "$out/models/$config.dsv2"
    "$build/bin/dsv2-compile" "$source" "${host[@]}" --weight-format="$format" \
      --attention-form=absorbed -o "$compiled/$config.dsv2"
  fi
  (
    cd "$out/models"
    "$build/bin/dsv2-run" "$compiled/$config.dsv2" --packed=memory \
      --weights="$weights" "$@" >"$name.expected"
  )
  printf '%s' "$name $config $weights" >>"$out/models/list"
  printf ' %q' "$@" >>"$out/models/list"
  echo >>"$out/models/list"
}

step "models, and what the CPU target makes of them"
source=test/Fixtures/T0
model T0 T0 random:2 --token-ids --prompt '0 42 208 54 181 50 149' \
  --max-tokens 12
format=q8 model T0-q8 T0-q8 random:2 --token-ids --prompt '0 42 208 54 181 50 149' \
  --max-tokens 4
if ((small)); then
  cp "$out/models/T0.dsv2" "$out/models/bench.dsv2"
else
  source=test/Fixtures/T1
  model T1 T1 random:3 --token-ids --prompt '0 42 17' --max-tokens 12
  source=models/tiny
  mkdir "$out/models/tiny"
  cp models/tiny/{config,generation_config,tokenizer,tokenizer_config}.json \
    models/tiny/model.safetensors "$out/models/tiny"
  head -c 6000 models/tiny/tinyshakespeare.txt >"$out/models/text.txt"
  model tiny tiny tiny --prompt 'First Citizen:' --max-tokens 40
  model tiny-perplexity tiny tiny --perplexity text.txt
  # Rows that meet the weights are rounded otherwise on CPUs: no two texts of
  # some length are alike, but what is likely is.
  for format in q8 q4; do
    model "tiny-$format-perplexity" "tiny-$format" tiny --perplexity text.txt
  done
  format=bf16
  # No weights: dsv2-bench makes them up where it runs.
  "$build/bin/dsv2-compile" test/Benchmarks/lite6 "${host[@]}" --target=cuda \
    --gpu-chip="$chips" -o "$out/models/bench.dsv2"
fi

# run.sh unpacks it.
tar -C "$out" -czf "$out/data.tar.gz" cases models
rm -rf "$out"/{cases,models}

cp tools/gpu-suite/run.sh "$out/run.sh"
git describe --always --dirty >"$out/version" 2>/dev/null || true
step "packed"
du -sh "$out" "$out"/*
most=60
if (($(du -sm "$out" | cut -f 1) > most)); then
  echo "gpu-suite.sh: error: '$out' has more than $most MB" >&2
  exit 1
fi
