// A row-major x [N, K] is a column-major x' [K, N], so y' = W x' is what cuBLASLt computes: W read
// transposed, M rows, N columns. It also adds the bias, applies GELU (its GELU is the tanh form)
// and adds a residual of y's type. The rest (SiLU, a residual of another type, GELU of a
// result finer than bfloat16, for which cuBLASLt's is too coarse) is one pass of ours over a
// float32 product, so that y is still rounded once.
//
// The bias of a 16-bit y must have y's type for cuBLASLt: another one is rounded to it, as the
// published pipelines hold it. Adding it afterwards instead would round y twice, which is no
// better, and would cost a pass over y.
#include "kernels/cuda/linear.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/linear_plans.h"
#include "kernels/cuda/rearrange.h"
#include "kernels/cuda/small_linear.h"

namespace psagen::kernels::cuda {
namespace {

constexpr std::int64_t kFewRows = 16;                            // for which reading W is the cost
constexpr std::int64_t kProductBytes = std::int64_t{256} << 20;  // of a float32 product at a time
constexpr std::uintptr_t kBiasAlignment = 16;

// Where the rows of `view` of batch `batch` begin.
template <typename Byte>
Byte* batch_begin(const BasicTensorView<Byte>& view, const RowShape& rows, std::int64_t batch) {
  return view.bytes() +
         batch * rows.batch_stride * static_cast<std::int64_t>(dtype_size(view.dtype()));
}

// One piece for all batches where their rows follow each other evenly, else one for each.
std::vector<LinearRows> pieces_of(const LinearArgs& args) {
  RowShape x = joined_row_shape(args.x), y = joined_row_shape(args.y), residual = y;
  if (args.residual) residual = joined_row_shape(args.residual);
  if (x.batches > 1 || y.batches > 1 || residual.batches > 1) {
    x = row_shape(args.x);
    y = row_shape(args.y);
    residual = args.residual ? row_shape(args.residual) : y;
  }
  std::vector<LinearRows> pieces;
  for (std::int64_t batch = 0; batch < y.batches; ++batch) {
    LinearRows piece;
    piece.rows = y.rows;
    piece.depth = x.width;
    piece.columns = y.width;
    piece.x = {batch_begin(args.x, x, batch), args.x.dtype()};
    piece.x_stride = x.row_stride;
    piece.weight = reals(args.weight);
    piece.bias = reals(args.bias);
    piece.activation = args.activation;
    piece.y = {batch_begin(args.y, y, batch), args.y.dtype()};
    piece.y_stride = y.row_stride;
    if (args.residual) {
      piece.residual = {batch_begin(args.residual, residual, batch), args.residual.dtype()};
      piece.residual_stride = residual.row_stride;
    }
    pieces.push_back(piece);
  }
  return pieces;
}

// What stands between x and y.
class Multiplier {
 public:
  Multiplier(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans)
      : runtime_(runtime), workspace_(workspace), plans_(plans) {}

  void run(const LinearRows& piece) {
    if (epilogue_does_all(piece) && multiply_with_epilogue(piece)) return;
    multiply_and_finish(piece);
  }

 private:
  static bool epilogue_does_all(const LinearRows& piece) {
    const bool is_float = piece.y.dtype == DType::kF32;
    return (is_float || piece.y.dtype == piece.x.dtype) &&
           (piece.residual.data == nullptr || piece.residual.dtype == piece.y.dtype) &&
           (piece.activation == Activation::kNone ||
            (piece.activation == Activation::kGeluTanh && piece.y.dtype == DType::kBF16));
  }

  static MatrixProduct product_of(const LinearRows& piece) {
    MatrixProduct product;
    product.dtype = piece.x.dtype;
    product.transpose_a = true;
    product.m = piece.columns;
    product.n = piece.rows;
    product.k = piece.depth;
    product.a = piece.weight.data;
    product.a_stride = piece.depth;
    product.b = piece.x.data;
    product.b_stride = piece.x_stride;
    return product;
  }

  bool multiply_with_epilogue(const LinearRows& piece) {
    Workspace::Scope memory(workspace_);
    MatrixProduct product = product_of(piece);
    product.d_dtype = piece.y.dtype;
    product.d = piece.y.data;
    product.d_stride = piece.y_stride;
    product.c = piece.residual.data;
    product.c_stride = piece.residual_stride;
    const bool gelu = piece.activation == Activation::kGeluTanh;
    if (piece.bias.data != nullptr) {
      product.bias = bias_of(piece, memory);
      product.epilogue = gelu ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    } else if (gelu) {
      product.epilogue = CUBLASLT_EPILOGUE_GELU;
    }
    return multiply(plans_, workspace_, product);
  }

