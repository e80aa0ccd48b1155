//===- CaseFormat.h - what reader and writer of cases share -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A file is: kCaseMagic; the version and the size of the header in bytes, each
// a little-endian u32; the header, JSON; zeros up to a multiple of 16 bytes;
// the data that the header refers to by offset and size. docs/GPUSuite.md has
// the keys of the header.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CASES_CASEFORMAT_H
#define DSV2RT_LIB_CASES_CASEFORMAT_H

#include "dsv2rt/KernelCases.h"

namespace dsv2rt {

constexpr char kCaseMagic[] = "DSV2CASE";
constexpr size_t kCaseMagicBytes = 8;
constexpr uint32_t kCaseVersion = 1;
constexpr size_t kCaseDataAlignment = 16;

template <class Value> struct CaseName {
  const char *name;
  Value value;
};
constexpr CaseName<CaseElement> kCaseElements[] = {
    {"bf16", CaseElement::BF16},
    {"f32", CaseElement::F32},
    {"i32", CaseElement::I32},
};

/// The name of an element type in a file.
inline const char *caseElementName(CaseElement element) {
  return kCaseElements[int(element)].name;
}

} // namespace dsv2rt

#endif // DSV2RT_LIB_CASES_CASEFORMAT_H
