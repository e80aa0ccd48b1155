//===- StagingTest.cpp - collectives on memory of a device ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Staging.h"
#include "DeviceImpl.h"
#include "DeviceTestUtils.h"
#include "Launcher.h"

#include <algorithm>
#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;
using namespace dsv2test;

namespace {

/// Rank 0 of two ranks, of which the other has what this one has. Remembers
/// what the driver had been asked for when it was called.
class Twins final : public Communicator {
public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  int worldRank() const override { return 0; }
  Status allReduce(float *data, int64_t count,
                   const CollectiveSite &) override {
    note();
    for (int64_t i = 0; i < count; ++i)
      data[i] *= 2;
    return Status();
  }
  Status allGather(const void *send, int64_t bytes, void *receive,
                   const CollectiveSite &) override {
    note();
    for (int r = 0; r < 2; ++r)
      std::memcpy(static_cast<char *>(receive) + r * bytes, send, bytes);
    return Status();
  }
  Status allGatherV(const void *, const int64_t *, void *,
                    const CollectiveSite &) override {
    return Status();
  }
  Status allToAllV(const void *send, const int64_t *sendBytes, void *receive,
                   const int64_t *receiveBytes,
                   const CollectiveSite &) override {
    note();
    EXPECT_EQ(sendBytes[0], receiveBytes[0]);
    EXPECT_EQ(sendBytes[0], receiveBytes[1]);
    // Who sends nothing may have no memory for it.
    for (int r = 0; sendBytes[0] > 0 && r < 2; ++r)
      std::memcpy(static_cast<char *>(receive) + r * sendBytes[0], send,
                  sendBytes[0]);
    return Status();
  }
  Status barrier(const CollectiveSite &) override { return Status(); }
  Expected<std::unique_ptr<Communicator>> split(int, int) override {
    return makeError(StatusCode::Unsupported, "no split");
  }
  void abort(const Status &reason) override { ended = reason; }
  Status status() const override { return ended; }
  void alive() override { ++shown; }
  const CommOptions &commOptions() const override { return options; }

  /// Calls of the driver before each exchange.
  std::vector<size_t> before;
  Status ended;
  CommOptions options;
  int shown = 0;

private:
  void note() { before.push_back(stub::trace().size()); }
};

Manifest siteManifest() {
  Manifest manifest;
  manifest.commSites = {{"mlp.down", "all_reduce"},
                        {"lm_head", "all_gather"},
                        {"mlp.counts", "all_to_all"},
                        {"mlp.rows", "all_to_all_v"}};
  return manifest;
}

class StagingTest : public DeviceTest {
protected:
  StagingTest()
      : device(take(Device::open("cuda"))),
        context(device->implementation().context),
        stream(take(makeStream(context))), steps(context, stream.get()),
        staging(steps), manifest(siteManifest()),
        exchange(manifest, group, {&group, 0, 2}, {&group, 0, 2}) {
    exchange.useMemory(&staging);
    exchange.begin(/*tokens=*/5);
  }
  ~StagingTest() override { wait(); }

  void wait() {
    EXPECT_TRUE(context
                    ->call(context->driver().cuStreamSynchronize, "waiting",
                           stream.get())
                    .ok());
  }

  /// Words in the device's memory, with these contents.
  template <class T> void *upload(const std::vector<T> &words) {
    DeviceMemory &memory = memories.emplace_back();
    size_t bytes = words.size() * sizeof(T);
    EXPECT_TRUE(memory.reserve(context, bytes, "a test").ok());
    EXPECT_TRUE(context
                    ->call(context->driver().cuMemcpyHtoDAsync_v2, "copying",
                           memory.address(), words.data(), bytes, stream.get())
                    .ok());
    wait();
    return memory.pointer();
  }
  template <class T> std::vector<T> download(void *data, size_t count) {
    std::vector<T> words(count);
    EXPECT_TRUE(context
                    ->call(context->driver().cuMemcpyDtoHAsync_v2, "copying",
                           words.data(), reinterpret_cast<CUdeviceptr>(data),
                           count * sizeof(T), stream.get())
                    .ok());
    wait();
    return words;
  }

  /// What the driver was asked for since `start`: copies as "in" (to the host)
  /// and "out", waits as "wait", and where the exchanges were.
  std::string order(size_t start) {
    std::vector<std::string> calls = stub::trace();
    std::string text;
    for (size_t i = start; i <= calls.size(); ++i) {
      for (size_t at : group.before)
        if (at == i)
          text += "exchange ";
      if (i == calls.size())
        break;
      if (calls[i] == "cuMemcpyDtoHAsync_v2")
        text += "in ";
      else if (calls[i] == "cuMemcpyHtoDAsync_v2")
        text += "out ";
      else if (calls[i] == "cuStreamSynchronize")
        text += "wait ";
    }
    return text;
  }

