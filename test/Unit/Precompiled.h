//===- Precompiled.h - headers that tests of the runtime need ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For DSV2_PRECOMPILE_HEADERS. No source includes this.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_PRECOMPILED_H
#define DSV2_TEST_UNIT_PRECOMPILED_H

#include "gtest/gtest.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#endif // DSV2_TEST_UNIT_PRECOMPILED_H
