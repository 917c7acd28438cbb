#include "kernels/reference/psa/pyramid_sparse_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace psagen::kernels::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::span<const double> row(const std::vector<double>& x, std::int64_t token, std::int64_t depth) {
  return std::span(x).subspan(index(token * depth), index(depth));
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

std::vector<double> mean(const std::vector<double>& x, std::int64_t begin, std::int64_t end,
                         std::int64_t depth) {
  std::vector<double> result(index(depth), 0.0);
  for (std::int64_t token = begin; token < end; ++token)
    for (std::size_t d = 0; d < result.size(); ++d) result[d] += row(x, token, depth)[d];
  for (double& value : result) value /= static_cast<double>(end - begin);
  return result;
}

struct PooledRow {
  double tokens;
  std::vector<double> key, value;
};

std::vector<PooledRow> pooled_rows(const PsaProblem& p, std::int64_t block, int level) {
  std::vector<PooledRow> rows;
  const std::int64_t end = std::min((block + 1) * p.key_block, p.tokens);
  for (std::int64_t first = block * p.key_block; first < end; first += level) {
    const std::int64_t last = std::min(first + level, end);
    rows.push_back({static_cast<double>(last - first), mean(p.k, first, last, p.depth),
                    mean(p.v, first, last, p.depth)});
  }
  return rows;
}

double log_sum_exp(std::span<const double> values) {
  const double max = *std::max_element(values.begin(), values.end());
  double sum = 0.0;
  for (const double value : values) sum += std::exp(value - max);
  return max + std::log(sum);
}

// The largest share that any group of `group` queries of a block gives to each block of keys,
// divided by the row's sum. query_of(first, end): what stands for those queries.
template <typename QueryOf>
std::vector<double> largest_shares(const PsaProblem& p,
                                   const std::vector<std::vector<PooledRow>>& keys,
                                   std::int64_t group, const QueryOf& query_of) {
  std::vector<double> importance(index(p.query_blocks() * p.key_blocks()), 0.0);
  for (std::int64_t i = 0; i < p.query_blocks(); ++i) {
    const std::span<double> out =
        std::span(importance).subspan(index(i * p.key_blocks()), index(p.key_blocks()));
    const std::int64_t end = std::min((i + 1) * p.query_block, p.tokens);
    for (std::int64_t first = i * p.query_block; first < end; first += group) {
      const std::vector<double> query = query_of(first, std::min(first + group, end));
      std::vector<double> mass;
      for (const std::vector<PooledRow>& block : keys) {
        std::vector<double> logit;
        for (const PooledRow& key : block)
          logit.push_back(p.scale * dot(query, key.key) + std::log(key.tokens));
        mass.push_back(log_sum_exp(logit));
      }
      const double all = log_sum_exp(mass);
      for (std::size_t j = 0; j < mass.size(); ++j)
        out[j] = std::max(out[j], std::exp(mass[j] - all));
    }
    const double sum = std::accumulate(out.begin(), out.end(), 0.0);
    for (double& value : out) value /= sum;
  }
  return importance;
}

}  // namespace

PsaResult sparse_attention(const PsaProblem& p, std::span<const std::uint8_t> levels) {
  PsaResult result;
  result.out.assign(index(p.tokens * p.depth), 0.0);
  result.lse.assign(index(p.tokens), -kInfinity);
  for (std::int64_t i = 0; i < p.query_blocks(); ++i) {
    std::vector<PooledRow> rows;
    for (std::int64_t j = 0; j < p.key_blocks(); ++j)
      if (const int level = levels[index(i * p.key_blocks() + j)]; level > 0)
        for (PooledRow& pooled : pooled_rows(p, j, level)) rows.push_back(std::move(pooled));
    if (rows.empty()) continue;
    const std::int64_t end = std::min((i + 1) * p.query_block, p.tokens);
    std::vector<double> logit(rows.size());
    for (std::int64_t t = i * p.query_block; t < end; ++t) {
      for (std::size_t u = 0; u < rows.size(); ++u)
        logit[u] = p.scale * dot(row(p.q, t, p.depth), rows[u].key) + std::log(rows[u].tokens);
      const double lse = log_sum_exp(logit);
      result.lse[index(t)] = lse;
      for (std::size_t u = 0; u < rows.size(); ++u) {
        const double share = std::exp(logit[u] - lse);
        for (std::int64_t d = 0; d < p.depth; ++d)
          result.out[index(t * p.depth + d)] += share * rows[u].value[index(d)];
      }
    }
  }
  return result;
}

