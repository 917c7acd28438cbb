#include "engine/pipeline/guided_model.h"

#include <array>

namespace psagen::engine {

using kernels::LinearTerm;

GuidedModel::GuidedModel(kernels::Ops& ops, const Dit& dit, const Shape& latent,
                         const AttentionConfig& attention, scheduler::GuidanceWeights guidance,
                         const TextContext& positive, const TextContext& negative,
                         AttentionProbe* probe)
    : dit_(dit),
      guidance_(guidance),
      positive_(positive),
      negative_(negative),
      activations_(ops, dit.config(), latent, attention, guidance.needs_negative() ? 2 : 1) {
  activations_.probe = probe;
  if (guidance_.needs_negative())
    negative_velocity_ = Tensor(ops.context().allocator(), DType::kF32, latent);
}

void GuidedModel::begin_forward(const StepPosition& position, std::int64_t forward) {
  activations_.density.begin_forward(forward);
  if (activations_.probe != nullptr) activations_.probe->begin_forward(position, forward);
}

void GuidedModel::operator()(kernels::Ops& ops, ConstTensorView latent, double timestep,
                             const StepPosition& position, TensorView velocity) {
  StepPosition own = position;
  own.num_forwards = guidance_.needs_negative() ? 2 : 1;
  begin_forward(own, 0);
  dit_.forward(ops, latent, timestep, own, positive_, activations_, velocity);
  if (!guidance_.needs_negative()) return;
  own.forward = 1;
  begin_forward(own, 1);
  dit_.forward(ops, latent, timestep, own, negative_, activations_, negative_velocity_);
  ops.linear_combination(std::array{LinearTerm{guidance_.positive, velocity},
                                    LinearTerm{guidance_.negative, negative_velocity_}},
                         velocity);
}

}  // namespace psagen::engine
