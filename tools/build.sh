#!/usr/bin/env bash
#===- build.sh - install, configure and build one preset ------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: tools/build.sh [preset [target...]]      (default: release)
# Binaries land in build/bin for `release`, in build-<preset>/bin otherwise.
# With DSV2_PRECOMPILE_HEADERS=ON and DSV2_UNITY_BUILD=ON in the environment, a
# build from nothing takes less time (see CMakeLists.txt).
#
#===-----------------------------------------------------------------------===#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-release}
shift || true
tools/install-packages.sh
launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
options=("-DDSV2_PRECOMPILE_HEADERS=${DSV2_PRECOMPILE_HEADERS:-OFF}"
  "-DDSV2_UNITY_BUILD=${DSV2_UNITY_BUILD:-OFF}")
echo "configuring preset $preset"
cmake --preset "$preset" "${launcher[@]}" "${options[@]}"
echo "building preset $preset"
if [[ $# -gt 0 ]]; then
  cmake --build --preset "$preset" --target "$@"
else
  cmake --build --preset "$preset"
fi
