//===- StepStream.h - where a session's steps run ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_STEPSTREAM_H
#define DSV2RT_LIB_CUDA_STEPSTREAM_H

#include "Handles.h"
#include "dsv2rt/comm/Nccl.h"

#include <functional>
#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// The stream of a session's steps, how it is waited for, and, where the ranks
/// exchange by NCCL, the communicators whose operations it has. What is
/// exchanged while the step computes is in streams beside it.
///
/// An exchange is over when all ranks have come to it, which may be never. So a
/// stream with exchanges is asked how far it is, one exchange after the other,
/// until it has got there, NCCL reports an error, the job is ended or one
/// exchange takes longer than the ranks' timeout: the driver's own waiting
/// would not come back.
class StepStream {
public:
  /// A stream of somebody else.
  StepStream(std::shared_ptr<Context> context, CUstream stream)
      : device(std::move(context)), stream(stream) {}
  static Expected<std::unique_ptr<StepStream>>
  make(const std::shared_ptr<Context> &context);
  ~StepStream();
  StepStream(const StepStream &) = delete;
  StepStream &operator=(const StepStream &) = delete;

  CUstream get() const { return stream; }
  const std::shared_ptr<Context> &context() const { return device; }

  /// Makes communicators of NCCL, from `library` or the default one, of the
  /// ranks of `tp` and of `ep`, null where this rank is alone on an axis, and
  /// exchanges something small by each: memory that NCCL takes for itself is
  /// taken before anything is planned. All ranks of both call it; they have to
  /// outlive this. Errors: those of NcclCommunicator.
  Status join(Communicator *tp, Communicator *ep, const std::string &library);

  /// What join() has made; null where there is none.
  NcclCommunicator *tp() const { return groups[0].nccl.get(); }
  NcclCommunicator *ep() const { return groups[1].nccl.get(); }
  bool hasExchanges() const { return tp() || ep(); }

  /// Lets what `group`, tp() or ep(), is called for next go on beside the step,
  /// when the step has got here.
  Status fork(const Communicator &group);

  /// Holds the step up here until what was exchanged since fork() is over.
  Status rejoin(const Communicator &group);

  /// Remembers that `group` has put its last operation here, or beside.
  Status exchanged(const Communicator &group);

  /// Returns when all is done that was put here. `what` completes "while ...",
  /// as of Driver::call. After a failure of an exchange nothing holds the
  /// stream up any more, unless NCCL does not let go of it.
  template <class What> Status wait(const What &what) {
    const Driver &driver = device->driver();
    if (!hasExchanges())
      return device->call(driver.cuStreamSynchronize, what, stream);
    return awaitExchanges([&] {
      return device->query(driver.cuStreamQuery, CUDA_ERROR_NOT_READY, what,
                           stream);
    });
  }

private:
  /// The ranks along an axis.
  struct Group {
    /// For what goes on beside the step, and where in the step that may begin.
    StreamHandle beside;
    EventHandle ready;
    std::unique_ptr<NcclCommunicator> nccl;
    /// Between fork() and rejoin().
    bool isForked = false;
    /// The end of the last exchange.
    CUevent over = nullptr;

    explicit operator bool() const { return nccl != nullptr; }
  };
  Group &groupOf(const Communicator &communicator) {
    return groups[tp() != &communicator];
  }

  /// An exchange that may not be over.
  struct Mark {
    NcclCommunicator *group;
    std::string operation;
    CUevent event;
  };

  using Question = std::function<Expected<bool>()>;
  Status awaitExchanges(const Question &finished);
  Status await(NcclCommunicator &group, const Question &finished,
               const std::string &what);
  Status letGo(const Status &reason, const Question &finished);
  Status tryOut(NcclCommunicator &group, DeviceMemory &memory);

  std::shared_ptr<Context> device;
  StreamHandle own;
  CUstream stream;
  Group groups[2];
  std::vector<Mark> marks;
  /// For marks; those of the current ones come first.
  std::vector<EventHandle> events;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_STEPSTREAM_H
