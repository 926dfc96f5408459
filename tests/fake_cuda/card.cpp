// A CUDA device without kernels, for fake tensors on a CPU build of torch: hooks and a device guard that do nothing.
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <ATen/detail/CUDAHooksInterface.h>
namespace at {
struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  bool hasCuDNN() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex deviceCount() const override { return 8; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  int getNumGPUs() const override { return 8; }
  long versionCuDNN() const override { return 91000; }
};
using at::CUDAHooksRegistry; using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks)
}
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static thread_local c10::DeviceIndex cur;
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device d(c10::DeviceIndex i) const { return c10::Device(c10::DeviceType::CUDA, i); }
  c10::Device exchangeDevice(c10::Device n) const override { auto o = cur; cur = n.index(); return d(o); }
  c10::Device getDevice() const override { return d(cur); }
  void setDevice(c10::Device n) const override { cur = n.index(); }
  void uncheckedSetDevice(c10::Device n) const noexcept override { cur = n.index(); }
  c10::Stream getStream(c10::Device n) const override { return c10::Stream(c10::Stream::DEFAULT, n); }
  c10::Stream exchangeStream(c10::Stream s) const override { return c10::Stream(c10::Stream::DEFAULT, s.device()); }
  c10::DeviceIndex deviceCount() const noexcept override { return 8; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
thread_local c10::DeviceIndex Guard::cur = 0;
static Guard guard;
static int done = (c10::impl::device_guard_impl_registry[(size_t)c10::DeviceType::CUDA].store(&guard), 0);
