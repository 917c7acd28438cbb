#include "engine/weights/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/safetensors_bytes.h"

namespace psagen::engine {
namespace {

using testing::as_bytes;
using testing::expect_error;
using testing::safetensors_bytes;

void expect_refused(ErrorCode code, const std::vector<std::string>& parts,
                    const std::string& bytes) {
  SCOPED_TRACE(bytes.size() > 8 ? bytes.substr(8, 200) : bytes);
  std::vector<std::string> all = parts;
  all.push_back("m.safetensors");
  expect_error(code, all, [&] { parse_safetensors(as_bytes(bytes), "m.safetensors"); });
}

void expect_refused(const std::vector<std::string>& parts, const std::string& bytes) {
  expect_refused(ErrorCode::kInvalidArgument, parts, bytes);
}

TEST(Safetensors, ReadsEveryDtypeAndShape) {
  const std::string bytes =
      safetensors_bytes(R"({"__metadata__":{"format":"pt"},)"
                        R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
                        R"("a":{"dtype":"F32","shape":[],"data_offsets":[12,16]},)"
                        R"("c":{"dtype":"F16","shape":[1,1,1,1,1,2],"data_offsets":[16,20]},)"
                        R"("none":{"dtype":"F64","shape":[0,7],"data_offsets":[20,20]},)"
                        R"("d":{"dtype":"U8","shape":[3],"data_offsets":[20,23]},)"
                        R"("e":{"dtype":"I64","shape":[1],"data_offsets":[23,31]},)"
                        R"("f":{"dtype":"I32","shape":[1],"data_offsets":[31,35]}}   )",
                        35);
  const std::vector<TensorEntry> entries = parse_safetensors(as_bytes(bytes), "m");
  ASSERT_EQ(entries.size(), 7u);
  const std::byte* const data = as_bytes(bytes).data() + bytes.size() - 35;
  for (const TensorEntry& entry : entries) {
    EXPECT_EQ(entry.file, "m");
    EXPECT_EQ(entry.num_bytes,
              static_cast<std::size_t>(entry.shape.num_elements()) * dtype_size(entry.dtype));
    if (entry.name == "a") {
      EXPECT_EQ(entry.dtype, DType::kF32);
      EXPECT_EQ(entry.shape, Shape());
      EXPECT_EQ(entry.bytes, data + 12);
    }
    if (entry.name == "b") {
      EXPECT_EQ(entry.dtype, DType::kBF16);
      EXPECT_EQ(entry.shape, (Shape{2, 3}));
      EXPECT_EQ(entry.bytes, data);
    }
    if (entry.name == "none") {
      EXPECT_EQ(entry.num_bytes, 0u);
    }
  }
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse_safetensors(as_bytes(safetensors_bytes("{}", 0)), "m").empty());
}

TEST(Safetensors, RefusesALengthThatCannotBe) {
  expect_refused({"has 0 bytes"}, "");
  expect_refused({"has 7 bytes"}, "1234567");
  std::string bytes = safetensors_bytes("{}", 0);
  bytes.pop_back();
  expect_refused({"header of 2 bytes", "only 1"}, bytes);
  std::string huge(8, '\xff');  // 2^64 - 1: adding 8 to it would wrap around
  expect_refused({"header of 18446744073709551615 bytes"}, huge + "{}");
}

TEST(Safetensors, RefusesAHeaderThatIsNoJsonObject) {
  expect_refused({"not valid JSON", "line 1, column 1"}, safetensors_bytes("", 0));
  expect_refused({"not valid JSON", "line 2, column 7"},
                 safetensors_bytes("{\"a\": {},\n \"b\": x}", 0));
  expect_refused({"wanted an object"}, safetensors_bytes("[1]", 0));
  expect_refused({"\"a\"", "twice"},
                 safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                   R"("\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                                   1));
  expect_refused({"nested deeper"}, safetensors_bytes(std::string(100'000, '['), 0));
}

std::string one_tensor(const std::string& fields, std::size_t data_size) {
  return safetensors_bytes("{\"x\":{" + fields + "}}", data_size);
}

TEST(Safetensors, RefusesAnEntryOfTheWrongForm) {
  expect_refused(ErrorCode::kNotFound, {"\"x\"", "\"dtype\" is missing"},
                 one_tensor(R"("shape":[1],"data_offsets":[0,1])", 1));
  expect_refused(ErrorCode::kNotFound, {"\"x\"", "\"data_offsets\" is missing"},
                 one_tensor(R"("dtype":"U8","shape":[1])", 1));
  expect_refused({"x.shape", "wanted a list"},
                 one_tensor(R"("dtype":"U8","shape":1,"data_offsets":[0,1])", 1));
  expect_refused({"x.shape[0]", "-1"},
                 one_tensor(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])", 1));
  expect_refused({"x.shape[0]", "1.5"},
                 one_tensor(R"("dtype":"U8","shape":[1.5],"data_offsets":[0,1])", 1));
  expect_refused({"x.data_offsets", "list of 2"},
                 one_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,2])", 1));
  expect_refused(
      {"x.data_offsets[1]", "18446744073709551615"},
      one_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615])", 1));
  expect_refused({"unknown key \"offsets\""},
                 one_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"offsets":[0,1])", 1));
  expect_refused({"wanted an object"}, safetensors_bytes(R"({"x":3})", 0));
}

TEST(Safetensors, NamesADtypeItCannotRead) {
  expect_refused(ErrorCode::kUnsupported, {"\"x\"", "F8_E4M3", "wanted F32, BF16 or F16"},
                 one_tensor(R"("dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1])", 1));
}

TEST(Safetensors, ShowsAnyNameOnOneLine) {
  expect_refused(
      ErrorCode::kUnsupported, {R"(tensor "a\nb")", R"("F\u001b")"},
      safetensors_bytes(R"({"a\nb":{"dtype":"F\u001b","shape":[1],"data_offsets":[0,1]}})", 1));
}

TEST(Safetensors, RefusesShapesThatDisagreeWithTheBytes) {
  expect_refused({"\"x\"", "has 4 bytes, wanted 12 for shape [3] of F32"},
                 one_tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,4])", 4));
  expect_refused({"\"x\"", "ends before it"},
                 one_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])", 1));
  expect_refused(
      {"\"x\"", "too large for any file"},
      one_tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])", 4));
  // 2^62 elements of 4 bytes wrap to 0 in 64 bits.
  expect_refused(
      {"\"x\"", "too large for any file"},
      one_tensor(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0])", 0));
  expect_refused(ErrorCode::kUnsupported, {"\"x\"", "7 dimensions, wanted at most 6"},
                 one_tensor(R"("dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1])", 1));
}

