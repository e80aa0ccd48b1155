//===- PackedAttrTest.cpp - memory of packed weights ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {

class PackedAttrTest : public ::testing::Test {
protected:
  PackedAttrTest() { context.loadDialect<DSV2Dialect>(); }

  using Shape = SmallVector<int64_t>;

  Shape getStorage(PackOrder order, int64_t width, ArrayRef<int64_t> shape) {
    return PackedAttr::get(&context, order, width).getStorageShape(shape);
  }

  /// The message of `verifyEncoding`, empty if the encoding suits the shape.
  std::string verify(PackOrder order, int64_t width, ArrayRef<int64_t> shape,
                     Type elementType) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      message = diagnostic.str();
      return success();
    });
    Location loc = UnknownLoc::get(&context);
    auto emit = [&] { return emitError(loc); };
    auto packed = PackedAttr::get(&context, order, width);
    LogicalResult result = packed.verifyEncoding(shape, elementType, emit);
    EXPECT_EQ(failed(result), !message.empty());
    return message;
  }

  MLIRContext context;
};

TEST_F(PackedAttrTest, Dense) {
  EXPECT_EQ(getStorage(PackOrder::Dense, 1, {7}), Shape({7}));
  EXPECT_EQ(getStorage(PackOrder::Dense, 1, {4, 33, 7}), Shape({4, 33, 7}));
}

TEST_F(PackedAttrTest, Panels) {
  // [N / w][K][w], padded to whole panels; leading dimensions outermost.
  EXPECT_EQ(getStorage(PackOrder::Panels, 32, {64, 7}), Shape({2, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::Panels, 32, {65, 7}), Shape({3, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::Panels, 32, {1, 7}), Shape({1, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::Panels, 16, {2, 5, 33, 7}),
            Shape({2, 5, 3, 7, 16}));
}

TEST_F(PackedAttrTest, GatedPanels) {
  // [N / w][gate, up][K][w].
  EXPECT_EQ(getStorage(PackOrder::GatedPanels, 32, {2, 65, 7}),
            Shape({3, 2, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::GatedPanels, 16, {8, 2, 32, 7}),
            Shape({8, 2, 2, 7, 16}));
}

TEST_F(PackedAttrTest, TransposedPanels) {
  // [K / w][N][w].
  EXPECT_EQ(getStorage(PackOrder::TransposedPanels, 32, {7, 65}),
            Shape({3, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::TransposedPanels, 16, {4, 7, 16}),
            Shape({4, 1, 7, 16}));
}

TEST_F(PackedAttrTest, WidthsNearTheLimitDoNotOverflow) {
  int64_t max = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(getStorage(PackOrder::Panels, 2, {max, 1}),
            Shape({max / 2 + 1, 1, 2}));
  EXPECT_EQ(getStorage(PackOrder::Panels, max, {1, 1}), Shape({1, 1, max}));
}

TEST_F(PackedAttrTest, Verify) {
  Type f32 = Float32Type::get(&context), bf16 = BFloat16Type::get(&context);
  Type f16 = Float16Type::get(&context);
  EXPECT_EQ(verify(PackOrder::Dense, 1, {7}, f32), "");
  EXPECT_EQ(verify(PackOrder::Panels, 32, {7, 7}, bf16), "");
  EXPECT_EQ(verify(PackOrder::GatedPanels, 32, {2, 7, 7}, bf16), "");
  EXPECT_EQ(verify(PackOrder::GatedPanels, 32, {9, 2, 7, 7}, f32), "");
  EXPECT_NE(verify(PackOrder::Panels, 32, {7}, f32), "");
  EXPECT_NE(verify(PackOrder::TransposedPanels, 32, {7}, f32), "");
  EXPECT_NE(verify(PackOrder::GatedPanels, 32, {2, 7}, f32), "");
  EXPECT_NE(verify(PackOrder::GatedPanels, 32, {3, 7, 7}, f32), "");
  EXPECT_NE(verify(PackOrder::Panels, 32, {7, 7}, f16), "");
  EXPECT_NE(verify(PackOrder::Panels, 32, {ShapedType::kDynamic, 7}, f32), "");
  int64_t big = int64_t(1) << 32;
  EXPECT_NE(verify(PackOrder::Panels, 32, {big, big}, f32), "");
}

} // namespace
