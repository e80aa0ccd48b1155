//===- LayoutTest.cpp - registers and shared memory of the matrix instructions
//===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each layout is written here as the figures of the PTX ISA have it, by element
// and not by register as in the emulator; one instruction then has to give the
// product of matrices that were laid out so.
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include <cmath>

using namespace dsv2::test;

namespace {
class LayoutTest : public EmulatorTest {
protected:
  /// IR that loads `count` words of the thread from `%name`, laid out word by
  /// word for 128 threads.
  static std::string loads(const std::string &name, int count,
                           const std::string &type) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      std::string n = name + std::to_string(i);
      text += "  %i" + n + " = add i32 %tid, " + std::to_string(128 * i) +
              "\n  %p" + n + " = getelementptr i32, ptr addrspace(1) %" + name +
              ", i32 %i" + n + "\n  %" + n + " = load " + type +
              ", ptr addrspace(1) %p" + n + "\n";
    }
    return text;
  }
  static std::string stores(const std::string &from, const std::string &type,
                            int count, const std::string &element) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      std::string n = std::to_string(i);
      std::string value = "%" + from + "_" + n;
      text += "  " + value + " = extractvalue " + type + " %" + from + ", " +
              n + "\n  %oi" + n + " = add i32 %tid, " +
              std::to_string(128 * i) + "\n  %op" + n +
              " = getelementptr i32, ptr addrspace(1) %out, i32 "
              "%oi" +
              n + "\n  store " + element + " " + value +
              ", ptr addrspace(1) %op" + n + "\n";
    }
    return text;
  }
  static std::string list(const std::string &prefix, int count,
                          const std::string &separator = ", ") {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += (i ? separator : "") + prefix + std::to_string(i);
    return text;
  }
  static std::string repeated(const std::string &item, int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += (i ? ", " : "") + item;
    return text;
  }
};

/// A wgmma to try.
struct Probe {
  int n;
  /// PTX's type of the operands: bf16, f16, e4m3.
  std::string type;
  /// A, B: whether the contiguous dimension is M or N instead of K.
  bool mnA = false, mnB = false;
  /// Bytes of the swizzle of both operands; 0, 32, 64 or 128.
  int swizzle = 128;
  bool registersA = false;
  bool halfAccumulators = false;
};

int bytesOf(const Probe &p) { return p.type == "e4m3" ? 1 : 2; }
int depthOf(const Probe &p) { return 32 / bytesOf(p); }

/// Small integers from -4 to 4 in each type.
uint16_t encodeValue(const std::string &type, float value) {
  if (type == "bf16")
    return bf16(value);
  bool negative = value < 0;
  int magnitude = int(std::fabs(value));
  if (magnitude == 0)
    return 0;
  int exponent = magnitude >= 4 ? 2 : magnitude >= 2 ? 1 : 0;
  if (type == "f16")
    return uint16_t(negative << 15 | (exponent + 15) << 10 |
                    ((magnitude << (10 - exponent)) & 0x3FF));
  return uint16_t(negative << 7 | (exponent + 7) << 3 |
                  ((magnitude << (3 - exponent)) & 7));
}

/// Where element (row, k) of an operand of `rows` x `depth` lies, in bytes, and
/// the strides of its descriptor. PTX ISA, "Shared Memory Matrix Layout": core
/// matrices of 8 x 16 bytes without swizzle; with it, rows of the swizzle's
/// width, 8 of which repeat, whose 16-byte chunks are exchanged.
struct OperandLayout {
  int rows, depth, bytes, swizzle;
  bool mnMajor;

  int contiguous() const { return mnMajor ? rows : depth; }
  /// Distances that the test chooses, larger than need be where it can.
  int leading() const {
    if (swizzle == 0)
      return mnMajor ? 128 : 256 + 128 * (rows / 8) * 2;
    // Between groups of as many elements as the swizzle is wide.
    return mnMajor ? (depth / 8) * 8 * swizzle : 16;
  }
  int stride() const {
    if (swizzle == 0)
      return mnMajor ? 128 * (depth / 8) : 128;
    return 8 * swizzle;
  }
  int place(int row, int k) const {
    int minor = (mnMajor ? row : k) * bytes, major = mnMajor ? k : row;
    if (swizzle == 0) {
      // Core matrices: `leading` apart along K of a K-major one and along K of
      // an MN-major one, `stride` along M or N.
      int core = minor % 16 + major % 8 * 16;
      return mnMajor ? core + (minor / 16) * stride() + (major / 8) * leading()
                     : core + (minor / 16) * leading() + (major / 8) * stride();
    }
    int line = minor / swizzle, within = minor % swizzle;
    int offset = line * leading() + major / 8 * stride() + major % 8 * swizzle;
    int chunk = within / 16;
    int lines = (offset + within) / 128;
    switch (swizzle) {
    case 128:
      chunk ^= lines % 8;
      break;
    case 64:
      chunk ^= lines % 4;
      break;
    case 32:
      chunk ^= lines % 2;
      break;
    }
    return offset + chunk * 16 + within % 16;
  }
  uint64_t descriptor(int start) const {
    uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle ? 3 : 0;
    return uint64_t(start / 16) | uint64_t(leading() / 16) << 16 |
           uint64_t(stride() / 16) << 32 | mode << 62;
  }
};
} // namespace

