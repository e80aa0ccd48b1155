//===- CheckpointTest.cpp - hostile and damaged checkpoints ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tests are named after the field case they keep from coming back.
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;
namespace fs = std::filesystem;

namespace {

const std::string shard1 = "model-00001-of-000002.safetensors";
const std::string shard2 = "model-00002-of-000002.safetensors";

std::vector<TensorSpec> neededTensors() {
  return fakeArtifact()->manifest().tensors();
}

/// Opens a folder and asks for the fake artifact's tensors.
Status openAndRequire(const std::string &path,
                      const CheckpointOptions &options = {}) {
  auto opened = openCheckpoint(path, options);
  if (!opened.ok())
    return opened.status();
  return opened.value()->require(neededTensors());
}

/// What parsing a file of these bytes says.
Status parse(const std::string &bytes, uint64_t cap = defaultMaxHeaderBytes) {
  return parseSafetensors(reinterpret_cast<const uint8_t *>(bytes.data()),
                          bytes.size(), "'file'", cap)
      .status();
}

void expectCorrupt(const std::string &bytes,
                   const std::vector<std::string> &parts) {
  expectFailure(parse(bytes), StatusCode::CorruptData, parts);
}

/// Counts how often a file is opened, read or mapped while it lives.
class OpenWatch {
public:
  explicit OpenWatch(const std::string &path) {
    fd = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(fd, path.c_str(), IN_OPEN | IN_ACCESS);
  }
  ~OpenWatch() { close(fd); }
  bool sawNothing() {
    char events[4096];
    return read(fd, events, sizeof(events)) < 0;
  }

private:
  int fd;
};

} // namespace

TEST(CheckpointTest, ReadsSingleFileAndShards) {
  TempDir single, sharded;
  TensorMap tensors = fakeTensors();
  writeCheckpoint(single.path(), tensors);
  writeShardedCheckpoint(sharded.path(), tensors);
  for (const std::string &path :
       {single.path(), sharded.path(), single.file("model.safetensors")}) {
    auto source = take(openCheckpoint(path));
    ASSERT_TRUE(source->require(neededTensors()).ok());
    EXPECT_TRUE(source->notes().empty());
    Buffer scratch;
    for (const TensorSpec &spec : neededTensors()) {
      TensorView view = take(source->read(spec, scratch));
      const std::string &bytes = tensors[spec.name].bytes;
      EXPECT_EQ(view.dtype, DType::F32);
      ASSERT_EQ(size_t(view.elements) * 4, bytes.size());
      EXPECT_EQ(std::memcmp(view.data, bytes.data(), bytes.size()), 0);
      source->release(spec);
      EXPECT_EQ(std::memcmp(view.data, bytes.data(), bytes.size()), 0)
          << "memory that was released for now can still be read";
    }
  }
}

TEST(CheckpointTest, UnalignedDataIsCopied) {
  TempDir folder;
  std::string data(1, 'x');
  float values[2] = {1.5f, -2.0f};
  data.append(reinterpret_cast<char *>(values), 8);
  std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  writeFile(folder.file("m.safetensors"), safetensorsBytes(header, data));
  auto source = take(openCheckpoint(folder.path()));
  Buffer scratch;
  TensorView view = take(source->read({"b", {2}}, scratch));
  EXPECT_EQ(uintptr_t(view.data) % 4, 0u);
  EXPECT_EQ(std::memcmp(view.data, values, 8), 0);
}

