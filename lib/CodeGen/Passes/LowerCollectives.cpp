//===- LowerCollectives.cpp - exchanges between ranks to the ABI ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "RuntimeEntries.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_LOWERCOLLECTIVESPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct LowerCollectives
    : public mlir::dsv2::impl::LowerCollectivesPassBase<LowerCollectives> {
  void runOnOperation() override;

private:
  LogicalResult check(Operation *op);
  void lower(Operation *op);
  Value call(ImplicitLocOpBuilder &b, StringRef entry, ValueRange arguments);
  /// context, axis, site and layer: what every exchange starts with.
  SmallVector<Value> getPlace(ImplicitLocOpBuilder &b,
                              CollectiveOpInterface op);
  int64_t getSite(CollectiveOpInterface op);

  llvm::StringMap<int64_t> siteNumbers;
  SmallVector<Attribute> sites;
};
} // namespace

/// Whether the rows of `type` follow each other without gaps.
static bool hasAdjacentRows(MemRefType type) {
  SmallVector<int64_t> strides;
  int64_t offset, expected = 1;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return false;
  for (int64_t i = type.getRank() - 1; i >= 0; --i) {
    if (strides[i] != expected)
      return false;
    if (i > 0 && type.isDynamicDim(i))
      return false;
    expected *= i > 0 ? type.getDimSize(i) : 1;
  }
  return true;
}

LogicalResult LowerCollectives::check(Operation *op) {
  if (!getStepContext(op))
    return op->emitOpError("expected a function whose last arguments are the "
                           "context and the tap level");
  for (Value operand : op->getOperands()) {
    auto type = operand.getType();
    if (isa<TensorType>(type))
      return op->emitOpError("expected buffers, got an operand of type ")
             << type;
    auto memref = dyn_cast<MemRefType>(type);
    if (memref && !hasAdjacentRows(memref))
      return op->emitOpError("expected memory without gaps between rows, got ")
             << memref;
  }
  return success();
}

int64_t LowerCollectives::getSite(CollectiveOpInterface op) {
  // A wait is the second half of an exchange.
  StringRef name = getSiteName(op);
  StringRef kind = isa<CommWaitOp>(*op) ? AllToAllVOp::getOperationName()
                                        : op->getName().getStringRef();
  kind.consume_front("dsv2.");
  std::string key = (name + "/" + kind).str();
  auto [it, isNew] = siteNumbers.try_emplace(key, sites.size());
  if (isNew) {
    Builder b(&getContext());
    sites.push_back(b.getDictionaryAttr({
        b.getNamedAttr("name", b.getStringAttr(name)),
        b.getNamedAttr("kind", b.getStringAttr(kind)),
    }));
  }
  return it->second;
}

static Value constantI32(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIntOp::create(b, b.getI32Type(), value);
}

static Value constantI64(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIntOp::create(b, b.getI64Type(), value);
}

static Value toI64(ImplicitLocOpBuilder &b, Value value) {
  return arith::IndexCastOp::create(b, b.getI64Type(), value);
}

/// Rows of `memref`, i64.
static Value countRows(ImplicitLocOpBuilder &b, Value memref) {
  return toI64(b, memref::DimOp::create(b, memref, 0));
}

/// Elements of one row.
static int64_t getRowElements(Value memref) {
  int64_t elements = 1;
  for (int64_t size :
       cast<MemRefType>(memref.getType()).getShape().drop_front())
    elements *= size;
  return elements;
}

static int64_t getRowBytes(Value memref) {
  return getRowElements(memref) *
         (cast<MemRefType>(memref.getType()).getElementTypeBitWidth() / 8);
}

Value LowerCollectives::call(ImplicitLocOpBuilder &b, StringRef entry,
                             ValueRange arguments) {
  auto called = func::CallOp::create(
      b, declareRuntimeEntry(getOperation(), entry), arguments);
  return called.getNumResults() ? called.getResult(0) : Value();
}

SmallVector<Value> LowerCollectives::getPlace(ImplicitLocOpBuilder &b,
                                              CollectiveOpInterface op) {
  Value layer = op.getLayer();
  return {getStepContext(op),
          constantI32(b, static_cast<int64_t>(op.getAxis())),
          constantI32(b, getSite(op)),
          layer ? toI64(b, layer) : constantI64(b, -1)};
}

