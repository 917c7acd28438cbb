/* Pyramid Sparse Attention (arXiv 2512.04025) and dense attention for programs in C, or in any
 * language that calls C. Walk-through: docs/library.md.
 *
 * B batch, L tokens, N heads, D head dim. q, k, v and out are [B, L, N, D] with the strides of the
 * description. PSA wants tokens in an order in which neighbours in a row are neighbours in the
 * video (psagen_pyramid_token_order); attention does not mind in which order that is.
 *
 * Nothing is global: a handle is all the state there is. Handles may be used side by side, each by
 * one thread at a time.
 *
 * A forward call computes in the memory that it is given, allocates none on the device, and does
 * not wait for the device: it queues its work on the caller's stream, so that what is queued there
 * before and after is in order with it, and may be captured in a CUDA graph (call it once before,
 * which loads its kernels). On the CPU it returns when the result is there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct psagen_handle psagen_handle;

typedef enum psagen_status {
  PSAGEN_OK = 0,
  PSAGEN_INVALID_ARGUMENT = 1, /* makes no sense */
  PSAGEN_UNSUPPORTED = 2,      /* makes sense, but cannot be done here */
  PSAGEN_DEVICE_ERROR = 3,     /* the device or its driver is absent, or failed */
  PSAGEN_OUT_OF_MEMORY = 4,
  PSAGEN_INTERNAL_ERROR = 5 /* a mistake of this library */
} psagen_status;

/* The fields below that name one of these are int32_t, so that their size is known everywhere. */
enum { PSAGEN_F32 = 0, PSAGEN_F16 = 1, PSAGEN_BF16 = 2 };
enum { PSAGEN_SELECT_QUOTA = 0, PSAGEN_SELECT_THRESHOLD = 1 };
/* Of a block's importance. POOLED: by means of 32 queries and of eight keys. STAGGERED: by every
 * eighth query and means of two keys of eight, which the seed chooses, at four times the work.
 * SAMPLED: as the official code does. UNIFORM: none, levels at random, to measure what choosing
 * them is worth; with PSAGEN_SELECT_QUOTA only. */
enum {
  PSAGEN_ESTIMATE_POOLED = 0,
  PSAGEN_ESTIMATE_SAMPLED = 1,
  PSAGEN_ESTIMATE_UNIFORM = 2,
  PSAGEN_ESTIMATE_STAGGERED = 3
};

/* Elements from one batch, token, head to the next; elements of a head are neighbours. All zero:
 * contiguous. Rows may not overlap. */
typedef struct psagen_strides {
  int64_t batch, token, head;
} psagen_strides;

/* What a call is to compute. psagen_desc_init() fills in the defaults. */
typedef struct psagen_desc {
  uint64_t struct_size; /* in bytes, as the caller was compiled; set by psagen_desc_init */

  int64_t batch;    /* 1 */
  int64_t tokens;   /* no default */
  int64_t heads;    /* no default */
  int64_t head_dim; /* no default; for PSA a multiple of 8 up to 256 */
  int32_t qk_dtype; /* of q and k: PSAGEN_F32; on the CPU no other */
  int32_t v_dtype;  /* of v and out, likewise */
  psagen_strides q, k, v, out;
  double scale; /* of the scores; 0, the default: 1 / sqrt(head_dim) */

  /* What follows is for PSA only. Levels are tokens a row: 1 full resolution, 2, 4, 8 means of as
   * many tokens; 0 skips. */
  int32_t query_block; /* 128; a multiple of 32 up to 256 */
  int32_t key_block;   /* 128, 64 or 32 */
  int32_t selection;   /* PSAGEN_SELECT_QUOTA */
  int32_t estimator;   /* PSAGEN_ESTIMATE_POOLED */
  uint64_t seed; /* of PSAGEN_ESTIMATE_SAMPLED and _STAGGERED, better another in each call; 0 */
  /* Upper bounds of levels 1, 2, 4, 8, in [0, 1] and not decreasing: of the number of key blocks
   * (quota) or of their importance (threshold). What is left is skipped. 0.10, 0.15, 0.15, 0.35 */
  double level_bounds[4];
  double min_full_ratio;  /* threshold: at least this share of key blocks at level 1; 0.06 */
  int32_t similarity_cap; /* 1: a block is pooled no coarser than its keys agree; 0 */
  double similarity_thresholds[3]; /* least mean cosine for levels 2, 4, 8; 0.70, 0.65, 0.60 */
  /* Two spans of tokens [begin, end), of text for example: every query attends to them at level 1,
   * and their queries to all tokens so. Blocks that hold one are taken whole. Empty: none. */
  int64_t protected_begin[2], protected_end[2];
} psagen_desc;