TEST(Safetensors, SaysThatAFileIsTruncated) {
  expect_refused({"\"x\"", "ends at byte 8 of the data, but the file has only 7", "truncated"},
                 one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 7));
}

std::string two_tensors(const std::string& first, const std::string& second,
                        std::size_t data_size) {
  return safetensors_bytes(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
                               R"(},"y":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                           data_size);
}

TEST(Safetensors, RefusesOverlapsHolesAndLeftovers) {
  EXPECT_EQ(parse_safetensors(as_bytes(two_tensors("[4,8]", "[0,4]", 8)), "m").size(), 2u);
  expect_refused({"\"y\"", "overlaps tensor \"x\""}, two_tensors("[0,4]", "[3,7]", 7));
  expect_refused({"overlaps tensor"}, two_tensors("[0,4]", "[0,4]", 4));
  expect_refused({"\"y\"", "hole of 1 bytes"}, two_tensors("[0,4]", "[5,9]", 9));
  expect_refused({"\"x\"", "hole of 2 bytes"}, two_tensors("[2,6]", "[6,10]", 10));
  expect_refused({"3 bytes after the last tensor"}, two_tensors("[0,4]", "[4,8]", 11));
}

// Whatever single byte of a good file changes, the reader either reads it or says what is wrong.
TEST(Safetensors, SurvivesEveryChangedByte) {
  const std::string good = two_tensors("[0,4]", "[4,8]", 8);
  int num_refused = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int value : {0x00, 0x20, 0x22, 0x30, 0x39, 0x7b, 0xff}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(value);
      try {
        for (const TensorEntry& entry : parse_safetensors(as_bytes(bytes), "m")) {
          ASSERT_GE(entry.bytes, as_bytes(bytes).data());
          ASSERT_LE(entry.bytes + entry.num_bytes, as_bytes(bytes).data() + bytes.size());
        }
      } catch (const Error&) {
        ++num_refused;
      }
    }
  }
  EXPECT_GT(num_refused, 300);
}

}  // namespace
}  // namespace psagen::engine
