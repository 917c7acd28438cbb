#include "kernels/cuda/nvtx_ranges.h"

#include <nvtx3/nvToolsExt.h>

namespace psagen::kernels::cuda {
namespace {

class NvtxRanges final : public RangeMarker {
 public:
  explicit NvtxRanges(nvtxDomainHandle_t domain) : domain_(domain) {}
  ~NvtxRanges() override { nvtxDomainDestroy(domain_); }

  void begin(const char* name) override {
    nvtxEventAttributes_t event{};
    event.version = NVTX_VERSION;
    event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    event.messageType = NVTX_MESSAGE_TYPE_ASCII;
    event.message.ascii = name;
    nvtxDomainRangePushEx(domain_, &event);
  }
  void end() override { nvtxDomainRangePop(domain_); }

 private:
  nvtxDomainHandle_t domain_;
};

}  // namespace

std::unique_ptr<RangeMarker> make_nvtx_ranges() {
  const nvtxDomainHandle_t domain = nvtxDomainCreateA("psa-gen");
  if (domain == nullptr) return nullptr;
  return std::make_unique<NvtxRanges>(domain);
}

}  // namespace psagen::kernels::cuda
