//===- MachineDescriptionTest.cpp - what ranks run on ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MachineDescription.h"
#include "gtest/gtest.h"

using namespace dsv2;
using namespace llvm;

static const char *const kWhole = R"({
  "name": "a machine",
  "memory_bytes": 80000000000,
  "memory_bytes_per_second": 3e12,
  "flops_per_second": 8e14,
  "tp": {"bytes_per_second": 1.5e11, "latency_seconds": 2e-5},
  "ep": {"bytes_per_second": 2.5e10, "latency_seconds": 0},
  "ranks_per_host": 8
})";

/// The whole description with `from` replaced.
static std::string vary(StringRef from, StringRef to) {
  std::string text = kWhole;
  size_t at = text.find(from.str());
  if (at == std::string::npos)
    ADD_FAILURE() << "no " << from.str();
  else
    text.replace(at, from.size(), to.str());
  return text;
}

static std::string errorOf(StringRef text) {
  Expected<MachineDescription> machine =
      parseMachineDescription(text, "m.json");
  return machine ? "" : toString(machine.takeError());
}

TEST(MachineDescriptionTest, ReadsEveryKey) {
  Expected<MachineDescription> machine =
      parseMachineDescription(kWhole, "m.json");
  ASSERT_TRUE(bool(machine)) << toString(machine.takeError());
  EXPECT_EQ(machine->name, "a machine");
  EXPECT_EQ(machine->memoryBytes, 80000000000);
  EXPECT_EQ(machine->memoryBytesPerSecond, 3e12);
  EXPECT_EQ(machine->flopsPerSecond, 8e14);
  EXPECT_EQ(machine->tp.bytesPerSecond, 1.5e11);
  EXPECT_EQ(machine->tp.latencySeconds, 2e-5);
  EXPECT_EQ(machine->ep.bytesPerSecond, 2.5e10);
  EXPECT_EQ(machine->ep.latencySeconds, 0.0);
  EXPECT_EQ(machine->ranksPerHost, 8);

  machine = parseMachineDescription(vary(R"("name": "a machine",)", ""), "");
  ASSERT_TRUE(bool(machine)) << toString(machine.takeError());
  EXPECT_EQ(machine->name, "");
  machine = parseMachineDescription(vary(R"(,
  "ranks_per_host": 8)",
                                         ""),
                                    "");
  ASSERT_TRUE(bool(machine)) << toString(machine.takeError());
  EXPECT_EQ(machine->ranksPerHost, std::nullopt);
}

TEST(MachineDescriptionTest, ErrorsNameKeyExpectedAndFound) {
  struct {
    const char *from, *to, *message;
  } cases[] = {
      {R"("memory_bytes": 80000000000,)", "",
       "m.json: expected 'memory_bytes' to be an integer from 1 to "
       "1152921504606846976, got nothing"},
      {"80000000000", "0", "to be an integer from 1 to"},
      {"80000000000", "-5", "got -5"},
      {"80000000000", "1.5", "got 1.5"},
      {"80000000000", "\"80 GB\"", "got the string \"80 GB\""},
      {"80000000000", "9223372036854775808", "'memory_bytes' to be an integer"},
      {"3e12", "0",
       "expected 'memory_bytes_per_second' to be a number from 1 to 1e+22, got "
       "0"},
      {"3e12", "1e30", "got 1e+30"},
      {"3e12", "true", "got true"},
      {"8e14", "-1", "expected 'flops_per_second' to be a number from 1 to"},
      {"2.5e10", "[]", "expected 'ep.bytes_per_second' to be a number"},
      {"2e-5", "-0.5",
       "expected 'tp.latency_seconds' to be a number from 0 to 3600, got "
       "-0.5"},
      {R"({"bytes_per_second": 2.5e10, "latency_seconds": 0})", "3",
       "expected 'ep' to be an object, got 3"},
      {R"("latency_seconds": 0)", R"("latency_seconds": 0, "hops": 2)",
       "expected the keys bytes_per_second, latency_seconds in 'ep', got "
       "'ep.hops'"},
      {"\"name\"", "\"nickname\"",
       "expected the keys ep, flops_per_second, memory_bytes, "
       "memory_bytes_per_second, name, ranks_per_host, tp, got 'nickname'"},
      {"\"a machine\"", "7", "expected 'name' to be a string, got 7"},
      {": 8\n", ": 0\n",
       "expected 'ranks_per_host' to be an integer from 1 to 65536"},
      {"\"name\"", "\"ep\"", "expected every key once, found 'ep' twice"},
      {"8e14", "NaN", "expected finite numbers, found NaN"},
  };
  for (const auto &entry : cases) {
    std::string error = errorOf(vary(entry.from, entry.to));
    EXPECT_NE(error.find(entry.message), std::string::npos)
        << entry.message << "\n  " << error;
  }
}

TEST(MachineDescriptionTest, AllProblemsInOneError) {
  std::string error = errorOf("{\"a\": 1, \"ep\": {}}");
  for (const char *part :
       {"'memory_bytes'", "'memory_bytes_per_second'", "'flops_per_second'",
        "'tp'", "'ep.bytes_per_second'", "'ep.latency_seconds'", "got 'a'"})
    EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(MachineDescriptionTest, HostileFilesAreSentencesToo) {
  EXPECT_NE(errorOf("").find("got an empty file"), std::string::npos);
  EXPECT_NE(errorOf("[1]").find("expected a JSON object"), std::string::npos);
  EXPECT_NE(errorOf("{\"name\": ").find("malformed"), std::string::npos);
  EXPECT_NE(errorOf(std::string(100000, '[')).find("levels of nesting"),
            std::string::npos);
  EXPECT_NE(errorOf("{\"\xff\": 1}").find("expected UTF-8"), std::string::npos);
  EXPECT_NE(errorOf(std::string((1 << 20) + 1, ' ')).find("at most 1048576"),
            std::string::npos);
  // Many problems make no endless line, and no control characters get out.
  std::string many = "{";
  for (int i = 0; i < 1000; ++i)
    many += "\"\\u001b" + std::to_string(i) + "\": 1,";
  many.back() = '}';
  std::string error = errorOf(many);
  EXPECT_LT(error.size(), 10000u);
  EXPECT_NE(error.find("more"), std::string::npos);
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
}

TEST(MachineDescriptionTest, FilesOfTheDocumentation) {
  for (const char *name : {"gpu-80gb", "cpu-core"}) {
    std::string file =
        std::string(DSV2_TEST_SOURCE_DIR) + "/docs/machines/" + name + ".json";
    Expected<MachineDescription> machine = MachineDescription::fromFile(file);
    EXPECT_TRUE(bool(machine)) << toString(machine.takeError());
  }
  Expected<MachineDescription> machine =
      MachineDescription::fromFile(DSV2_TEST_SOURCE_DIR);
  ASSERT_FALSE(bool(machine));
  EXPECT_NE(toString(machine.takeError()).find("expected a regular file"),
            std::string::npos);
  machine = MachineDescription::fromFile("/no/such/file");
  ASSERT_FALSE(bool(machine));
  EXPECT_NE(toString(machine.takeError()).find("cannot be opened"),
            std::string::npos);
}
