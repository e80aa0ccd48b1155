//===- MLAParts.cpp - What attention kernels share ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MLAParts.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/KernelParameters.h"

#include "llvm/Support/MathExtras.h"

#include <limits>
#include <tuple>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

SoftmaxState gpu::softmaxStart(TileBuilder &b, int64_t rows, int64_t warps) {
  Type type = b.rowsType(rows, warps);
  return {b.splat(kLowestScore, type), b.splat(0, type)};
}

SoftmaxStep gpu::softmaxStep(
    TileBuilder &b, Value products, double factor, SoftmaxState state,
    llvm::function_ref<Value(Value row, Value column)> keep, Value asks) {
  Type type = products.getType();
  Type rows = state.largest.getType();
  auto scaled = [&] {
    return b.map(products, type,
                 [&](ValueRange x) { return b.fmul(x[0], b.f32(factor)); });
  };
  auto masked = [&] {
    return b.mapIndexed(
        products, type, [&](ValueRange x, Value row, Value column) {
          return b.select(keep(row, column), b.fmul(x[0], b.f32(factor)),
                          b.f32(kLowestScore));
        });
  };
  Value scores;
  if (keep && asks)
    scores = b.ifYield(
                  asks, [&] { return SmallVector<Value>{masked()}; },
                  [&] { return SmallVector<Value>{scaled()}; })
                 .front();
  else
    scores = keep ? masked() : scaled();
  SoftmaxStep step;
  Value largest = b.reduceRows(tile::ReduceKind::max, scores);
  step.state.largest = b.map({state.largest, largest}, rows,
                             [&](ValueRange x) { return b.fmax(x[0], x[1]); });
  step.correction =
      b.map({state.largest, step.state.largest}, rows,
            [&](ValueRange x) { return b.exp2(b.fsub(x[0], x[1])); });
  step.weights = b.map({scores, step.state.largest}, type, [&](ValueRange x) {
    return b.exp2(b.fsub(x[0], x[1]));
  });
  Value sum = b.reduceRows(tile::ReduceKind::add, step.weights);
  step.state.sum =
      b.map({state.sum, step.correction, sum}, rows,
            [&](ValueRange x) { return b.fadd(b.fmul(x[0], x[1]), x[2]); });
  return step;
}

Value gpu::softmaxInverse(TileBuilder &b, SoftmaxState state) {
  return b.map(state.sum, state.sum.getType(),
               [&](ValueRange x) { return b.fdiv(b.f32(1), x[0]); });
}

Value gpu::softmaxFinish(TileBuilder &b, Value sums, SoftmaxState state) {
  return scaleRows(b, sums, softmaxInverse(b, state));
}

Value gpu::softmaxLogarithm(TileBuilder &b, SoftmaxState state) {
  return b.map({state.largest, state.sum}, state.sum.getType(),
               [&](ValueRange x) { return b.fadd(x[0], b.log2(x[1])); });
}

Value gpu::scaleRows(TileBuilder &b, Value fragment, Value rows) {
  return b.map({fragment, rows}, fragment.getType(),
               [&](ValueRange x) { return b.fmul(x[0], x[1]); });
}

//===----------------------------------------------------------------------===//
// Runs and shares
//===----------------------------------------------------------------------===//

MLARun gpu::describeMLARun(DeviceBuilder &b, const MLADecodeShape &shape,
                           MLARead position, MLARead sequence, Value token,
                           Value tokens) {
  int64_t most = shape.getTileTokens();
  Value one = b.i32(1), largest = position(token), smallest = largest;
  MLARun run;
  run.tokens = one;
  if (most > 1) {
    Value own = sequence(token), place = b.rem(token, most);
    Value joined;
    for (int64_t i = 1; i < most; ++i) {
      Value other = b.add(token, i);
      Value inside = b.logicalAnd(b.less(b.add(place, i), b.i32(most)),
                                  b.less(other, tokens));
      other = b.min(other, b.sub(tokens, one));
      inside = b.logicalAnd(inside, b.equal(sequence(other), own));
      joined = joined ? b.logicalAnd(joined, inside) : inside;
      Value next = position(other);
      largest = b.select(joined, b.max(largest, next), largest);
      smallest = b.select(joined, b.min(smallest, next), smallest);
      run.tokens = b.add(run.tokens, b.select(joined, one, b.i32(0)));
    }
  }
  run.blocks = b.add(b.div(largest, kMLABlock), 1);
  run.longest = b.add(largest, 1);
  run.shortest = b.add(smallest, 1);
  return run;
}

