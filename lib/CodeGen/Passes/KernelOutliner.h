//===- KernelOutliner.h - shared by the outlining of ops --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Outlining rebuilds each function op by op. ModuleOutliner holds what all
// functions share (target, slots, manifest tables); FunctionOutliner rebuilds
// one step or layer function; prepare functions have an outliner of their own.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_PASSES_KERNELOUTLINER_H
#define DSV2_LIB_CODEGEN_PASSES_KERNELOUTLINER_H

#include "dsv2/CodeGen/CPU/AttentionKernels.h"
#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/MatmulKernels.h"
#include "dsv2/CodeGen/CPU/MoEKernels.h"
#include "dsv2/CodeGen/CPU/PackKernels.h"
#include "dsv2/CodeGen/Passes.h"
#include "dsv2/Dialect/DSV2/Transforms/Passes.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Support/TargetInfo.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/DenseSet.h"

namespace mlir::dsv2 {

/// Launches of kernels that do little per row run on one thread below this many
/// rows: waking a team costs about as much as a dozen rows of a norm.
inline constexpr int64_t kSerialRows = 16;

/// Sites of what a router computes, which no location names: scores before the
/// softmax, chosen experts and their weights.
inline constexpr StringLiteral kRouterScoresSite = "mlp.gate";
inline constexpr StringLiteral kRouterIdsSite = "mlp.gate.ids";
inline constexpr StringLiteral kRouterWeightsSite = "mlp.gate.weights";

/// What the name of every function of the reference starts with: it shares an
/// artifact with the functions it is compared to.
inline constexpr StringLiteral kReferencePrefix = "reference_";

/// The last dimension of a tensor or a memory reference.
inline int64_t getWidth(Value value) {
  return cast<ShapedType>(value.getType()).getShape().back();
}

/// How the panels of a packed weight are stored.
cpu::PanelFormat getPanelFormat(RankedTensorType packed);

/// How many rows a value has that is not one a token of the step: memory is
/// planned for `bound`, a function of the step's sizes, and `count` is known
/// when the step runs. They may be the same.
struct RowCount {
  Value bound;
  Value count;
};

/// What an op becomes.
enum class KernelKind {
  /// Kernels for the processor.
  CPU,
  /// A kernel of its own whose body is its reference lowering.
  Reference,
  /// Kernels for a GPU. Prepare functions are the processor's all the same.
  Device
};

/// State shared by the functions of a module.
class ModuleOutliner {
public:
  /// `chips` are those of the device, none for the CPU.
  ModuleOutliner(ModuleOp module, const CPUTargetInfo &target, KernelKind kind,
                 ArrayRef<GPUTargetInfo> chips)
      : module(module), target(target), chips(chips), kind(kind),
        reference(kind == KernelKind::Reference), symbols(module) {}

  /// Rebuilds every function of the module.
  LogicalResult run();

  /// Slot of result `index` of the prepare function `name`.
  int64_t getSlot(StringRef name, int64_t index) const {
    return firstSlot.lookup(name) + index;
  }
  /// memref<?xi64>: addresses of weights, or of a prepare function's operands.
  MemRefType getTableType();
  /// memref<?x?xPAGExROWxformat>: every layer's pages.
  MemRefType getCacheType(LatentCacheType type);
  MemRefType getWorkspaceType();
  /// The dense memory of a packed weight.
  static MemRefType getStorageType(RankedTensorType packed);

  /// The kernel that computes `op` in memory as its reference lowering says.
  /// Takes memory for each tensor operand and the cache, other operands as they
  /// are, then memory for each tensor result, then the share, as every kernel
  /// does. A tensor operand has the element type of its value in `operands`,
  /// which is what the kernel will be launched on.
  func::FuncOp getOrCreateReferenceKernel(Operation *op, ValueRange operands);

  ModuleOp module;
  const CPUTargetInfo &target;
  const ArrayRef<GPUTargetInfo> chips;
  const KernelKind kind;
  const bool reference;
  SymbolTable symbols;
  int64_t numLaunches = 0;

private:
  /// Gives every prepare function its slots and writes the manifest tables.
  LogicalResult collectSlots();
  /// Writes the manifest's `cache`.
  void describeCache();
  void outlinePrepare(func::FuncOp function);
  void buildConversions();