void LowerCollectives::lower(Operation *op) {
  ImplicitLocOpBuilder b(op->getLoc(), op);
  auto toIndex = [&](Value value) -> Value {
    return arith::IndexCastOp::create(b, b.getIndexType(), value);
  };
  SmallVector<Value> arguments;
  if (auto collective = dyn_cast<CollectiveOpInterface>(op))
    arguments = getPlace(b, collective);
  else
    arguments = {getStepContext(op)};
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](MeshIndexOp op) {
        arguments.push_back(constantI32(b, static_cast<int64_t>(op.getAxis())));
        op.getResult().replaceAllUsesWith(
            toIndex(call(b, "dsv2rt_mesh_index", arguments)));
      })
      .Case([&](ArrivalsOp op) {
        op.getResult().replaceAllUsesWith(
            toIndex(call(b, "dsv2rt_arrivals", arguments)));
      })
      .Case([&](CheckCapacityOp op) {
        Value layer = op.getLayer();
        int64_t ranks =
            cast<MemRefType>(op.getCounts().getType()).getDimSize(0);
        llvm::append_values(
            arguments, layer ? toI64(b, layer) : constantI64(b, -1),
            getAddress(b, op.getCounts()), constantI64(b, ranks),
            constantI64(b, op.getCapacityAttr().getInt()));
        call(b, "dsv2rt_check_capacity", arguments);
      })
      .Case([&](AllReduceOp op) {
        Value data = op.getOutput();
        Value count = arith::MulIOp::create(
            b, countRows(b, data), constantI64(b, getRowElements(data)));
        llvm::append_values(arguments, getAddress(b, data), count);
        call(b, "dsv2rt_all_reduce", arguments);
      })
      .Case([&](AllGatherOp op) {
        Value send = op.getInput(), receive = op.getOutput();
        llvm::append_values(arguments, getAddress(b, send),
                            getAddress(b, receive), countRows(b, send),
                            constantI64(b, getRowBytes(send)),
                            constantI64(b, getRowBytes(receive)));
        call(b, "dsv2rt_all_gather", arguments);
      })
      .Case([&](AllToAllOp op) {
        Value send = op.getInput();
        auto type = cast<MemRefType>(send.getType());
        auto mesh =
            SymbolTable::lookupNearestSymbolFrom<MeshOp>(op, op.getMeshAttr());
        int64_t bytes =
            getRowBytes(send) * type.getDimSize(0) / mesh.getSize(op.getAxis());
        llvm::append_values(arguments, getAddress(b, send),
                            getAddress(b, op.getOutput()),
                            constantI64(b, bytes));
        call(b, "dsv2rt_all_to_all", arguments);
      })
      .Case([&](CommWaitOp op) {
        Value receive = op.getOutput();
        llvm::append_values(arguments, getAddress(b, receive),
                            constantI64(b, getRowBytes(receive)),
                            countRows(b, receive));
        call(b, "dsv2rt_comm_wait", arguments);
      })
      .Case([&](AllToAllVOp op) {
        Value send = op.getInput(), receive = op.getOutput();
        llvm::append_values(
            arguments, getAddress(b, send), getAddress(b, receive),
            constantI64(b, getRowBytes(send)),
            getAddress(b, op.getSendCounts()),
            getAddress(b, op.getReceiveCounts()), countRows(b, receive));
        StringRef entry =
            op.getAsync() ? "dsv2rt_all_to_all_v_start" : "dsv2rt_all_to_all_v";
        Value count = call(b, entry, arguments);
        op.getCount().replaceAllUsesWith(toIndex(count));
      });
  op->erase();
}

void LowerCollectives::runOnOperation() {
  ModuleOp module = getOperation();
  auto meshes = llvm::to_vector(module.getOps<MeshOp>());
  siteNumbers.clear();
  sites.clear();
  SmallVector<Operation *> ops;
  module.walk([&](Operation *op) {
    if (isa<MeshIndexOp, ArrivalsOp, CheckCapacityOp, CollectiveOpInterface>(
            op))
      ops.push_back(op);
  });
  for (Operation *op : ops)
    if (failed(check(op)))
      return signalPassFailure();
  for (Operation *op : ops)
    lower(op);
  if (meshes.empty())
    return;
  if (meshes.size() > 1) {
    meshes[1].emitOpError("expected one mesh for the model");
    return signalPassFailure();
  }
  Builder b(&getContext());
  setManifestEntry(
      module, "mesh",
      b.getDictionaryAttr({b.getNamedAttr("tp", meshes.front().getTpAttr()),
                           b.getNamedAttr("ep", meshes.front().getEpAttr())}));
  setManifestEntry(module, "comm_sites", b.getArrayAttr(sites));
  meshes.front().erase();
}