/* What PSA did, in memory of the device; each may be null. */
typedef struct psagen_psa_report {
  uint8_t* levels;         /* [B, N, query blocks, key blocks] */
  float* nominal_density;  /* [B, N] share of dense work that the levels stand for */
  float* executed_density; /* [B, N] score columns computed, over those of dense attention */
} psagen_psa_report;

/* device: "cpu", "cuda" (the first GPU) or "cuda:N"; for a GPU the CUDA module of this installation
 * is opened, and the GPU becomes the calling thread's current one, as by cudaSetDevice.
 * num_threads: CPU threads; 0 takes what the machine allows. Where it fails *handle is null, and
 * the reason is in `message` (cut to message_bytes; may be null). */
psagen_status psagen_create(const char* device, int32_t num_threads, psagen_handle** handle,
                            char* message, size_t message_bytes);
/* Waits for the device. Null is fine. */
void psagen_destroy(psagen_handle* handle);
/* Why the last call that failed on this handle did; "" if none has. Good until the next one fails.
 */
const char* psagen_last_error(const psagen_handle* handle);

/* struct_size: sizeof(psagen_desc). */
psagen_status psagen_desc_init(psagen_desc* desc, size_t struct_size);

/* order[l] = raster index (frame * rows + row) * cols + col of the l-th token; order holds
 * frames * rows * cols numbers, each of them at least 1, their product below 2^31. */
psagen_status psagen_pyramid_token_order(int64_t frames, int64_t rows, int64_t cols,
                                         int32_t* order);

/* How much workspace the forward call of the same description takes, in bytes. Computes nothing,
 * and takes no notice of the device. */
psagen_status psagen_psa_workspace(psagen_handle* handle, const psagen_desc* desc, size_t* bytes);
psagen_status psagen_sparse_attention_workspace(psagen_handle* handle, const psagen_desc* desc,
                                                size_t* bytes);
psagen_status psagen_attention_workspace(psagen_handle* handle, const psagen_desc* desc,
                                         size_t* bytes);

/* Below, pointers are to memory of the handle's device: q, k, v and out as the description says,
 * lse (may be null) [B, N, L] float, ln of the softmax denominator. `workspace` begins anywhere,
 * and must stay until the work is done. stream: a cudaStream_t; the CPU does not look at it. On a
 * GPU every row of q, k, v and out begins at a multiple of 16 bytes. */

/* Pyramid Sparse Attention: pools keys and values, judges blocks, chooses levels, attends.
 * report may be null. */
psagen_status psagen_psa_forward(psagen_handle* handle, const psagen_desc* desc, const void* q,
                                 const void* k, const void* v, void* out, float* lse,
                                 const psagen_psa_report* report, void* workspace,
                                 size_t workspace_bytes, void* stream);

/* The same with the caller's levels: [B, N, query blocks, key blocks], 0, 1, 2, 4 or 8 (on a GPU
 * they are not looked at before; any other number is undefined). A query block without key blocks
 * gets zeros, and -inf as lse. Nothing of the selection's part of the description is used.
 * executed_density, [B, N], may be null. */
psagen_status psagen_sparse_attention_forward(psagen_handle* handle, const psagen_desc* desc,
                                              const void* q, const void* k, const void* v,
                                              const uint8_t* levels, void* out, float* lse,
                                              float* executed_density, void* workspace,
                                              size_t workspace_bytes, void* stream);

/* Dense attention. On a GPU F16 or BF16, a head dim of 64 or 128. */
psagen_status psagen_attention_forward(psagen_handle* handle, const psagen_desc* desc,
                                       const void* q, const void* k, const void* v, void* out,
                                       float* lse, void* workspace, size_t workspace_bytes,
                                       void* stream);

#ifdef __cplusplus
}
#endif
