//===- TileEmulation.cpp - AMX on processors without it -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileEmulation.h"

#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/ErrorHandling.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

using namespace mlir;

//===----------------------------------------------------------------------===//
// What the instructions do
//===----------------------------------------------------------------------===//

namespace {
struct Tile {
  static constexpr int64_t kRows = 16, kBytes = 64;
  int64_t number = -1, rows = 0, bytes = 0; // bytes of a row
  uint8_t data[kRows][kBytes] = {};
};
} // namespace

/// Tiles live as long as their values, which in kernels is a few instructions.
static Tile recentTiles[64];
static int64_t tileCount = 0, productCount = 0;

static Tile &makeTile(int64_t rows, int64_t bytes) {
  if (rows < 1 || rows > Tile::kRows || bytes < 4 || bytes > Tile::kBytes ||
      bytes % 4)
    llvm::report_fatal_error("no tile has this shape");
  Tile &tile = recentTiles[tileCount % 64];
  tile = Tile();
  tile.number = tileCount++;
  tile.rows = rows;
  tile.bytes = bytes;
  return tile;
}

static const Tile &getTile(int64_t number) {
  const Tile &tile = recentTiles[number % 64];
  if (tile.number != number)
    llvm::report_fatal_error("a tile that is no longer kept");
  return tile;
}

static int64_t tileZero(int64_t rows, int64_t bytes) {
  return makeTile(rows, bytes).number;
}

static int64_t tileLoad(int64_t rows, int64_t bytes, const char *from,
                        int64_t stride) {
  Tile &tile = makeTile(rows, bytes);
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(tile.data[r], from + r * stride, bytes);
  return tile.number;
}

static void tileStore(int64_t number, char *to, int64_t stride) {
  const Tile &tile = getTile(number);
  for (int64_t r = 0; r < tile.rows; ++r)
    std::memcpy(to + r * stride, tile.data[r], tile.bytes);
}

/// TDPBSSD.
static int64_t tileMultiply(int64_t lhs, int64_t rhs, int64_t sums) {
  const Tile &a = getTile(lhs), &w = getTile(rhs), &c = getTile(sums);
  if (a.rows != c.rows || w.bytes != c.bytes || a.bytes != 4 * w.rows)
    llvm::report_fatal_error("shapes of tiles do not fit each other");
  Tile result = c;
  for (int64_t m = 0; m < a.rows; ++m)
    for (int64_t n = 0; n < c.bytes / 4; ++n) {
      int32_t sum;
      std::memcpy(&sum, &c.data[m][4 * n], 4);
      for (int64_t k = 0; k < a.bytes; ++k)
        sum += static_cast<int8_t>(a.data[m][k]) *
               static_cast<int8_t>(w.data[k / 4][4 * n + k % 4]);
      std::memcpy(&result.data[m][4 * n], &sum, 4);
    }
  Tile &tile = makeTile(c.rows, c.bytes);
  std::memcpy(tile.data, result.data, sizeof tile.data);
  ++productCount;
  return tile.number;
}

int64_t dsv2::cpu::test::countEmulatedTileProducts() { return productCount; }

llvm::orc::SymbolMap
dsv2::cpu::test::emulatedTileSymbols(llvm::orc::MangleAndInterner interner) {
  llvm::orc::SymbolMap symbols;
  auto add = [&](StringRef name, auto *function) {
    symbols[interner(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                               llvm::JITSymbolFlags::Exported};
  };
  add("emulated_tile_zero", &tileZero);
  add("emulated_tile_load", &tileLoad);
  add("emulated_tile_store", &tileStore);
  add("emulated_tile_multiply", &tileMultiply);
  return symbols;
}

bool dsv2::cpu::test::requestTileRegisters() {
  constexpr long requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
}

//===----------------------------------------------------------------------===//
// Instructions to calls
//===----------------------------------------------------------------------===//

/// Address of an element and bytes from one row to the next, as index values.
static std::pair<Value, Value> getRows(ImplicitLocOpBuilder &b,
                                       TypedValue<MemRefType> base,
                                       ValueRange indices) {
  MemRefType type = base.getType();
  Value size =
      arith::ConstantIndexOp::create(b, type.getElementTypeBitWidth() / 8);
  auto meta = memref::ExtractStridedMetadataOp::create(b, base);
  Value at = meta.getOffset();
  for (auto [index, stride] : llvm::zip_equal(indices, meta.getStrides()))
    at = arith::AddIOp::create(b, at, arith::MulIOp::create(b, index, stride));
  Value start = memref::ExtractAlignedPointerAsIndexOp::create(b, base);
  Value row = meta.getStrides()[type.getRank() - 2];
  return {arith::AddIOp::create(b, start, arith::MulIOp::create(b, at, size)),
          arith::MulIOp::create(b, row, size)};
}

void dsv2::cpu::test::emulateTiles(ModuleOp module) {
  llvm::StringMap<func::FuncOp> declarations;
  auto call = [&](ImplicitLocOpBuilder &b, StringRef name, ValueRange operands,
                  bool hasResult) {
    SmallVector<Type> results(hasResult ? 1 : 0, b.getIndexType());
    func::FuncOp &callee = declarations[name];
    if (!callee) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(module.getBody());
      callee = func::FuncOp::create(
          b, name, b.getFunctionType(operands.getTypes(), results));
      callee.setPrivate();
    }
    return func::CallOp::create(b, callee, operands);
  };
  auto shape = [](ImplicitLocOpBuilder &b, amx::TileType type) {
    int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8;
    return SmallVector<Value>{
        arith::ConstantIndexOp::create(b, type.getDimSize(0)),
        arith::ConstantIndexOp::create(b, type.getDimSize(1) * bytes)};
  };

  // Operands are converted before the ops that use them.
  llvm::DenseMap<Value, Value> numbers;
  SmallVector<Operation *> converted;
  module.walk([&](Operation *op) {
    ImplicitLocOpBuilder b(op->getLoc(), op);
    bool known =
        llvm::TypeSwitch<Operation *, bool>(op)
            .Case([&](amx::TileZeroOp zero) {
              numbers[zero.getRes()] = call(b, "emulated_tile_zero",
                                            shape(b, zero.getTileType()), true)
                                           .getResult(0);
              return true;
            })
            .Case([&](amx::TileLoadOp load) {
              SmallVector<Value> operands = shape(b, load.getTileType());
              auto [address, stride] =
                  getRows(b, load.getBase(), load.getIndices());
              operands.append({address, stride});
              numbers[load.getRes()] =
                  call(b, "emulated_tile_load", operands, true).getResult(0);
              return true;
            })
            .Case([&](amx::TileStoreOp store) {
              auto [address, stride] =
                  getRows(b, store.getBase(), store.getIndices());
              call(b, "emulated_tile_store",
                   {numbers.at(store.getVal()), address, stride}, false);
              return true;
            })
            .Case([&](amx::TileMulIOp multiply) {
              if (multiply.getIsZextLhs() || multiply.getIsZextRhs())
                llvm::report_fatal_error("unsigned bytes are not emulated");
              numbers[multiply.getRes()] = call(b, "emulated_tile_multiply",
                                                {numbers.at(multiply.getLhs()),
                                                 numbers.at(multiply.getRhs()),
                                                 numbers.at(multiply.getAcc())},
                                                true)
                                               .getResult(0);
              return true;
            })
            .Default(false);
    if (known)
      converted.push_back(op);
  });
  for (Operation *op : llvm::reverse(converted))
    op->erase();
}