/// The kernel copies an image of shared memory and multiplies once.
static std::string probeKernel(const Probe &p,
                               const std::string &declarations) {
  int registers = p.halfAccumulators ? p.n / 4 : p.n / 2;
  std::string element = p.halfAccumulators ? "i32" : "float";
  std::string code = p.halfAccumulators ? "r" : "f";
  int next = registers;
  std::string list, outputs;
  for (int i = 0; i < registers; ++i) {
    list += (i ? ", $" : "$") + std::to_string(i);
    outputs += (i ? ",=" : "=") + code;
  }
  std::string a = "$" + std::to_string(next), inputs = ",l";
  if (p.registersA) {
    a = "{";
    inputs = ",r,r,r,r";
    for (int i = 0; i < 4; ++i)
      a += (i ? ", $" : "$") + std::to_string(next + i);
    a += "}";
    next += 3;
  }
  std::string flags = ", 1, 1";
  if (p.type != "e4m3") {
    if (!p.registersA)
      flags += p.mnA ? ", 1" : ", 0";
    flags += p.mnB ? ", 1" : ", 0";
  }
  std::string text = "{\\0A.reg .pred p;\\0Asetp.ne.b32 p, 0, 0;\\0A"
                     "wgmma.mma_async.sync.aligned.m64n" +
                     std::to_string(p.n) + "k" + std::to_string(depthOf(p)) +
                     (p.halfAccumulators ? ".f16." : ".f32.") + p.type + "." +
                     p.type + " {" + list + "}, " + a + ", $" +
                     std::to_string(next + 1) + ", p" + flags + ";\\0A}";
  std::string type = "{ ";
  for (int i = 0; i < registers; ++i)
    type += (i ? ", " : "") + element;
  type += " }";
  std::string call =
      "  %d = call " + type + " asm sideeffect \"" + text + "\", \"" + outputs +
      inputs + ",l\"(" +
      (p.registersA ? "i32 %a0, i32 %a1, i32 %a2, i32 %a3" : "i64 %descA") +
      ", i64 %descB)\n";
  return edited(edited(declarations, "CALL\n", call), "TYPE", type);
}

static const char *const probeHead = R"(
target triple = "nvptx64-nvidia-cuda"
@dsv2_smem = external addrspace(3) global [0 x i8], align 1024
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.fence.proxy.async.shared_cta()
declare void @llvm.nvvm.wgmma.fence.sync.aligned()
declare void @llvm.nvvm.wgmma.commit_group.sync.aligned()
declare void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 immarg)
define ptx_kernel void @probe(ptr addrspace(1) %image, i32 %words, i64 %offA, i64 %offB, ptr addrspace(1) %a, ptr addrspace(1) %out) {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  br label %copy
copy:
  %i = phi i32 [ %tid, %entry ], [ %i1, %copy ]
  %ps = getelementptr i32, ptr addrspace(1) %image, i32 %i
  %v = load i32, ptr addrspace(1) %ps
  %pd = getelementptr i32, ptr addrspace(3) @dsv2_smem, i32 %i
  store i32 %v, ptr addrspace(3) %pd
  %i1 = add i32 %i, 128
  %more = icmp slt i32 %i1, %words
  br i1 %more, label %copy, label %ready
ready:
  call void @llvm.nvvm.fence.proxy.async.shared_cta()
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %base = ptrtoint ptr addrspace(3) @dsv2_smem to i32
  %low = and i32 %base, 262143
  %start = lshr i32 %low, 4
  %s = zext i32 %start to i64
  %descA = add i64 %offA, %s
  %descB = add i64 %offB, %s
  call void @llvm.nvvm.wgmma.fence.sync.aligned()
)";