  // The bias in y's type, where cuBLASLt can read it.
  const void* bias_of(const LinearRows& piece, Workspace::Scope& memory) {
    if (piece.bias.dtype == piece.y.dtype &&
        reinterpret_cast<std::uintptr_t>(piece.bias.data) % kBiasAlignment == 0)
      return piece.bias.data;
    const Shape shape = {piece.columns};
    auto* const bytes =
        memory.take<std::byte>(static_cast<std::size_t>(piece.columns) * dtype_size(piece.y.dtype));
    copy_on_device(runtime_.stream(),
                   ConstTensorView(static_cast<const std::byte*>(piece.bias.data), piece.bias.dtype,
                                   shape, Device{}),
                   TensorView(bytes, piece.y.dtype, shape, Device{}));
    return bytes;
  }

  // Products of as many rows at a time as scratch memory is meant to hold; y itself is the scratch
  // memory where it is float32 and not also the residual.
  void multiply_and_finish(const LinearRows& piece) {
    Workspace::Scope memory(workspace_);
    const bool in_place = piece.y.dtype == DType::kF32 && piece.residual.data != piece.y.data;
    const std::int64_t rows = in_place ? piece.rows : rows_at_a_time(piece);
    const std::int64_t stride = in_place ? piece.y_stride : piece.columns;
    float* scratch = nullptr;
    if (!in_place) scratch = memory.take<float>(static_cast<std::size_t>(rows * stride));
    for (std::int64_t begin = 0; begin < piece.rows; begin += rows) {
      const LinearRows slab = piece.part(begin, std::min(rows, piece.rows - begin));
      float* const target = in_place ? static_cast<float*>(slab.y.data) : scratch;
      MatrixProduct product = product_of(slab);
      product.d_dtype = DType::kF32;
      product.d = target;
      product.d_stride = stride;
      if (multiply(plans_, workspace_, product))
        finish_linear(runtime_, target, stride, slab);
      else
        small_linear(runtime_, slab);
    }
  }

  // In whole tiles of the product, and all slabs but the last of one size.
  static std::int64_t rows_at_a_time(const LinearRows& piece) {
    constexpr std::int64_t kTile = 128;
    const std::int64_t row_bytes = piece.columns * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t most = std::max(kTile, kProductBytes / row_bytes);
    const std::int64_t slabs = (piece.rows + most - 1) / most;
    const std::int64_t rows = (piece.rows + slabs - 1) / slabs;
    return std::min(piece.rows, (rows + kTile - 1) / kTile * kTile);
  }

  CudaRuntime& runtime_;
  Workspace& workspace_;
  LinearPlans& plans_;
};

}  // namespace

void linear(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
            const LinearArgs& args) {
  if (args.y.num_elements() == 0) return;
  const std::vector<LinearRows> pieces = pieces_of(args);
  const std::int64_t rows = args.y.num_elements() / args.y.dim(-1);
  if (rows <= kFewRows || args.x.dim(-1) == 0) {
    for (const LinearRows& piece : pieces) small_linear(runtime, piece);
    return;
  }
  PSAGEN_CHECK(args.x.dtype() == args.weight.dtype(), ErrorCode::kUnsupported, "linear: x is ",
               dtype_name(args.x.dtype()), " and the weight ", dtype_name(args.weight.dtype()),
               ", wanted one type, as for more than ", kFewRows, " rows");
  Multiplier multiplier(runtime, workspace, plans);
  for (const LinearRows& piece : pieces) multiplier.run(piece);
}

// Row-major c = a b is column-major c' = b' a'.
void batched_product(CudaRuntime&, Workspace& workspace, LinearPlans& plans,
                     const BatchedProduct& product) {
  MatrixProduct transposed;
  transposed.dtype = product.dtype;
  transposed.d_dtype = product.c_dtype;
  transposed.transpose_a = product.transpose_b;
  transposed.m = product.n;
  transposed.n = product.m;
  transposed.k = product.k;
  transposed.a = product.b;
  transposed.a_stride = product.ldb;
  transposed.a_step = product.stride_b;
  transposed.b = product.a;
  transposed.b_stride = product.lda;
  transposed.b_step = product.stride_a;
  transposed.d = product.c;
  transposed.d_stride = product.ldc;
  transposed.d_step = product.stride_c;
  transposed.count = product.count;
  transposed.alpha = static_cast<float>(product.alpha);
  PSAGEN_CHECK(multiply(plans, workspace, transposed), ErrorCode::kUnsupported,
               "cuBLAS has no algorithm for ", product.count, " products of ", product.m, " x ",
               product.k, " and ", product.k, " x ", product.n, " in ", dtype_name(product.dtype));
}

}  // namespace psagen::kernels::cuda