  std::shared_ptr<Device> device;
  std::shared_ptr<Context> context;
  StreamHandle stream;
  StepStream steps;
  std::vector<DeviceMemory> memories;
  Staging staging;
  Twins group;
  Manifest manifest;
  StepCollectives exchange;
};

constexpr int32_t tp = DSV2RT_AXIS_TP, ep = DSV2RT_AXIS_EP;

} // namespace

// The second time no memory has to be made, for which the stream is waited for.
TEST_F(StagingTest, SumsAreCopiedInAndOut) {
  void *data = upload<float>({1, 2, 3});
  exchange.allReduce(tp, 0, 1, static_cast<float *>(data), 3);
  size_t start = stub::trace().size();
  exchange.allReduce(tp, 0, 1, static_cast<float *>(data), 3);
  EXPECT_EQ(order(start), "in wait exchange out ");
  EXPECT_TRUE(exchange.failure().ok()) << exchange.failure().message();
  EXPECT_EQ(download<float>(data, 3), (std::vector<float>{4, 8, 12}));
}

TEST_F(StagingTest, GatheredRowsAreSideBySide) {
  void *send = upload<int32_t>({1, 2, 3, 4});
  // With a gap of one word, which stays.
  void *receive = upload<int32_t>(std::vector<int32_t>(10, 9));
  exchange.allGather(tp, 1, -1, send, receive, 2, 8, 20);
  EXPECT_TRUE(exchange.failure().ok()) << exchange.failure().message();
  EXPECT_EQ(download<int32_t>(receive, 10),
            (std::vector<int32_t>{1, 2, 1, 2, 9, 3, 4, 3, 4, 9}));
  void *dense = upload<int32_t>(std::vector<int32_t>(8, 9));
  size_t start = stub::trace().size();
  exchange.allGather(tp, 1, -1, send, dense, 2, 8, 16);
  EXPECT_EQ(order(start), "in wait exchange out ");
  EXPECT_EQ(download<int32_t>(dense, 8),
            (std::vector<int32_t>{1, 2, 1, 2, 3, 4, 3, 4}));
}

// How much is exchanged is in the device's memory too.
TEST_F(StagingTest, CountsAreReadBeforeRows) {
  void *send = upload<int32_t>({1, 2, 3, 4});
  void *receive = upload<int32_t>(std::vector<int32_t>(9, 7));
  void *counts = upload<int32_t>({1, 1});
  auto run = [&] {
    return exchange.allToAllV(ep, 3, 2, send, receive, 8,
                              static_cast<int32_t *>(counts),
                              static_cast<int32_t *>(counts), 4);
  };
  EXPECT_EQ(run(), 2);
  size_t start = stub::trace().size();
  EXPECT_EQ(run(), 2);
  EXPECT_EQ(order(start), "in in wait in wait exchange out ");
  // What is behind the rows that arrived stays.
  EXPECT_EQ(download<int32_t>(receive, 9),
            (std::vector<int32_t>{1, 2, 1, 2, 7, 7, 7, 7, 7}));
}

// Nothing is copied back before the exchange is waited for, and what another
// exchange copies meanwhile has a place of its own.
TEST_F(StagingTest, StartedExchangesKeepTheirMemory) {
  void *send = upload<int32_t>({1, 2, 3, 4});
  void *receive = upload<int32_t>(std::vector<int32_t>(4, 7));
  void *counts = upload<int32_t>({1, 1});
  void *sum = upload<float>({1, 2, 3, 4});
  auto start = [&] {
    return exchange.allToAllV(ep, 3, 2, send, receive, 8,
                              static_cast<int32_t *>(counts),
                              static_cast<int32_t *>(counts), 2,
                              /*startOnly=*/true);
  };
  EXPECT_EQ(start(), 2);
  exchange.wait(ep, 3, 2, receive, 8, 2);
  exchange.allReduce(tp, 0, 2, static_cast<float *>(sum), 4);
  size_t begin = stub::trace().size();
  EXPECT_EQ(start(), 2);
  exchange.allReduce(tp, 0, 2, static_cast<float *>(sum), 4);
  exchange.wait(ep, 3, 2, receive, 8, 2);
  EXPECT_EQ(order(begin),
            "in in wait in wait exchange in wait exchange out out ");
  EXPECT_EQ(download<int32_t>(receive, 4), (std::vector<int32_t>{1, 2, 1, 2}));
  EXPECT_EQ(download<float>(sum, 4), (std::vector<float>{4, 8, 12, 16}));
  EXPECT_TRUE(exchange.failure().ok()) << exchange.failure().message();
}

