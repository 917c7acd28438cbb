#include "kernels/cuda/psa/block_scores_layout.h"

#include <gtest/gtest.h>

#include <set>

namespace psagen::kernels::cuda::block_scores {
namespace {

TEST(BlockScoresLayout, QuadThreadsGetSixteenRowsInOrder) {
  for (int thread = 0; thread < 4; ++thread)
    for (int matrix = 0; matrix < 8; ++matrix)
      for (int odd = 0; odd < 2; ++odd) {
        // The column of the matrix that a product leaves with the thread.
        const int place = matrix * kMatrixColumns + 2 * thread + odd;
        const int row = kRowsOfThread * thread + 2 * matrix + odd;
        EXPECT_EQ(key_place(row), place);
      }
}

TEST(BlockScoresLayout, EveryChunkHasAPlaceOfItsOwn) {
  for (const int chunks : {8, 16}) {
    std::set<int> used;
    for (int row = 0; row < kTileRows; ++row)
      for (int chunk = 0; chunk < chunks; ++chunk)
        used.insert(shared_chunk(key_place(row), chunk, chunks));
    EXPECT_EQ(static_cast<int>(used.size()), kTileRows * chunks);
    EXPECT_EQ(*used.begin(), 0);
    EXPECT_EQ(*used.rbegin(), kTileRows * chunks - 1);
  }
}

// Boxes as wgmma reads them: of 64 columns of 16 bits, eight rows of 128 bytes after each other,
// the 16 bytes c of row r at c xor r % 8.
TEST(BlockScoresLayout, BoxesAreThoseOfWgmma) {
  for (const int chunks : {8, 16}) {
    std::set<int> used;
    for (int place = 0; place < kTileRows; ++place)
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const int at = box_chunk(place, chunk);
        used.insert(at);
        EXPECT_EQ(at / (8 * kTileRows), chunk / 8);
        EXPECT_EQ(at / 8 % kTileRows, place);
        EXPECT_EQ(at % 8, (chunk % 8) ^ (place % 8));
      }
    EXPECT_EQ(static_cast<int>(used.size()), kTileRows * chunks);
  }
}

// Eight lanes that load a matrix together read 128 bytes from 32 different banks.
TEST(BlockScoresLayout, LoadsHaveNoBankConflicts) {
  for (const int chunks : {8, 16})
    for (int pair = 0; pair < 4; ++pair)
      for (int step = 0; step < chunks / 2; ++step)
        for (int matrix = 0; matrix < 4; ++matrix) {
          std::set<int> banks;
          for (int lane = 8 * matrix; lane < 8 * matrix + 8; ++lane)
            banks.insert(shared_chunk(lane_place(lane, pair), lane_chunk(lane, step), chunks) % 8);
          EXPECT_EQ(banks.size(), 8u);
        }
}

// The kernel keeps one address a thread and moves on by constants and exclusive or.
TEST(BlockScoresLayout, AddressesMoveOnByConstants) {
  for (const int chunks : {8, 16}) {
    for (int lane = 0; lane < 32; ++lane)
      for (int pair = 0; pair < 4; ++pair)
        for (int step = 0; step < chunks / 2; ++step) {
          const int first = shared_chunk(lane_place(lane, 0), lane_chunk(lane, 0), chunks);
          EXPECT_EQ((first ^ lane_chunk(0, step)) + lane_place(0, pair) * chunks,
                    shared_chunk(lane_place(lane, pair), lane_chunk(lane, step), chunks));
        }
    const int rows_at_once = 128 / chunks;
    for (int row = 0; row < rows_at_once; ++row)
      for (int i = 0; i < kTileRows / rows_at_once; ++i)
        for (int chunk = 0; chunk < chunks; ++chunk) {
          const int moved = key_place(i * rows_at_once);
          EXPECT_EQ((shared_chunk(key_place(row), chunk, chunks) ^ (moved % 8)) + moved * chunks,
                    shared_chunk(key_place(row + i * rows_at_once), chunk, chunks));
          EXPECT_EQ((box_chunk(key_place(row), chunk) ^ (moved % 8)) + moved * kBoxRowBytes / 16,
                    box_chunk(key_place(row + i * rows_at_once), chunk));
        }
  }
}

}  // namespace
}  // namespace psagen::kernels::cuda::block_scores
