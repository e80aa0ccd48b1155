#!/usr/bin/env bash
#===- quickstart.sh - from a fresh clone to generated text ----------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs missing packages, builds, compiles models/tiny and lets it write.
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/build.sh release dsv2-compile dsv2-run
echo "compiling models/tiny to build/tiny.dsv2"
build/bin/dsv2-compile models/tiny -o build/tiny.dsv2
echo "running build/tiny.dsv2"
build/bin/dsv2-run build/tiny.dsv2 --weights models/tiny --prompt "ROMEO:" \
  --max-tokens 200 --temperature 0.8 --seed 1
