#include "engine/pipeline/model_hash.h"

#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_checkpoint.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;
using testing::write_text;

class ModelHashTest : public ::testing::Test {
 protected:
  ModelHashTest() {
    write_text(folder_ / "model_index.json", "{}");
    fs::create_directories(folder_ / "vae");
    write_text(folder_ / "vae/config.json", "{\"z_dim\": 16}");
    testing::write_formula_safetensors(folder_ / "vae/weights.safetensors", {{"a.weight", {3, 5}}});
  }
  std::string hash() const { return hash_model_directory(folder_.path()); }

  testing::TemporaryFolder folder_;
};

TEST_F(ModelHashTest, IsTheSameForTheSameFiles) {
  EXPECT_EQ(hash(), hash());
  EXPECT_EQ(hash().size(), 64u);
}

TEST_F(ModelHashTest, ChangesWithAConfiguration) {
  const std::string before = hash();
  write_text(folder_ / "vae/config.json", "{\"z_dim\": 17}");
  EXPECT_NE(hash(), before);
}

TEST_F(ModelHashTest, ChangesWithAName) {
  const std::string before = hash();
  fs::rename(folder_ / "vae/config.json", folder_ / "vae/other.json");
  EXPECT_NE(hash(), before);
}

TEST_F(ModelHashTest, ChangesWithAHeader) {
  const std::string before = hash();
  testing::write_formula_safetensors(folder_ / "vae/weights.safetensors", {{"a.weight", {5, 3}}});
  EXPECT_NE(hash(), before);
}

TEST_F(ModelHashTest, LeavesOtherFilesOut) {
  const std::string before = hash();
  write_text(folder_ / "README.md", "hello");
  EXPECT_EQ(hash(), before);
}

TEST_F(ModelHashTest, NamesADamagedFile) {
  write_text(folder_ / "vae/weights.safetensors", std::string(8, '\x7f'));
  try {
    hash();
    FAIL() << "a header longer than its file was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(error.message().find("weights.safetensors"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace psagen::engine
