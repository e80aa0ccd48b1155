//===- ToolTest.cpp - dsv2-run and dsv2-bench as their users see them -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const std::string tokenizerFolder = DSV2_TEST_SOURCE_DIR "/models/tiny";

/// Runs dsv2-run on the fake artifact with random weights and ids.
ProgramResult run(const std::string &flags, const std::string &before = "") {
  return runShell(before + " " DSV2_RUN " " + fakeArtifactPath() +
                  " --packed memory --token-ids --weights random:1 " + flags);
}

/// Expects an exit code, no output, and an error that holds every part.
void expectError(const ProgramResult &result, int code,
                 const std::vector<std::string> &parts) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  expectHolds(result.err, "error: ");
  for (const std::string &part : parts)
    expectHolds(result.err, part);
}

std::string idList(int64_t count) {
  std::string list = "'";
  for (int64_t i = 0; i < count; ++i)
    list += std::to_string(i % 60) + " ";
  return list + "'";
}

int64_t words(const std::string &text) {
  std::istringstream stream(text);
  std::string word;
  int64_t count = 0;
  while (stream >> word)
    ++count;
  return count;
}

} // namespace

TEST(RunToolTest, TokenIds) {
  ProgramResult result = run("--prompt '1 2,3' --max-tokens 5");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "48 8 61 48 8\n");
  expectHolds(result.err, "prompt 3 tokens");
  // The same from a file and from standard input, by any chunk and threads.
  TempDir folder;
  writeFile(folder.file("p"), "1\n2\n3\n");
  for (const std::string &flags :
       {"--prompt-file " + folder.file("p"), std::string("--prompt-file -"),
        std::string("--prompt '1 2 3' --chunk 1"),
        std::string("--prompt '1 2 3' --threads 1 --context 20"),
        std::string("--prompt '1 2 3' --device cpu --check-finite")})
    EXPECT_EQ(run(flags + " --max-tokens 5 <" + folder.file("p")).out,
              result.out)
        << flags;
}

TEST(RunToolTest, SeveralPrompts) {
  ProgramResult result =
      run("--prompt '1 2 3' --prompt '4,5' --max-tokens 3 --prompt 6");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "==> prompt 1 <==\n48 8 61\n"
                        "==> prompt 2 <==\n14 61 48\n"
                        "==> prompt 3 <==\n" +
                            run("--prompt 6 --max-tokens 3").out);
}

TEST(RunToolTest, Json) {
  ProgramResult result =
      run("--prompt '1 2 3' --prompt 4 --max-tokens 3 --json --seed 5");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  json root = json::parse(result.out);
  EXPECT_EQ(root["model"], "fake");
  EXPECT_EQ(root["seed"], 5);
  ASSERT_EQ(root["results"].size(), 2u);
  EXPECT_EQ(root["results"][0]["tokens"], json({48, 8, 61}));
  EXPECT_EQ(root["results"][0]["prompt_tokens"], 3);
  EXPECT_EQ(root["results"][0]["completion_tokens"], 3);
  EXPECT_EQ(root["results"][0]["finish_reason"], "length");
  EXPECT_EQ(root["memory"]["weights"], 4544);
  EXPECT_EQ(root["timing"]["prompt_tokens"], 4);
}

TEST(RunToolTest, Text) {
  // The toy's vocabulary is the first 64 tokens, bytes among them.
  std::string line = DSV2_RUN " " + fakeArtifactPath() +
                     " --packed memory --weights random:1 --max-tokens 8 "
                     "--tokenizer " +
                     tokenizerFolder;
  ProgramResult ids = runShell(line + " --token-ids --prompt '1 2 3' --json");
  ASSERT_EQ(ids.code, 0) << ids.err;
  std::string text = json::parse(ids.out)["results"][0]["text"];
  EXPECT_FALSE(text.empty());
  // Text goes through the tokenizer, whose ids this model does not have.
  expectError(runShell(line + " --prompt hello"), 2, {"0 to 63"});
  // F065: bytes in another encoding are refused, not passed on.
  TempDir folder;
  writeFile(folder.file("gbk"), "\xc4\xe3\xba\xc3");
  expectError(runShell(line + " --prompt-file " + folder.file("gbk")), 2,
              {"prompt 1", "UTF-8"});
}