TEST_F(LayoutTest, WgmmaOperandsAndFragments) {
  std::vector<Probe> probes;
  for (int swizzle : {128, 64, 32, 0}) {
    probes.push_back({32, "bf16", false, false, swizzle});
    probes.push_back({128, "bf16", false, true, swizzle});
    probes.push_back({64, "f16", true, true, swizzle});
    probes.push_back({64, "f16", true, false, swizzle});
    probes.push_back({40, "e4m3", false, false, swizzle});
  }
  for (int n : {8, 16, 24, 72, 200, 256})
    probes.push_back({n, "bf16"});
  probes.push_back({64, "bf16", false, false, 128, /*registersA=*/true});
  probes.push_back({64, "bf16", false, true, 128, true});
  probes.push_back({16, "e4m3", false, false, 128, true});
  probes.push_back({48, "f16", false, false, 128, false, true});

  for (const Probe &p : probes) {
    SCOPED_TRACE("n " + std::to_string(p.n) + " " + p.type + " swizzle " +
                 std::to_string(p.swizzle) + (p.mnA ? " A MN-major" : "") +
                 (p.mnB ? " B MN-major" : ""));
    int depth = depthOf(p), bytes = bytesOf(p);
    OperandLayout la{64, depth, bytes, p.swizzle, p.mnA};
    OperandLayout lb{p.n, depth, bytes, p.swizzle, p.mnB};
    std::vector<float> a = smallIntegers(64 * depth, 21);
    std::vector<float> b = smallIntegers(p.n * depth, 22);
    std::vector<unsigned char> image(96 << 10);
    const int startB = 32 << 10;
    auto put = [&](int at, float value) {
      uint16_t code = encodeValue(p.type, value);
      std::memcpy(&image[at], &code, bytes);
    };
    for (int k = 0; k < depth; ++k) {
      for (int m = 0; m < 64; ++m)
        put(la.place(m, k), a[m * depth + k]);
      for (int n = 0; n < p.n; ++n)
        put(startB + lb.place(n, k), b[n * depth + k]);
    }
    // PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16 (k32)": warp w
    // has rows 16 w to 16 w + 15; of these lane l has row l / 4 and l / 4 + 8,
    // in it the columns of 32 bits that start at 4 (l % 4) bytes, and those 16
    // bytes later.
    std::vector<uint32_t> registersA(4 * 128);
    for (int m = 0; m < 64; ++m)
      for (int k = 0; k < depth; ++k) {
        int byte = k * bytes;
        int thread = m / 16 * 32 + m % 8 * 4 + byte % 16 / 4;
        int reg = m % 16 / 8 + byte / 16 * 2;
        registersA[reg * 128 + thread] |=
            uint32_t(encodeValue(p.type, a[m * depth + k])) << (byte % 4 * 8);
      }

    int registers = p.halfAccumulators ? p.n / 4 : p.n / 2;
    std::string element = p.halfAccumulators ? "i32" : "float";
    std::string text =
        std::string(probeHead) + (p.registersA ? loads("a", 4, "i32") : "") +
        "CALL\n"
        "  call void @llvm.nvvm.wgmma.commit_group.sync.aligned()\n"
        "  call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 0)\n" +
        "; TYPE\n  ret void\n}\n";
    text = probeKernel(p, text);
    size_t mark = text.find("; { ");
    std::string type = text.substr(mark + 2, text.find('\n', mark) - mark - 2);
    text =
        edited(text, "; " + type + "\n", stores("d", type, registers, element));
    CUmodule module = load(text);
    CUdeviceptr dimage = upload(image), da = upload(registersA);
    CUdeviceptr out = allocate(registers * 128 * 4);
    Shape shape;
    shape.block[0] = 128;
    shape.shared = unsigned(image.size());
    ASSERT_EQ(launch(function(module, "probe"), shape, dimage,
                     int(image.size() / 4), la.descriptor(0),
                     lb.descriptor(startB), da, out),
              CUDA_SUCCESS)
        << report();

    std::vector<uint32_t> words = download<uint32_t>(out, registers * 128);
    for (int m = 0; m < 64; ++m)
      for (int n = 0; n < p.n; ++n) {
        float expected = 0;
        for (int k = 0; k < depth; ++k)
          expected += a[m * depth + k] * b[n * depth + k];
        // The accumulator fragment: columns 8 j to 8 j + 7 take 4 elements of a
        // thread, two of each of its rows.
        int thread = m / 16 * 32 + m % 8 * 4 + n % 8 / 2;
        int index = n / 8 * 4 + m % 16 / 8 * 2 + n % 2;
        float found;
        if (p.halfAccumulators) {
          uint16_t half =
              uint16_t(words[index / 2 * 128 + thread] >> (index % 2 * 16));
          found = float(std::ldexp(
                      double(half & 0x3FF) + (half & 0x7C00 ? 1024 : 0),
                      ((half >> 10 & 31) ? (half >> 10 & 31) : 1) - 25)) *
                  (half & 0x8000 ? -1 : 1);
        } else {
          std::memcpy(&found, &words[index * 128 + thread], 4);
        }
        ASSERT_EQ(found, expected) << m << ", " << n;
      }
    ASSERT_EQ(emulator.cuModuleUnload(module), CUDA_SUCCESS);
  }
}

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

