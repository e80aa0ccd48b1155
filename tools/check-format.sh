#!/usr/bin/env bash
#===- check-format.sh - is the tree formatted as .clang-format says? ------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: tools/check-format.sh [--fix]
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/install-packages.sh
mapfile -t files < <(git ls-files -co --exclude-standard '*.cpp' '*.h')
if [[ "${1:-}" == --fix ]]; then
  clang-format-22 -i "${files[@]}"
else
  clang-format-22 --dry-run --Werror "${files[@]}"
  echo "format: ${#files[@]} files are formatted"
fi
