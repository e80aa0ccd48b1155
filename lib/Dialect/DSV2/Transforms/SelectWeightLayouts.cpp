//===- SelectWeightLayouts.cpp - element type and order of weights --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "dsv2/Support/WeightPolicy.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_SELECTWEIGHTLAYOUTSPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;
using namespace ::dsv2;

/// The weight behind `value`, which may be a part of one in another shape; null
/// if there is none.
static WeightOp findWeight(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto weight = dyn_cast<WeightOp>(op))
      return weight;
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
             tensor::ExtractSliceOp>(op))
      break;
    value = op->getOperand(0);
  }
  return nullptr;
}

/// The op as a policy knows it, if it reads weights.
static std::optional<WeightUse> getWeightUse(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<WeightUse>>(op)
      .Case([](EmbedOp) { return WeightUse::Embed; })
      .Case([](ExpertFFNOp) { return WeightUse::ExpertFFN; })
      .Case([](GatedFFNOp) { return WeightUse::GatedFFN; })
      .Case([](LatentAttentionOp) { return WeightUse::LatentAttention; })
      .Case([](LinearOp) { return WeightUse::Linear; })
      .Case([](LogitsOp) { return WeightUse::Logits; })
      .Case([](RMSNormOp) { return WeightUse::RMSNorm; })
      .Case([](RouteOp) { return WeightUse::Route; })
      .Default(std::nullopt);
}

namespace {
/// Inserts packs for the weights of one op at a time.
class LayoutSelector {
public:
  LayoutSelector(WeightPolicy &policy, int64_t panelWidth, bool dense)
      : policy(policy), panelWidth(panelWidth), dense(dense) {}

  /// Gives `op` new weights if it has any. Returns whether it had, or failure
  /// if the policy has no format for one of them.
  FailureOr<bool> select(Operation *op) {
    std::optional<WeightUse> opUse = getWeightUse(op);
    if (!opUse)
      return false;
    use = *opUse;
    LogicalResult result =
        llvm::TypeSwitch<Operation *, LogicalResult>(op)
            .Case([&](EmbedOp embed) {
              return pack(embed.getTableMutable(), PackOrder::Dense);
            })
            .Case([&](RMSNormOp norm) {
              return pack(norm.getWeightMutable(), PackOrder::Dense);
            })
            .Case([&](LinearOp linear) {
              return pack(linear.getWeightMutable(), PackOrder::Panels);
            })
            .Case([&](LogitsOp logits) {
              return pack(logits.getWeightMutable(), PackOrder::Panels);
            })
            .Case([&](RouteOp route) {
              return pack(route.getGateMutable(), PackOrder::Panels);
            })
            .Case([&](LatentAttentionOp attention) {
              bool absorbed = attention.getForm() == AttentionForm::Absorbed;
              // The absorbed form multiplies with w_uk from the other side.
              PackOrder keys =
                  absorbed ? PackOrder::TransposedPanels : PackOrder::Panels;
              return success(succeeded(pack(attention.getWUkMutable(), keys)) &&
                             succeeded(pack(attention.getWUvMutable(),
                                            PackOrder::Panels)));
            })
            .Case<GatedFFNOp, ExpertFFNOp>([&](auto ffn) {
              return success(
                  succeeded(
                      packGated(ffn.getGateMutable(), ffn.getUpMutable())) &&
                  succeeded(pack(ffn.getDownMutable(), PackOrder::Panels)));
            });
    if (failed(result))
      return failure();
    return true;
  }

private:
  WeightPolicy &policy;
  int64_t panelWidth;
  /// Whether all weights stay row-major.
  bool dense;
  /// That of the op at hand.
  WeightUse use = WeightUse::Linear;

  /// What the policy says about operands that are stored together.
  FailureOr<WeightFormat> selectFormat(Operation *op, ValueRange operands) {
    SmallVector<WeightTensors> tensors;
    for (Value operand : operands) {
      // A value that is no weight matches no rule; hoisting refuses it.
      WeightTensors &entry = tensors.emplace_back();
      if (WeightOp weight = findWeight(operand)) {
        entry.name = weight.getName();
        entry.layers = weight.getLayers();
        if (entry.name.contains("{expert}"))
          entry.experts = weight.getType().getDimSize(0);
      }
    }
    llvm::Expected<WeightFormat> format = policy.select(use, tensors);
    if (!format)
      return op->emitError() << llvm::toString(format.takeError());
    if (*format == WeightFormat::FP8 && panelWidth != 1 && !dense) {
      InFlightDiagnostic error = op->emitError(
          "the weight format fp8 is one of GPUs: expected f32, bf16, q8 or q4");
      if (!tensors.front().name.empty())
        error << " for '" << tensors.front().name << "'";
      return error;
    }
    return *format;
  }

