#!/usr/bin/env bash
#===- install-packages.sh - Debian packages the build needs ---------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs what is missing and nothing else. Safe to run again. Needs apt and
# root (or sudo) only when something is missing.
#
#===-----------------------------------------------------------------------===#
set -euo pipefail

packages=(
  cmake ninja-build ccache python3
  clang-22 lld-22 llvm-22-dev llvm-22-tools libmlir-22-dev mlir-22-tools
  libomp-22-dev libclang-rt-22-dev clang-format-22
  nlohmann-json3-dev libpcre2-dev libcli11-dev libboost-context-dev
  libgtest-dev libgmock-dev
  libopenmpi-dev openmpi-bin
)
if [[ "${1:-}" == --lint ]]; then
  packages+=(clang-tidy-22)
fi

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null |
      grep -qx installed; then
    missing+=("$package")
  fi
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "packages: all installed"
  exit 0
fi

echo "packages: installing ${missing[*]}"
sudo=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "error: packages are missing and this is neither root nor is sudo" \
      "there; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
