// Files on disk: one file or shards with their index.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/weights/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using testing::expect_error;
using testing::safetensors_bytes;
using testing::TemporaryFolder;
using testing::write_text;

std::string file_with(const std::string& name, std::size_t size) {
  return safetensors_bytes("{\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(size) +
                               R"(],"data_offsets":[0,)" + std::to_string(size) + "]}}",
                           size);
}

class SafetensorsFiles : public ::testing::Test {
 protected:
  void write_shards() {
    write_text(folder_ / "m-1.safetensors", file_with("a", 3));
    write_text(folder_ / "m-2.safetensors", file_with("b", 5));
    write_index(R"("a":"m-1.safetensors","b":"m-2.safetensors")");
  }
  void write_index(const std::string& weight_map) {
    write_text(folder_ / "m.safetensors.index.json",
               R"({"metadata":{"total_size":8},"weight_map":{)" + weight_map + "}}");
  }
  void expect_refused(ErrorCode code, const std::vector<std::string>& parts) {
    expect_error(code, parts, [&] { open_safetensors(folder_.path(), "m"); });
  }

  TemporaryFolder folder_;
};

TEST_F(SafetensorsFiles, OpensOneFile) {
  write_text(folder_ / "m.safetensors", file_with("a", 3));
  const std::unique_ptr<WeightSource> source = open_safetensors(folder_.path(), "m");
  EXPECT_EQ(source->names(), std::vector<std::string>{"a"});
  EXPECT_EQ(source->description(), (folder_ / "m.safetensors").string());
  EXPECT_EQ(source->find("b"), nullptr);
  const TensorEntry* const entry = source->find("a");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->file, (folder_ / "m.safetensors").string());
  EXPECT_EQ(std::memcmp(entry->bytes, "\0\1\2", 3), 0);
}

TEST_F(SafetensorsFiles, OpensShards) {
  write_shards();
  const std::unique_ptr<WeightSource> source = open_safetensors(folder_.path(), "m");
  EXPECT_EQ(source->names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(source->description(), folder_.path().string());
  ASSERT_NE(source->find("b"), nullptr);
  EXPECT_EQ(source->find("b")->file, (folder_ / "m-2.safetensors").string());
  EXPECT_EQ(std::memcmp(source->find("b")->bytes, "\0\1\2\3\4", 5), 0);
}

TEST_F(SafetensorsFiles, StaysReadableAfterItsMemoryIsDropped) {
  write_shards();
  const std::unique_ptr<WeightSource> source = open_safetensors(folder_.path(), "m");
  source->drop_from_memory();
  EXPECT_EQ(std::memcmp(source->find("a")->bytes, "\0\1\2", 3), 0);
}

TEST_F(SafetensorsFiles, NamesWhatIsNotThere) {
  expect_error(ErrorCode::kNotFound, {"nowhere", "no such directory"},
               [&] { open_safetensors(folder_ / "nowhere", "m"); });
  expect_refused(ErrorCode::kNotFound,
                 {folder_.path().string(), "m.safetensors.index.json", "m.safetensors"});
  write_shards();
  std::filesystem::remove(folder_ / "m-2.safetensors");
  expect_refused(ErrorCode::kNotFound, {"m-2.safetensors: no such file", "index.json"});
}

TEST_F(SafetensorsFiles, RefusesAnIndexThatDisagreesWithTheShards) {
  write_shards();
  write_index(R"("a":"m-1.safetensors","b":"m-2.safetensors","c":"m-2.safetensors")");
  expect_refused(ErrorCode::kNotFound, {"m-2.safetensors", "no tensor \"c\"", "index.json"});
  write_index(R"("a":"m-2.safetensors","b":"m-2.safetensors")");
  expect_refused(ErrorCode::kNotFound, {"m-2.safetensors", "no tensor \"a\""});
  // A tensor the index does not name would be lost in silence.
  write_index(R"("a":"m-1.safetensors")");
  write_text(folder_ / "m-1.safetensors",
             safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                               R"("extra":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                               2));
  expect_refused(ErrorCode::kInvalidArgument, {"m-1.safetensors", "\"extra\"", "index.json"});
}

TEST_F(SafetensorsFiles, RefusesAnIndexOfTheWrongForm) {
  const std::string index = "m.safetensors.index.json";
  write_text(folder_ / index, "{\"weight_map\": {\"a\": ");
  expect_refused(ErrorCode::kInvalidArgument, {index, "not valid JSON", "line 1"});
  write_text(folder_ / index, "{}");
  expect_refused(ErrorCode::kInvalidArgument, {index, "weight_map"});
  write_text(folder_ / index, R"({"weight_map": ["a"]})");
  expect_refused(ErrorCode::kInvalidArgument, {index, "weight_map"});
  write_index(R"("a": 3)");
  expect_refused(ErrorCode::kInvalidArgument, {index, "weight_map.a", "found 3"});
  for (const char* const shard : {"../m-1.safetensors", "/etc/passwd", "", "..", "."}) {
    write_index(std::string(R"("a": ")") + shard + "\"");
    expect_refused(ErrorCode::kInvalidArgument, {index, "weight_map.a", "a file beside the index"});
  }
}

TEST_F(SafetensorsFiles, RefusesWhatIsNoFile) {
  std::filesystem::create_directory(folder_ / "m.safetensors");
  expect_refused(ErrorCode::kIo, {"m.safetensors", "not a regular file"});
  std::filesystem::remove(folder_ / "m.safetensors");
  ASSERT_EQ(mkfifo((folder_ / "m.safetensors").c_str(), 0600), 0);
  expect_refused(ErrorCode::kIo, {"m.safetensors", "not a regular file"});
  std::filesystem::remove(folder_ / "m.safetensors");
  write_text(folder_ / "m.safetensors", "");
  expect_refused(ErrorCode::kInvalidArgument, {"m.safetensors", "has 0 bytes"});
}

}  // namespace
}  // namespace psagen::engine