// Exchanges of fixed size read what was wanted from the device.
TEST_F(StagingTest, CapacityIsChecked) {
  auto *counts = static_cast<int32_t *>(upload<int32_t>({2, 3}));
  exchange.checkCapacity(0, counts, 2, 3);
  EXPECT_FALSE(exchange.overflowed());
  exchange.checkCapacity(0, counts, 2, 2);
  EXPECT_TRUE(exchange.overflowed());
  stub::fail("cuMemcpyDtoHAsync_v2", 1, CUDA_ERROR_LAUNCH_FAILED);
  exchange.checkCapacity(4, counts, 2, 2);
  expectFailure(group.ended, StatusCode::DeviceError,
                {"'dispatch capacity' of layer 4"});
}

// A rank without rows takes part all the same, and copies nothing.
TEST_F(StagingTest, NothingIsExchangedLikeAnythingElse) {
  void *words = upload<int32_t>({0, 0});
  size_t start = stub::trace().size();
  EXPECT_EQ(exchange.allToAllV(ep, 3, 2, words, words, 8,
                               static_cast<int32_t *>(words),
                               static_cast<int32_t *>(words), 4),
            0);
  exchange.allReduce(tp, 0, 1, static_cast<float *>(words), 0);
  EXPECT_EQ(group.before.size(), 2u);
  EXPECT_EQ(order(start).find("out"), std::string::npos);
  EXPECT_TRUE(exchange.failure().ok()) << exchange.failure().message();
}

TEST_F(StagingTest, MoreThanThereIsRoomForEndsTheJob) {
  void *words = upload<int32_t>({3, 2});
  EXPECT_EQ(exchange.allToAllV(ep, 3, 2, words, words, 4,
                               static_cast<int32_t *>(words),
                               static_cast<int32_t *>(words), 2),
            0);
  expectFailure(group.ended, StatusCode::CorruptData,
                {"all_to_all_v 'mlp.rows' of layer 2",
                 "expected at most 2 rows to receive, found 5"});
  EXPECT_TRUE(group.before.empty());
}

TEST_F(StagingTest, FailedCopiesEndTheJob) {
  void *data = upload<float>({1, 2, 3});
  void *rows = upload<int32_t>({1, 1, 5, 6});
  struct {
    const char *function;
    int call;
    size_t exchanges;
  } cases[] = {{"cuMemHostAlloc", 1, 0},
               {"cuMemcpyDtoHAsync_v2", 1, 0},
               {"cuStreamSynchronize", 1, 0},
               {"cuMemcpyHtoDAsync_v2", 1, 1}};
  for (const auto &c : cases) {
    SCOPED_TRACE(c.function);
    Staging fresh(steps);
    exchange.useMemory(&fresh);
    exchange.begin(5);
    group.before.clear();
    group.ended = Status();
    stub::fail(c.function, c.call, CUDA_ERROR_LAUNCH_FAILED);
    exchange.allReduce(tp, 0, 1, static_cast<float *>(data), 3);
    EXPECT_EQ(group.before.size(), c.exchanges);
    EXPECT_FALSE(group.ended.ok());
    EXPECT_NE(group.ended.message().find("'mlp.down' of layer 1"),
              std::string::npos)
        << group.ended.message();
    EXPECT_NE(group.ended.message().find(c.function), std::string::npos);
    // Nothing is exchanged any more.
    EXPECT_EQ(exchange.allToAllV(ep, 3, 2, rows, rows, 4,
                                 static_cast<int32_t *>(rows),
                                 static_cast<int32_t *>(rows), 2),
              0);
    EXPECT_EQ(group.before.size(), c.exchanges);
    wait();
  }
  exchange.useMemory(&staging);
}

// A rank that cannot launch tells the others where they would wait for it; one
// that was told launches nothing more.
TEST_F(StagingTest, LaunchesAndExchangesEndTogether) {
  struct NoTaps : public TapSink {
    void tap(int32_t, int64_t, void *, int64_t, int64_t, int64_t,
             int32_t) override {}
  } taps;
  auto program = take(Program::load(context, sourceOf(deviceArtifact())));
  Launcher launcher(*program, steps, &exchange);
  launcher.begin(taps, /*waitForEach=*/false);
  void *data = upload<float>({1});
  uint64_t pointer = 0;
  int64_t count = 0;
  void *parameters[] = {&pointer, &pointer, &pointer, &count};
  launcher.launch(0, 1, 1, 1, parameters, {});
  EXPECT_EQ(group.shown, 1);
  launcher.launch(-1, 1, 1, 1, nullptr, {});
  EXPECT_TRUE(group.ended.ok());
  launcher.collectives()->allReduce(tp, 0, 1, static_cast<float *>(data), 1);
  EXPECT_TRUE(group.before.empty());
  expectFailure(group.ended, StatusCode::CorruptData, {"launches kernel -1"});

  exchange.begin(5);
  launcher.begin(taps, false);
  launcher.collectives()->allReduce(tp, 9, 1, static_cast<float *>(data), 1);
  EXPECT_FALSE(launcher.failure().ok());
  launcher.launch(0, 1, 1, 1, parameters, {});
  EXPECT_EQ(launcher.launches(), 0);
}