TEST_F(LayoutTest, MmaSyncFragments) {
  struct Case {
    const char *name, *type, *registerType;
    int depth, bytes;
  };
  for (const Case &c :
       {Case{"m16n8k16.row.col.bf16", "bf16", "i32", 16, 2},
        Case{"m16n8k8.row.col.bf16", "bf16", "i32", 8, 2},
        Case{"m16n8k16.row.col.f32.f32", "f16", "<2 x half>", 16, 2},
        Case{"m16n8k32.row.col.f32.e4m3.e4m3.f32", "e4m3", "i32", 32, 1}}) {
    SCOPED_TRACE(c.name);
    int numA = c.depth * c.bytes / 8, numB = numA / 2;
    std::vector<float> a = smallIntegers(16 * c.depth, 31);
    std::vector<float> b = smallIntegers(8 * c.depth, 32);
    std::vector<float> acc = smallIntegers(16 * 8, 33);
    std::vector<uint32_t> wordsA(numA * 128), wordsB(numB * 128);
    std::vector<float> wordsC(4 * 128);
    // PTX ISA, "Matrix Fragments for mma.m16n8k16": a lane of group l / 4 has
    // rows l / 4 and l / 4 + 8 of A, column l / 4 of B, in each the 32 bits at
    // 4 (l % 4) bytes along K, and those 16 bytes later.
    for (int k = 0; k < c.depth; ++k) {
      int byte = k * c.bytes, lane = byte % 16 / 4, half = byte / 16;
      for (int m = 0; m < 16; ++m)
        wordsA[(half * 2 + m / 8) * 128 + m % 8 * 4 + lane] |=
            uint32_t(encodeValue(c.type, a[m * c.depth + k])) << (byte % 4 * 8);
      for (int n = 0; n < 8; ++n)
        wordsB[half * 128 + n * 4 + lane] |=
            uint32_t(encodeValue(c.type, b[n * c.depth + k])) << (byte % 4 * 8);
    }
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 8; ++n)
        wordsC[(m / 8 * 2 + n % 2) * 128 + m % 8 * 4 + n / 2] = acc[m * 8 + n];

    std::string r = c.registerType, f4 = "{ float, float, float, float }";
    std::string arguments;
    for (int i = 0; i < numA; ++i)
      arguments += r + " %a" + std::to_string(i) + ", ";
    for (int i = 0; i < numB; ++i)
      arguments += r + " %b" + std::to_string(i) + ", ";
    arguments += "float %c0, float %c1, float %c2, float %c3";
    std::string name = "@llvm.nvvm.mma." + std::string(c.name);
    std::string text = "target triple = \"nvptx64-nvidia-cuda\"\n"
                       "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
                       "declare " +
                       f4 + " " + name + "(" + repeated(r, numA + numB) +
                       ", float, float, float, float)\n"
                       "define ptx_kernel void @probe(ptr addrspace(1) %a, ptr "
                       "addrspace(1) %b, "
                       "ptr addrspace(1) %c, ptr addrspace(1) %out) {\n"
                       "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n" +
                       loads("a", numA, r) + loads("b", numB, r) +
                       loads("c", 4, "float") + "  %d = call " + f4 + " " +
                       name + "(" + arguments + ")\n" +
                       stores("d", f4, 4, "float") + "  ret void\n}\n";
    CUmodule module = load(text);
    CUdeviceptr da = upload(wordsA), db = upload(wordsB), dc = upload(wordsC);
    CUdeviceptr out = allocate(4 * 128 * 4);
    ASSERT_EQ(launch(function(module, "probe"), Shape(), da, db, dc, out),
              CUDA_SUCCESS)
        << report();
    std::vector<float> found = download<float>(out, 4 * 128);
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 8; ++n) {
        float expected = acc[m * 8 + n];
        for (int k = 0; k < c.depth; ++k)
          expected += a[m * c.depth + k] * b[n * c.depth + k];
        ASSERT_EQ(found[(m / 8 * 2 + n % 2) * 128 + m % 8 * 4 + n / 2],
                  expected)
            << m << ", " << n;
      }
  }
}

