//===- Regex.h - split expressions of tokenizer.json ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// tokenizer.json files are written for the Oniguruma engine with its Ruby
// syntax; this library matches with PCRE2. The two agree on the constructs
// that split expressions are made of, but not on what `$`, `\s`, `\w`, `\h` or
// `\v` mean. An expression is therefore parsed here and written out again in
// terms on which the engines cannot differ (code points, Unicode properties);
// a construct without such a form is refused by name.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_REGEX_H
#define DSV2RT_LIB_TEXT_REGEX_H

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace dsv2rt::text {

/// A half-open byte range of a text.
struct ByteRange {
  size_t begin;
  size_t end;
};

/// Rewrites an Oniguruma expression as a PCRE2 expression that matches the
/// same texts (to be compiled with UTF, UCP, MULTILINE and newline = LF).
/// Throws StatusError with Unsupported if it holds a construct that has no
/// equal form.
///
/// Alternatives of the form X+R, X one character, get a guard that forbids a
/// match to start inside a run of X unless the search itself starts there. It
/// changes no result, since X+R failing at the first character of the run
/// means that it fails at the later ones too, but it makes `\s+$` linear
/// instead of quadratic in the length of the run.
std::string translatePattern(std::string_view pattern);

/// Memory that searches need; one per thread, for any number of expressions.
class RegexScratch {
public:
  /// Without `justInTime`, searches are interpreted even where PCRE2 can
  /// compile them, as they are on systems that forbid writable code.
  explicit RegexScratch(bool justInTime = true);
  ~RegexScratch();
  RegexScratch(const RegexScratch &) = delete;
  RegexScratch &operator=(const RegexScratch &) = delete;

private:
  friend class Regex;
  struct Data;
  std::unique_ptr<Data> data;
};

/// A compiled expression; immutable, usable from any number of threads.
class Regex {
public:
  /// Compiles an expression in Oniguruma's syntax. Throws StatusError.
  explicit Regex(std::string_view pattern);

  /// Returns an expression that matches `text` literally.
  static Regex literal(std::string_view text);

  /// Finds the leftmost match that starts at or after `from`. `subject` must
  /// be valid UTF-8 and `from` a code point boundary. Throws StatusError when
  /// the engine gives up, which takes work far beyond the subject's length.
  bool find(std::string_view subject, size_t from, RegexScratch &scratch,
            ByteRange &match) const;

  /// Calls visit(range) for the successive non-overlapping matches, in order.
  /// An empty match directly behind the previous match is passed over.
  template <class Visit>
  void forEachMatch(std::string_view subject, RegexScratch &scratch,
                    Visit &&visit) const {
    size_t from = 0;
    size_t previousEnd = static_cast<size_t>(-1);
    ByteRange match;
    while (from <= subject.size() && find(subject, from, scratch, match)) {
      if (match.begin == match.end && match.end == previousEnd) {
        from = nextBoundary(subject, match.end);
        continue;
      }
      visit(match);
      from = previousEnd = match.end;
    }
  }

private:
  static size_t nextBoundary(std::string_view subject, size_t position);
  struct Code;
  std::shared_ptr<const Code> code;
  std::string source;
};

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_REGEX_H