TEST(CheckpointTest, F001_PathTraversal) {
  TempDir root;
  std::string inside = root.subfolder("model");
  std::string outside = root.subfolder("other");
  writeShardedCheckpoint(inside, fakeTensors());
  writeShardedCheckpoint(outside, fakeTensors(2));
  for (const std::string &value :
       {"../other/" + shard2, outside + "/" + shard2, "./" + shard2,
        "sub/" + shard2, std::string(".."), std::string(),
        std::string("..\\other\\x.safetensors"),
        std::string("x\0.safetensors", 14), std::string("model.bin")}) {
    std::map<std::string, std::string> weightMap;
    for (const TensorSpec &spec : neededTensors())
      weightMap[spec.name] = shard1;
    weightMap["lm_head.weight"] = value;
    writeFile(inside + "/model.safetensors.index.json", indexText(weightMap));
    OpenWatch watch(outside + "/" + shard2);
    Status status = openAndRequire(inside);
    expectFailure(status, StatusCode::CorruptData,
                  {"weight_map['lm_head.weight']", "expected"});
    if (value.find('\0') == std::string::npos &&
        value.find('\\') == std::string::npos)
      expectHolds(status.message(), "'" + value + "'");
    EXPECT_TRUE(watch.sawNothing()) << "the file outside was opened";
  }
}

TEST(CheckpointTest, F001_SymbolicLinkOutOfTheFolder) {
  TempDir root;
  std::string inside = root.subfolder("model");
  std::string outside = root.subfolder("other");
  writeCheckpoint(outside, fakeTensors());
  fs::create_symlink(outside + "/model.safetensors",
                     inside + "/model.safetensors");
  OpenWatch watch(outside + "/model.safetensors");
  expectFailure(openAndRequire(inside), StatusCode::IoError,
                {"symbolic link out of the checkpoint folder",
                 outside + "/model.safetensors"});
  EXPECT_TRUE(watch.sawNothing());
  // A link that stays inside, and a link to the folder itself, are fine.
  fs::remove(inside + "/model.safetensors");
  writeFile(inside + "/data.bin", safetensorsFile(fakeTensors()));
  fs::create_symlink("data.bin", inside + "/model.safetensors");
  EXPECT_TRUE(openAndRequire(inside).ok());
  fs::create_symlink(inside, root.file("link"));
  EXPECT_TRUE(openAndRequire(root.file("link")).ok());
}

TEST(CheckpointTest, HubCacheLayoutIsAccepted) {
  TempDir root;
  std::string blobs = root.subfolder("models--x/blobs");
  std::string snapshot = root.subfolder("models--x/snapshots/abc");
  writeFile(blobs + "/0123", safetensorsFile(fakeTensors()));
  fs::create_symlink("../../blobs/0123", snapshot + "/model.safetensors");
  Status status = openAndRequire(snapshot);
  EXPECT_TRUE(status.ok()) << status.message();
  // Any other place is not.
  writeFile(root.file("evil"), safetensorsFile(fakeTensors()));
  fs::remove(snapshot + "/model.safetensors");
  fs::create_symlink("../../../evil", snapshot + "/model.safetensors");
  expectFailure(openAndRequire(snapshot), StatusCode::IoError,
                {"symbolic link"});
}

TEST(CheckpointTest, F003_MissingShards) {
  TempDir folder;
  writeShardedCheckpoint(folder.path(), fakeTensors());
  fs::remove(folder.file(shard2));
  OpenWatch watch(folder.file(shard1));
  expectFailure(openAndRequire(folder.path()), StatusCode::NotFound,
                {"1 of 2 files", "incomplete download?", "'" + shard2 + "'"});
  EXPECT_TRUE(watch.sawNothing()) << "no shard is read before all are there";

  std::map<std::string, std::string> weightMap;
  auto shardName = [](int i) {
    return "part-" + std::to_string(100 + i) + ".safetensors";
  };
  for (int i = 0; i < 30; ++i) {
    weightMap["tensor" + std::to_string(i)] = shardName(i);
    if (i < 15)
      writeFile(folder.file(shardName(i)), safetensorsFile({}));
  }
  writeFile(folder.file("model.safetensors.index.json"), indexText(weightMap));
  std::vector<std::string> parts = {"15 of 30 files"};
  for (int i = 15; i < 30; ++i)
    parts.push_back(shardName(i));
  expectFailure(openAndRequire(folder.path()), StatusCode::NotFound, parts);
}