  llvm::StringMap<int64_t> firstSlot;
  /// Reference kernels by what they compute.
  llvm::StringMap<func::FuncOp> referenceKernels;
};

/// Rebuilds one step, layer or page-copy function.
class FunctionOutliner {
public:
  FunctionOutliner(ModuleOutliner &outliner, func::FuncOp function)
      : outliner(outliner), target(outliner.target), oldFunction(function),
        b(function.getLoc(), function.getContext()) {}
  virtual ~FunctionOutliner() = default;

  LogicalResult run();

protected:
  //===--------------------------------------------------------------------===//
  // Structure (OutlineKernels.cpp)
  //===--------------------------------------------------------------------===//

  LogicalResult outlineBlock(Block &block);
  virtual LogicalResult outlineOp(Operation *op);
  LogicalResult outlineLoop(scf::ForOp loop);
  LogicalResult outlineCall(func::CallOp call);

  /// What `value` has become. An op may read something that no kernel gives
  /// (the rows of a dispatch): that is an error, and a stand-in is returned.
  Value lookup(Value value);
  /// Whether the signature is one that the runtime's arguments can be added to.
  LogicalResult checkSignature();
  /// Launches `kernel`, returns the results of its tensor outputs.
  SmallVector<Value> launch(func::FuncOp kernel, ValueRange inputs,
                            ValueRange outputs,
                            std::optional<int64_t> serialBelow = {});
  /// An uninitialised tensor [dims...], dynamic sizes being tokens.
  Value empty(ArrayRef<int64_t> shape, Type element, Value dynamicSize);
  /// The same with as many rows as `rows` says in the first dimension.
  Value emptyRows(ArrayRef<int64_t> shape, Type element, RowCount rows);
  /// Rows of a value of the old function.
  RowCount getRowCount(Value oldValue);
  /// Where the result of `op` goes: the hidden state the function was given, if
  /// the result is what the function returns, else a new tensor.
  Value destination(Operation *op);
  /// Lets the runtime see the result of `op`.
  void tap(Operation *op, Value value);
  /// The level of a tap on the result of `op`.
  static int64_t getTapLevel(Operation *op);

  //===--------------------------------------------------------------------===//
  // Reference kernels (OutlineReference.cpp)
  //===--------------------------------------------------------------------===//

  LogicalResult outlineReference(Operation *op);
  /// Launches the reference kernel of `op`, returns its results.
  SmallVector<Value> launchReference(Operation *op);
  /// Shows the runtime what the router scored.
  void tapReferenceScores(RouteOp op);
  /// Where result `index` of `op` goes.
  Value getReferenceOutput(Operation *op, unsigned index);
  /// Lets the runtime see and replace a result.
  Value exchange(Value value, StringRef site, int64_t level);

  //===--------------------------------------------------------------------===//
  // Ops (OutlineModelOps.cpp)
  //===--------------------------------------------------------------------===//

  /// Whether `op` is emitted together with a later op that reads it.
  bool isFusedIntoUser(Operation *op) const;
  /// Whether `op` stands between the start of an exchange and the wait for it.
  static bool isInsideExchange(Operation *op);
  virtual LogicalResult outlineEmbed(EmbedOp op);
  virtual LogicalResult outlineNorm(RMSNormOp op);
  virtual LogicalResult outlineLinear(LinearOp op, Value residual,
                                      Operation *result);
  virtual LogicalResult outlineFFN(GatedFFNOp op, Value residual,
                                   Operation *result);
  virtual LogicalResult outlineLogits(LogitsOp op);
  LogicalResult outlineAdd(arith::AddFOp op);
  virtual LogicalResult outlineRope(RopeOp op);
  virtual LogicalResult outlineAppend(LatentAppendOp op);
  virtual LogicalResult outlineAttention(LatentAttentionOp op);
  virtual LogicalResult outlineRoute(RouteOp op);
  /// Says what `op` has become, and lets the runtime see it.
  void finishRoute(RouteOp op, Value scores, Value ids, Value weights);
  virtual LogicalResult outlineDispatch(DispatchOp op);
  virtual LogicalResult outlineExperts(ExpertFFNOp op);
  virtual LogicalResult outlineCombine(CombineOp op, Value shared,
                                       Value residual, Operation *result);
  /// The sum of two matrices that nothing was fused into.
  virtual Value emitAdd(Value lhs, Value rhs, arith::AddFOp op);
  LogicalResult outlineCopyPages(CopyPagesOp op);

