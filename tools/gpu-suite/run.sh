#!/usr/bin/env bash
#===- run.sh - checks and timings on a GPU --------------------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: run.sh [--device=cuda] [--budget=SECONDS] [--cublas=FILE]
#               [--results=FOLDER] [PART...]
# Parts: checks    kernels against plain loops
#        models    small models against the CPU target
#        nccl      one rank that exchanges with itself by NCCL
#        bench     kernels, timed
#        bench-all the same for every chip that the folder has code for
#        sweep     some products with every configuration of tiles, timed
#        model-bench a model of DeepSeek-V2-Lite's shape with 6 layers, timed
#        sanitizer kernels under compute-sanitizer, if there is one
# Without parts: checks, models, bench, model-bench. The last lines are a table,
# which is in FOLDER/summary.txt too. The exit code is 0 if nothing failed.
#
#===-----------------------------------------------------------------------===#
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2

device=cuda budget=240 cublas= results=results
parts=()
for argument; do
  case $argument in
  --device=*) device=${argument#*=} ;;
  --budget=*) budget=${argument#*=} ;;
  --cublas=*) cublas=${argument#*=} ;;
  --results=*) results=${argument#*=} ;;
  checks | models | nccl | bench | bench-all | sweep | model-bench | sanitizer)
    parts+=("$argument")
    ;;
  *)
    echo "run.sh: error: unknown argument '$argument'" >&2
    exit 2
    ;;
  esac
