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

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

// Finite, so that differences of two are numbers; lower than any score.
static constexpr double kLowest = -1e30;

SoftmaxState gpu::softmaxStart(TileBuilder &b, int64_t rows, int64_t warps) {
  Type type = b.rowsType(rows, warps);
  return {b.splat(kLowest, type), b.splat(0, type)};
}

SoftmaxStep
gpu::softmaxStep(TileBuilder &b, Value products, double factor,
                 SoftmaxState state,
                 llvm::function_ref<Value(Value row, Value column)> keep) {
  Type type = products.getType();
  Type rows = state.largest.getType();
  Value scores =
      keep ? b.mapIndexed(products, type,
                          [&](ValueRange x, Value row, Value column) {
                            return b.select(keep(row, column),
                                            b.fmul(x[0], b.f32(factor)),
                                            b.f32(kLowest));
                          })
           : b.map(products, type,
                   [&](ValueRange x) { return b.fmul(x[0], b.f32(factor)); });
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

Value gpu::softmaxFinish(TileBuilder &b, Value sums, SoftmaxState state) {
  Value inverse = b.map(state.sum, state.sum.getType(),
                        [&](ValueRange x) { return b.fdiv(b.f32(1), x[0]); });
  return scaleRows(b, sums, inverse);
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
// Shares of work
//===----------------------------------------------------------------------===//

static int64_t getHeadTiles(const MLADecodeShape &shape) {
  return llvm::divideCeil(shape.heads, kMLAHeads);
}

Value gpu::mlaBlocksOf(TileBuilder &b, Value positions, Value token) {
  Value position = b.loadScalar(positions, token);
  return b.add(b.div(position, kMLABlock), 1);
}

Value gpu::countMLABlocks(TileBuilder &b, Value positions, Value tokens,
                          int64_t headTiles) {
  Value zero = b.i32(0), one = b.i32(1);
  Value count =
      b.forLoop(zero, tokens, one, zero, [&](Value token, ValueRange state) {
         return SmallVector<Value>{
             b.add(state[0], mlaBlocksOf(b, positions, token))};
       }).front();
  return b.mul(count, headTiles);
}

Value gpu::mlaShareStart(TileBuilder &b, Value share, Value total,
                         Value shares) {
  Value whole = b.mul(share, b.div(total, shares));
  Value rest = b.mul(share, b.rem(total, shares));
  return b.add(whole, b.div(rest, shares));
}

Value gpu::mlaShareOf(TileBuilder &b, Value block, Value total, Value shares) {
  Value one = b.i32(1);
  auto toFloat = [&](Value value) -> Value {
    return b.createOrFold<arith::UIToFPOp>(b.getF32Type(), value);
  };
  // The largest i with i total < (block + 1) shares, in f32: at most one off,
  // as there are far fewer shares than 2^23.
  Value product = b.fmul(toFloat(b.add(block, one)), toFloat(shares));
  Value quotient = b.fdiv(b.fsub(product, b.f32(1)), toFloat(total));
  Value guess = b.createOrFold<arith::FPToUIOp>(b.getI32Type(), quotient);
  guess = b.min(guess, b.sub(shares, one));
  auto start = [&](Value share) {
    return mlaShareStart(b, share, total, shares);
  };
  guess = b.select(b.less(block, start(guess)), b.sub(guess, one), guess);
  Value next = b.add(guess, one);
  return b.select(b.less(block, start(next)), guess, next);
}

SmallVector<Value> gpu::forEachMLAItem(
    TileBuilder &b, const MLADecodeShape &shape, const MLAWork &work,
    ValueRange init,
    llvm::function_ref<SmallVector<Value>(const MLAItem &, ValueRange)> body) {
  Value zero = b.i32(0), one = b.i32(1);
  Value parts = b.gridSize();
  Value from = mlaShareStart(b, b.blockId(), work.total, parts);
  Value to = mlaShareStart(b, b.add(b.blockId(), one), work.total, parts);
  int64_t headTiles = getHeadTiles(shape);
  // The next block of work, its token or one before it, and that one's first
  // block: little, because registers are short where this is used.
  SmallVector<Value> state{from, zero, zero};
  llvm::append_range(state, init);
  SmallVector<Value> result = b.whileLoop(
      state, [&](ValueRange s) { return b.less(s[0], to); },
      [&](ValueRange s) {
        Value next = s[0];
        auto blocksOf = [&](Value token) {
          return b.mul(mlaBlocksOf(b, work.positions, token), headTiles);
        };
        SmallVector<Value> found = b.whileLoop(
            {s[1], s[2], blocksOf(s[1])},
            [&](ValueRange t) {
              return b.less(b.add(t[1], t[2]), b.add(next, one));
            },
            [&](ValueRange t) {
              Value token = b.add(t[0], one);
              return SmallVector<Value>{token, b.add(t[1], t[2]),
                                        blocksOf(token)};
            });
        MLAItem item;
        item.token = found[0];
        Value blocks = b.div(found[2], headTiles);
        Value place = b.sub(next, found[1]);
        item.headTile = b.div(place, blocks);
        item.first = b.rem(place, blocks);
        item.last = b.min(b.add(item.first, b.sub(to, next)), blocks);
        item.length = b.add(b.loadScalar(work.positions, item.token), 1);
        Value begins = b.equal(item.first, zero);
        item.isWhole = b.logicalAnd(begins, b.equal(item.last, blocks));
        item.slot = b.add(b.mul(b.blockId(), 2), b.select(begins, one, zero));
        SmallVector<Value> after{b.add(next, b.sub(item.last, item.first)),
                                 found[0], found[1]};
        llvm::append_range(after, body(item, s.drop_front(3)));
        return after;
      });
  return SmallVector<Value>(ArrayRef(result).drop_front(3));
}

Value gpu::loadMLAPage(TileBuilder &b, const MLAWork &work, Value sequence,
                       Value block) {
  return b.loadScalar(work.blockTables,
                      b.add(b.mul(sequence, work.tableWidth), block));
}

void gpu::storeMLAItem(TileBuilder &b, const MLADecodeShape &shape,
                       const MLAItem &item, Value sums, SoftmaxState state,
                       Value head, Value column, Value storesLogarithm,
                       Value output, Value partSums, Value partLogs) {
  Value stride = b.i32(shape.latent);
  Value columns = b.sub(stride, column);
  // Heads of the tile that there are.
  Value heads =
      b.sub(b.i32(shape.heads), b.add(b.mul(item.headTile, kMLAHeads), head));
  // A few columns at a time: registers are short.
  auto type = cast<tile::FragmentType>(sums.getType());
  auto store = [&](Value target, Value row) {
    for (int64_t from = 0; from < type.getColumns(); from += 64)
      tile::StoreOp::create(b, b.columns(sums, from, 64), target, row,
                            b.add(column, from), stride, heads,
                            b.sub(columns, b.i32(from)));
  };
  sums = softmaxFinish(b, sums, state);
  b.ifYield(
      item.isWhole,
      [&] {
        Value row = b.add(b.mul(item.token, shape.heads),
                          b.add(b.mul(item.headTile, kMLAHeads), head));
        store(output, row);
        return SmallVector<Value>();
      },
      [&] {
        Value row = b.add(b.mul(item.slot, kMLAHeads), head);
        store(partSums, row);
        b.ifThen(storesLogarithm, [&] {
          tile::StoreRowsOp::create(b, softmaxLogarithm(b, state), partLogs,
                                    row, b.i32(1), heads);
        });
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
  if ((kMLAHeads + 2 * positions) * row * 2 + 1024 > limit)
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
  auto matrix = [&](int64_t operand) {
    return hopper ? tensorMapOf(c, operand, {1, kMLABlock, 64})
                  : pointerOf(c, operand);
  };
  setParameters(kernel, {matrix(0), matrix(1), pointerOf(c, 5), pointerOf(c, 6),
                         pointerOf(c, 7), pointerOf(c, 2), pointerOf(c, 3),
                         pointerOf(c, 4), sizeOf(c, 0, 0), sizeOf(c, 4, 1)});
  setCostFacts(kernel, MLADecodeFacts{shape, chip.str()});
  return kernel;
}

tile::KernelOp gpu::getOrCreateMLACombine(ModuleOp module,
                                          const MLADecodeShape &shape,
                                          StringRef chip) {
  std::string name = getMLACombineName(shape, chip);
  if (auto kernel = module.lookupSymbol<tile::KernelOp>(name))
    return kernel;
  module.getContext()->getOrLoadDialect<tile::TileDialect>();
  Builder types(module.getContext());
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(module.getContext(), element);
  };
  Type f32 = types.getF32Type(), i32 = types.getI32Type();
  Type element = shape.f32Output ? f32 : Type(types.getBF16Type());
  // Each warp has 16 heads and some of the columns.
  int64_t warps = shape.latent % 128 == 0 ? 4 : 1;
  int64_t width = shape.latent / warps;
  TileBuilder b(
      module, name,
      {address(element), address(f32), address(f32), address(i32), i32, i32},
      chip, 32 * warps);
  Value output = b.argument(0), partSums = b.argument(1),
        partLogs = b.argument(2), positions = b.argument(3),
        tokens = b.argument(4), parts = b.argument(5);
  b.role(
      "all", 0, warps, 1, /*registers=*/0, /*single=*/false, [&](Value warp) {
        Value zero = b.i32(0), one = b.i32(1);
        int64_t headTiles = getHeadTiles(shape);
        Value token = b.blockId(0), firstHead = b.mul(b.blockId(1), 16);
        Value headTile = b.div(firstHead, kMLAHeads);
        Value head = b.rem(firstHead, kMLAHeads);
        Value base = countMLABlocks(b, positions, token, headTiles);
        Value total = b.add(
            base,
            b.forLoop(token, tokens, one, zero, [&](Value t, ValueRange state) {
               return SmallVector<Value>{b.add(
                   state[0], b.mul(mlaBlocksOf(b, positions, t), headTiles))};
             }).front());
        Value blocks = mlaBlocksOf(b, positions, token);
        Value start = b.add(base, b.mul(headTile, blocks));
        Value first = mlaShareOf(b, start, total, parts);
        Value last =
            mlaShareOf(b, b.sub(b.add(start, blocks), one), total, parts);
        b.ifThen(b.less(first, last), [&] {
          Value rows = b.sub(b.i32(shape.heads), firstHead);
          Value column = b.mul(warp, width);
          Value stride = b.i32(shape.latent);
          Value columns = b.sub(stride, column);
          auto fragment = b.fragment(16, width, 1);
          SoftmaxState initial = softmaxStart(b, 16, 1);
          SmallVector<Value> state = b.forLoop(
              first, b.add(last, one), one,
              {b.splat(0, fragment), initial.largest, initial.sum},
              [&](Value share, ValueRange before) {
                // Shares without work have left nothing in their slots.
                Value from = mlaShareStart(b, share, total, parts);
                Value to = mlaShareStart(b, b.add(share, one), total, parts);
                return b.ifYield(
                    b.less(from, to),
                    [&] {
                      Value slot =
                          b.add(b.mul(share, 2),
                                b.select(b.equal(share, first), one, zero));
                      Value row = b.add(b.mul(slot, kMLAHeads), head);
                      Value logs = tile::LoadRowsOp::create(
                          b, b.rowsType(16, 1), partLogs, row, one, rows);
                      Value sums =
                          tile::LoadOp::create(b, fragment, partSums, row,
                                               column, stride, rows, columns);
                      Type rowsOf = logs.getType();
                      Value largest =
                          b.map({before[1], logs}, rowsOf, [&](ValueRange x) {
                            return b.fmax(x[0], x[1]);
                          });
                      auto power = [&](Value x) {
                        return b.map({x, largest}, rowsOf, [&](ValueRange y) {
                          return b.exp2(b.fsub(y[0], y[1]));
                        });
                      };
                      Value correction = power(before[1]), weight = power(logs);
                      Value sum =
                          b.map({before[2], correction, weight}, rowsOf,
                                [&](ValueRange x) {
                                  return b.fadd(b.fmul(x[0], x[1]), x[2]);
                                });
                      Value next = b.map({before[0], correction, sums, weight},
                                         fragment, [&](ValueRange x) {
                                           return b.fadd(b.fmul(x[0], x[1]),
                                                         b.fmul(x[2], x[3]));
                                         });
                      return SmallVector<Value>{next, largest, sum};
                    },
                    [&] { return SmallVector<Value>(before); });
              });
          Value result = softmaxFinish(b, state[0], {state[1], state[2]});
          Value row = b.add(b.mul(token, shape.heads), firstHead);
          tile::StoreOp::create(b, result, output, row, column, stride, rows,
                                columns);
        });
      });
  MLIRContext *c = module.getContext();
  setParameters(b.getKernel(),
                {pointerOf(c, 4), pointerOf(c, 0), pointerOf(c, 1),
                 pointerOf(c, 2), sizeOf(c, 2, 0), valueOf(c, 3)});
  setCostFacts(b.getKernel(), MLACombineFacts{shape, chip.str()});
  return b.getKernel();
}