TEST(RunToolTest, SamplingFlagsChangeTheOutput) {
  auto out = [](const std::string &flags) {
    ProgramResult result = run("--prompt '1 2 3' --max-tokens 12 " + flags);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  std::string greedy = out(""), warm = out("--temperature 3 --seed 1");
  EXPECT_NE(warm, greedy);
  EXPECT_EQ(warm, out("--temperature 3 --seed 1"));
  EXPECT_NE(warm, out("--temperature 3 --seed 2"));
  EXPECT_NE(warm, out("--temperature 1 --seed 1"));
  EXPECT_EQ(greedy, out("--temperature 3 --seed 1 --top-k 1"));
  EXPECT_EQ(greedy, out("--temperature 3 --seed 1 --top-p 0"));
  EXPECT_EQ(greedy, out("--temperature 3 --seed 1 --min-p 1"));
  EXPECT_NE(greedy, out("--repetition-penalty 5"));
}

TEST(RunToolTest, F070_ARandomSeedIsPrinted) {
  std::string flags = "--prompt '1 2 3' --temperature 3 --max-tokens 10";
  ProgramResult first = run(flags);
  size_t at = first.err.find("seed: ");
  ASSERT_NE(at, std::string::npos);
  std::string seed =
      first.err.substr(at + 6, first.err.find('\n', at) - at - 6);
  EXPECT_EQ(run(flags + " --seed " + seed).out, first.out);
  EXPECT_EQ(run("--prompt '1'").err.find("seed"), std::string::npos);
}

TEST(RunToolTest, WrongFlagsAreUsageErrors) {
  const struct {
    const char *flags;
    const char *part;
  } cases[] = {
      {"--temperature -1", "-1"},
      {"--temperature nan", "nan"},
      {"--temperature x", "--temperature = x"},
      {"--top-p 1.0001", "1.0001"},
      {"--top-p -0.5", "-0.5"},
      {"--top-k -1", "-1"},
      {"--min-p 2", "2"},
      {"--repetition-penalty 0", "0"},
      {"--seed -1", "'-1'"},
      {"--seed 18446744073709551616", "18446744073709551616"},
      {"--max-tokens -1", "-1"},
      {"--threads 0", "0"},
      {"--context 0", "0"},
      {"--context 65", "at most 64"},
      {"--chunk 0", "0"},
      {"--device cuda", "'cuda'"},
      {"--ranks 2", "compiled for 1 rank"},
      {"--ranks x", "--ranks"},
      {"--device", "--device"},
      {"--no-such-flag", "--no-such-flag"},
      {"--prompt 1x", "'1x'"},
      {"--prompt -5", "'-5'"},
      {"--prompt 64", "0 to 63"},
      {"--prompt 99999999999", "99999999999"},
      {"--prompt-file /nonexistent", "/nonexistent"},
      {"--prompt-file /", "folder"},
      {"extra", "extra"},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(c.flags);
    expectError(run("--prompt '1 2 3' " + std::string(c.flags)), 2, {c.part});
  }
  expectError(run(""), 2, {"--prompt"});
  std::string artifact = fakeArtifactPath();
  expectError(runShell(DSV2_RUN), 2, {"artifact"});
  expectError(runShell(DSV2_RUN " " + artifact + " --prompt 1"), 2,
              {"--weights"});
  expectError(runShell(DSV2_RUN " " + artifact +
                       " --weights random:x --prompt 1 --token-ids"),
              2, {"'random:x'"});
  expectError(
      runShell(DSV2_RUN " " + artifact + " --weights random:1 --prompt hi"), 2,
      {"'random:1'", "--tokenizer", "--token-ids"});
}

TEST(RunToolTest, HelpAndVersion) {
  ProgramResult help = runShell(DSV2_RUN " --help");
  EXPECT_EQ(help.code, 0);
  for (const char *flag : {"--weights",
                           "--packed",
                           "--tokenizer",
                           "--prompt",
                           "--prompt-file",
                           "--chat",
                           "--token-ids",
                           "--max-tokens",
                           "--temperature",
                           "--top-k",
                           "--top-p",
                           "--min-p",
                           "--repetition-penalty",
                           "--seed",
                           "--threads",
                           "--device",
                           "--ranks",
                           "--compare-reference",
                           "--context",
                           "--chunk",
                           "--logits",
                           "--perplexity",
                           "--compare-logits",
                           "--json",
                           "--check-finite",
                           "--trace",
                           "Exit codes"})
    expectHolds(help.out, flag);
  expectHolds(runShell(DSV2_RUN " --version").out, "dsv2-run 0.");
  expectHolds(runShell(DSV2_BENCH " --version").out, "dsv2-bench 0.");
}

TEST(RunToolTest, FailuresWhileRunning) {
  expectError(runShell(DSV2_RUN " /nonexistent --weights random:1 --prompt 1"),
              1, {"/nonexistent"});
  expectError(runShell(DSV2_RUN " " + fakeArtifactPath() +
                       " --weights /nonexistent --prompt 1 --token-ids"),
              1, {"/nonexistent"});
  EXPECT_EQ(run("--prompt 1 >/dev/full").code, 1);
}

TEST(RunToolTest, F066_EmptyPrompt) {
  expectError(run("--prompt ''"), 2, {"empty prompt"});
  expectError(run("--prompt 1 --prompt ' , '"), 2, {"prompt 2", "empty"});
}

TEST(RunToolTest, F073_PromptTooLong) {
  TempDir folder;
  for (int64_t size : {64, 65, 768}) {
    ProgramResult result =
        runShell(DSV2_RUN " " + fakeArtifactPath() +
                 " --weights random:1 --token-ids --packed " +
                 folder.file("w") + " --prompt " + idList(size));
    expectError(result, 2,
                {"context_length_exceeded",
                 "n_prompt_tokens " + std::to_string(size), "n_ctx 64"});
    EXPECT_TRUE(folder.names().empty()) << "checked before any work";
  }
  ProgramResult last = run("--prompt " + idList(63));
  EXPECT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(words(last.out), 1);
  expectError(run("--context 20 --prompt " + idList(20)), 2, {"n_ctx 20"});
  EXPECT_EQ(words(run("--context 20 --prompt " + idList(19)).out), 1);
  // F072: three that run into the limit together.
  std::string sixty = " --prompt " + idList(60);
  json three =
      json::parse(run("--json --max-tokens 100" + sixty + sixty + sixty).out);
  for (const json &result : three["results"]) {
    EXPECT_EQ(result["finish_reason"], "length");
    EXPECT_EQ(result["completion_tokens"], 4);
  }
}

TEST(RunToolTest, Logits) {
  TempDir folder;
  ProgramResult result = run("--prompt '1 2 3' --max-tokens 3 --chunk 2 "
                             "--logits " +
                             folder.file("l.npy"));
  ASSERT_EQ(result.code, 0) << result.err;
  std::string bytes = readFile(folder.file("l.npy"));
  // Three prompt tokens, and the first two that were generated.
  ASSERT_EQ(bytes.size(), 128u + 5 * 64 * 4);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(bytes[8], 118);
  expectHolds(bytes.substr(0, 128),
              "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 64), }");
  EXPECT_EQ(bytes[127], '\n');
  auto session = fakeSession();
  std::vector<float> expected = logitsOf(*session, {1, 2, 3, 48, 8}, 5);
  EXPECT_EQ(std::memcmp(bytes.data() + 128, expected.data(), 5 * 64 * 4), 0);

  EXPECT_EQ(run("--prompt 1 --prompt 2 --max-tokens 0 --logits " +
                folder.file("m.npy"))
                .code,
            0);
  EXPECT_EQ(folder.names(),
            (std::vector<std::string>{"l.npy", "m.1.npy", "m.2.npy"}));
  expectError(run("--prompt 1 --logits " + folder.file("none/l.npy")), 1,
              {"none/l.npy"});
}

TEST(RunToolTest, Perplexity) {
  TempDir folder;
  std::string text = folder.file("text"), list = idList(50);
  writeFile(text, list.substr(1, list.size() - 2));
  std::string base = folder.file("base.npy");
  // Six windows of 8, of whose tokens the last 3 are scored.
  ProgramResult first =
      run("--context 8 --perplexity " + text + " --logits " + base);
  ASSERT_EQ(first.code, 0) << first.err;
  expectHolds(first.out, "perplexity ");
  expectHolds(first.out, ": 18 tokens, the second halves of 6 windows of 8\n");
  EXPECT_EQ(readFile(base).size(), 128u + 18 * 64 * 4);
  // Whatever the chunks, and from standard input.
  EXPECT_EQ(run("--context 8 --chunk 3 --perplexity - <" + text).out,
            first.out);

  ProgramResult same =
      run("--context 8 --perplexity " + text + " --compare-logits " + base);
  EXPECT_EQ(same.out.substr(0, first.out.size()), first.out);
  expectHolds(same.out, "KL divergence 0 +/- 0 nats");
  expectHolds(same.out, "same most likely token 100.00 % +/- 0.00 %");
  json root = json::parse(run("--json --context 8 --perplexity " + text +
                              " --compare-logits " + base)
                              .out);
  EXPECT_EQ(root["tokens"], 18);
  EXPECT_EQ(root["windows"], 6);
  EXPECT_EQ(root["window"], 8);
  EXPECT_EQ(root["base"]["perplexity"], root["perplexity"]);
  EXPECT_EQ(root["base"]["same_top"]["mean"], 1);
  EXPECT_EQ(run("--json --context 8 --perplexity " + text).out.find("base"),
            std::string::npos);
  // The largest window that the artifact has room for.
  EXPECT_EQ(run("--context 50 --perplexity " + text).code, 0);

  expectError(run("--perplexity " + text), 2,
              {"at least 64 tokens", "found 50"});
  expectError(run("--context 3 --perplexity " + text), 2,
              {"--context", "at least 4", "found 3"});
  expectError(run("--context 65 --perplexity " + text), 2, {"at most 64"});
  expectError(run("--perplexity " + folder.file("none")), 2,
              {"cannot read text file"});
  expectError(run("--perplexity " + text + " --prompt 1"), 2,
              {"--perplexity", "--prompt"});
  expectError(run("--prompt 1 --compare-logits " + base), 2,
              {"--compare-logits needs --perplexity"});
  expectError(
      run("--context 9 --perplexity " + text + " --compare-logits " + base), 2,
      {"[20, 64]", "[18, 64]"});
  expectError(
      run("--context 8 --perplexity " + text + " --compare-logits " + text), 1,
      {"matrix", ".npy"});
  EXPECT_EQ(run("--context 8 --perplexity " + text + " >/dev/full").code, 1);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"base.npy", "text"}));
}