  static PackFormat getPackFormat(WeightFormat format) {
    switch (format) {
    case WeightFormat::F32:
    case WeightFormat::BF16:
      return PackFormat::Plain;
    case WeightFormat::Q8:
      return PackFormat::Q8;
    case WeightFormat::Q4:
      return PackFormat::Q4;
    case WeightFormat::FP8:
      return PackFormat::FP8;
    }
    llvm_unreachable("unknown weight format");
  }

  RankedTensorType getPackedType(MLIRContext *context, ArrayRef<int64_t> shape,
                                 PackOrder order, WeightFormat format) {
    // Blocks hold multiples of f32 scales.
    Type element = format == WeightFormat::BF16
                       ? Type(BFloat16Type::get(context))
                       : Type(Float32Type::get(context));
    PackFormat blocks = getPackFormat(format);
    // Panels of one column are rows, those of blocks have a layout of their
    // own.
    if (panelWidth == 1 && blocks != PackFormat::Plain) {
      if (order == PackOrder::Panels)
        order = PackOrder::Rows;
      else if (order == PackOrder::TransposedPanels)
        order = PackOrder::TransposedRows;
    }
    int64_t width = order == PackOrder::Dense       ? 1
                    : order == PackOrder::GatedRows ? kGatedRowGroup
                                                    : panelWidth;
    return RankedTensorType::get(
        shape, element, PackedAttr::get(context, order, width, blocks));
  }

  void pack(OpOperand &weight, PackOrder order, WeightFormat format) {
    auto type = cast<RankedTensorType>(weight.get().getType());
    OpBuilder b(weight.getOwner());
    if (dense)
      order = PackOrder::Dense;
    auto packed = getPackedType(b.getContext(), type.getShape(), order, format);
    weight.set(PackOp::create(b, weight.get().getLoc(), packed, weight.get(),
                              Value()));
  }

  LogicalResult pack(OpOperand &weight, PackOrder order) {
    FailureOr<WeightFormat> format =
        selectFormat(weight.getOwner(), weight.get());
    if (failed(format))
      return failure();
    pack(weight, order, *format);
    return success();
  }

  /// Replaces gate and up by one interleaved operand.
  LogicalResult packGated(OpOperand &gate, MutableOperandRange up) {
    // Without `up` the two are packed already.
    if (up.empty())
      return success();
    FailureOr<WeightFormat> format =
        selectFormat(gate.getOwner(), {gate.get(), up[0].get()});
    if (failed(format))
      return failure();
    if (dense) {
      pack(gate, PackOrder::Dense, *format);
      pack(up[0], PackOrder::Dense, *format);
      return success();
    }
    auto type = cast<RankedTensorType>(gate.get().getType());
    SmallVector<int64_t> shape(type.getShape());
    shape.insert(shape.end() - 2, 2);
    OpBuilder b(gate.getOwner());
    // Panels of one column are rows.
    PackOrder order =
        panelWidth == 1 ? PackOrder::GatedRows : PackOrder::GatedPanels;
    auto packed = getPackedType(b.getContext(), shape, order, *format);
    Value both =
        PackOp::create(b, gate.get().getLoc(), packed, gate.get(), up[0].get());
    gate.set(both);
    up.clear();
    return success();
  }
};

struct SelectWeightLayouts
    : public mlir::dsv2::impl::SelectWeightLayoutsPassBase<
          SelectWeightLayouts> {
  using SelectWeightLayoutsPassBase::SelectWeightLayoutsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto policy = WeightPolicy::create(format, rules);
    if (!policy) {
      module.emitError() << llvm::toString(policy.takeError());
      return signalPassFailure();
    }
    if (panelWidth < 1) {
      module.emitError() << "panel width: expected a positive number, got "
                         << panelWidth.getValue();
      return signalPassFailure();
    }
    WalkResult result = module.walk([&](LatentAttentionOp op) {
      if (op.getForm() != AttentionForm::Undecided)
        return WalkResult::advance();
      op.emitOpError("expected a decided attention form, got 'undecided'");
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      return signalPassFailure();

    std::string name = stringifyWeightFormat(policy->baseFormat()).str();
    if (policy->hasRules())
      name += "+rules";
    setManifestEntry(module, "numerics", "weight_format",
                     StringAttr::get(&getContext(), name));
    LayoutSelector selector(*policy, panelWidth, dense);
    SmallVector<Operation *> ops;
    module.walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops) {
      FailureOr<bool> isPacked = selector.select(op);
      if (failed(isPacked))
        return signalPassFailure();
      numPacked += *isPacked;
    }
    if (llvm::Error error = policy->checkRulesUsed()) {
      module.emitError() << llvm::toString(std::move(error));
      return signalPassFailure();
    }
  }
};
} // namespace