TEST(CheckpointTest, F004_TruncatedShard) {
  TensorMap tensors = fakeTensors();
  std::string whole = safetensorsFile(tensors);
  uint64_t headerBytes = 0;
  std::memcpy(&headerBytes, whole.data(), 8);
  uint64_t dataBytes = whole.size() - 8 - headerBytes;
  ASSERT_GT(dataBytes, 4096u);
  for (uint64_t cut : {uint64_t(1), uint64_t(4096), dataBytes}) {
    TempDir folder;
    writeFile(folder.file("model.safetensors"),
              whole.substr(0, whole.size() - cut));
    expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                  {"truncated", "incomplete download?",
                   std::to_string(cut) + " of " + std::to_string(whole.size()) +
                       " bytes are missing"});
  }
  TempDir folder;
  writeFile(folder.file("model.safetensors"), whole + "xyz");
  expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                {"3 bytes after the last tensor"});
}

TEST(CheckpointTest, F005_OffsetsDisagreeWithShape) {
  auto entry = [](const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape +
           R"(,"data_offsets":)" + offsets + "}}";
  };
  std::string four(4, 0);
  expectCorrupt(
      safetensorsBytes(entry("F32", "[1000,1000]", "[0,4]"), four),
      {"tensor 'a'", "F32 [1000, 1000]", "needs 4000000 bytes", "give 4"});
  expectCorrupt(safetensorsBytes(entry("F32", "[1]", "[4,0]"), four),
                {"tensor 'a'", "run backwards"});
  expectCorrupt(safetensorsBytes(entry("F32", "[1]", "[0,4,8]"), four),
                {"tensor 'a'", "more than two data_offsets"});
  expectCorrupt(safetensorsBytes(entry("F32", "[1]", "[0]"), four),
                {"tensor 'a'", "1 data_offsets instead of two"});
  expectCorrupt(safetensorsBytes(entry("F32", "[-1]", "[0,4]"), four),
                {"tensor 'a'", "-1", "shape"});
  expectCorrupt(
      safetensorsBytes(
          entry("F32", "[4294967296,4294967296,4294967296]", "[0,4]"), four),
      {"tensor 'a'", "too large"});
  expectCorrupt(
      safetensorsBytes(entry("F32", "[1]", "[18446744073709551612,0]"), four),
      {"tensor 'a'", "data_offsets"});
  expectCorrupt(safetensorsBytes(entry("F4", "[3]", "[0,1]"), four),
                {"whole bytes"});
}

TEST(CheckpointTest, DataIsCoveredExactlyOnce) {
  auto two = [](const std::string &a, const std::string &b) {
    return R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}";
  };
  EXPECT_TRUE(
      parse(safetensorsBytes(two("[4,8]", "[0,4]"), std::string(8, 0))).ok());
  expectCorrupt(safetensorsBytes(two("[0,4]", "[2,6]"), std::string(6, 0)),
                {"tensors 'a'", "'b'", "overlap"});
  expectCorrupt(safetensorsBytes(two("[0,4]", "[0,4]"), std::string(4, 0)),
                {"overlap"});
  expectCorrupt(safetensorsBytes(two("[0,4]", "[8,12]"), std::string(12, 0)),
                {"bytes 4 to 8", "belong to no tensor", "'b'"});
  expectCorrupt(safetensorsBytes(two("[4,8]", "[8,12]"), std::string(12, 0)),
                {"bytes 0 to 4", "belong to no tensor", "'a'"});
}

TEST(CheckpointTest, TensorsWithoutElements) {
  EXPECT_TRUE(parse(safetensorsBytes("{}", "")).ok());
  EXPECT_TRUE(
      parse(safetensorsBytes(
                R"({"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
                R"("b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                R"("c":{"dtype":"F32","shape":[5,0],"data_offsets":[4,4]}})",
                std::string(4, 0)))
          .ok());
  expectCorrupt(
      safetensorsBytes(
          R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[9,9]}})", ""),
      {"bytes 0 to 9"});
}