TEST(RunToolTest, Trace) {
  TempDir folder;
  ASSERT_EQ(
      run("--prompt '1 2 3' --max-tokens 2 --trace " + folder.file("t")).code,
      0);
  json trace = json::parse(readFile(folder.file("t")));
  EXPECT_EQ(trace["traceEvents"].size(), 2u * 6);
}

TEST(RunToolTest, F045_OtherPromptsArePrinted) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(
      tensors["model.layers.1.mlp.experts.3.up_proj.weight"].bytes.data(), &nan,
      4);
  writeCheckpoint(folder.path(), tensors);
  std::string line = DSV2_RUN " " + fakeArtifactPath() +
                     " --packed memory --token-ids --max-tokens 1 --weights " +
                     folder.path();
  ProgramResult result =
      runShell(line + " --prompt '1 7' --prompt '1 2' --check-finite");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err, "prompt 1: ");
  expectHolds(result.err, "layer 1");
  EXPECT_EQ(words(result.out.substr(result.out.find("prompt 2 <==") + 12)), 1);
  json root =
      json::parse(runShell(line + " --prompt '1 7' --prompt '1 2' --json").out);
  EXPECT_EQ(root["results"][0]["finish_reason"], "error");
  expectHolds(root["results"][0]["error"], "not finite");
  EXPECT_EQ(root["results"][1]["finish_reason"], "length");
}

