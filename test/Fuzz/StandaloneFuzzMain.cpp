//===- StandaloneFuzzMain.cpp - Replays a corpus without libFuzzer --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Links to a fuzz target and gives it every file named on the command line,
// and every file of every folder named there, in the order of their names. A
// replay of nothing is an error, so that a lost corpus does not look like a
// passing test.
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace fs = std::filesystem;

/// Lists the regular files of `path`, or `path` itself.
static std::vector<fs::path> filesAt(const fs::path &path) {
  std::error_code error;
  if (!fs::is_directory(path, error))
    return {path};
  std::vector<fs::path> files;
  for (const fs::directory_entry &entry :
       fs::recursive_directory_iterator(path, error))
    if (entry.is_regular_file(error))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

int main(int argc, char **argv) {
  size_t count = 0;
  for (int i = 1; i < argc; ++i)
    for (const fs::path &path : filesAt(argv[i])) {
      std::ifstream stream(path, std::ios::binary);
      if (!stream) {
        std::fprintf(stderr, "cannot read '%s'\n", path.c_str());
        return 1;
      }
      // Printed first: after a crash it is the last line.
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);
      std::vector<char> bytes((std::istreambuf_iterator<char>(stream)),
                              std::istreambuf_iterator<char>());
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(bytes.data()),
                             bytes.size());
      ++count;
    }
  std::printf("%zu inputs\n", count);
  if (count == 0) {
    std::fprintf(stderr, "no inputs to replay\n");
    return 1;
  }
  return 0;
}