Value gpu::countMLABlocks(DeviceBuilder &b, const MLADecodeShape &shape,
                          MLARead position, MLARead sequence, Value token,
                          Value tokens) {
  Value blocks =
      describeMLARun(b, shape, position, sequence, token, tokens).blocks;
  if (shape.getTileTokens() == 1)
    return blocks;
  Value zero = b.i32(0);
  Value before = b.max(b.sub(token, b.i32(1)), zero);
  Value joins =
      b.select(b.equal(sequence(before), sequence(token)), zero, blocks);
  return b.select(b.equal(b.rem(token, shape.getTileTokens()), zero), blocks,
                  joins);
}

MLAShares::MLAShares(DeviceBuilder &b, const MLADecodeShape &shape, Value total,
                     Value blocks) {
  count = b.max(b.div(blocks, shape.getHeadTiles()), b.i32(1));
  quotient = b.div(total, count);
  remainder = b.rem(total, count);
}

Value MLAShares::begin(DeviceBuilder &b, Value share) const {
  return b.add(b.mul(share, quotient), b.min(share, remainder));
}

Value MLAShares::find(DeviceBuilder &b, Value block) const {
  Value longer = b.mul(remainder, b.add(quotient, 1));
  Value inShorter =
      b.add(remainder, b.div(b.sub(block, longer), b.max(quotient, b.i32(1))));
  return b.select(b.less(block, longer), b.div(block, b.add(quotient, 1)),
                  inShorter);
}

void MLAWork::find(TileBuilder &b, const MLADecodeShape &shape) {
  auto search = [&](Value target) {
    return b.searchSums(tokens, target, [&](Value token) {
      return countMLABlocks(
          b, shape, [&](Value i) { return b.loadScalar(positions, i); },
          [&](Value i) { return b.loadScalar(seqIds, i); }, token, tokens);
    });
  };
  constexpr int64_t all = std::numeric_limits<int32_t>::max();
  Value total = search(b.i32(all)).second;
  MLAShares shares(b, shape, total, b.gridSize());
  Value share = b.div(b.blockId(), shape.getHeadTiles());
  from = shares.begin(b, share);
  // Blocks of the grid that no tile is left for.
  to = b.select(b.less(share, shares.count), shares.begin(b, b.add(share, 1)),
                from);
  std::tie(run, before) = search(from);
}