TEST(RunToolTest, F083_MemoryLimit) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer needs more address space than the limit";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "the sanitizer needs more address space than the limit";
#endif
#endif
  // A model whose weights do not fit: the artifact says so itself.
  TempDir folder;
  patchArtifact(folder.file("a"),
                "\"instances\": 1, \"bytes\": 2048, \"experts\": 0, "
                "\"gather\": true",
                "\"instances\": 1, \"bytes\": 9000000000, \"experts\": 0");
  ProgramResult result =
      runShell("ulimit -v 2000000; " DSV2_RUN " " + folder.file("a") +
               " --weights random:1 --token-ids --prompt 1 --threads 1 "
               "--packed memory");
  expectError(result, 1, {"packed weights", "required 90000", "available"});
  result = runShell("ulimit -v 2000000; " DSV2_RUN " " + folder.file("a") +
                    " --weights random:1 --token-ids --prompt 1 --threads 1 "
                    "--packed " +
                    folder.file("w"));
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err, "required 90000");
  expectHolds(result.err, "available");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(RunToolTest, ArtifactLinkedIntoTheProgram) {
  TempDir folder;
  std::string program = folder.file("program");
  fs::copy_file(DSV2_FAKE_PROGRAM, program);
  std::string flags =
      " --weights random:1 --token-ids --prompt '1 2 3' --max-tokens 5";
  ProgramResult result = runShell(program + flags);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "48 8 61 48 8\n");
  EXPECT_EQ(folder.names(),
            (std::vector<std::string>{"program", "program.weights"}));
  expectError(runShell(program + " other.dsv2" + flags), 2, {"other.dsv2"});
  EXPECT_EQ(runShell(program + " --help").code, 0);
}