//===----------------------------------------------------------------------===//
// ldmatrix and stmatrix
//===----------------------------------------------------------------------===//

// Matrix j of four is stored in rows whose order is turned around; a load has
// to spread it over the lanes, and a store of that has to bring it back.
TEST_F(LayoutTest, LoadAndStoreMatrix) {
  for (bool transposed : {false, true}) {
    SCOPED_TRACE(transposed ? "transposed" : "plain");
    std::string form = std::string(".sync.aligned.m8n8.x4.") +
                       (transposed ? "trans." : "") + "b16.p3";
    std::string i4 = "{ i32, i32, i32, i32 }";
    std::string text =
        "target triple = \"nvptx64-nvidia-cuda\"\n"
        "@dsv2_smem = external addrspace(3) global [0 x i8], align 1024\n"
        "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
        "declare void @llvm.nvvm.bar.warp.sync(i32)\n"
        "declare " +
        i4 + " @llvm.nvvm.ldmatrix" + form +
        "(ptr addrspace(3))\n"
        "declare void @llvm.nvvm.stmatrix" +
        form +
        "(ptr addrspace(3), i32, i32, i32, i32)\n"
        "define ptx_kernel void @probe(ptr addrspace(1) %in, ptr addrspace(1) "
        "%out, ptr addrspace(1) %back) {\n"
        "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
        "  %pin = getelementptr <4 x i32>, ptr addrspace(1) %in, i32 %tid\n"
        "  %row = load <4 x i32>, ptr addrspace(1) %pin\n"
        "  %turned = sub i32 31, %tid\n"
        "  %p = getelementptr <4 x i32>, ptr addrspace(3) @dsv2_smem, i32 "
        "%turned\n"
        "  store <4 x i32> %row, ptr addrspace(3) %p\n"
        "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
        "  %d = call " +
        i4 + " @llvm.nvvm.ldmatrix" + form + "(ptr addrspace(3) %p)\n" +
        stores("d", i4, 4, "i32") +
        "  %q = getelementptr i8, ptr addrspace(3) %p, i32 512\n"
        "  call void @llvm.nvvm.stmatrix" +
        form +
        "(ptr addrspace(3) %q, i32 %d_0, i32 %d_1, i32 %d_2, i32 %d_3)\n"
        "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
        "  %again = load <4 x i32>, ptr addrspace(3) %q\n"
        "  %pb = getelementptr <4 x i32>, ptr addrspace(1) %back, i32 %tid\n"
        "  store <4 x i32> %again, ptr addrspace(1) %pb\n"
        "  ret void\n}\n";
    // Row r of matrix j is what thread 8 j + r brings.
    std::vector<uint16_t> in(32 * 8);
    for (size_t i = 0; i < in.size(); ++i)
      in[i] = uint16_t(i * 7 + 1);
    CUmodule module = load(text);
    CUdeviceptr din = upload(in), out = allocate(4 * 128 * 4);
    CUdeviceptr back = allocate(512);
    Shape shape;
    shape.shared = 1024;
    ASSERT_EQ(launch(function(module, "probe"), shape, din, out, back),
              CUDA_SUCCESS)
        << report();
    std::vector<uint32_t> words = download<uint32_t>(out, 4 * 128);
    for (int j = 0; j < 4; ++j)
      for (int row = 0; row < 8; ++row)
        for (int column = 0; column < 8; ++column) {
          // PTX ISA, "ldmatrix": the figure numbers the lanes row by row, two
          // elements each.
          int r = transposed ? column : row, c = transposed ? row : column;
          int lane = r * 4 + c / 2;
          uint16_t found = uint16_t(words[j * 128 + lane] >> (c % 2 * 16));
          ASSERT_EQ(found, in[(8 * j + row) * 8 + column]);
        }
    EXPECT_EQ(download<uint16_t>(back, in.size()), in);
  }
}
