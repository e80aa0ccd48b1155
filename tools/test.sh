#!/usr/bin/env bash
#===- test.sh - build everything and run every test -----------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: tools/test.sh [preset [ctest arguments...]]      (default: release)
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-release}
shift || true
tools/check-format.sh
tools/build.sh "$preset"
ctest --preset "$preset" -j "$(nproc)" "$@"
