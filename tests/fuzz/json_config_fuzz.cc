// JSON of any bytes as each of the files that hold it. The first byte says which: a --config, the
// record in a video, one file of a model directory, or the index of shards.
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "app/run_config.h"
#include "engine/config/json_fields.h"
#include "engine/config/model_config.h"
#include "engine/weights/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using psagen::testing::expect;

constexpr std::array kModelFiles = {"model_index.json",         "psa_gen.json",
                                    "text_encoder/config.json", "transformer/config.json",
                                    "vae/config.json",          "scheduler/scheduler_config.json"};
constexpr const char* kIndex = "m.safetensors.index.json";

// A copy of the tiny model's configuration, with one file spoilt at a time.
class ModelDirectory {
 public:
  ModelDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "psagen-fuzz-XXXXXX").string();
    expect(::mkdtemp(name.data()) != nullptr, "a temporary folder can be made");
    path_ = name;
    const std::filesystem::path tiny =
        std::filesystem::path(PSAGEN_SOURCE_DIR) / "tests/data/tiny_model";
    for (const char* const file : kModelFiles) {
      std::filesystem::create_directories((path_ / file).parent_path());
      std::filesystem::copy_file(tiny / file, path_ / file);
      std::ifstream in(path_ / file, std::ios::binary);
      originals_.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  ~ModelDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  void write(const char* file, const std::string& text) const {
    std::ofstream(path_ / file, std::ios::binary) << text;
  }
  void restore(std::size_t i) const { write(kModelFiles[i], originals_[i]); }

 private:
  std::filesystem::path path_;
  std::vector<std::string> originals_;
};

void check_model(const psagen::engine::ModelConfig& model) {
  expect(model.transformer.dim() > 0 && model.transformer.num_layers > 0, "sizes are positive");
  expect(model.vae.latents_std.size() == static_cast<std::size_t>(model.vae.z_dim), "lists fit");
  expect(model.defaults.width % model.vae.spatial_stride() == 0, "the default size can be decoded");
}

void read_as_settings(const std::string& text, psagen::app::Scope scope) {
  const auto document = psagen::engine::JsonDocument::parse(text, "fuzz.json");
  psagen::app::read_settings(document.root(), scope);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ModelDirectory directory;
  if (size == 0) return 0;
  const std::string text = psagen::testing::as_text(data + 1, size - 1);
  const std::size_t kind = data[0] % (3 + kModelFiles.size());
  psagen::testing::allow_errors([&] {
    if (kind == 0) read_as_settings(text, psagen::app::Scope::kConfig);
    if (kind == 1) read_as_settings(text, psagen::app::Scope::kRecord);
    if (kind == 2) {
      directory.write(kIndex, text);
      psagen::engine::open_safetensors(directory.path(), "m");
    }
    if (kind < 3) return;
    directory.write(kModelFiles[kind - 3], text);
    check_model(psagen::engine::read_model_config(directory.path()));
  });
  if (kind >= 3) directory.restore(kind - 3);
  return 0;
}
