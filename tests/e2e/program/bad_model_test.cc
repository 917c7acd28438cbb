// Every way a model's files can be wrong: one line on standard error that names the culprit, the
// exit code of its class, nothing written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/e2e/program/damaged_model.h"
#include "tests/e2e/program/program.h"

namespace psagen {
namespace {

using testing::DamagedModel;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::run_program;
using testing::TemporaryFolder;
using testing::tiny_run;

constexpr const char* kText = "text_encoder/model.safetensors";
constexpr const char* kVae = "vae/diffusion_pytorch_model.safetensors";
constexpr const char* kFirstShard =
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors";
constexpr const char* kShard = "transformer/diffusion_pytorch_model-00002-of-00002.safetensors";
constexpr const char* kIndex = "transformer/diffusion_pytorch_model.safetensors.index.json";
constexpr const char* kQuery = "encoder.block.0.layer.0.SelfAttention.q.weight";

struct Case {
  const char* name;
  std::function<void(const DamagedModel&)> damage;
  int exit_code;
  std::vector<std::string> parts;  // of the message
};

void PrintTo(const Case& damaged, std::ostream* out) { *out << damaged.name; }

std::string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

class BadModel : public ::testing::TestWithParam<Case> {};

TEST_P(BadModel, IsNamedAndNothingIsWritten) {
  const DamagedModel model;
  GetParam().damage(model);
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result =
      run_program(tiny_run({"--model", model.path().string(), "-o", "clip.mp4", "--frames-dir",
                            "frames", "--report", "report.json"}),
                  options);
  EXPECT_EQ(result.exit_code, GetParam().exit_code) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("psa-gen: error: ")) << result.err;
  for (const std::string& part : GetParam().parts) EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(folder.names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadModel,
    ::testing::Values(
        Case{"MissingDirectory", [](const DamagedModel& m) { m.remove(""); }, 3, {"/model"}},
        Case{"MissingIndexOfComponents",
             [](const DamagedModel& m) { m.remove("model_index.json"); },
             3,
             {"model_index.json"}},
        Case{"MissingComponent", [](const DamagedModel& m) { m.remove("vae"); }, 3, {"vae"}},
        Case{"MissingTokenizer",
             [](const DamagedModel& m) { m.remove("tokenizer/spiece.model"); },
             3,
             {"spiece.model"}},
        Case{"MissingShard",
             [](const DamagedModel& m) { m.remove(kShard); },
             3,
             {"diffusion_pytorch_model-00002-of-00002.safetensors"}},
        Case{"MissingWeights",
             [](const DamagedModel& m) { m.remove(kText); },
             3,
             {"/text_encoder", "model.safetensors"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Safetensors, BadModel,
    ::testing::Values(
        Case{"Truncated", [](const DamagedModel& m) { m.shorten(kText, 100); }, 3, {kText}},
        Case{"TruncatedShard", [](const DamagedModel& m) { m.shorten(kShard, 1); }, 3, {kShard}},
        Case{"CutInsideTheHeader",
             [](const DamagedModel& m) {
               m.shorten(kText, std::filesystem::file_size(m.file(kText)) - 200);
             },
             3,
             {kText, "header"}},
        Case{"CutInsideTheLength",
             [](const DamagedModel& m) {
               m.shorten(kText, std::filesystem::file_size(m.file(kText)) - 5);
             },
             3,
             {kText}},
        Case{"HeaderLongerThanTheFile",
             [](const DamagedModel& m) { m.set_header_length(kVae, std::uint64_t{1} << 40); },
             3,
             {kVae, "header"}},
        Case{"HeaderLengthWrapsAround",
             [](const DamagedModel& m) { m.set_header_length(kVae, ~std::uint64_t{0}); },
             3,
             {kVae, "header"}},
        Case{"HeaderIsNoJson",
             [](const DamagedModel& m) { m.replace_in_header(kVae, "{", "["); },
             3,
             {kVae}},
        Case{
            "OverlappingTensors",
            [](const DamagedModel& m) { m.replace_in_header(kText, "[2048,4096]", "[1024,3072]"); },
            3,
            {kText, "SelfAttention.o.weight"}},
        Case{"OffsetsPastTheEnd",
             [](const DamagedModel& m) {
               m.replace_in_header(kText, "[4096,6144]", "[99994096,99996144]");
             },
             3,
             {kText, kQuery}},
        Case{"OffsetsDisagreeWithShape",
             [](const DamagedModel& m) { m.replace_in_header(kText, "[32,32]", "[32,16]"); },
             3,
             {kText, "SelfAttention.k.weight"}},
        Case{"UnknownDtype",
             [](const DamagedModel& m) { m.replace_in_header(kText, "\"BF16\"", "\"F8_E4M3\""); },
             4,
             {kText, "F8_E4M3"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Tensors, BadModel,
    ::testing::Values(
        Case{"WrongDtype",
             [](const DamagedModel& m) {
               m.replace_in_header(
                   kText,
                   "k.weight\":{\"dtype\":\"BF16\",\"shape\":[32,32],\"data_offsets\":[0,2048]}",
                   "k.weight\":{\"dtype\":\"U8\",\"shape\":[32,32],\"data_offsets\":[0,1024]},"
                   "\"rest\":{\"dtype\":\"U8\",\"shape\":[1024],\"data_offsets\":[1024,2048]}");
             },
             3,
             {kText, "SelfAttention.k.weight", "U8"}},
        Case{"WrongShape",
             [](const DamagedModel& m) { m.replace_in_header(kText, "[32,32]", "[16,64]"); },
             3,
             {kText, "SelfAttention.k.weight", "[16, 64]", "[32, 32]"}},
        Case{"MissingTensor",
             [](const DamagedModel& m) { m.replace_in_header(kText, kQuery, "elsewhere"); },
             3,
             {kText, kQuery}},
        Case{"ExtraTensor",
             [](const DamagedModel& m) {
               m.replace_in_header(kVae, "\"decoder.conv_in.bias\"",
                                   "\"surplus\":{\"dtype\":\"F16\",\"shape\":[0],"
                                   "\"data_offsets\":[0,0]},\"decoder.conv_in.bias\"");
             },
             3,
             {kVae, "surplus"}},
        Case{"ShardLacksATensorOfTheIndex",
             [](const DamagedModel& m) {
               m.replace(kIndex, "\"weight_map\": {",
                         "\"weight_map\": {\n    \"absent\": "
                         "\"diffusion_pytorch_model-00002-of-00002.safetensors\",");
             },
             3,
             {"absent"}}),
    case_name);

// NaN in queries or keys goes through attention's exponentials before anything can be seen of it.
INSTANTIATE_TEST_SUITE_P(
    NotFinite, BadModel,
    ::testing::Values(
        Case{"OfTheTextEncoder",
             [](const DamagedModel& m) { m.spoil(kText, kQuery); },
             8,
             {"layer 1 of ", "of the text encoder", "NaN or infinite"}},
        Case{"OfQueries",
             [](const DamagedModel& m) { m.spoil(kFirstShard, "blocks.1.attn1.to_q.weight"); },
             8,
             {"step 1 of ", "layer 2 of 2", "NaN or infinite"}},
        Case{"OfQueriesOfTheText",
             [](const DamagedModel& m) { m.spoil(kShard, "blocks.1.attn2.to_q.weight"); },
             8,
             {"step 1 of ", "layer 2 of 2"}},
        Case{"OfTheDecoder",
             [](const DamagedModel& m) { m.spoil(kVae, "decoder.conv_out.bias"); },
             8,
             {"the decoder gave ", "first up to latent frame 1 of "}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Configuration, BadModel,
    ::testing::Values(
        Case{"UnknownPipeline",
             [](const DamagedModel& m) {
               m.replace("model_index.json", "WanPipeline", "FooPipeline");
             },
             4,
             {"model_index.json", "_class_name", "FooPipeline", "WanPipeline"}},
        Case{"UnknownTransformer",
             [](const DamagedModel& m) {
               m.replace("transformer/config.json", "WanTransformer3DModel",
                         "FluxTransformer2DModel");
             },
             4,
             {"transformer/config.json", "_class_name", "FluxTransformer2DModel"}},
        Case{"MissingKey",
             [](const DamagedModel& m) {
               m.replace("transformer/config.json", "\"num_layers\"", "\"x\"");
             },
             3,
             {"transformer/config.json", "num_layers"}},
        Case{"WrongType",
             [](const DamagedModel& m) {
               m.replace("transformer/config.json", "\"num_layers\": 2", "\"num_layers\": \"two\"");
             },
             3,
             {"transformer/config.json", "num_layers", "two"}},
        Case{"NoJson",
             [](const DamagedModel& m) { m.replace("vae/config.json", "{", "{,"); },
             3,
             {"vae/config.json"}},
        Case{"NotEnoughLayersInTheFile",
             [](const DamagedModel& m) {
               m.replace("transformer/config.json", "\"num_layers\": 2", "\"num_layers\": 3");
             },
             3,
             {"blocks.2."}},
        Case{"MisspeltDefault",
             [](const DamagedModel& m) { m.replace("psa_gen.json", "num_steps", "num_step"); },
             3,
             {"psa_gen.json", "num_step", "num_steps"}},
        Case{"BrokenTokenizer",
             [](const DamagedModel& m) {
               m.shorten("tokenizer/spiece.model",
                         std::filesystem::file_size(m.file("tokenizer/spiece.model")) / 2);
             },
             3,
             {"spiece.model"}}),
    case_name);

}  // namespace
}  // namespace psagen