std::vector<double> pooled_importance(const PsaProblem& p) {
  std::vector<std::vector<PooledRow>> keys;
  for (std::int64_t j = 0; j < p.key_blocks(); ++j) keys.push_back(pooled_rows(p, j, 8));
  return largest_shares(p, keys, 32, [&](std::int64_t first, std::int64_t end) {
    return mean(p.q, first, end, p.depth);
  });
}

std::vector<double> staggered_importance(const PsaProblem& p, std::int64_t turn) {
  constexpr std::int64_t kPlaces[16] = {0, 7, 3, 4, 5, 2, 6, 1, 7, 0, 4, 3, 2, 5, 1, 6};
  std::vector<std::vector<PooledRow>> keys;
  for (std::int64_t j = 0; j < p.key_blocks(); ++j) {
    keys.push_back(pooled_rows(p, j, 8));
    for (std::size_t u = 0; u < keys.back().size(); ++u) {
      const std::int64_t first = j * p.key_block + 8 * static_cast<std::int64_t>(u);
      const std::int64_t pair =
          std::min(first / 2 + kPlaces[(first / 8 + turn) % 16] / 2, (p.tokens - 1) / 2);
      keys.back()[u].key = mean(p.k, 2 * pair, std::min(2 * pair + 2, p.tokens), p.depth);
    }
  }
  return largest_shares(p, keys, 8, [&](std::int64_t first, std::int64_t end) {
    const std::int64_t one = std::min(first + kPlaces[first / 8 % 16], end - 1);
    return mean(p.q, one, one + 1, p.depth);
  });
}

std::vector<double> sampled_importance(const PsaProblem& p,
                                       std::span<const std::int32_t> query_positions,
                                       std::span<const std::int32_t> key_positions) {
  std::vector<double> importance(index(p.query_blocks() * p.key_blocks()), 0.0);
  for (std::int64_t i = 0; i < p.query_blocks(); ++i) {
    const std::span<double> out =
        std::span(importance).subspan(index(i * p.key_blocks()), index(p.key_blocks()));
    for (const std::int32_t query : query_positions) {
      const std::int64_t t = std::min(i * p.query_block + query, p.tokens - 1);
      std::vector<double> best(out.size(), -kInfinity);
      for (std::int64_t j = 0; j < p.key_blocks(); ++j)
        for (const std::int32_t key : key_positions) {
          const std::int64_t s = std::min(j * p.key_block + key, p.tokens - 1);
          const double score = p.scale * dot(row(p.q, t, p.depth), row(p.k, s, p.depth));
          best[index(j)] = std::max(best[index(j)], score);
        }
      const double anywhere = *std::max_element(best.begin(), best.end());
      for (std::size_t j = 0; j < out.size(); ++j)
        out[j] = std::max(out[j], std::exp(best[j] - anywhere));
    }
    double sum = 0.0;
    for (const double value : out) sum += value;
    for (double& value : out) value /= sum;
  }
  return importance;
}

double group_similarity(const PsaProblem& p, std::int64_t key_block, int level) {
  const std::int64_t end = std::min((key_block + 1) * p.key_block, p.tokens);
  double sum = 0.0;
  std::int64_t groups = 0;
  for (std::int64_t first = key_block * p.key_block; first < end; first += level, ++groups) {
    const std::span<const double> a = row(p.k, first, p.depth);
    const std::span<const double> b = row(p.k, std::min(first + level, end) - 1, p.depth);
    sum += dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
  }
  return sum / static_cast<double>(groups);
}

}  // namespace psagen::kernels::reference
