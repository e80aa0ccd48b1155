//===- SelectWeightLayouts.cpp - element type and order of weights --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_SELECTWEIGHTLAYOUTSPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
/// Inserts packs for the weights of one op at a time.
class LayoutSelector {
public:
  /// `format` is that of products with activations, `matrixType` the element
  /// type of every other matrix.
  LayoutSelector(Type matrixType, PackFormat format, int64_t panelWidth,
                 bool dense)
      : matrixType(matrixType), format(format), panelWidth(panelWidth),
        dense(dense) {}

  /// Returns whether `op` was given new weights.
  bool select(Operation *op) {
    return llvm::TypeSwitch<Operation *, bool>(op)
        .Case([&](EmbedOp embed) {
          pack(embed.getTableMutable(), PackOrder::Dense, matrixType);
          return true;
        })
        .Case([&](LinearOp linear) {
          packProduct(linear.getWeightMutable());
          return true;
        })
        .Case([&](LogitsOp logits) {
          packProduct(logits.getWeightMutable());
          return true;
        })
        .Case([&](RMSNormOp norm) {
          pack(norm.getWeightMutable(), PackOrder::Dense,
               Float32Type::get(op->getContext()));
          return true;
        })
        .Case([&](RouteOp route) {
          // Near-ties between experts flip when the router is rounded.
          pack(route.getGateMutable(), PackOrder::Panels,
               Float32Type::get(op->getContext()));
          return true;
        })
        .Case([&](LatentAttentionOp attention) {
          bool absorbed = attention.getForm() == AttentionForm::Absorbed;
          // The absorbed form multiplies with w_uk from the other side.
          packProduct(attention.getWUkMutable(),
                      absorbed ? PackOrder::TransposedPanels
                               : PackOrder::Panels);
          packProduct(attention.getWUvMutable());
          return true;
        })
        .Case([&](GatedFFNOp ffn) {
          packGated(ffn.getGateMutable(), ffn.getUpMutable());
          packProduct(ffn.getDownMutable());
          return true;
        })
        .Case([&](ExpertFFNOp ffn) {
          packGated(ffn.getGateMutable(), ffn.getUpMutable());
          packProduct(ffn.getDownMutable());
          return true;
        })
        .Default(false);
  }

private:
  Type matrixType;
  PackFormat format;
  int64_t panelWidth;
  /// Whether all weights stay row-major.
  bool dense;

  PackedAttr encoding(MLIRContext *context, PackOrder order,
                      PackFormat format) {
    return PackedAttr::get(context, order, isDense(order) ? 1 : panelWidth,
                           format);
  }

  /// The element type of a matrix in `format`.
  Type getProductType(MLIRContext *context) {
    return format == PackFormat::Plain ? matrixType : Float32Type::get(context);
  }

  static bool isDense(PackOrder order) {
    return order == PackOrder::Dense || order == PackOrder::TransposedDense;
  }

  void packProduct(OpOperand &weight, PackOrder order = PackOrder::Panels) {
    pack(weight, order, getProductType(weight.getOwner()->getContext()),
         format);
  }

  void pack(OpOperand &weight, PackOrder order, Type element,
            PackFormat format = PackFormat::Plain) {
    auto type = cast<RankedTensorType>(weight.get().getType());
    OpBuilder b(weight.getOwner());
    // Rounding in blocks needs to know which way they run.
    if (dense)
      order = order == PackOrder::TransposedPanels ? PackOrder::TransposedDense
                                                   : PackOrder::Dense;
    auto packed = RankedTensorType::get(
        type.getShape(), element, encoding(b.getContext(), order, format));
    weight.set(PackOp::create(b, weight.get().getLoc(), packed, weight.get(),
                              Value()));
  }

  /// Replaces gate and up by one interleaved operand.
  void packGated(OpOperand &gate, MutableOperandRange up) {
    // Without `up` the two are packed already.
    if (up.empty())
      return;
    if (dense) {
      packProduct(gate);
      packProduct(up[0]);
      return;
    }
    auto type = cast<RankedTensorType>(gate.get().getType());
    SmallVector<int64_t> shape(type.getShape());
    shape.insert(shape.end() - 2, 2);
    OpBuilder b(gate.getOwner());
    auto packed = RankedTensorType::get(
        shape, getProductType(b.getContext()),
        encoding(b.getContext(), PackOrder::GatedPanels, format));
    Value both =
        PackOp::create(b, gate.get().getLoc(), packed, gate.get(), up[0].get());
    gate.set(both);
    up.clear();
  }
};

struct SelectWeightLayouts
    : public mlir::dsv2::impl::SelectWeightLayoutsPassBase<
          SelectWeightLayouts> {
  using SelectWeightLayoutsPassBase::SelectWeightLayoutsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder b(&getContext());
    Type matrixType;
    PackFormat products = PackFormat::Plain;
    if (format == "q8" || format == "q4")
      products = *symbolizePackFormat(format);
    if (format == "f32")
      matrixType = b.getF32Type();
    else if (format == "bf16" || products != PackFormat::Plain)
      matrixType = b.getBF16Type();
    if (!matrixType) {
      module.emitError() << "weight format: expected f32, bf16, q8 or q4, got '"
                         << format << "'";
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

    setManifestEntry(module, "numerics", "weight_format",
                     b.getStringAttr(format));
    LayoutSelector selector(matrixType, products, panelWidth, dense);
    SmallVector<Operation *> ops;
    module.walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (selector.select(op))
        ++numPacked;
  }
};
} // namespace
