//===- BufferizableOpInterfaceImpl.cpp - bufferisation of dsv2 ops --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/BufferizableOpInterfaceImpl.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/IR/DialectRegistry.h"

using namespace mlir;
using namespace mlir::bufferization;

namespace {

/// The launch on buffers that takes the place of `op`.
dsv2::LaunchOp createLaunch(OpBuilder &b, dsv2::LaunchOp op, ValueRange inputs,
                            ValueRange outputs) {
  return dsv2::LaunchOp::create(b, op.getLoc(), TypeRange(), op.getKernelAttr(),
                                inputs, outputs, op.getSerialBelowAttr());
}
dsv2::DeviceLaunchOp createLaunch(OpBuilder &b, dsv2::DeviceLaunchOp op,
                                  ValueRange inputs, ValueRange outputs) {
  return dsv2::DeviceLaunchOp::create(b, op.getLoc(), TypeRange(),
                                      op.getKernelAttr(), op.getGrid(), inputs,
                                      outputs, op.getSiteAttr(), op.getLayer());
}

template <typename Launch>
struct LaunchOpInterface
    : public DstBufferizableOpInterfaceExternalModel<LaunchOpInterface<Launch>,
                                                     Launch> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &state) const {
    // A kernel of the host writes every element of its outputs and reads none;
    // one of the device leaves what is not its own.
    return std::is_same_v<Launch, dsv2::DeviceLaunchOp> ||
           !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto launch = cast<Launch>(op);
    auto toBuffers = [&](ValueRange values,
                         SmallVectorImpl<Value> &buffers) -> LogicalResult {
      for (Value value : values) {
        if (!isa<TensorType>(value.getType())) {
          buffers.push_back(value);
          continue;
        }
        FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
        if (failed(buffer))
          return failure();
        buffers.push_back(*buffer);
      }
      return success();
    };
    SmallVector<Value> inputs, outputs, results;
    if (failed(toBuffers(launch.getInputs(), inputs)) ||
        failed(toBuffers(launch.getOutputs(), outputs)))
      return failure();
    for (auto [output, buffer] : llvm::zip_equal(launch.getOutputs(), outputs))
      if (isa<TensorType>(output.getType()))
        results.push_back(buffer);
    createLaunch(rewriter, launch, inputs, outputs);
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

/// Collectives read what they are given; only a sum also reads what it
/// replaces, and a wait what has arrived.
template <typename Collective>
struct CollectiveModel : public DstBufferizableOpInterfaceExternalModel<
                             CollectiveModel<Collective>, Collective> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return std::is_same_v<Collective, dsv2::AllReduceOp> ||
           std::is_same_v<Collective, dsv2::CommWaitOp> ||
           !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    // On memory there is no result but the count of rows.
    SmallVector<Type> types;
    for (Type type : op->getResultTypes())
      if (!isa<TensorType>(type))
        types.push_back(type);
    auto collective =
        Collective::create(rewriter, op->getLoc(), types, operands,
                           op->getDiscardableAttrDictionary().getValue());
    collective.getProperties() = cast<Collective>(op).getProperties();
    SmallVector<Value> results = {collective.getOutput()};
    llvm::append_range(results, collective->getResults());
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

/// Reads its counts and has no results.
struct CheckCapacityModel
    : public BufferizableOpInterface::ExternalModel<CheckCapacityModel,
                                                    dsv2::CheckCapacityOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto check = cast<dsv2::CheckCapacityOp>(op);
    FailureOr<Value> buffer =
        getBuffer(rewriter, check.getCounts(), options, state);
    if (failed(buffer))
      return failure();
    rewriter.modifyOpInPlace(op,
                             [&] { check.getCountsMutable().assign(*buffer); });
    return success();
  }
};

struct TapOpInterface
    : public BufferizableOpInterface::ExternalModel<TapOpInterface,
                                                    dsv2::TapOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *op, OpOperand &,
                               const AnalysisState &) const {
    return cast<dsv2::TapOp>(op).getReplaced() != nullptr;
  }
  AliasingValueList getAliasingValues(Operation *op, OpOperand &,
                                      const AnalysisState &) const {
    if (Value replaced = cast<dsv2::TapOp>(op).getReplaced())
      return {{replaced, BufferRelation::Equivalent}};
    return {};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto tap = cast<dsv2::TapOp>(op);
    FailureOr<Value> buffer =
        getBuffer(rewriter, tap.getValue(), options, state);
    if (failed(buffer))
      return failure();
    dsv2::TapOp::create(rewriter, op->getLoc(), /*replaced=*/Type(), *buffer,
                        tap.getSiteAttr(), tap.getLayer(), tap.getLevelAttr(),
                        tap.getExchangedAttr(), tap.getLargestAttr());
    SmallVector<Value> results;
    if (tap.getReplaced())
      results.push_back(*buffer);
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

} // namespace

void mlir::dsv2::registerBufferizableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, DSV2Dialect *) {
    LaunchOp::attachInterface<LaunchOpInterface<LaunchOp>>(*context);
    DeviceLaunchOp::attachInterface<LaunchOpInterface<DeviceLaunchOp>>(
        *context);
    TapOp::attachInterface<TapOpInterface>(*context);
    CheckCapacityOp::attachInterface<CheckCapacityModel>(*context);
    AllReduceOp::attachInterface<CollectiveModel<AllReduceOp>>(*context);
    AllGatherOp::attachInterface<CollectiveModel<AllGatherOp>>(*context);
    AllToAllOp::attachInterface<CollectiveModel<AllToAllOp>>(*context);
    CommWaitOp::attachInterface<CollectiveModel<CommWaitOp>>(*context);
    AllToAllVOp::attachInterface<CollectiveModel<AllToAllVOp>>(*context);
    context->loadDialect<bufferization::BufferizationDialect>();
  });
}