SmallVector<Value> gpu::forEachMLAItem(
    TileBuilder &b, const MLADecodeShape &shape, const MLAWork &work,
    ValueRange init,
    llvm::function_ref<SmallVector<Value>(const MLAItem &, ValueRange)> body) {
  Value zero = b.i32(0), one = b.i32(1);
  int64_t headTiles = shape.getHeadTiles(), tileTokens = shape.getTileTokens();
  // The next block of work, its run, and the blocks before that: little,
  // because registers are short where this is used. Of several tiles of heads a
  // number for share and tile.
  SmallVector<Value> state{work.from, work.run, work.before};
  if (headTiles > 1)
    state.push_back(b.blockId());
  size_t own = state.size();
  llvm::append_range(state, init);
  SmallVector<Value> result = b.whileLoop(
      state,
      [&](ValueRange s) {
        Value more = b.less(s[0], work.to);
        if (headTiles == 1)
          return more;
        // Another turn only if there are fewer blocks than tiles, and thus one
        // share.
        Value last = b.max(b.gridSize(), b.i32(headTiles));
        return b.logicalAnd(more, b.less(s[3], last));
      },
      [&](ValueRange s) {
        Value next = s[0], before = s[2];
        MLAItem item;
        item.token = s[1];
        item.run = describeMLARun(
            b, shape, [&](Value i) { return b.loadScalar(work.positions, i); },
            [&](Value i) { return b.loadScalar(work.seqIds, i); }, item.token,
            work.tokens);
        item.headTile = headTiles > 1 ? b.rem(s[3], headTiles) : zero;
        Value place = b.rem(item.token, tileTokens);
        item.tileToken = b.sub(item.token, place);
        int64_t tokenRows = kMLAHeads / tileTokens;
        item.firstRow = b.mul(place, tokenRows);
        item.lastRow =
            tileTokens > 1
                ? b.add(item.firstRow, b.mul(item.run.tokens, tokenRows))
                : b.min(b.i32(kMLAHeads),
                        b.sub(b.i32(shape.heads),
                              b.mul(item.headTile, kMLAHeads)));
        item.first = b.sub(next, before);
        item.last =
            b.min(b.add(item.first, b.sub(work.to, next)), item.run.blocks);
        Value begins = b.equal(item.first, zero);
        Value ends = b.equal(item.last, item.run.blocks);
        item.isWhole = b.logicalAnd(begins, ends);
        Value number = headTiles > 1 ? s[3] : b.blockId();
        item.slot = b.add(b.mul(number, 2), b.select(begins, one, zero));
        SmallVector<Value> after{
            b.add(next, b.sub(item.last, item.first)),
            b.select(ends, b.add(item.token, item.run.tokens), item.token),
            b.select(ends, b.add(before, item.run.blocks), before)};
        if (headTiles > 1) {
          Value over = b.equal(after[0], work.to);
          after[0] = b.select(over, work.from, after[0]);
          after[1] = b.select(over, work.run, after[1]);
          after[2] = b.select(over, work.before, after[2]);
          after.push_back(b.select(over, b.add(s[3], b.gridSize()), s[3]));
        }
        llvm::append_range(after, body(item, s.drop_front(own)));
        return after;
      });
  return SmallVector<Value>(ArrayRef(result).drop_front(own));
}

MLALimits::MLALimits(TileBuilder &b, const MLADecodeShape &shape,
                     const MLAWork &work, const MLAItem &item, Value firstRow)
    : heads(shape.heads), firstRow(firstRow) {
  int64_t count = shape.getTileTokens();
  if (count == 1) {
    lengths.push_back(item.run.longest);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    Value token = b.min(b.add(item.tileToken, i), b.sub(work.tokens, b.i32(1)));
    lengths.push_back(b.add(b.loadScalar(work.positions, token), 1));
  }
}

Value MLALimits::keeps(TileBuilder &b, Value row, Value position) const {
  Value limit = lengths.front();
  row = b.add(row, firstRow);
  for (size_t i = 1; i < lengths.size(); ++i)
    limit = b.select(b.less(row, b.i32(heads * i)), limit, lengths[i]);
  return b.less(position, limit);
}

Value gpu::loadMLAPage(TileBuilder &b, const MLAWork &work, Value sequence,
                       Value block) {
  return b.loadScalar(work.blockTables,
                      b.add(b.mul(sequence, work.tableWidth), block));
}