  //===--------------------------------------------------------------------===//
  // Ranks (OutlineExchange.cpp)
  //===--------------------------------------------------------------------===//

  LogicalResult outlineAllReduce(AllReduceOp op);
  LogicalResult outlineAllGather(AllGatherOp op);
  LogicalResult outlineAllToAll(AllToAllOp op);
  LogicalResult outlineAllToAllV(AllToAllVOp op);
  LogicalResult outlineCommWait(CommWaitOp op);
  virtual LogicalResult outlineExchangePack(ExchangePackOp op);
  LogicalResult outlineCheckCapacity(CheckCapacityOp op);
  virtual LogicalResult outlineExchangeUnpack(ExchangeUnpackOp op);
  RowCount getArrivedRows(Value oldValue);
  virtual LogicalResult outlineExchangeCombine(ExchangeCombineOp op);
  LogicalResult outlineSlice(tensor::ExtractSliceOp op);
  /// Whether `value` of the old function is what an exchange of rows received.
  static bool isArrived(Value value);
  /// The input in `rows`, of `count` rows that arrived: what `op` gives is
  /// where it arrived.
  Value getArrivedInput(ExchangeUnpackOp op, Value rows, RowCount count);
  /// Says what `op` gives, as many rows as `count`.
  void mapUnpacked(ExchangeUnpackOp op, Value input, Value ids, Value weights,
                   RowCount count);
  /// The most rows that a pack of `op` can have.
  Value getMostPacked(ExchangePackOp op);
  LogicalResult outlinePackedWeight(PackedWeightOp op);

  /// The [T, R] table of cos and sin, built once per function.
  Value getRopeTable(RopeOp op);
  /// The pages of one layer.
  Value getCacheLayer(Value cache, Value layer);
  cpu::LatentCacheConfig getCacheConfig(LatentCacheType type) const;
  /// The rows `x` as products with weights in `format` take them. `rows` is how
  /// many.
  Value getProductInput(Value x, cpu::PanelFormat format, RowCount rows);
  Value getProductInput(Value x, cpu::PanelFormat format, Value rows) {
    return getProductInput(x, format, RowCount{rows, rows});
  }
  /// Memory for rows like those of `shape`, quantised.
  Value emptyQuantized(ArrayRef<int64_t> shape, RowCount rows);
  /// Whether a gated product with the weight `gate` quantises its results for
  /// the product with `down`; memory for them; and how the latter takes them.
  static bool quantizesUnits(Value gate, Value down);
  Value emptyUnits(Value gate, Value down, RowCount rows);
  Value getDownInput(Value units, Value gate, Value down, RowCount rows);
  /// Panel format of a weight operand.
  static cpu::PanelFormat getFormat(Value weight) {
    return getPanelFormat(cast<RankedTensorType>(weight.getType()));
  }

  ModuleOutliner &outliner;
  const CPUTargetInfo &target;
  func::FuncOp oldFunction, newFunction;
  ImplicitLocOpBuilder b;
  IRMapping mapping;
  /// Set when an error was reported outside of a LogicalResult.
  bool hadError = false;

  /// Arguments added for the runtime.
  Value weights, workspace, logits, context, tapLevel;
  /// Number of tokens, and of logit rows in a step function.
  Value tokens, rows;
  /// The layer number, in a layer function.
  Value layer;
  /// The hidden state a layer function may overwrite.
  Value hidden;
  /// Quantised rows by what they are of.
  DenseMap<Value, Value> quantizedRows;
  /// cos/sin tables by attribute.
  DenseMap<Attribute, Value> ropeTables;
  /// What stands for the result of a dispatch, whose rows are never copied.
  struct Dispatched {
    Value input;
    /// How many rows the input has.
    RowCount inputRows;
    /// The row of the input that each row is of.
    Value rowTokens;
    RowCount rows;
  };
  DenseMap<Value, Dispatched> dispatched;
  /// Rows of values of the old function that are not one a token.
  DenseMap<Value, RowCount> rowCounts;
};

/// Refuses weights in layouts that no kernel for GPUs reads.
LogicalResult checkDeviceWeights(ModuleOp module);

/// Rebuilds `function` with launches on a device (DeviceOutliner.h).
LogicalResult outlineForDevice(ModuleOutliner &outliner, func::FuncOp function);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_KERNELOUTLINER_H
