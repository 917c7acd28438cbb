/* Pyramid Sparse Attention from C: with every block at full resolution it is dense attention.
 *
 *     c_client          on the CPU, in float32
 *     c_client cuda     on a GPU, in float16, on a stream of its own
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/c_api/psagen.h"

#ifdef WITH_CUDA
#include <cuda_runtime_api.h>
#endif

enum { kFrames = 5, kRows = 8, kCols = 10, kTokens = kFrames * kRows * kCols };
enum { kHeads = 2, kHeadDim = 64, kCount = kTokens * kHeads * kHeadDim };

static int on_gpu = 0;
static void* stream = NULL; /* a cudaStream_t */

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void expect_ok(psagen_handle* handle, psagen_status status, const char* what) {
  if (status != PSAGEN_OK) fail(what, psagen_last_error(handle));
}

static void skip(const char* why) {
  printf("skipped: %s\n", why);
  exit(0);
}

#ifdef WITH_CUDA
static void expect_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(what, cudaGetErrorString(status));
}
#endif

static void open_stream(void) {
#ifdef WITH_CUDA
  cudaStream_t made = NULL;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) skip("there is no GPU");
  expect_cuda(cudaStreamCreate(&made), "cudaStreamCreate");
  stream = made;
#else
  skip("built without the CUDA toolkit");
#endif
}

static void* allocate(size_t bytes) {
  void* memory = NULL;
#ifdef WITH_CUDA
  if (on_gpu) {
    expect_cuda(cudaMalloc(&memory, bytes), "cudaMalloc");
    return memory;
  }
#endif
  memory = malloc(bytes);
  if (memory == NULL) fail("malloc", "no memory");
  return memory;
}

static void release(void* memory) {
#ifdef WITH_CUDA
  if (on_gpu) {
    expect_cuda(cudaFree(memory), "cudaFree");
    return;
  }
#endif
  free(memory);
}

/* Between host and device, in order with the stream; waits for it. */
static void copy(void* to, const void* from, size_t bytes) {
#ifdef WITH_CUDA
  if (on_gpu) {
    expect_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, (cudaStream_t)stream), "copy");
    expect_cuda(cudaStreamSynchronize((cudaStream_t)stream), "cudaStreamSynchronize");
    return;
  }
#endif
  memcpy(to, from, bytes);
}

static size_t element_bytes(void) { return on_gpu ? 2 : 4; }

/* Numbers +-(1 + i / 1024), which float32 and float16 both hold. */
static void fill(void* tensor) {
  static uint32_t state = 1;
  unsigned char* host = malloc(kCount * element_bytes());
  if (host == NULL) fail("malloc", "no memory");
  for (size_t i = 0; i < kCount; ++i) {
    state = state * 1664525u + 1013904223u;
    const uint32_t fraction = state >> 22, negative = state >> 21 & 1u;
    const uint16_t half = (uint16_t)(negative << 15 | 0x3c00u | fraction);
    const float value = (negative ? -1.0f : 1.0f) * (1.0f + (float)fraction / 1024.0f);
    if (on_gpu)
      memcpy(host + 2 * i, &half, 2);
    else
      memcpy(host + 4 * i, &value, 4);
  }
  copy(tensor, host, kCount * element_bytes());
  free(host);
}

static float value_at(const unsigned char* host, size_t i) {
  float value = 0.0f;
  uint16_t half = 0;
  if (!on_gpu) {
    memcpy(&value, host + 4 * i, 4);
    return value;
  }
  memcpy(&half, host + 2 * i, 2);
  const int exponent = half >> 10 & 31;
  const float fraction = (float)(half & 0x3ff);
  value = exponent == 0 ? ldexpf(fraction, -24) : ldexpf(fraction + 1024.0f, exponent - 25);
  return half >> 15 ? -value : value;
}

static double largest_difference(const void* a, const void* b) {
  const size_t bytes = kCount * element_bytes();
  unsigned char* host_a = malloc(bytes);
  unsigned char* host_b = malloc(bytes);
  double largest = 0.0;
  if (host_a == NULL || host_b == NULL) fail("malloc", "no memory");
  copy(host_a, a, bytes);
  copy(host_b, b, bytes);
  for (size_t i = 0; i < kCount; ++i) {
    const double difference = fabs((double)value_at(host_a, i) - (double)value_at(host_b, i));
    if (difference > largest || isnan(difference)) largest = difference; /* NaN stays */
  }
  free(host_a);
  free(host_b);
  return largest;
}

int main(int argc, char** argv) {
  on_gpu = argc > 1 && strcmp(argv[1], "cuda") == 0;
  if (on_gpu) open_stream();

  psagen_handle* handle = NULL;
  char message[256];
  const psagen_status made =
      psagen_create(on_gpu ? "cuda" : "cpu", 0, &handle, message, sizeof(message));
  if (on_gpu && made == PSAGEN_DEVICE_ERROR) skip(message);
  if (made != PSAGEN_OK) fail("psagen_create", message);

  psagen_desc desc;
  if (psagen_desc_init(&desc, sizeof(desc)) != PSAGEN_OK) fail("psagen_desc_init", "wrong size");
  desc.tokens = kTokens;
  desc.heads = kHeads;
  desc.head_dim = kHeadDim;
  desc.qk_dtype = desc.v_dtype = on_gpu ? PSAGEN_F16 : PSAGEN_F32;
  for (int i = 0; i < 4; ++i) desc.level_bounds[i] = 1.0; /* every block at level 1 */

  /* The order in which PSA wants the tokens of a video. These are random, so any will do. */
  int32_t order[kTokens];
  if (psagen_pyramid_token_order(kFrames, kRows, kCols, order) != PSAGEN_OK)
    fail("psagen_pyramid_token_order", "failed");

  void* tensors[5]; /* q, k, v, dense, sparse */
  for (int i = 0; i < 5; ++i) tensors[i] = allocate(kCount * element_bytes());
  for (int i = 0; i < 3; ++i) fill(tensors[i]);
  void *q = tensors[0], *k = tensors[1], *v = tensors[2], *dense = tensors[3], *sparse = tensors[4];

  /* One workspace serves both calls: they run one after the other. */
  size_t bytes = 0, dense_bytes = 0;
  expect_ok(handle, psagen_psa_workspace(handle, &desc, &bytes), "psagen_psa_workspace");
  expect_ok(handle, psagen_attention_workspace(handle, &desc, &dense_bytes),
            "psagen_attention_workspace");
  if (dense_bytes > bytes) bytes = dense_bytes;
  void* workspace = allocate(bytes);

  expect_ok(handle,
            psagen_attention_forward(handle, &desc, q, k, v, dense, NULL, workspace, bytes, stream),
            "psagen_attention_forward");
  expect_ok(
      handle,
      psagen_psa_forward(handle, &desc, q, k, v, sparse, NULL, NULL, workspace, bytes, stream),
      "psagen_psa_forward");

  const double difference = largest_difference(dense, sparse);
  const double most = on_gpu ? 2e-3 : 1e-5; /* two steps of float16 between 1 and 2 */
  printf("%s: largest difference between dense and sparse attention %.1e, workspace %zu bytes\n",
         on_gpu ? "cuda" : "cpu", difference, bytes);

  for (int i = 0; i < 5; ++i) release(tensors[i]);
  release(workspace);
  psagen_destroy(handle);
  return difference <= most ? 0 : 1;
}
