// Sparse attention on the GPU at the shapes of the published models, beside dense attention in the
// same run: a JSON object a line, then a table. Levels are drawn anew for each row, which is the
// worst case for the caches. Densities are multiples of the quota 5/5/5/10/75 %.
//
//   bench_cuda_sparse_attention [part of a case's name]
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/psa/psa_args.h"
#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t tokens, heads, depth;
  int key_block;
  std::vector<double> multiples;  // of density 0.10
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"32760 x 12 x 128, blocks of 128", 32760, 12, 128, 128, {1.0, 1.5, 2.0, 3.0}},
      {"32760 x 12 x 128, blocks of 64", 32760, 12, 128, 64, {1.0}},
      {"32760 x 12 x 128, blocks of 32", 32760, 12, 128, 32, {1.0}},
      {"32760 x 12 x 64, blocks of 128", 32760, 12, 64, 128, {1.0}},
      {"75600 x 40 x 128, blocks of 128", 75600, 40, 128, 128, {1.0, 1.5, 2.0, 3.0}}};
  return all;
}

struct Row {
  std::string name;
  double us, tflop_per_s, density, executed, dense_us;
};

class SparseBench {
 public:
  SparseBench(DeviceBench& bench, const Case& c, std::vector<Row>& table)
      : bench_(bench), case_(c), table_(table) {
    shape_ = {c.tokens, c.key_block, 2};
    q_ = bench.random({1, c.tokens, c.heads, c.depth});
    k_ = bench.random({1, c.tokens, c.heads, c.depth});
    v_ = bench.random({1, c.tokens, c.heads, c.depth});
    out_ = bench.empty(q_.shape());
    // Means of l values have a deviation of l^(-1/2); here that of level 4 for all.
    const Shape rows = {1, c.heads, shape_.total_rows(), c.depth};
    keys_ = bench.random(rows, DType::kBF16, 0.5);
    values_ = bench.random(rows, DType::kBF16, 0.5);
    log2_weight_ = bench.random({shape_.total_rows()}, DType::kF32);
    const std::int64_t query_blocks = (c.tokens + kQueryBlock - 1) / kQueryBlock;
    const Shape pairs = {1, c.heads, query_blocks, shape_.key_blocks()};
    host_levels_ = Tensor(memory_, DType::kU8, pairs);
    levels_ = bench.empty(pairs, DType::kU8);
    density_ = bench.empty({1, c.heads}, DType::kF32);
  }

  void run() {
    const double dense_flop =
        4.0 * static_cast<double>(case_.tokens * case_.tokens * case_.heads * case_.depth);
    AttentionArgs dense{.q = q_, .k = k_, .v = v_, .scale = scale(), .out = out_};
    dense_us_ = bench_.run(concat(case_.name, ", dense"), DeviceBench::flop(dense_flop),
                           [&] { bench_.ops().attention(dense); });
    for (const double multiple : case_.multiples) measure(dense_flop, multiple);
    measure(dense_flop, 0.0);
    // The same work with the pyramid's rows made on the way.
    for (const PyramidPart pending : {PyramidPart::kValues, PyramidPart::kAll})
      measure(dense_flop, case_.multiples[0], pending);
  }

 private:
  static constexpr int kQueryBlock = 128;

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(case_.depth)); }

  // 0: all at level 1.
  void draw_levels(double multiple) {
    const auto key_blocks = static_cast<std::size_t>(shape_.key_blocks());
    auto* levels = host_levels_.view().data<std::uint8_t>();
    std::vector<std::uint8_t> row(key_blocks, multiple == 0.0 ? 1 : 0);
    constexpr double kShares[] = {0.05, 0.05, 0.05, 0.10};
    double end = 0.0;
    std::size_t at = 0;
    for (int i = 0; i < 4 && multiple > 0.0; ++i) {
      end += kShares[i] * multiple * static_cast<double>(key_blocks);
      for (; at < static_cast<std::size_t>(std::lround(end)); ++at)
        row[at] = static_cast<std::uint8_t>(kPsaLevels[static_cast<std::size_t>(i)]);
    }
    std::mt19937 random(1);
    const std::int64_t rows = host_levels_.shape().num_elements() / shape_.key_blocks();
    for (std::int64_t i = 0; i < rows; ++i) {
      std::shuffle(row.begin(), row.end(), random);
      levels = std::copy(row.begin(), row.end(), levels);
    }
    bench_.ops().copy(host_levels_, levels_);
  }

  void measure(double dense_flop, double multiple, PyramidPart pending = PyramidPart::kNone) {
    draw_levels(multiple);
    SparseAttentionArgs args;
    args.q = q_;
    args.k = k_;
    args.v = v_;
    args.pyramid.shape = shape_;
    args.pyramid.keys = keys_;
    args.pyramid.values = values_;
    args.pyramid.log2_weight = log2_weight_;
    args.pending = pending;
    args.levels = levels_;
    args.scale = scale();
    args.query_block = kQueryBlock;
    args.out = out_;
    args.executed_density = density_;
    bench_.ops().sparse_attention(args);
    const double executed = mean_density();
    args.executed_density = {};
    const double density = multiple == 0.0 ? 1.0 : 0.1 * multiple;
    std::string name =
        concat(case_.name, multiple == 0.0 ? ", all at level 1" : concat(", density ", density));
    if (pending != PyramidPart::kNone)
      name += pending == PyramidPart::kAll ? ", pooling" : ", pooling values";
    const double us = bench_.run(name, DeviceBench::flop(dense_flop * executed),
                                 [&] { bench_.ops().sparse_attention(args); });
    table_.push_back({name, us, dense_flop * executed / us * 1e-6, density, executed, dense_us_});
  }

  double mean_density() {
    Tensor host(memory_, DType::kF32, density_.shape());
    bench_.ops().copy(density_, host);
    const float* values = host.view().data<float>();
    return std::accumulate(values, values + case_.heads, 0.0) / static_cast<double>(case_.heads);
  }

  DeviceBench& bench_;
  const Case& case_;
  std::vector<Row>& table_;
  CpuAllocator memory_;
  PyramidShape shape_;
  Tensor q_, k_, v_, out_, keys_, values_, log2_weight_, host_levels_, levels_, density_;
  double dense_us_ = 0.0;
};

void print(const std::vector<Row>& table, bool portable) {
  std::printf("\n%s kernels\n%-52s %9s %8s %9s %9s %12s\n", portable ? "portable" : "default",
              "case", "ms", "TFLOP/s", "executed", "speed-up", "t/(rho dense)");
  for (const Row& row : table)
    std::printf("%-52s %9.3f %8.1f %9.4f %9.2f %12.3f\n", row.name.c_str(), row.us * 1e-3,
                row.tflop_per_s, row.executed, row.dense_us / row.us,
                row.us / (row.density * row.dense_us));
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  for (const bool portable : {false, true}) {
    DeviceBench bench(argc > 1 ? argv[1] : "", portable);
    std::vector<Row> table;
    for (const Case& c : cases())
      if (bench.wants(c.name)) SparseBench(bench, c, table).run();
    print(table, portable);
  }
}