TEST(CheckpointTest, F007_HeaderLength) {
  expectCorrupt("\xff\xff\xff\xff\xff\xff\xff\x7f", {"9223372036854775807"});
  expectCorrupt(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "abc",
                {"18446744073709551615"});
  std::string lengthIsFileSize("\x0a\0\0\0\0\0\0\0{}", 10);
  expectCorrupt(lengthIsFileSize, {"header length 10 exceeds the 2 bytes"});
  expectCorrupt(std::string(8, 0), {"header"});
  expectCorrupt("", {"0 bytes"});
  expectCorrupt("1234567", {"7 bytes"});

  std::string wide = safetensorsBytes("{}" + std::string(1000, ' '), "");
  EXPECT_TRUE(parse(wide).ok());
  expectFailure(parse(wide, 1000), StatusCode::CorruptData,
                {"header length 1002", "cap of 1000", "DSV2_MAX_HEADER_BYTES"});
}

TEST(CheckpointTest, F007_HeaderCapOverride) {
  TempDir folder;
  writeCheckpoint(folder.path(), fakeTensors());
  CheckpointOptions options;
  options.maxHeaderBytes = 100;
  expectFailure(openAndRequire(folder.path(), options), StatusCode::CorruptData,
                {"cap of 100"});
  {
    ScopedEnv cap("DSV2_MAX_HEADER_BYTES", "64");
    expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                  {"cap of 64"});
  }
  for (const char *text : {"", "x", "-1", "0", "1x"}) {
    ScopedEnv cap("DSV2_MAX_HEADER_BYTES", text);
    expectFailure(openAndRequire(folder.path()), StatusCode::InvalidArgument,
                  {"DSV2_MAX_HEADER_BYTES", "positive number"});
  }
}

TEST(CheckpointTest, F010_StrayFiles) {
  TempDir folder;
  writeShardedCheckpoint(folder.path(), fakeTensors());
  // Beside an index nothing else counts, not even when it is damaged.
  writeFile(folder.file("model.safetensors"), "stray");
  EXPECT_TRUE(openAndRequire(folder.path()).ok());
  fs::remove(folder.file("model.safetensors.index.json"));
  expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                {"3 .safetensors files", "exactly one", "'model.safetensors'",
                 "'" + shard1 + "'", "'" + shard2 + "'"});
  TempDir empty;
  expectFailure(openAndRequire(empty.path()), StatusCode::NotFound,
                {"holds no checkpoint"});
  expectFailure(openAndRequire(empty.file("none")), StatusCode::NotFound,
                {"does not exist"});
}

TEST(CheckpointTest, F010_IndexDecidesWhichFileCounts) {
  TempDir folder;
  writeShardedCheckpoint(folder.path(), fakeTensors());
  std::map<std::string, std::string> weightMap;
  for (const TensorSpec &spec : neededTensors())
    weightMap[spec.name] = shard1;
  writeFile(folder.file("model.safetensors.index.json"), indexText(weightMap));
  expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                {"places tensor", "'" + shard1 + "'", "does not hold it"});
}

TEST(CheckpointTest, F011_MissingTensors) {
  const std::string name = "model.layers.1.mlp.experts.3.up_proj.weight";
  TempDir folder;
  TensorMap tensors = fakeTensors();
  tensors.erase(name);
  writeShardedCheckpoint(folder.path(), tensors);
  expectFailure(openAndRequire(folder.path()), StatusCode::NotFound,
                {"1 of 8 tensors", "'" + name + "'"});
  // Many are cut to 20 names and the count.
  std::vector<TensorSpec> many;
  for (int i = 100; i < 150; ++i)
    many.push_back({"missing" + std::to_string(i), {1}});
  Status status = take(openCheckpoint(folder.path()))->require(many);
  expectFailure(status, StatusCode::NotFound,
                {"50 of 50 tensors", "'missing100'", "'missing119'", ", ..."});
  EXPECT_EQ(status.message().find("'missing120'"), std::string::npos);
}

