//===- Precompiled.cpp - headers that tests of the runtime include --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Something to compile for the target that owns the precompiled headers.
//
//===----------------------------------------------------------------------===//
