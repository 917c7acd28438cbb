#include "engine/weights/weights.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"

namespace psagen::engine {
namespace {

using testing::expect_error;

// Tensors in one buffer; `shift` moves them all off their alignment.
class MemorySource final : public WeightSource {
 public:
  explicit MemorySource(std::size_t shift = 0) : top_(shift), buffer_(4096) {}

  template <typename T>
  void add(const std::string& name, const Shape& shape, const std::vector<T>& values) {
    TensorEntry entry;
    entry.name = name;
    entry.dtype = dtype_of<T>::value;
    entry.shape = shape;
    entry.num_bytes = values.size() * sizeof(T);
    entry.bytes = buffer_.data() + top_;
    entry.file = "part.safetensors";
    std::copy_n(reinterpret_cast<const std::byte*>(values.data()), entry.num_bytes,
                buffer_.data() + top_);
    top_ += entry.num_bytes;
    entries_[name] = entry;
  }

  const TensorEntry* find(const std::string& name) const override {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }
  std::string description() const override { return "model/"; }

 private:
  std::size_t top_;
  std::vector<std::byte> buffer_;
  std::map<std::string, TensorEntry> entries_;
};

TEST(Weights, FindsTensorsBelowACursor) {
  auto source = std::make_shared<MemorySource>();
  source->add<float>("blocks.3.to_q.weight", {2, 2}, {1, 2, 3, 4});
  source->add<bf16>("norm", {1}, {to_bf16(0.5f)});
  Context context;
  const Weights weights(source, context);
  const Weights block = weights.child("blocks").child(3);
  EXPECT_EQ(block.full_name("to_q.weight"), "blocks.3.to_q.weight");

  const Parameter matrix = block.child("to_q").get({2, 2}, "weight");
  ASSERT_TRUE(matrix);
  EXPECT_EQ(matrix.view().data<float>()[3], 4.0f);
  EXPECT_EQ(matrix.view().bytes(), source->find("blocks.3.to_q.weight")->bytes) << "copied";
  EXPECT_EQ(to_float(weights.get({1}, "norm").view().data<bf16>()[0]), 0.5f);
  EXPECT_FALSE(weights.maybe({1}, "bias"));
  weights.expect_all_read();
}

TEST(Weights, KeepsTheSourceAlive) {
  auto source = std::make_shared<MemorySource>();
  source->add<float>("x", {1}, {7});
  const std::weak_ptr<MemorySource> watch = source;
  Context context;
  {
    const Parameter parameter = Weights(std::move(source), context).get({1}, "x");
    source.reset();
    ASSERT_FALSE(watch.expired());
    EXPECT_EQ(parameter.view().data<float>()[0], 7.0f);
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Weights, CopiesAMisalignedTensorOnce) {
  auto source = std::make_shared<MemorySource>(1);
  source->add<float>("x", {3}, {1, 2, 3});
  source->add<float>("empty", {0}, {});
  Context context;
  Parameter first;
  {
    const Weights weights(source, context);
    first = weights.get({3}, "x");
    const Parameter second = weights.get({3}, "x");
    EXPECT_EQ(first.view().bytes(), second.view().bytes());
    EXPECT_NE(first.view().bytes(), source->find("x")->bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first.view().bytes()) % 64, 0u);
    EXPECT_EQ(weights.get({0}, "empty").view().num_elements(), 0);
  }
  EXPECT_EQ(first.view().data<float>()[2], 3.0f);  // outlives the cursor
  EXPECT_EQ(context.allocator().bytes_in_use(), 3 * sizeof(float));
  first = {};
  EXPECT_EQ(context.allocator().bytes_in_use(), 0u);
}

TEST(Weights, NamesWhatIsMissingOrMisshapen) {
  auto source = std::make_shared<MemorySource>();
  source->add<float>("a.x", {2, 3}, std::vector<float>(6));
  source->add<std::int32_t>("a.ids", {1}, {0});
  Context context;
  const Weights weights = Weights(source, context).child("a");
  expect_error(ErrorCode::kNotFound, {"model/", "\"a.y\"", "[4]"}, [&] { weights.get({4}, "y"); });
  expect_error(ErrorCode::kInvalidArgument,
               {"part.safetensors", "\"a.x\"", "shape [2, 3]", "wanted [3, 2]"}, [&] {
                 weights.get({3, 2}, "x");
               });
  expect_error(ErrorCode::kInvalidArgument, {"\"a.x\"", "wanted [6]"},
               [&] { weights.maybe({6}, "x"); });
  expect_error(ErrorCode::kInvalidArgument, {"\"a.ids\"", "I32", "F32, BF16 or F16"},
               [&] { weights.get({1}, "ids"); });
}

TEST(Weights, NamesTensorsThatNobodyAskedFor) {
  auto source = std::make_shared<MemorySource>();
  for (const char* const name : {"a", "encoder.x", "encoder.y.z", "encoder", "encoders", "b.c"})
    source->add<float>(name, {1}, {0});
  Context context;
  const Weights weights(source, context);
  weights.get({1}, "a");
  weights.ignore("encoder");
  expect_error(ErrorCode::kInvalidArgument, {"model/", "2 tensors", "\"b.c\", \"encoders\""},
               [&] { weights.expect_all_read(); });
  weights.child("b").ignore("c");
  weights.get({1}, "encoders");
  weights.expect_all_read();
}

TEST(Weights, ListsAHandfulOfManyLeftovers) {
  auto source = std::make_shared<MemorySource>();
  for (int i = 10; i < 30; ++i) source->add<float>("t" + std::to_string(i), {1}, {0});
  Context context;
  const Weights weights(source, context);
  expect_error(ErrorCode::kInvalidArgument, {"20 tensors", "\"t14\", ..."},
               [&] { weights.expect_all_read(); });
}

}  // namespace
}  // namespace psagen::engine