TEST(RunToolTest, F108_MissingCpuFeature) {
  expectError(run("--prompt 1", "DSV2_CPU_FEATURES_MASK=sse2"), 1,
              {"needs sse2, host has "});
}

TEST(BenchToolTest, MarkdownAndJson) {
  std::string line = DSV2_BENCH " " + fakeArtifactPath() +
                     " --packed memory --weights random:1 -p 8,16 -n 4 -d "
                     "0,10 -b 1,3 -t 1,2 -r 2";
  ProgramResult result = runShell(line);
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char *part :
       {"| pp8 | 0 | 1 | 1 |", "| pp16 | 10 | 3 | 2 |", "| tg4 | 10 | 1 | 2 |",
        "limits with 2 threads: read bandwidth", "a parallel region costs",
        "load time", "planned memory"})
    expectHolds(result.out, part);
  result = runShell(line + " -o json");
  ASSERT_EQ(result.code, 0) << result.err;
  json root = json::parse(result.out);
  ASSERT_EQ(root["rows"].size(), 2u * 2 * 2 * 3);
  for (const json &row : root["rows"]) {
    EXPECT_GT(row["tokens_per_second"].get<double>(), 0);
    EXPECT_LE(row["tokens_per_second_min"], row["tokens_per_second_max"]);
  }
  // One row of the embedding, half of the experts, and the cache of 0 + 4/2 + 1
  // positions.
  EXPECT_EQ(root["active_weight_bytes"], 32 + 64 + 192 + 2048);
  EXPECT_EQ(root["rows"][2]["bytes_per_step"], 2336 + 3 * 64);
  EXPECT_GT(root["read_bandwidth"]["1"].get<double>(), 1e8);
  // The artifact needs no more than SSE2: four products and four sums.
  EXPECT_EQ(root["arithmetic_instruction"], "f32 multiply and add, 128 bits");
  EXPECT_GT(root["arithmetic_peak"]["1"].get<double>(), 1e9);
  double region = root["parallel_region_seconds"]["2"].get<double>();
  EXPECT_GT(region, 0);
  EXPECT_LT(region, 0.1);
}