void gpu::storeMLAItem(TileBuilder &b, const MLADecodeShape &shape,
                       const MLAItem &item, Value sums, Value row, Value column,
                       Value output, Value partSums,
                       llvm::function_ref<void(Value, Value)> logarithm) {
  Value stride = b.i32(shape.latent);
  Value columns = b.sub(stride, column);
  Value begin = b.sub(item.firstRow, row), end = b.sub(item.lastRow, row);
  // A few columns at a time: registers are short.
  auto type = cast<tile::FragmentType>(sums.getType());
  auto store = [&](Value target, Value targetRow) {
    for (int64_t from = 0; from < type.getColumns(); from += 64)
      tile::StoreOp::create(b, b.columns(sums, from, 64), target, targetRow,
                            b.add(column, from), stride, end,
                            b.sub(columns, b.i32(from)),
                            shape.getTileTokens() > 1 ? begin : Value());
  };
  b.ifYield(
      item.isWhole,
      [&] {
        store(output, b.add(b.mul(item.tileToken, shape.heads),
                            b.add(b.mul(item.headTile, kMLAHeads), row)));
        return SmallVector<Value>();
      },
      [&] {
        Value partRow = b.add(b.mul(item.slot, kMLAHeads), row);
        store(partSums, partRow);
        if (logarithm)
          logarithm(partRow, end);
        return SmallVector<Value>();
      });
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

std::optional<std::string> gpu::explainUnsupported(const MLADecodeShape &shape,
                                                   StringRef chip) {
  auto got = [](int64_t value) { return ", got " + std::to_string(value); };
  if (shape.heads < 1)
    return "absorbed attention: expected a head or more" + got(shape.heads);
  if (shape.latent < 64 || shape.latent > 512 ||
      shape.latent % (shape.latent > 256 ? 128 : 64) != 0)
    return "absorbed attention: expected a latent of a multiple of 64 elements "
           "up to 256, or of 128 up to 512" +
           got(shape.latent);
  if (shape.rope < 16 || shape.rope % 16 != 0)
    return "absorbed attention: expected a rotated key of a multiple of 16 "
           "elements" +
           got(shape.rope);
  // What the kernels lay out: the queries' tile and two of positions.
  int64_t limit = tile::getSharedLimit(chip);
  bool hopper = chip == "sm_90a";
  int64_t row = hopper ? llvm::alignTo(shape.row(), 64) : shape.row();
  int64_t positions = hopper || shape.latent <= 256 ? 64 : 32;
  // And weights that one warpgroup hands to another, and barriers.
  int64_t others =
      hopper ? kMLAHeads * kMLABlock * 2 + kMLAHeads * 4 + 1024 : 0;
  if ((kMLAHeads + 2 * positions) * row * 2 + others > limit)
    return "absorbed attention: rows of the cache are too long for the shared "
           "memory of " +
           chip.str() + got(shape.row());
  if (!hopper && shape.latent > 256 && shape.row() % 64 != 0)
    return "absorbed attention: expected rows of the cache of a multiple of 64 "
           "elements on " +
           chip.str() + got(shape.row());
  return std::nullopt;
}

static std::string suffix(const MLADecodeShape &shape, StringRef chip) {
  // The scale is in the code; its bits tell kernels apart.
  uint32_t bits = llvm::bit_cast<uint32_t>(static_cast<float>(shape.scale));
  return "_h" + std::to_string(shape.heads) + "_l" +
         std::to_string(shape.latent) + "r" + std::to_string(shape.rope) +
         (shape.f32Output ? "_f32" : "_bf16") + "_x" +
         llvm::utohexstr(bits, /*LowerCase=*/true) + "_" + chip.str();
}

std::string gpu::getMLADecodeName(const MLADecodeShape &shape, StringRef chip) {
  return "mla_decode" + suffix(shape, chip);
}

std::string gpu::getMLACombineName(const MLADecodeShape &shape,
                                   StringRef chip) {
  return "mla_combine" + suffix(shape, chip);
}

tile::KernelOp gpu::getOrCreateMLADecode(ModuleOp module,
                                         const MLADecodeShape &shape,
                                         StringRef chip) {
  std::string name = getMLADecodeName(shape, chip);
  if (auto kernel = module.lookupSymbol<tile::KernelOp>(name))
    return kernel;
  bool hopper = chip == "sm_90a";
  tile::KernelOp kernel =
      (hopper ? createMLADecodeSm90 : createMLADecodeSm80)(module, name, shape);
  MLIRContext *c = module.getContext();
  auto matrix = [&](int64_t operand, ArrayRef<int64_t> box) {
    return hopper ? tensorMapOf(c, operand, box) : pointerOf(c, operand);
  };
  setParameters(kernel,
                {matrix(0, shape.getQueryBox()), matrix(1, {1, kMLABlock, 64}),
                 pointerOf(c, 5), pointerOf(c, 6), pointerOf(c, 7),
                 pointerOf(c, 2), pointerOf(c, 3), pointerOf(c, 4),
                 sizeOf(c, 0, 0), sizeOf(c, 4, 1)});
  setCostFacts(kernel, MLADecodeFacts{shape, chip.str()});
  return kernel;
}
