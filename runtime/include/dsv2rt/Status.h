//===- Status.h - error values of the runtime -------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Public functions of the runtime report failure by value: a Status, or an
// Expected<T> that holds either a result or the Status that explains why there
// is none. No exception crosses a public function.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_STATUS_H
#define DSV2RT_STATUS_H

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace dsv2rt {

/// The kinds of failure a caller may want to tell apart.
enum class StatusCode {
  /// Success; the message is empty.
  Ok = 0,
  /// The caller passed something outside the documented range.
  InvalidArgument,
  /// A named file, tensor, entry point or token does not exist.
  NotFound,
  /// The operating system refused to read, write or map something.
  IoError,
  /// A file contradicts itself or its format.
  CorruptData,
  /// The input is well formed, and this implementation does not handle it.
  Unsupported,
  /// An allocation failed.
  OutOfMemory,
  /// A sequence is longer than the artifact or the session allows.
  ContextLengthExceeded,
  /// A NaN or an infinity turned up where a number is needed.
  NonFinite,
  /// A defect of the runtime itself.
  Internal,
  /// A computed value is not what the reference lowering gives.
  Mismatch,
  /// A device or its driver reported a failure.
  DeviceError,
  /// A rank of the job failed or was lost, or the ranks disagree.
  RankFailed,
};

/// The outcome of an operation: a code and, unless Ok, one sentence that names
/// the object, what was expected and what was found.
class [[nodiscard]] Status {
public:
  /// Success.
  Status() = default;

  /// A failure; `code` must not be Ok.
  static Status error(StatusCode code, std::string message) {
    assert(code != StatusCode::Ok && "an error needs an error code");
    Status status;
    status.statusCode = code;
    status.text = std::move(message);
    return status;
  }

  /// True on success.
  bool ok() const { return statusCode == StatusCode::Ok; }

  /// The kind of failure, Ok on success.
  StatusCode code() const { return statusCode; }

  /// The explanation, empty on success.
  const std::string &message() const { return text; }

private:
  StatusCode statusCode = StatusCode::Ok;
  std::string text;
};

/// Either a value or the Status that says why there is none.
template <class T> class [[nodiscard]] Expected {
public:
  /// A result.
  Expected(T result) : held(std::move(result)) {}

  /// A failure; `status` must not be Ok.
  Expected(Status status) : failure(std::move(status)) {
    assert(!failure.ok() && "an Expected without a value needs an error");
  }

  /// True when there is a value.
  bool ok() const { return held.has_value(); }

  /// The value; only when ok().
  T &value() {
    assert(held && "value() of a failed Expected");
    return *held;
  }
  const T &value() const {
    assert(held && "value() of a failed Expected");
    return *held;
  }

  /// The failure, or Ok when there is a value.
  Status status() const { return failure; }

private:
  std::optional<T> held;
  Status failure;
};

} // namespace dsv2rt

#endif // DSV2RT_STATUS_H
