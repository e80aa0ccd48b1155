//===- MLADecodeSm90.cpp - Absorbed attention by wgmma --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One thread copies pages into a ring of two. The sums of the output do not fit
// the registers of a warpgroup: a second one has the right half of the columns.
// The first computes the scores for both and hands it the weights, rounded, and
// what earlier sums have to be multiplied with.
//
// At full bandwidth a page takes as long as 4000 cycles of tensor cores, of
// which the scores need 1152 and the values 1024: so what counts is that a page
// is given back as early as possible, not that products of two pages overlap.
//
//===----------------------------------------------------------------------===//

#include "MLAParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

namespace {

/// Named barriers.
enum : int64_t {
  /// Weights have been handed over; they have been taken in.
  kHandedOver = 1,
  kTaken,
  /// The first warpgroup's own.
  kCleared
};

/// Builds the kernel.
class Decode {
public:
  Decode(ModuleOp module, StringRef name, const MLADecodeShape &shape)
      : shape(shape), isShared(shape.latent > 256),
        width(isShared ? shape.latent / 2 : shape.latent),
        b(module, name, getArguments(module.getContext()), "sm_90a",
          isShared ? 384 : 256) {}

  tile::KernelOp build() {
    queries = b.argument(0);
    cache = b.argument(1);
    output = b.argument(2);
    partSums = b.argument(3);
    partLogs = b.argument(4);
    work.positions = b.argument(5);
    work.seqIds = b.argument(6);
    work.blockTables = b.argument(7);
    work.tokens = b.argument(8);
    work.tableWidth = b.argument(9);
    work.find(b, shape);
    zero = b.i32(0);
    one = b.i32(1);
    // Whole panels; what is behind a row of the cache arrives as zeros.
    int64_t padded = llvm::alignTo(shape.row(), 64);
    queryRing = b.makeRing(1, b.sharedTile({kMLAHeads, padded}), 4);
    pageRing =
        b.makeRing(2, b.sharedTile({kMLABlock, padded}), isShared ? 8 : 4);
    if (isShared) {
      weights = b.sharedBuffer(b.sharedTile({kMLAHeads, kMLABlock}));
      factors = b.sharedBuffer(
          tile::SharedType::get({1, kMLAHeads}, b.getF32Type(), /*swizzle=*/0));
    }
    start = b.ringStart();
    // Positions and tables are there before a step starts: the search does not
    // have to wait.
    tile::AwaitPredecessorsOp::create(b);
    b.role("producer", 0, 4, 4, isShared ? 40 : 0, /*single=*/true,
           [&](Value) { emitProducer(); });
    b.role("scores", 4, 8, 4, isShared ? 232 : 0, /*single=*/false,
           [&](Value) { emitScores(); });
    if (isShared)
      b.role("values", 8, 12, 4, 232, /*single=*/false,
             [&](Value) { emitValues(); });
    return b.getKernel();
  }

private:
  SmallVector<Type> getArguments(MLIRContext *context) {
    context->getOrLoadDialect<tile::TileDialect>();
    Builder types(context);
    auto address = [&](Type element) -> Type {
      return tile::GlobalType::get(context, element);
    };
    auto map = [&](ArrayRef<int64_t> box) -> Type {
      return tile::TensorMapType::get(context, box, types.getBF16Type(), 128);
    };
    Type f32 = types.getF32Type(), i32 = types.getI32Type();
    return {map(shape.getQueryBox()),
            map({1, kMLABlock, 64}),
            address(shape.f32Output ? f32 : Type(types.getBF16Type())),
            address(f32),
            address(f32),
            address(i32),
            address(i32),
            address(i32),
            i32,
            i32};
  }

  void emitProducer() {
    forEachMLAItem(
        b, shape, work, {start, start},
        [&](const MLAItem &item, ValueRange outer) {
          Value sequence = b.loadScalar(work.seqIds, item.token);
          auto copy = [&](Value block, Value state) {
            Value page = loadMLAPage(b, work, sequence, block);
            b.ringAcquire(pageRing, state);
            b.tmaLoad(cache, {page, zero, zero}, pageRing, state, 0);
            return b.ringNext(pageRing, state);
          };
          // A page can come while the queries before are still in use.
          Value pages = copy(item.first, outer[1]);
          b.ringAcquire(queryRing, outer[0]);
          Value head = b.mul(item.headTile, kMLAHeads);
          b.tmaLoad(queries, {item.tileToken, head, zero}, queryRing, outer[0],
                    0);
          pages = b.forLoop(b.add(item.first, one), item.last, one, pages,
                            [&](Value block, ValueRange state) {
                              return SmallVector<Value>{copy(block, state[0])};
                            })
                      .front();
          return SmallVector<Value>{b.ringNext(queryRing, outer[0]), pages};
        });
  }

  /// Columns of the page that are this warpgroup's values.
  Value valuesOf(Value page, int64_t column) {
    return b.sharedView(page, zero, kMLABlock, b.i32(column), width);
  }

