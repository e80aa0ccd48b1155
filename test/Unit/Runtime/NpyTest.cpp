//===- NpyTest.cpp - matrices in files that other tools know --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Npy.h"
#include "TestUtils.h"

#include <numeric>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// A file of version `major`.0 with this dictionary and `bytes` of data.
std::string npyBytes(const std::string &dictionary, size_t bytes,
                     char major = 1) {
  std::string file = std::string("\x93NUMPY") + major + '\0';
  file += char(dictionary.size() & 0xff);
  file += char(dictionary.size() >> 8);
  if (major == 2)
    file += std::string(2, '\0');
  return file + dictionary + std::string(bytes, 'x');
}

const std::string good =
    "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }\n";

} // namespace

TEST(NpyTest, ReadsWhatWasWritten) {
  TempDir folder;
  std::vector<float> data(15), found(15);
  std::iota(data.begin(), data.end(), 1.0f);
  auto writer = take(NpyWriter::create(folder.file("m.npy"), 5));
  ASSERT_TRUE(writer->write(0, data.data(), 3).ok());
  ASSERT_TRUE(writer->finish().ok());
  auto reader = take(NpyReader::open(folder.file("m.npy")));
  EXPECT_EQ(reader->rows(), 3);
  EXPECT_EQ(reader->columns(), 5);
  ASSERT_TRUE(reader->read(found.data(), 1).ok());
  ASSERT_TRUE(reader->read(found.data() + 5, 2).ok());
  EXPECT_EQ(found, data);
  ASSERT_TRUE(reader->read(found.data(), 0).ok());
  expectFailure(reader->read(found.data(), 1), StatusCode::InvalidArgument,
                {"m.npy", "expected 1 more rows, found 0"});
}

TEST(NpyTest, ReadsBothVersions) {
  TempDir folder;
  for (char major : {1, 2}) {
    writeFile(folder.file("m"), npyBytes(good, 60, major));
    EXPECT_EQ(take(NpyReader::open(folder.file("m")))->columns(), 5);
  }
}

TEST(NpyTest, RefusesWhatIsNoSuchMatrix) {
  TempDir folder;
  std::string big = "{'descr': '<f4', 'fortran_order': False, 'shape': "
                    "(999999999999999999, 999999999999999999), }";
  std::string f8 = good, fortran = good, cube = good, vector = good;
  f8.replace(f8.find("f4"), 2, "f8");
  fortran.replace(fortran.find("False"), 5, "True ");
  cube.replace(cube.find("5)"), 2, "5,1)");
  vector.replace(vector.find(" 5)"), 3, ")");
  for (const std::string &bytes :
       {std::string(), std::string("\x93NUMPY"), std::string(200, '\0'),
        npyBytes(good, 59), npyBytes(good, 61), npyBytes(good, 60, 3),
        npyBytes(f8, 60), npyBytes(fortran, 60), npyBytes(cube, 60),
        npyBytes(vector, 12), npyBytes(big, 60), npyBytes("", 60),
        npyBytes(good.substr(0, 50), 0), npyBytes(good, 60).substr(0, 30),
        npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 5), }",
                 60)}) {
    writeFile(folder.file("m"), bytes);
    auto reader = NpyReader::open(folder.file("m"));
    ASSERT_FALSE(reader.ok()) << bytes;
    expectFailure(reader.status(), StatusCode::CorruptData,
                  {"matrix '", "expected"});
  }
  for (const std::string &path : {folder.path(), folder.file("none")})
    expectFailure(NpyReader::open(path).status(), StatusCode::IoError,
                  {"cannot be read"});
}
