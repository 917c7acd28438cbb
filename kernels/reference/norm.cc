#include "kernels/reference/norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/activation.h"
#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> rms_norm(const RmsNormArgs& args) {
  auto y = elements<Real>(args.x);
  const auto gamma = elements<Real>(args.gamma);
  const std::size_t width = gamma.size();
  for (std::size_t first = 0; first < y.size(); first += width) {
    Real squares = 0;
    for (std::size_t i = 0; i < width; ++i) squares += y[first + i] * y[first + i];
    const Real root = std::sqrt(squares / static_cast<Real>(width) + static_cast<Real>(args.eps));
    for (std::size_t i = 0; i < width; ++i) y[first + i] = y[first + i] / root * gamma[i];
  }
  return y;
}

namespace {

// y, rows of args.x, in place.
template <typename Real, typename Args>
void normalise_rows(const Args& args, std::vector<Real>& y) {
  const auto gamma = elements<Real>(args.gamma), beta = elements<Real>(args.beta);
  const auto scale = elements<Real>(args.scale), shift = elements<Real>(args.shift);
  const auto width = static_cast<std::size_t>(args.x.dim(-1));
  const std::size_t batch_size = y.size() / static_cast<std::size_t>(args.x.dim(0));
  for (std::size_t first = 0; first < y.size(); first += width) {
    Real mean = 0, variance = 0;
    for (std::size_t i = 0; i < width; ++i) mean += y[first + i];
    mean /= static_cast<Real>(width);
    for (std::size_t i = 0; i < width; ++i)
      variance += (y[first + i] - mean) * (y[first + i] - mean);
    variance /= static_cast<Real>(width);
    const std::size_t batch = first / batch_size * width;
    for (std::size_t i = 0; i < width; ++i) {
      Real value = (y[first + i] - mean) / std::sqrt(variance + static_cast<Real>(args.eps));
      if (!gamma.empty()) value = value * gamma[i] + beta[i];
      if (!scale.empty()) value = value * (1 + scale[batch + i]) + shift[batch + i];
      y[first + i] = value;
    }
  }
}

}  // namespace

template <typename Real>
std::vector<Real> layer_norm(const LayerNormArgs& args) {
  auto y = elements<Real>(args.x);
  normalise_rows(args, y);
  return y;
}

template <typename Real>
ResidualNorm<Real> residual_norm(const ResidualNormArgs& args) {
  ResidualNorm<Real> result{elements<Real>(args.x), {}};
  const auto y = elements<Real>(args.y), gate = elements<Real>(args.gate);
  const auto width = static_cast<std::size_t>(args.x.dim(-1));
  const std::size_t batch_size = y.size() / static_cast<std::size_t>(args.x.dim(0));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const Real factor = gate.empty() ? 1 : gate[i / batch_size * width + i % width];
    result.x[i] += factor * y[i];
  }
  result.h = result.x;
  normalise_rows(args, result.h);
  return result;
}

template <typename Real>
std::vector<Real> channel_norm(const ChannelNormArgs& args) {
  auto y = elements<Real>(args.x);
  const auto gamma = elements<Real>(args.gamma);
  const std::size_t width = gamma.size();
  for (std::size_t first = 0; first < y.size(); first += width) {
    Real squares = 0;
    for (std::size_t i = 0; i < width; ++i) squares += y[first + i] * y[first + i];
    const Real norm = std::max(std::sqrt(squares), static_cast<Real>(1e-12));
    for (std::size_t i = 0; i < width; ++i) {
      const Real value = y[first + i] / norm * std::sqrt(static_cast<Real>(width)) * gamma[i];
      y[first + i] = activate(value, args.silu ? Activation::kSilu : Activation::kNone);
    }
  }
  return y;
}

template std::vector<double> rms_norm<double>(const RmsNormArgs&);
template std::vector<float> rms_norm<float>(const RmsNormArgs&);
template std::vector<double> layer_norm<double>(const LayerNormArgs&);
template std::vector<float> layer_norm<float>(const LayerNormArgs&);
template ResidualNorm<double> residual_norm<double>(const ResidualNormArgs&);
template ResidualNorm<float> residual_norm<float>(const ResidualNormArgs&);
template std::vector<double> channel_norm<double>(const ChannelNormArgs&);
template std::vector<float> channel_norm<float>(const ChannelNormArgs&);

}  // namespace psagen::kernels::reference
