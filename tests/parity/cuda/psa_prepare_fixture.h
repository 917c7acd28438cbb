// A sequence's q, k and v, and what the GPU makes of them before sparse attention.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "kernels/psa/psa_args.h"
#include "kernels/reference/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {

struct PrepareSize {
  std::int64_t batch = 1, tokens = 0, heads = 1, depth = 64;
  int key_block = 128, query_block = 128;
};

// q, k and v as parts of one projection, on both sides, and what the GPU makes of them.
struct PrepareProblem {
  PrepareSize size;
  Mirrored qkv;  // [B, L, 3 N D]
  PyramidShape shape;
  Tensor keys, values, log2_weight, level_caps;
  Tensor importance, levels, order, nominal_density;

  std::int64_t query_blocks() const {
    return (size.tokens + size.query_block - 1) / size.query_block;
  }
  std::int64_t key_blocks() const { return shape.key_blocks(); }
  std::int64_t all_heads() const { return size.batch * size.heads; }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(size.depth)); }

  TensorView part(std::int64_t index) {
    const std::int64_t width = size.heads * size.depth;
    return qkv.device.view()
        .slice(2, index * width, (index + 1) * width)
        .split_last(size.heads, size.depth);
  }
  Pyramid pyramid() {
    Pyramid result;
    result.shape = shape;
    result.keys = keys;
    result.values = values;
    result.log2_weight = log2_weight;
    result.level_caps = level_caps;
    return result;
  }
};

class PsaPrepareCuda : public CudaParity {
 protected:
  static constexpr std::array<double, 3> kThresholds = {0.95, 0.90, 0.86};

  // Values that change slowly along the sequence; keys have a mean of their own.
  Mirrored smooth(const PrepareSize& size, std::uint64_t seed) {
    const Shape shape = {size.batch, size.tokens, 3 * size.heads * size.depth};
    const Mirrored noise = random(shape, seed, DType::kF32, std::sqrt(3.0));
    const float* from = noise.host.view().data<float>();
    Tensor host(host_memory_, dtype(), shape);
    const std::int64_t width = shape[2], part = size.heads * size.depth;
    std::vector<float> walk(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      float& value = walk[static_cast<std::size_t>(i % width)];
      value = i / width % size.tokens == 0 ? from[i] : 0.97f * value + 0.243f * from[i];
      const std::int64_t which = i % width / part;
      store(host.view(), i, which == 0 ? 3.0f * value : value + 0.5f);
    }
    return on_both(std::move(host));
  }

  Tensor on_device(DType type, Shape shape) { return std::move(poisoned(shape, type).device); }

  PrepareProblem problem(const PrepareSize& size, std::uint64_t seed) {
    PrepareProblem p;
    p.size = size;
    p.qkv = smooth(size, seed);
    const PyramidFormat format = ops().pyramid_format(dtype());
    p.shape = {size.tokens, size.key_block, format.finest_level};
    const Shape rows = {size.batch, size.heads, p.shape.total_rows(), size.depth};
    p.keys = on_device(format.dtype, rows);
    p.values = on_device(format.dtype, rows);
    p.log2_weight = on_device(DType::kF32, {p.shape.total_rows()});
    p.level_caps = on_device(DType::kU8, {size.batch, size.heads, p.key_blocks()});
    const Shape pairs = {size.batch, size.heads, p.query_blocks(), p.key_blocks()};
    p.importance = on_device(DType::kF32, pairs);
    p.levels = on_device(DType::kU8, pairs);
    p.order = on_device(DType::kI32, {p.all_heads() * p.query_blocks()});
    p.nominal_density = on_device(DType::kF32, {size.batch, size.heads});
    return p;
  }

  void build(PrepareProblem& p) {
    ops().build_pyramid({.k = p.part(1),
                         .v = p.part(2),
                         .similarity_thresholds = kThresholds,
                         .pyramid = p.pyramid()});
  }

  static PsaParams params(const PrepareSize& size, LevelSelection selection, bool cap = false) {
    PsaParams params;
    params.query_block = size.query_block;
    params.key_block = size.key_block;
    params.selection = selection;
    if (selection == LevelSelection::kQuota)
      params.level_bounds = {0.10, 0.20, 0.30, 0.60};
    else
      params.level_bounds = {0.40, 0.55, 0.70, 0.90};
    params.similarity_cap = cap;
    return params;
  }

  SelectBlocksArgs select_args(PrepareProblem& p, const PsaParams& params) {
    return {.q = p.part(0),
            .k = p.part(1),
            .pyramid = p.pyramid(),
            .scale = p.scale(),
            .params = params,
            .importance = p.importance,
            .levels = p.levels,
            .order = p.order,
            .nominal_density = p.nominal_density};
  }

  template <typename T>
  std::vector<T> bytes_of(const Tensor& device) {
    Tensor host(host_memory_, device.view().dtype(), device.shape());
    ops().copy(device, host);
    const T* data = host.view().template data<T>();
    return {data, data + host.view().num_elements()};
  }

  reference::PsaProblem reference_problem(PrepareProblem& p, std::int64_t batch,
                                          std::int64_t head) {
    const std::vector<double> all = reference::elements<double>(p.qkv.host);
    reference::PsaProblem result;
    result.tokens = p.size.tokens;
    result.depth = p.size.depth;
    result.scale = p.scale();
    result.query_block = p.size.query_block;
    result.key_block = p.size.key_block;
    std::vector<double>* const parts[] = {&result.q, &result.k, &result.v};
    for (std::int64_t part = 0; part < 3; ++part)
      for (std::int64_t t = 0; t < p.size.tokens; ++t)
        for (std::int64_t d = 0; d < p.size.depth; ++d)
          parts[part]->push_back(all[static_cast<std::size_t>(
              (((batch * p.size.tokens + t) * 3 + part) * p.size.heads + head) * p.size.depth +
              d)]);
    return result;
  }
};

inline const PrepareSize kPrepareSizes[] = {
    {1, 5, 1, 64, 32, 32},      {2, 128, 3, 128, 128, 128}, {1, 653, 2, 64, 128, 128},
    {1, 653, 2, 128, 128, 256}, {2, 333, 2, 128, 64, 128},  {1, 1000, 1, 64, 64, 96},
    {1, 777, 3, 128, 32, 128},  {1, 1025, 2, 64, 32, 160},  {2, 700, 2, 96, 64, 64},
    {1, 300, 2, 24, 128, 128},  {1, 257, 1, 256, 128, 32},  {1, 4100, 1, 128, 128, 128},
    {1, 24000, 1, 64, 32, 256},  // 750 key blocks
};

inline std::string name_of(const PrepareSize& s) {
  return concat("batch ", s.batch, " tokens ", s.tokens, " heads ", s.heads, " depth ", s.depth,
                " key block ", s.key_block, " query block ", s.query_block);
}

}  // namespace psagen::kernels