TEST(CheckpointTest, WrongShapeNamesBothShapes) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  tensors["lm_head.weight"].shape = {8, 64};
  writeCheckpoint(folder.path(), tensors);
  expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                {"'lm_head.weight'", "'model.safetensors'",
                 "expected shape [64, 8]", "found [8, 64]"});
}

TEST(CheckpointTest, F012_MalformedHeader) {
  const std::string good =
      R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  std::string four(4, 0);
  const struct {
    std::string header;
    const char *part;
  } cases[] = {
      {"[]", "expected an object"},
      {"3", "expected an object"},
      {"\"x\"", "expected an object"},
      {"null", "expected an object"},
      {"", "parse error"},
      {"{", "parse error"},
      {"{" + good, "parse error"},
      {"{" + good + "}x", "parse error"},
      {"{" + good + "}{}", "parse error"},
      {R"({"a":1})", "expected an object"},
      {R"({"a":[]})", "expected an object"},
      {R"({"a":null})", "expected an object"},
      {R"({"a":1.5})", "expected an object"},
      {"{" + good + "," + good + "}", "overlap"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       "duplicate key 'a'"},
      {R"({"a":{}})", "no dtype"},
      {R"({"a":{"dtype":"F32"}})", "no shape"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "no data_offsets"},
      {R"({"a":{"dtype":"F32","dtype":"F32"}})", "duplicate key 'dtype'"},
      {R"({"a":{"dtype":1}})", "dtype"},
      {R"({"a":{"dtype":["F32"]}})", "array"},
      {R"({"a":{"shape":"x"}})", "shape"},
      {R"({"a":{"shape":[1.5]}})", "shape"},
      {R"({"a":{"shape":["1"]}})", "shape"},
      {R"({"a":{"shape":[[1]]}})", "shape"},
      {R"({"a":{"shape":[1,1,1,1,1,1,1,1,1]}})", "more than 8"},
      {R"({"a":{"shape":[9223372036854775808]}})", "shape"},
      {R"({"a":{"data_offsets":[0,true]}})", "data_offsets"},
      {R"({"a":{"data_offsets":[0,4.0]}})", "data_offsets"},
      {R"({"a":{"data_offsets":{}}})", "data_offsets"},
      {R"({"a":{"extra":1}})", "unknown key 'extra'"},
      {R"({"__metadata__":1})", "__metadata__"},
      {R"({"__metadata__":{"x":1}})", "expected strings"},
      {R"({"__metadata__":{},"__metadata__":{}})", "duplicate key"},
      {"{\"a\xff\":{}}", "UTF-8"},
      {R"({"a":{"shape":[1e999]}})", "1e999"},
      {std::string("{}\0", 3), "zero byte"},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(c.header);
    Status status = parse(safetensorsBytes(c.header, four));
    expectFailure(status, StatusCode::CorruptData, {"'file'", c.part});
    // Whatever stood in the file, the message is plain text.
    for (unsigned char byte : status.message())
      EXPECT_TRUE(byte >= 0x20 && byte < 0x7f);
    EXPECT_EQ(status.message().find("json.exception"), std::string::npos);
  }
  std::string deep(100000, '[');
  expectCorrupt(safetensorsBytes(deep, ""), {"expected an object"});
}

TEST(CheckpointTest, F012_MalformedIndex) {
  TempDir folder;
  writeShardedCheckpoint(folder.path(), fakeTensors());
  const struct {
    std::string text;
    const char *part;
  } cases[] = {
      {"", "not valid JSON"},
      {"[]", "expected an object"},
      {"{}", "weight_map"},
      {R"({"weight_map":[]})", "expected an object"},
      {R"({"weight_map":{}})", "names no tensors"},
      {R"({"weight_map":{"a":1}})", "weight_map['a']"},
      {R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})",
       "duplicate key 'a'"},
      {std::string(1000, '['), "nesting"},
      {std::string("{}\0x", 4), "zero byte"},
      {"{\"weight_map\":{\"\xff\":\"x\"}}", "not valid JSON"},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(c.text);
    writeFile(folder.file("model.safetensors.index.json"), c.text);
    expectFailure(openAndRequire(folder.path()), StatusCode::CorruptData,
                  {"model.safetensors.index.json", c.part});
  }
}