TEST(BenchToolTest, Operations) {
  std::string line = DSV2_BENCH " " + fakeArtifactPath() +
                     " --packed memory --weights random:1 -p 8 -n 4 -t 1 -r 1 "
                     "-o json -d ";
  json root = json::parse(runShell(line + "0").out);
  // Eight tokens, a row of logits, 36 pairs in the expanded form.
  EXPECT_EQ(root["rows"][0]["operations_per_token"],
            (8 * 1000 + 1024 + 36 * 20) / 8.0);
  // Four tokens with logits and 2 + 3 + 4 + 5 pairs in the absorbed form.
  EXPECT_EQ(root["rows"][1]["operations_per_token"],
            (4 * 1000 + 4 * 1024 + 14 * 40) / 4.0);
  for (const json &row : root["rows"])
    EXPECT_NEAR(row["percent_of_arithmetic_peak"].get<double>(),
                row["operations_per_token"].get<double>() *
                    row["tokens_per_second"].get<double>() /
                    root["arithmetic_peak"]["1"].get<double>() * 100,
                1e-6);
  // The depth is seen by every token; chunks of 2 take the other form.
  root = json::parse(runShell(line + "10 --chunk 2").out);
  EXPECT_EQ(root["rows"][0]["operations_per_token"],
            (8 * 1000 + 1024 + (36 + 80) * 40) / 8.0);
}

TEST(BenchToolTest, FieldsOfLlamaBench) {
  ProgramResult result = runShell(
      DSV2_BENCH " " + fakeArtifactPath() +
      " --packed memory --weights random:1 -p 8 -n 4 -d 2 -t 1 -r 3 -o jsonl");
  ASSERT_EQ(result.code, 0) << result.err;
  std::istringstream lines(result.out);
  std::string line;
  std::vector<json> rows;
  while (std::getline(lines, line))
    rows.push_back(json::parse(line));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["n_prompt"], 8);
  EXPECT_EQ(rows[0]["n_gen"], 0);
  EXPECT_EQ(rows[1]["n_prompt"], 0);
  EXPECT_EQ(rows[1]["n_gen"], 4);
  for (const json &row : rows) {
    EXPECT_EQ(row["n_depth"], 2);
    EXPECT_EQ(row["n_threads"], 1);
    EXPECT_EQ(row["model_n_params"], 1136);
    ASSERT_EQ(row["samples_ts"].size(), 3u);
    double sum = 0;
    for (const json &sample : row["samples_ts"])
      sum += sample.get<double>();
    EXPECT_NEAR(row["avg_ts"].get<double>(), sum / 3, 1e-6 * sum);
    EXPECT_GT(row["avg_ns"].get<double>(), 0);
    EXPECT_GT(row["read_bandwidth"].get<double>(), 0);
  }
}

TEST(BenchToolTest, PinsAndWarns) {
  std::string line =
      DSV2_BENCH " " + fakeArtifactPath() +
      " --packed memory --weights random:1 -p 8 -n 0 -r 1 --pin ";
  ProgramResult result = runShell(line + "-t 1");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  result = runShell(line + "-t 4096");
  expectError(result, 2, {"cannot pin: expected at most", "found 4096"});
  expectHolds(result.err, "warning: 4096 threads take turns on the");
  expectError(run("--pin --prompt 1 --threads 4096"), 2, {"cannot pin"});
}

TEST(BenchToolTest, WrongFlags) {
  std::string line = DSV2_BENCH " " + fakeArtifactPath() +
                     " --packed memory --weights random:1 ";
  for (const char *flags : {"-r 0", "-b 0", "-b 5", "-t 0", "-p x", "-n -1",
                            "-o xml", "-d 60", "-p 65", "--nope"}) {
    SCOPED_TRACE(flags);
    expectError(runShell(line + flags), 2, {});
  }
}
