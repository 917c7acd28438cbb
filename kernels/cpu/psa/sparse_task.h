// What one task of sparse attention works on: a query block, and the memory of a thread.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/allocator.h"
#include "kernels/cpu/attention_layout.h"

namespace psagen::kernels::cpu {

inline constexpr std::int64_t kTileColumns = 128;
inline constexpr std::int64_t kMaxPieces = kTileColumns / kTileGroup;

// Memory of one thread.
struct SparseScratch {
  SparseScratch(Workspace::Scope& memory, std::int64_t queries, std::int64_t depth,
                std::size_t key_blocks) {
    // Panels are as wide as the target makes them; rounding up covers them all.
    const std::int64_t lanes =
        (queries + kMaxPanelQueries - 1) / kMaxPanelQueries * kMaxPanelQueries;
    const std::size_t panel_values = static_cast<std::size_t>(lanes * depth);
    const std::size_t tile_values = static_cast<std::size_t>(kTileColumns * depth);
    panels = {memory.take<float>(panel_values), memory.take<float>(static_cast<std::size_t>(lanes)),
              memory.take<float>(static_cast<std::size_t>(lanes)),
              memory.take<float>(panel_values)};
    scores = memory.take<float>(kTileColumns * kMaxPanelQueries);
    joined_keys = memory.take<float>(tile_values);
    joined_values = memory.take<float>(tile_values);
    joined_weight = memory.take<float>(kTileColumns);
    blocks = {memory.take<std::uint16_t>(key_blocks), key_blocks};
  }

  AttentionPanel panels;  // all panels of a query block, one after the other
  float* scores;
  float* joined_keys;  // groups of eight rows made of two blocks of four
  float* joined_values;
  float* joined_weight;
  std::span<std::uint16_t> blocks;  // the row of levels as lists
};

struct QueryBlock {
  const float* q = nullptr;
  std::int64_t q_stride = 0;
  std::int64_t count = 0;
  float factor = 1.0f;  // scale / ln 2
  float* out = nullptr;
  std::int64_t out_stride = 0;
  float* lse = nullptr;  // optional
};

}  // namespace psagen::kernels::cpu