TEST(CheckpointTest, F014_UnsupportedDtypes) {
  for (const std::string &dtype :
       {"F64", "I8", "F8_E4M3", "F4", "bf16", "", "I64", "BOOL"}) {
    SCOPED_TRACE(dtype);
    TempDir folder;
    TensorMap tensors = fakeTensors();
    TensorData &head = tensors["lm_head.weight"];
    head.dtype = dtype;
    int64_t bits = dtype == "F64" || dtype == "I64" ? 64
                   : dtype == "F4"                  ? 4
                                                    : 8;
    head.bytes.resize(64 * 8 * bits / 8);
    writeCheckpoint(folder.path(), tensors);
    Status status = openAndRequire(folder.path());
    EXPECT_FALSE(status.ok());
    expectHolds(status.message(), "'lm_head.weight'");
    expectHolds(status.message(), "'" + dtype + "'");
  }
}

TEST(CheckpointTest, F014_UnsupportedDtypesElsewhereDoNotMatter) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  tensors["rotary.inv_freq"] = {"I64", {2}, std::string(16, 0)};
  writeCheckpoint(folder.path(), tensors);
  EXPECT_TRUE(openAndRequire(folder.path()).ok());
}

TEST(CheckpointTest, F014_MixedDtypesAreNoted) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  TensorData &head = tensors["lm_head.weight"];
  head.dtype = "BF16";
  head.bytes.resize(64 * 8 * 2);
  TensorData &embed = tensors["model.embed_tokens.weight"];
  embed.dtype = "F16";
  embed.bytes.resize(64 * 8 * 2);
  writeCheckpoint(folder.path(), tensors);
  auto source = take(openCheckpoint(folder.path()));
  ASSERT_TRUE(source->require(neededTensors()).ok());
  ASSERT_EQ(source->notes().size(), 1u);
  expectHolds(source->notes()[0], "1 BF16, 1 F16, 6 F32");
}

TEST(CheckpointTest, SpecialFilesDoNotHang) {
  TempDir folder;
  ASSERT_EQ(mkfifo(folder.file("model.safetensors").c_str(), 0600), 0);
  expectFailure(openAndRequire(folder.path()), StatusCode::IoError,
                {"not a regular file"});
  fs::remove(folder.file("model.safetensors"));
  folder.subfolder("model.safetensors");
  expectFailure(openAndRequire(folder.path()), StatusCode::IoError,
                {"not a regular file"});
}

TEST(CheckpointTest, IdentityFollowsContents) {
  TempDir a, b;
  TensorMap tensors = fakeTensors();
  writeCheckpoint(a.path(), tensors);
  writeCheckpoint(b.path(), tensors);
  auto time = fs::last_write_time(a.file("model.safetensors"));
  auto identity = [&](const TempDir &folder) {
    fs::last_write_time(folder.file("model.safetensors"), time);
    return take(take(openCheckpoint(folder.path()))->identity(neededTensors()));
  };
  std::string first = identity(a);
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(first, identity(b)) << "the folder's name does not matter";
  tensors["lm_head.weight"].bytes[5] ^= 1;
  writeCheckpoint(b.path(), tensors);
  EXPECT_NE(first, identity(b));
  time += std::chrono::seconds(1);
  EXPECT_NE(first, identity(a)) << "a later modification is a change";
}

TEST(CheckpointTest, WeightSourceSpellings) {
  for (const std::string &text : {"random:", "random:x", "random:-1",
                                  "random:1 ", "random:18446744073709551616"})
    expectFailure(openWeightSource(text).status(), StatusCode::InvalidArgument,
                  {"'" + text + "'", "random:SEED"});
  EXPECT_EQ(take(openWeightSource("random:18446744073709551615"))->describe(),
            "random:18446744073709551615");
}
