// Memory layouts shared by dense and sparse attention on the CPU, and the code that packs into
// them.
//
// One vector lane holds one query: a panel is as many queries as fill two vectors, stored
// [depth][lanes]. Keys and values are then read one scalar at a time and broadcast, so scores,
// running maximum, running sum and output need no shuffle and no horizontal reduction, and keys
// and values only have to be interleaved in groups of eight:
//   keys    [ceil(keys / 8)][depth][8]        eight keys side by side
//   values  [ceil(depth / 8)][keys][8]        eight value columns side by side
// Scores are kept in units of ln 2 (base-2 exponentials), which is folded into the queries.
#pragma once

#include <cstdint>

namespace psagen::kernels::cpu {

inline constexpr std::int64_t kTileGroup = 8;         // keys or value columns side by side
inline constexpr std::int64_t kMaxPanelQueries = 32;  // two AVX-512 vectors
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2 = 0.69314718055994531f;

constexpr std::int64_t round_up_to_group(std::int64_t count) {
  return (count + kTileGroup - 1) / kTileGroup * kTileGroup;
}

// A run of packed keys and values. `num_keys` is a multiple of 8; rows that only fill up the last
// group have the weight -inf.
struct AttentionTile {
  const float* keys = nullptr;          // [num_keys / 8][depth][8]
  const float* values = nullptr;        // column group g starts at values + g * value_group_stride
  std::int64_t value_group_stride = 0;  // in floats; 8 * (packed rows) where packed in one piece
  const float* log2_weight = nullptr;   // [num_keys]; 0 for an ordinary key, -inf leaves it out
  const float* log2_bias = nullptr;     // [num_keys][lanes], optional; then log2_weight is not read
  std::int64_t num_keys = 0;
};

// One panel of queries and its softmax state; memory is the caller's, aligned to 64 bytes.
struct AttentionPanel {
  float* queries = nullptr;  // [depth][lanes], times scale / ln 2
  float* max = nullptr;      // [lanes]
  float* sum = nullptr;      // [lanes]
  float* out = nullptr;      // [round_up_to_group(depth)][lanes], not yet divided by sum
};

// Packs `count` key rows of `depth` floats, `stride` apart; fills the last group up with zeros.
void pack_keys(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t depth,
               float* packed);

// Packs `count` value rows; group g of columns goes to packed + g * group_stride. Rows up to a
// multiple of 8 and columns past `depth` are zeros.
void pack_values(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t depth,
                 std::int64_t group_stride, float* packed);

}  // namespace psagen::kernels::cpu