done
((${#parts[@]})) || parts=(checks models nccl bench model-bench)
mkdir -p "$results" || exit 2
if [[ ! -d data ]]; then
  # What was cut short is not taken for whole.
  rm -rf data.part
  mkdir data.part && tar -C data.part -xzf data.tar.gz && mv data.part data ||
    exit 2
fi
summary=$results/summary.txt
: >"$summary"
failures=0

# left: seconds that are left, at least 1, as timeout takes 0 for none.
left() { echo $((budget > SECONDS ? budget - SECONDS : 1)); }

# note TEXT...: a line of the table.
note() { printf '%s\n' "$*" >>"$summary"; }

# part NAME COMMAND...: runs it with the time that is left, shows and keeps what
# it prints, and puts its last line into the table.
part() {
  local name=$1 begin=$SECONDS code
  shift
  echo "== $name"
  # Functions are the shell's.
  timeout --kill-after=5 "$(left)" bash -c '"$@"' bash "$@" 2>&1 |
    tee "$results/$name.txt"
  code=${PIPESTATUS[0]}
  local word=ok
  if ((code == 124 || code == 137)); then
    word='TIME OUT'
  elif ((code)); then
    word=FAILED
  fi
  ((code)) && failures=$((failures + 1))
  note "$(printf '%-12s %-8s %4d s  %s' "$name" "$word" $((SECONDS - begin)) \
    "$(tail -n 1 "$results/$name.txt")")"
  # Timings are what the table is for.
  grep -E ' us .*GB/s|^ceilings|^\| (pp|tg)' "$results/$name.txt" |
    sed 's/^/    /' >>"$summary"
}

check() { bin/dsv2-gpu-check --device="$device" "$@"; }
export -f check
export device

# models/list: a model a line: name, artifact, weights, arguments.
run_models() {
  local count=0 wrong=0 name artifact weights arguments
  cd data/models || return 2
  while read -r name artifact weights arguments; do
    for graphs in '' --no-graphs; do
      count=$((count + 1))
      # The list is quoted for the shell.
      eval "set -- $arguments"
      local begin=$SECONDS
      if ! timeout 60 ../../bin/dsv2-run "$artifact.dsv2" --device="$device" \
        --packed=memory --weights="$weights" "$@" $graphs \
        >"/tmp/dsv2-suite.$$" 2>"/tmp/dsv2-suite.$$.err"; then
        echo "FAILED  $name $graphs: $(tail -n 3 "/tmp/dsv2-suite.$$.err")"
        wrong=$((wrong + 1))
      elif [[ $name == *perplexity ]] && same_numbers "$name.expected" \
        "/tmp/dsv2-suite.$$"; then
        echo "ok      $name $graphs ($((SECONDS - begin)) s):" \
          "$(head -n 1 "/tmp/dsv2-suite.$$")"
      elif cmp -s "$name.expected" "/tmp/dsv2-suite.$$"; then
        echo "ok      $name $graphs ($((SECONDS - begin)) s)"
      else
        echo "FAILED  $name $graphs: the output is not that of the CPU target"
        diff "$name.expected" "/tmp/dsv2-suite.$$" | head -n 6
        wrong=$((wrong + 1))
      fi
    done
  done <list
  rm -f "/tmp/dsv2-suite.$$" "/tmp/dsv2-suite.$$.err"
  echo "$((count - wrong)) of $count model runs give what the CPU target gives"
  return $((wrong > 0))
}
# Whether the first numbers with a point in two files differ by less than 1 %.
same_numbers() {
  awk '!(FILENAME in n) && match($0, /[0-9]+\.[0-9]+/) {
         n[FILENAME] = substr($0, RSTART, RLENGTH) }
       END { a = n[ARGV[1]]; b = n[ARGV[2]]; d = a > b ? a - b : b - a
             exit !(a > 0 && b > 0 && d < 0.01 * a) }' "$1" "$2"
}
export -f run_models same_numbers

# One rank exchanges with itself, if there is an NCCL; one that Python packages
# brought will do.
run_nccl() {
  local library=
  if ! ldconfig -p 2>/dev/null | grep -q 'libnccl\.so\.2'; then
    library=$(timeout 20 find /usr/lib /usr/local /opt "$HOME" -maxdepth 9 \
      -name 'libnccl.so.2' 2>/dev/null | head -n 1)
    if [[ -z $library ]]; then
      echo "there is no libnccl.so.2: nothing was done"
      return 0
    fi
  fi
  bin/dsv2-gpu-check --device="$device" --nccl \
    ${library:+--nccl-library="$library"}
}
export -f run_nccl

# Under the sanitizer every access is checked, so few and small cases.
run_sanitizer() {
  local tool= candidate
  for candidate in compute-sanitizer /usr/local/cuda*/bin/compute-sanitizer; do
    command -v "$candidate" >/dev/null && tool=$candidate && break
  done
  if [[ -z $tool ]]; then
    echo "there is no compute-sanitizer: nothing was done"
    return 0
  fi
  local kind failed=0
  for kind in memcheck racecheck synccheck; do
    for filter in n48_k64_bf16_sm_90a mla_decode_h6 mla_prefill_h3; do
      echo "-- $kind $filter"
      timeout 60 "$tool" --tool "$kind" --error-exitcode 3 bin/dsv2-gpu-check \
        --device="$device" --in-process --quiet --filter "$filter" \
        data/cases/checks 2>&1 | tail -n 12
      ((PIPESTATUS[0])) && failed=$((failed + 1))
    done
  done
  echo "$failed runs of compute-sanitizer found something or did not end"
  return $((failed > 0))
}
export -f run_sanitizer

# Containers may have the driver where the loader does not look.
if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
  for folder in /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu /usr/lib64; do
    [[ -e $folder/libcuda.so.1 ]] || continue
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
    break
  done
fi

{
  echo "dsv2 $(cat version 2>/dev/null), $(date -u '+%Y-%m-%d %H:%M') UTC"
  head -n 1 /proc/driver/nvidia/version 2>/dev/null
  if command -v nvidia-smi >/dev/null; then
    timeout 20 nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu,mig.mode.current --format=csv
  fi
} | tee "$results/machine.txt"

# A library that Python packages brought will do for the ceiling of products.
if [[ -z $cublas && $device != emulator ]] &&
  ! ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.1[23]'; then
  cublas=$(timeout 20 find /usr/local/cuda*/lib64/ /usr/local/cuda*/targets \
    /usr/lib /usr/local/lib /opt "$HOME" -maxdepth 8 \
    -name 'libcublas.so.1[23]' 2>/dev/null | head -n 1)
fi

# The first chip is the best that the card runs: files without code for it are
# skipped by the program.
bench_folders=(data/cases/bench-sm_90a)
[[ -d ${bench_folders[0]} ]] || bench_folders=(data/cases/bench-*)
for name in "${parts[@]}"; do
  case $name in
  checks)
    part checks check data/cases/checks --quiet --budget="$(left)" \
      --json="$results/checks.jsonl"
    ;;
  models) part models run_models ;;
  nccl) part nccl run_nccl ;;
  bench | bench-all | sweep)
    folders=("${bench_folders[@]}")
    [[ $name == bench-all ]] && folders=(data/cases/bench-*)
    [[ $name == sweep ]] && folders=(data/cases/sweep)
    part "$name" check "${folders[@]}" --bench --budget="$(left)" \
      --json="$results/$name.jsonl" ${cublas:+--cublas="$cublas"}
    ;;
  model-bench)
    part model-bench bin/dsv2-bench data/models/bench.dsv2 --device="$device" \
      --weights=random:1 --packed=memory \
      ${DSV2_SUITE_BENCH:--p 512 -n 32 -d 0,4096 -b 1 -r 3}
    ;;
  sanitizer) part sanitizer run_sanitizer ;;
  esac
done

echo
echo "== summary"
cat "$summary"
echo "$failures parts failed, $SECONDS s; details are in $results"
exit $((failures > 0))
