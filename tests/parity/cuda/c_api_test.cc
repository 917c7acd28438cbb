// The C interface on a stream of the caller, and inside a CUDA graph: the bits of the C++ call, in
// the workspace it asked for.
#include "kernels/c_api/psagen.h"

#include <cuda_runtime_api.h>

#include "kernels/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

class CApiCuda : public CudaParity {
 protected:
  static constexpr std::size_t kMargin = 512;

  struct Size {
    std::int64_t tokens, heads, dim;
    int key_block;
  };
  // The last one has more key blocks than the bitonic sort takes, and rows in parts.
  static constexpr Size kSizes[] = {
      {900, 3, 128, 128}, {900, 3, 64, 64}, {900, 3, 128, 32}, {36000, 1, 64, 32}};

  void SetUp() override {
    CudaParity::SetUp();
    if (IsSkipped()) return;
    char message[256];
    ASSERT_EQ(psagen_create("cuda", 0, &handle_, message, sizeof(message)), PSAGEN_OK) << message;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }

  void prepare(const Size& size) {
    heads_ = {1, size.tokens, size.heads, size.dim};
    ASSERT_EQ(psagen_desc_init(&desc_, sizeof(desc_)), PSAGEN_OK);
    desc_.tokens = size.tokens;
    desc_.heads = size.heads;
    desc_.head_dim = size.dim;
    desc_.key_block = size.key_block;
    desc_.qk_dtype = desc_.v_dtype = dtype() == DType::kF32   ? PSAGEN_F32
                                     : dtype() == DType::kF16 ? PSAGEN_F16
                                                              : PSAGEN_BF16;
    for (std::uint64_t i = 0; i < 3; ++i) qkv_[i] = random(heads_, i + 1, dtype(), 2.0);
    out_ = poisoned(heads_, dtype());
    lse_ = poisoned({1, size.heads, size.tokens}, DType::kF32);
    wanted_out_ = poisoned(heads_, dtype());
    wanted_lse_ = poisoned({1, size.heads, size.tokens}, DType::kF32);
  }

  void TearDown() override {
    psagen_destroy(handle_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  template <typename Forward>
  void expect_same_bits(std::size_t bytes, const Forward& forward) {
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, bytes + kMargin), cudaSuccess);
    // On the stream: it waits for no other, and a memset is not waited for.
    ASSERT_EQ(cudaMemsetAsync(memory, 0xa5, bytes + kMargin, stream_), cudaSuccess);
    unsigned char* const workspace = static_cast<unsigned char*>(memory) + 1;  // wherever it begins
    ASSERT_EQ(forward(workspace, bytes), PSAGEN_OK) << psagen_last_error(handle_);
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    expect_results("on a stream");

    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(forward(workspace, bytes), PSAGEN_OK) << psagen_last_error(handle_);
    ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int replay = 0; replay < 2; ++replay) {
      for (const TensorView& view : {out_.device.view(), lse_.device.view()})
        ASSERT_EQ(cudaMemsetAsync(view.bytes(), 0xff, view.num_bytes(), stream_), cudaSuccess);
      ASSERT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
      ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
      expect_results("replayed");
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);

    std::vector<unsigned char> after(kMargin - 1);
    ASSERT_EQ(cudaMemcpy(after.data(), workspace + bytes, after.size(), cudaMemcpyDefault),
              cudaSuccess);
    EXPECT_EQ(after, std::vector<unsigned char>(after.size(), 0xa5)) << "written past the end";
    if (bytes > 0) {
      EXPECT_EQ(forward(workspace, bytes - 1), PSAGEN_INVALID_ARGUMENT);
    }
    cudaFree(memory);
  }

  void expect_results(const char* what) {
    EXPECT_EQ(bits(out_.device), bits(wanted_out_.device)) << what;
    EXPECT_EQ(bits(lse_.device), bits(wanted_lse_.device)) << what;
  }

  static std::vector<unsigned char> bits(Tensor& device) {
    std::vector<unsigned char> bytes(device.view().num_bytes());
    EXPECT_EQ(cudaMemcpy(bytes.data(), device.view().bytes(), bytes.size(), cudaMemcpyDefault),
              cudaSuccess);
    return bytes;
  }

  const void* part(std::size_t i) { return qkv_[i].device.view().bytes(); }
  void* out() { return out_.device.view().bytes(); }
  float* lse() { return lse_.device.view().data<float>(); }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(heads_[3])); }

  Shape heads_;
  psagen_handle* handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  psagen_desc desc_{};
  Mirrored qkv_[3], out_, lse_, wanted_out_, wanted_lse_;
};

PSAGEN_CUDA_PARITY(CApiCuda);

TEST_P(CApiCuda, Psa) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(concat(size.tokens, " tokens, depth ", size.dim, ", key block ", size.key_block));
    prepare(size);
    PsaParams params;
    params.key_block = size.key_block;
    PyramidSparseAttention psa(ops(), heads_, dtype(), dtype(), params);
    psa.forward(ops(), qkv_[0].device, qkv_[1].device, qkv_[2].device, scale(), {},
                wanted_out_.device, wanted_lse_.device);
    context_->runtime()->synchronize();
    const ConstTensorView levels = psa.levels();
    std::size_t bytes = 0;
    ASSERT_EQ(psagen_psa_workspace(handle_, &desc_, &bytes), PSAGEN_OK);
    expect_same_bits(bytes, [&](void* workspace, std::size_t given) {
      return psagen_psa_forward(handle_, &desc_, part(0), part(1), part(2), out(), lse(), nullptr,
                                workspace, given, stream_);
    });
    ASSERT_EQ(psagen_sparse_attention_workspace(handle_, &desc_, &bytes), PSAGEN_OK);
    expect_same_bits(bytes, [&](void* workspace, std::size_t given) {
      return psagen_sparse_attention_forward(handle_, &desc_, part(0), part(1), part(2),
                                             levels.data<std::uint8_t>(), out(), lse(), nullptr,
                                             workspace, given, stream_);
    });
  }
}

TEST_P(CApiCuda, Dense) {
  for (const Size& size : kSizes) {
    if (size.tokens > 900 && dtype() == DType::kF32) continue;
    SCOPED_TRACE(concat(size.tokens, " tokens, depth ", size.dim));
    prepare(size);
    std::size_t bytes = 0;
    if (dtype() == DType::kF32) {
      EXPECT_EQ(psagen_attention_workspace(handle_, &desc_, &bytes), PSAGEN_UNSUPPORTED);
      continue;
    }
    ops().attention({.q = qkv_[0].device,
                     .k = qkv_[1].device,
                     .v = qkv_[2].device,
                     .scale = scale(),
                     .out = wanted_out_.device,
                     .lse = wanted_lse_.device});
    context_->runtime()->synchronize();
    ASSERT_EQ(psagen_attention_workspace(handle_, &desc_, &bytes), PSAGEN_OK);
    expect_same_bits(bytes, [&](void* workspace, std::size_t given) {
      return psagen_attention_forward(handle_, &desc_, part(0), part(1), part(2), out(), lse(),
                                      workspace, given, stream_);
    });
  }
}

}  // namespace
}  // namespace psagen::kernels
