// Bad input to the C interface gives its status and one message that names the field.
#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "tests/unit/c_api/c_api_problem.h"

namespace psagen::testing {
namespace {

using ::testing::HasSubstr;

TEST(CApiErrors, Devices) {
  const struct {
    const char* device;
    psagen_status status;
    const char* message;
  } cases[] = {
      {nullptr, PSAGEN_INVALID_ARGUMENT, "device is null"},
      {"tpu", PSAGEN_INVALID_ARGUMENT, "device is \"tpu\"; wanted cpu, cuda or cuda:N"},
      {"cuda:", PSAGEN_INVALID_ARGUMENT, "\"cuda:\""},
      {"cuda:-1", PSAGEN_INVALID_ARGUMENT, "\"cuda:-1\""},
      {"cuda:1x", PSAGEN_INVALID_ARGUMENT, "\"cuda:1x\""},
      {"cuda:4096", PSAGEN_DEVICE_ERROR, "GPU"},
  };
  for (const auto& wrong : cases) {
    psagen_handle* handle = nullptr;
    char message[256] = "not set";
    EXPECT_EQ(psagen_create(wrong.device, 0, &handle, message, sizeof(message)), wrong.status);
    EXPECT_EQ(handle, nullptr);
    EXPECT_THAT(message, HasSubstr(wrong.message));
  }
  psagen_handle* handle = nullptr;
  char message[10];
  EXPECT_EQ(psagen_create("tpu", 0, &handle, message, sizeof(message)), PSAGEN_INVALID_ARGUMENT);
  EXPECT_STREQ(message, "device is");
  EXPECT_EQ(psagen_create("tpu", 0, &handle, nullptr, 0), PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_create("cpu", -1, &handle, message, sizeof(message)), PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_create("cpu", 0, nullptr, nullptr, 0), PSAGEN_INVALID_ARGUMENT);
  psagen_destroy(nullptr);
}

TEST(CApiErrors, Descriptions) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const struct {
    std::function<void(psagen_desc&)> change;
    psagen_status status;
    const char* message;
  } cases[] = {
      {[](psagen_desc& d) { d.struct_size = 0; }, PSAGEN_INVALID_ARGUMENT, "desc.struct_size is 0"},
      {[](psagen_desc& d) { d.struct_size += 8; }, PSAGEN_INVALID_ARGUMENT, "desc.struct_size is"},
      {[](psagen_desc& d) { d.batch = 0; }, PSAGEN_INVALID_ARGUMENT,
       "desc.batch is 0; wanted 1 to 2147483647"},
      {[](psagen_desc& d) { d.tokens = -4; }, PSAGEN_INVALID_ARGUMENT, "desc.tokens is -4"},
      {[](psagen_desc& d) { d.heads = std::int64_t{1} << 40; }, PSAGEN_INVALID_ARGUMENT,
       "desc.heads is 1099511627776"},
      {[](psagen_desc& d) { d.batch = d.tokens = d.heads = 2000000000; }, PSAGEN_INVALID_ARGUMENT,
       "too large"},
      {[](psagen_desc& d) { d.tokens = d.heads = 2000000; }, PSAGEN_INVALID_ARGUMENT,
       "wanted at most 17592186044416"},
      {[](psagen_desc& d) { d.head_dim = 60; }, PSAGEN_UNSUPPORTED, "head dim 60"},
      {[](psagen_desc& d) { d.qk_dtype = 7; }, PSAGEN_INVALID_ARGUMENT, "desc.qk_dtype is 7"},
      {[](psagen_desc& d) { d.v_dtype = PSAGEN_BF16; }, PSAGEN_UNSUPPORTED,
       "desc.v_dtype is BF16; the CPU computes in F32"},
      {[](psagen_desc& d) { d.k.token = 63; }, PSAGEN_INVALID_ARGUMENT,
       "desc.k.token is 63 elements; wanted at least 64"},
      {[](psagen_desc& d) {
         d.out = {300 * 128, 127, 64};
       },
       PSAGEN_INVALID_ARGUMENT, "desc.out.token is 127 elements; wanted at least 128"},
      {[](psagen_desc& d) { d.q.batch = std::numeric_limits<std::int64_t>::max(); },
       PSAGEN_INVALID_ARGUMENT, "too large"},
      {[](psagen_desc& d) { d.v.head = -64; }, PSAGEN_INVALID_ARGUMENT, "desc.v.head is -64"},
      {[](psagen_desc& d) { d.scale = kNaN; }, PSAGEN_INVALID_ARGUMENT, "desc.scale is nan"},
      {[](psagen_desc& d) { d.query_block = 100; }, PSAGEN_INVALID_ARGUMENT, "query_block is 100"},
      {[](psagen_desc& d) { d.key_block = 0; }, PSAGEN_INVALID_ARGUMENT, "key_block is 0"},
      {[](psagen_desc& d) { d.selection = 2; }, PSAGEN_INVALID_ARGUMENT, "desc.selection is 2"},
      {[](psagen_desc& d) { d.estimator = -1; }, PSAGEN_INVALID_ARGUMENT, "desc.estimator is -1"},
      {[](psagen_desc& d) { d.protected_begin[0] = 9; }, PSAGEN_INVALID_ARGUMENT,
       "protected_tokens are [9, 0)"},
      {[](psagen_desc& d) { d.protected_end[1] = d.tokens + 1; }, PSAGEN_INVALID_ARGUMENT,
       "psa: protected_tokens end at"},
      {[](psagen_desc& d) { d.estimator = 4; }, PSAGEN_INVALID_ARGUMENT, "desc.estimator is 4"},
      {[](psagen_desc& d) {
         d.estimator = PSAGEN_ESTIMATE_UNIFORM;
         d.selection = PSAGEN_SELECT_THRESHOLD;
       },
       PSAGEN_INVALID_ARGUMENT, "it needs selection \"quota\""},
      {[](psagen_desc& d) { d.level_bounds[1] = 1.5; }, PSAGEN_INVALID_ARGUMENT,
       "level_bounds is 1.5"},
      {[](psagen_desc& d) { d.min_full_ratio = kNaN; }, PSAGEN_INVALID_ARGUMENT,
       "min_full_ratio is nan"},
      {[](psagen_desc& d) { d.similarity_cap = 2; }, PSAGEN_INVALID_ARGUMENT,
       "desc.similarity_cap is 2"},
  };
  const Handle handle = make_handle();
  for (const auto& wrong : cases) {
    CApiProblem problem;
    wrong.change(problem.desc);
    std::size_t bytes = 0;
    EXPECT_EQ(psagen_psa_workspace(handle.get(), &problem.desc, &bytes), wrong.status);
    EXPECT_THAT(psagen_last_error(handle.get()), HasSubstr(wrong.message));
    EXPECT_EQ(psagen_psa_forward(handle.get(), &problem.desc, problem.q(), problem.k(), problem.v(),
                                 problem.out.data(), nullptr, nullptr, nullptr, 0, nullptr),
              wrong.status);
    EXPECT_THAT(psagen_last_error(handle.get()), HasSubstr(wrong.message));
  }
}

TEST(CApiErrors, DescriptionsOfAnotherVersion) {
  psagen_desc desc;
  EXPECT_EQ(psagen_desc_init(&desc, sizeof(desc) + 8), PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_desc_init(&desc, 4), PSAGEN_INVALID_ARGUMENT);
  EXPECT_EQ(psagen_desc_init(nullptr, sizeof(desc)), PSAGEN_INVALID_ARGUMENT);
}

TEST(CApiErrors, Pointers) {
  const Handle handle = make_handle();
  CApiProblem p;
  ASSERT_EQ(p.psa(handle.get()), PSAGEN_OK);
  const auto forward = [&](const void* q, const void* k, const void* v, void* out) {
    return psagen_psa_forward(handle.get(), &p.desc, q, k, v, out, nullptr, nullptr,
                              p.workspace.data(), p.workspace.size(), nullptr);
  };
  const auto expect_message = [&](psagen_status status, const char* message) {
    EXPECT_EQ(status, PSAGEN_INVALID_ARGUMENT);
    EXPECT_THAT(psagen_last_error(handle.get()), HasSubstr(message));
  };
  expect_message(forward(nullptr, p.k(), p.v(), p.out.data()), "q is null");
  expect_message(forward(p.q(), nullptr, p.v(), p.out.data()), "k is null");
  expect_message(forward(p.q(), p.k(), nullptr, p.out.data()), "v is null");
  expect_message(forward(p.q(), p.k(), p.v(), nullptr), "out is null");
  expect_message(forward(reinterpret_cast<const char*>(p.q()) + 1, p.k(), p.v(), p.out.data()),
                 "q begins at");
  expect_message(psagen_psa_workspace(handle.get(), nullptr, nullptr), "bytes is null");
  std::size_t bytes = 0;
  expect_message(psagen_psa_workspace(handle.get(), nullptr, &bytes), "desc is null");
  expect_message(psagen_sparse_attention_forward(handle.get(), &p.desc, p.q(), p.k(), p.v(),
                                                 nullptr, p.out.data(), nullptr, nullptr,
                                                 p.workspace.data(), p.workspace.size(), nullptr),
                 "levels is null");
  EXPECT_EQ(psagen_psa_workspace(nullptr, &p.desc, &bytes), PSAGEN_INVALID_ARGUMENT);
  EXPECT_STREQ(psagen_last_error(nullptr), "handle is null");
}

}  // namespace
}  // namespace psagen::testing
