// Where things lie in the score kernels (block_scores_kernel.cuh), as plain functions that a test
// on the host can walk through.
//
// A tile has 64 rows of keys. A product leaves a thread of a quad the sums of columns 2 t and
// 2 t + 1 of each of eight matrices of eight columns. Rows of keys are therefore put where quad
// thread t gets rows 16 t to 16 t + 15, in order: the 16, 8 or 4 rows of a key block then lie in
// the registers of one thread, and their log-sum-exp needs no other.
#pragma once

namespace psagen::kernels::cuda::block_scores {

inline constexpr int kTileRows = 64;
inline constexpr int kRowsOfThread = kTileRows / 4;
inline constexpr int kMatrixColumns = 8;

// The place in the tile of its row `row` of keys: matrix place / 8, column place % 8.
constexpr int key_place(int row) {
  const int quad_thread = row / kRowsOfThread, within = row % kRowsOfThread;
  return within / 2 * kMatrixColumns + 2 * quad_thread + within % 2;
}

// The 16 bytes `chunk` of the row at `place`, in units of 16 bytes: eight rows that ldmatrix reads
// together fall into different banks.
constexpr int shared_chunk(int place, int chunk, int chunks_of_row) {
  return place * chunks_of_row + (chunk ^ (place % 8));
}

// The same for wgmma, which wants boxes of 64 columns, rows of 128 bytes swizzled as a bulk copy
// would (device/hopper.cuh): one box behind the other.
inline constexpr int kBoxRowBytes = 128;
inline constexpr int kBoxChunks = kTileRows * kBoxRowBytes / 16;
constexpr int box_chunk(int place, int chunk) {
  return chunk / 8 * kBoxChunks + place * (kBoxRowBytes / 16) + ((chunk % 8) ^ (place % 8));
}

// For ldmatrix: which row and which 16 bytes lane `lane` names, for step `step` of 16 elements and
// matrices 2 * pair and 2 * pair + 1. The four matrices are lower and upper half of the first, then
// of the second.
constexpr int lane_place(int lane, int pair) {
  return (2 * pair + lane / 16) * kMatrixColumns + lane % 8;
}
constexpr int lane_chunk(int lane, int step) { return 2 * step + lane / 8 % 2; }

}  // namespace psagen::kernels::cuda::block_scores