  /// Hands over what `put` writes.
  void handOver(llvm::function_ref<void()> put) {
    b.barrier(kTaken, 256);
    put();
    tile::FenceAsyncOp::create(b);
    b.arrive(kHandedOver, 256);
  }
  void awaitHandOver() {
    b.arrive(kTaken, 256);
    b.barrier(kHandedOver, 256);
  }

  void emitScores() {
    forEachMLAItem(
        b, shape, work, {start, start},
        [&](const MLAItem &item, ValueRange outer) {
          MLALimits limits(b, shape, work, item, zero);
          b.ringWait(queryRing, outer[0]);
          Value query = b.ringTile(queryRing, outer[0], 0);
          SoftmaxState initial = softmaxStart(b, 64, 4);
          SmallVector<Value> state = b.forLoop(
              item.first, item.last, one,
              {outer[1], b.splat(0, b.fragment(64, width)), initial.largest,
               initial.sum},
              [&](Value block, ValueRange inner) {
                return emitScoresOfPage(item, limits, query, block, inner);
              });
          b.ringRelease(queryRing, outer[0]);
          SoftmaxState last{state[2], state[3]};
          Value inverse = softmaxInverse(b, last);
          if (isShared)
            handOver([&] { tile::PutRowsOp::create(b, inverse, factors); });
          storeMLAItem(b, shape, item, scaleRows(b, state[1], inverse), zero,
                       zero, output, partSums, [&](Value row, Value rows) {
                         tile::StoreRowsOp::create(b, softmaxLogarithm(b, last),
                                                   partLogs, row, one, rows);
                       });
          return SmallVector<Value>{b.ringNext(queryRing, outer[0]), state[0]};
        });
  }

  SmallVector<Value> emitScoresOfPage(const MLAItem &item,
                                      const MLALimits &limits, Value query,
                                      Value block, ValueRange inner) {
    Value stage = inner[0];
    b.ringWait(pageRing, stage);
    Value page = b.ringTile(pageRing, stage, 0);
    Value position = b.mul(block, kMLABlock);
    Value end = b.add(position, kMLABlock);
    // Rows behind the last position may hold anything; as values even their
    // product with 0 would count.
    b.ifThen(b.less(item.run.longest, end), [&] {
      tile::ClearRowsOp::create(b, page, b.sub(item.run.longest, position));
      tile::FenceAsyncOp::create(b);
      b.barrier(kCleared, 128);
    });
    Value products = b.wgmmaDone(b.wgmma(query, page, Value()));
    SoftmaxStep step = softmaxStep(
        b, products, shape.scale * 1.4426950408889634, {inner[2], inner[3]},
        [&](Value row, Value column) {
          return limits.keeps(b, row, b.add(position, column));
        },
        b.less(item.run.shortest, end));
    if (isShared)
      handOver([&] {
        tile::PutOp::create(b, step.weights, weights);
        tile::PutRowsOp::create(b, step.correction, factors);
      });
    Value sums = scaleRows(b, inner[1], step.correction);
    auto fence =
        tile::WgmmaFenceOp::create(b, ValueRange{sums, b.pack(step.weights)});
    sums = b.wgmmaDone(b.wgmma(fence.getResult(1), valuesOf(page, 0),
                               fence.getResult(0), /*transposed=*/true));
    b.ringRelease(pageRing, stage);
    return {b.ringNext(pageRing, stage), sums, step.state.largest,
            step.state.sum};
  }

  void emitValues() {
    Type rows = b.rowsType(64);
    forEachMLAItem(
        b, shape, work, start, [&](const MLAItem &item, ValueRange outer) {
          SmallVector<Value> state = b.forLoop(
              item.first, item.last, one,
              {outer[0], b.splat(0, b.fragment(64, width))},
              [&](Value, ValueRange inner) {
                Value stage = inner[0];
                b.ringWait(pageRing, stage);
                Value page = b.ringTile(pageRing, stage, 0);
                awaitHandOver();
                Value correction = tile::GetRowsOp::create(b, rows, factors);
                Value sums = b.wgmmaFence(scaleRows(b, inner[1], correction));
                sums = b.wgmmaDone(b.wgmma(weights, valuesOf(page, width), sums,
                                           /*transposed=*/true));
                b.ringRelease(pageRing, stage);
                return SmallVector<Value>{b.ringNext(pageRing, stage), sums};
              });
          awaitHandOver();
          Value inverse = tile::GetRowsOp::create(b, rows, factors);
          storeMLAItem(b, shape, item, scaleRows(b, state[1], inverse), zero,
                       b.i32(width), output, partSums, nullptr);
          return SmallVector<Value>{state[0]};
        });
  }

  const MLADecodeShape &shape;
  /// Whether there are two warpgroups; the columns of each.
  bool isShared;
  int64_t width;
  TileBuilder b;
  MLAWork work;
  Value queries, cache, output, partSums, partLogs;
  Value queryRing, pageRing, weights, factors;
  Value start, zero, one;
};

} // namespace

tile::KernelOp gpu::createMLADecodeSm90(ModuleOp module, StringRef name,
                                        const MLADecodeShape &shape) {
  return Decode(module, name, shape).build();
}
