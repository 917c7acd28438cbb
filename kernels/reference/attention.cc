#include "kernels/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {
namespace {

template <typename Real>
struct Inputs {
  std::vector<Real> q, k, v, bias, log_weight;
  std::size_t queries, keys, heads, depth;

  std::size_t query_at(std::size_t batch, std::size_t query, std::size_t head) const {
    return ((batch * queries + query) * heads + head) * depth;
  }
  std::size_t key_at(std::size_t batch, std::size_t key, std::size_t head) const {
    return ((batch * keys + key) * heads + head) * depth;
  }
};

// Attends one query; returns its ln-sum-exp.
template <typename Real>
Real attend(const Inputs<Real>& in, std::size_t batch, std::size_t query, std::size_t head,
            Real scale, Real* out) {
  std::vector<Real> scores(in.keys);
  for (std::size_t key = 0; key < in.keys; ++key) {
    const Real* q = in.q.data() + in.query_at(batch, query, head);
    const Real* k = in.k.data() + in.key_at(batch, key, head);
    Real sum = 0;
    for (std::size_t d = 0; d < in.depth; ++d) sum += q[d] * k[d];
    scores[key] = sum * scale;
    if (!in.bias.empty()) scores[key] += in.bias[(head * in.queries + query) * in.keys + key];
    if (!in.log_weight.empty()) scores[key] += in.log_weight[batch * in.keys + key];
  }
  const Real max = *std::max_element(scores.begin(), scores.end());
  std::fill_n(out, in.depth, Real{0});
  if (max == -std::numeric_limits<Real>::infinity()) return max;
  Real sum = 0;
  for (Real& score : scores) sum += score = std::exp(score - max);
  for (std::size_t key = 0; key < in.keys; ++key) {
    const Real* v = in.v.data() + in.key_at(batch, key, head);
    for (std::size_t d = 0; d < in.depth; ++d) out[d] += scores[key] * v[d];
  }
  for (std::size_t d = 0; d < in.depth; ++d) out[d] /= sum;
  return max + std::log(sum);
}

}  // namespace

template <typename Real>
AttentionResult<Real> attention(const AttentionArgs& args) {
  const Inputs<Real> in{elements<Real>(args.q),
                        elements<Real>(args.k),
                        elements<Real>(args.v),
                        elements<Real>(args.bias),
                        elements<Real>(args.key_log_weight),
                        static_cast<std::size_t>(args.q.dim(1)),
                        static_cast<std::size_t>(args.k.dim(1)),
                        static_cast<std::size_t>(args.q.dim(2)),
                        static_cast<std::size_t>(args.q.dim(3))};
  const auto batches = static_cast<std::size_t>(args.q.dim(0));
  AttentionResult<Real> result;
  result.out.resize(in.q.size());
  result.lse.resize(batches * in.heads * in.queries);
  for (std::size_t batch = 0; batch < batches; ++batch)
    for (std::size_t head = 0; head < in.heads; ++head)
      for (std::size_t query = 0; query < in.queries; ++query)
        result.lse[(batch * in.heads + head) * in.queries + query] =
            attend(in, batch, query, head, static_cast<Real>(args.scale),
                   result.out.data() + in.query_at(batch, query, head));
  return result;
}

template AttentionResult<double> attention<double>(const AttentionArgs&);
template AttentionResult<float> attention<float>(const AttentionArgs&);

}  // namespace psagen::kernels::reference
