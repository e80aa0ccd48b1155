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

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;

namespace {

class PackedAttrTest : public ::testing::Test {
protected:
  PackedAttrTest() { context.loadDialect<DSV2Dialect>(); }

  using Shape = SmallVector<int64_t>;

  Shape getStorage(PackOrder order, int64_t width, ArrayRef<int64_t> shape,
                   PackFormat format = PackFormat::Plain) {
    return PackedAttr::get(&context, order, width, format)
        .getStorageShape(shape);
  }

  /// The message of `verifyEncoding`, empty if the encoding suits the shape.
  std::string verify(PackOrder order, int64_t width, ArrayRef<int64_t> shape,
                     Type elementType, PackFormat format = PackFormat::Plain) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      message = diagnostic.str();
      return success();
    });
    Location loc = UnknownLoc::get(&context);
    auto emit = [&] { return emitError(loc); };
    auto packed = PackedAttr::get(&context, order, width, format);
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

TEST_F(PackedAttrTest, GatedRows) {
  // [N / w][gate, up][w][K].
  EXPECT_EQ(getStorage(PackOrder::GatedRows, 8, {2, 65, 7}),
            Shape({9, 2, 8, 7}));
  EXPECT_EQ(getStorage(PackOrder::GatedRows, 8, {6, 2, 16, 7}),
            Shape({6, 2, 2, 8, 7}));
}

TEST_F(PackedAttrTest, TransposedPanels) {
  // [K / w][N][w].
  EXPECT_EQ(getStorage(PackOrder::TransposedPanels, 32, {7, 65}),
            Shape({3, 7, 32}));
  EXPECT_EQ(getStorage(PackOrder::TransposedPanels, 16, {4, 7, 16}),
            Shape({4, 1, 7, 16}));
  // Blocks run along N.
  EXPECT_EQ(
      getStorage(PackOrder::TransposedPanels, 16, {4, 65, 48}, PackFormat::Q8),
      Shape({4, 3, 3, 16 * 34}));
}

TEST_F(PackedAttrTest, RowsOfBlocks) {
  // Groups of 64 bytes, 64 elements of q8 and 128 of q4, 4 bytes of scales for
  // each, and up to a multiple of 16.
  EXPECT_EQ(getStorage(PackOrder::Rows, 1, {3, 64}, PackFormat::Q8),
            Shape({3, 80}));
  EXPECT_EQ(getStorage(PackOrder::Rows, 1, {5, 3, 2048}, PackFormat::Q8),
            Shape({5, 3, 2176}));
  EXPECT_EQ(getStorage(PackOrder::Rows, 1, {3, 2048}, PackFormat::Q4),
            Shape({3, 1088}));
  EXPECT_EQ(getStorage(PackOrder::Rows, 1, {3, 576}, PackFormat::Q4),
            Shape({3, 5 * 64 + 32}));
  EXPECT_EQ(
      getStorage(PackOrder::TransposedRows, 1, {4, 128, 512}, PackFormat::Q8),
      Shape({4, 512, 144}));
  EXPECT_EQ(getStorage(PackOrder::GatedRows, 8, {2, 9, 128}, PackFormat::Q8),
            Shape({2, 2, 8, 144}));
  EXPECT_EQ(getStorage(PackOrder::Rows, 1, {5, 3, 2048}, PackFormat::FP8),
            Shape({5, 3, 2176}));
  Type f32 = Float32Type::get(&context);
  EXPECT_EQ(PackedAttr::get(&context, PackOrder::Rows, 1, PackFormat::Q4)
                .getStorageElementType(f32),
            Type(IntegerType::get(&context, 8)));
  // More bytes than there can be, and no overflow on the way there.
  int64_t large = std::numeric_limits<int64_t>::max() / 2;
  EXPECT_NE(verify(PackOrder::Rows, 1, {2, large * 2}, f32, PackFormat::Q8),
            "");
  EXPECT_NE(verify(PackOrder::Rows, 1, {4, large}, f32, PackFormat::Q8), "");
}

TEST_F(PackedAttrTest, Blocks) {
  // [N / w][K / 32][bytes], a block of w rows being 32 w elements and w scales.
  EXPECT_EQ(getStorage(PackOrder::Panels, 32, {64, 64}, PackFormat::Q8),
            Shape({2, 2, 1088}));
  EXPECT_EQ(getStorage(PackOrder::Panels, 16, {8, 17, 65}, PackFormat::Q8),
            Shape({8, 2, 3, 544}));
  EXPECT_EQ(getStorage(PackOrder::GatedPanels, 16, {2, 17, 65}, PackFormat::Q8),
            Shape({2, 2, 3, 544}));
  EXPECT_EQ(getStorage(PackOrder::Panels, 32, {64, 64}, PackFormat::Q4),
            Shape({2, 2, 544}));
  // Dense ones hold the rounded values themselves.
  EXPECT_EQ(getStorage(PackOrder::Dense, 1, {64, 64}, PackFormat::Q8),
            Shape({64, 64}));
  Type f32 = Float32Type::get(&context), bf16 = BFloat16Type::get(&context);
  auto element = [&](PackOrder order, int64_t width, PackFormat format) {
    return PackedAttr::get(&context, order, width, format)
        .getStorageElementType(f32);
  };
  EXPECT_EQ(element(PackOrder::Panels, 32, PackFormat::Q8),
            Type(IntegerType::get(&context, 8)));
  EXPECT_EQ(element(PackOrder::Dense, 1, PackFormat::Q8), f32);
  EXPECT_EQ(element(PackOrder::Panels, 32, PackFormat::Plain), f32);
  EXPECT_EQ(verify(PackOrder::Panels, 32, {64, 64}, f32, PackFormat::Q8), "");
  EXPECT_EQ(verify(PackOrder::Panels, 32, {64, 64}, bf16, PackFormat::Q8),
            "expected a matrix of f32 elements for the format 'q8', got rank 2 "
            "and 'bf16'");
  EXPECT_EQ(verify(PackOrder::Dense, 1, {64}, f32, PackFormat::Q8),
            "expected a matrix of f32 elements for the format 'q8', got rank 1 "
            "and 'f32'");
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
