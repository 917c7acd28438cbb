#include "app/command_info.h"

#include <array>
#include <iomanip>
#include <map>
#include <sstream>

#include "app/help_page.h"
#include "app/model_directory.h"
#include "app/option_table.h"
#include "engine/config/model_config.h"
#include "engine/pipeline/text_to_video.h"
#include "engine/weights/safetensors.h"

namespace psagen::app {

namespace {

struct InfoOptions {
  std::optional<std::string> model;
  std::optional<bool> help;
};

const auto kTable = std::to_array<Field<InfoOptions>>({
    {{.name = "model",
      .value = "DIR",
      .group = "Flags",
      .help = "the checkpoint directory (default: $PSAGEN_MODEL, else the model that came with the "
              "program)"},
     &InfoOptions::model},
    {{.name = "help", .letter = 'h', .group = "Flags", .help = "this page"}, &InfoOptions::help},
});

struct ComponentFacts {
  std::size_t num_tensors = 0;
  std::int64_t num_parameters = 0;
  std::size_t num_bytes = 0;
  std::map<std::string, std::size_t> tensors_by_dtype;
};

ComponentFacts facts_of(const std::filesystem::path& directory, const std::string& stem) {
  const std::unique_ptr<engine::WeightSource> source = engine::open_safetensors(directory, stem);
  ComponentFacts facts;
  for (const std::string& name : source->names()) {
    const engine::TensorEntry* entry = source->find(name);
    ++facts.num_tensors;
    facts.num_parameters += entry->shape.num_elements();
    facts.num_bytes += entry->num_bytes;
    ++facts.tensors_by_dtype[dtype_name(entry->dtype)];
  }
  return facts;
}

std::string binary_size(std::size_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2);
  if (bytes >= std::size_t{1} << 30) {
    text << static_cast<double>(bytes) / (1 << 30) << " GiB";
  } else {
    text << static_cast<double>(bytes) / (1 << 20) << " MiB";
  }
  return text.str();
}

// "1234567" -> "1,234,567".
std::string with_commas(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string component_text(const engine::ModelConfig& model, const char* folder, const char* stem,
                           const std::string& shape) {
  const ComponentFacts facts = facts_of(model.directory / folder, stem);
  std::string dtypes;
  for (const auto& [dtype, count] : facts.tensors_by_dtype) {
    dtypes += concat(dtypes.empty() ? "" : ", ", dtype, " (", count, ")");
  }
  return concat("\n", folder, "\n", "  shape       ", shape, "\n", "  tensors     ",
                facts.num_tensors, ": ", dtypes, "\n", "  parameters  ",
                with_commas(facts.num_parameters), "\n", "  bytes       ",
                with_commas(static_cast<std::int64_t>(facts.num_bytes)), " (",
                binary_size(facts.num_bytes), ")\n");
}

std::string text_encoder_shape(const engine::TextEncoderConfig& config) {
  return concat("UMT5 encoder: ", config.num_layers, " layers, width ", config.d_model, ", ",
                config.num_heads, " heads of ", config.d_kv, ", feed-forward ", config.d_ff,
                ", vocabulary ", config.vocab_size);
}

std::string transformer_shape(const engine::TransformerConfig& config) {
  return concat("Wan DiT: ", config.num_layers, " layers, width ", config.dim(), ", ",
                config.num_attention_heads, " heads of ", config.attention_head_dim,
                ", feed-forward ", config.ffn_dim, ", ", config.in_channels, " latent channels");
}

std::string vae_shape(const engine::VaeConfig& config) {
  std::string multipliers;
  for (const std::int64_t multiplier : config.dim_mult) multipliers += concat(" ", multiplier);
  return concat("Wan 2.1 VAE: ", config.z_dim, " channels, stride ", config.temporal_stride(),
                " x ", config.spatial_stride(), " x ", config.spatial_stride(), ", decoder width ",
                config.decoder_base_dim, " times", multipliers);
}

std::string defaults_text(const engine::GenerationDefaults& defaults) {
  return concat("\ndefaults\n", "  --size ", defaults.width, "x", defaults.height, " --frames ",
                defaults.num_frames, " --fps ", defaults.fps, " --steps ", defaults.num_steps,
                " --cfg ", defaults.guidance_scale, " --shift ", defaults.shift, "\n",
                "  prompts of up to ", defaults.max_text_tokens, " tokens\n",
                "  --negative-prompt \"", defaults.negative_prompt, "\"\n");
}

}  // namespace

void run_info(std::span<const std::string> arguments, Invocation& invocation) {
  const Table<InfoOptions> table = kTable;
  const InfoOptions options = parse_flags(table, arguments);
  if (options.help.value_or(false)) {
    const std::vector<FieldText> fields = field_texts(table);
    return invocation.console.page("psa-gen info says what a model directory holds.\n" +
                                   flag_section(fields));
  }
  invocation.phase = Phase::kFiles;
  Context context;
  const engine::TextToVideo pipeline(
      options.model ? std::filesystem::path(*options.model) : default_model_directory(), context);
  const engine::ModelConfig& model = pipeline.config();
  invocation.console.page(
      concat("model ", model.name, "\n", "  directory   ", model.directory.string(), "\n",
             "  hash        ", pipeline.model_hash(), "\n") +
      component_text(model, "text_encoder", "model", text_encoder_shape(model.text_encoder)) +
      component_text(model, "transformer", "diffusion_pytorch_model",
                     transformer_shape(model.transformer)) +
      component_text(model, "vae", "diffusion_pytorch_model", vae_shape(model.vae)) +
      defaults_text(model.defaults));
}

}  // namespace psagen::app
