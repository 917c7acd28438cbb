#include "kernels/cpu/onednn.h"

#include <algorithm>
#include <deque>
#include <dnnl.hpp>
#include <map>

#include "kernels/core/tensor.h"
#include "kernels/cpu/parallel.h"

namespace psagen::kernels::cpu {
namespace {

using dnnl::memory;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

[[noreturn]] void rethrow(const char* what, const dnnl::error& error) {
  throw Error(error.status == dnnl_out_of_memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
              concat("oneDNN cannot ", what, ": ", error.message));
}

memory::dims weight_dims(const ConvolutionShape& s) {
  return {s.out_channels, s.in_channels, s.kernel_t, s.kernel_h, s.kernel_w};
}

memory::desc bias_desc(std::int64_t out) {
  return {{out}, memory::data_type::f32, memory::format_tag::a};
}

dnnl::convolution_forward::primitive_desc describe(const ConvolutionShape& s) {
  const auto f32 = memory::data_type::f32;
  const auto channels_last = memory::format_tag::ndhwc;
  const std::int64_t x_frames = s.frames + s.kernel_t - 1 - s.pad_t;
  const memory::desc x({1, s.in_channels, x_frames, s.height, s.width}, f32, channels_last);
  const memory::desc y({1, s.out_channels, s.frames, s.height + 2 * s.pad_h - s.kernel_h + 1,
                        s.width + 2 * s.pad_w - s.kernel_w + 1},
                       f32, channels_last);
  const memory::desc weights(weight_dims(s), f32, memory::format_tag::any);
  const memory::dims strides = {1, 1, 1};
  const memory::dims pad_before = {s.pad_t, s.pad_h, s.pad_w};
  const memory::dims pad_after = {0, s.pad_h, s.pad_w};
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (s.add_to_y) {
    dnnl::post_ops post;
    post.append_sum(1.0f);
    attributes.set_post_ops(post);
  }
  const auto inference = dnnl::prop_kind::forward_inference;
  const auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {cpu_engine(), inference,  direct,    x,         weights, bias_desc(s.out_channels), y,
          strides,      pad_before, pad_after, attributes};
#else
  return {
      {inference, direct, x, weights, bias_desc(s.out_channels), y, strides, pad_before, pad_after},
      attributes,
      cpu_engine()};
#endif
}

}  // namespace

void multiply_transposed(std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                         std::int64_t lda, const float* b, std::int64_t ldb, float* c,
                         std::int64_t ldc) {
  const dnnl_status_t status = dnnl_sgemm('N', 'T', m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
  PSAGEN_ASSERT(status == dnnl_success);
  static_cast<void>(status);
}

// Weights in the layout oneDNN likes for an image of middling size, and in any other layout that a
// compiled convolution asked for (in practice the first serves all).
struct ConvolutionWeights::Layouts {
  explicit Layouts(Context& context) : context(context) {}

  const memory& add(const memory::desc& layout, const memory& source) {
    bytes.emplace_back(context.allocator(), DType::kU8,
                       Shape{static_cast<std::int64_t>(layout.get_size())});
    memory copy(layout, cpu_engine(), bytes.back().view().bytes());
    dnnl::stream stream(cpu_engine());
    memory from = source;
    dnnl::reorder(from, copy).execute(stream, from, copy);
    stream.wait();
    copies.push_back(copy);
    return copies.back();
  }

  const memory& in_layout(const memory::desc& wanted) {
    for (const memory& copy : copies)
      if (copy.get_desc() == wanted) return copy;
    return add(wanted, copies.front());
  }

  Context& context;
  std::deque<Tensor> bytes;
  std::deque<memory> copies;
  Tensor bias_values;
  memory bias;
};

ConvolutionWeights::ConvolutionWeights(Context& context, ConvolutionShape shape,
                                       const float* weight, const float* bias)
    : layouts_(std::make_unique<Layouts>(context)) {
  const LibraryThreads threads(context.num_threads());
  try {
    const memory::desc plain(weight_dims(shape), memory::data_type::f32, memory::format_tag::oidhw);
    // The library takes a mutable pointer, but reads only.
    const memory source(plain, cpu_engine(), const_cast<float*>(weight));
    layouts_->add(describe(shape).weights_desc(), source);
    Tensor values(context.allocator(), DType::kF32, {shape.out_channels});
    std::copy_n(bias, shape.out_channels, values.view().data<float>());
    layouts_->bias = memory(bias_desc(shape.out_channels), cpu_engine(), values.view().bytes());
    layouts_->bias_values = std::move(values);
  } catch (const dnnl::error& error) {
    rethrow("pack convolution weights", error);
  }
}

ConvolutionWeights::~ConvolutionWeights() = default;

struct ConvolutionCache::Compiled {
  dnnl::convolution_forward primitive;
  memory x, y, scratch;
  memory::desc weights_layout;
  std::size_t scratch_bytes = 0;
};

struct ConvolutionCache::Storage {
  std::map<ConvolutionShape, Compiled> by_shape;
  dnnl::stream stream{cpu_engine()};
};

ConvolutionCache::ConvolutionCache(Context& context)
    : context_(context), storage_(std::make_unique<Storage>()) {}

ConvolutionCache::~ConvolutionCache() = default;

ConvolutionCache::Compiled& ConvolutionCache::find_or_compile(const ConvolutionShape& shape) {
  const auto found = storage_->by_shape.find(shape);
  if (found != storage_->by_shape.end()) return found->second;
  const auto description = describe(shape);
  const auto unbound = [](const memory::desc& desc) {
    return memory(desc, cpu_engine(), DNNL_MEMORY_NONE);
  };
  Compiled compiled;
  compiled.primitive = dnnl::convolution_forward(description);
  compiled.x = unbound(description.src_desc());
  compiled.y = unbound(description.dst_desc());
  compiled.scratch = unbound(description.scratchpad_desc());
  compiled.scratch_bytes = description.scratchpad_desc().get_size();
  compiled.weights_layout = description.weights_desc();
  return storage_->by_shape.emplace(shape, std::move(compiled)).first->second;
}

void ConvolutionCache::run(const ConvolutionShape& shape, const ConvolutionWeights& weights,
                           const float* x, float* y) {
  const LibraryThreads threads(context_.num_threads());
  try {
    Compiled& compiled = find_or_compile(shape);
    Workspace::Scope scratch(context_.workspace());
    compiled.x.set_data_handle(const_cast<float*>(x));
    compiled.y.set_data_handle(y);
    compiled.scratch.set_data_handle(scratch.take<std::byte>(compiled.scratch_bytes));
    compiled.primitive.execute(
        storage_->stream, {{DNNL_ARG_SRC, compiled.x},
                           {DNNL_ARG_WEIGHTS, weights.layouts_->in_layout(compiled.weights_layout)},
                           {DNNL_ARG_BIAS, weights.layouts_->bias},
                           {DNNL_ARG_DST, compiled.y},
                           {DNNL_ARG_SCRATCHPAD, compiled.scratch}});
    storage_->stream.wait();
  } catch (const dnnl::error& error) {
    rethrow("convolve", error);
  }
}

}  // namespace psagen::kernels::cpu
