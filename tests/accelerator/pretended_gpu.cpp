#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

namespace py = pybind11;
using at::Tensor;
using c10::IValue;

namespace {

// The pretended device: one per process.
c10::DeviceType kind = c10::DeviceType::CUDA;
c10::DispatchKey key = c10::DispatchKey::CUDA;
bool is_mps = false;
c10::Device gpu() { return c10::Device(kind, 0); }

// ---- what is counted -------------------------------------------------------------------------------------------
std::atomic<int64_t> kernels{0}, waits{0}, to_gpu{0}, to_cpu{0}, to_gpu_bytes{0}, to_cpu_bytes{0};
std::atomic<int64_t> in_use{0}, peak{0};
PyObject* listener = nullptr;  // called with (event, operator, bytes) while set; owned

void tell(const char* event, const std::string& op, int64_t bytes) {
  if (!listener) return;
  py::gil_scoped_acquire gil;
  if (!listener) return;
  PyObject* r = PyObject_CallFunction(listener, "ssL", event, op.c_str(), (long long)bytes);
  if (r) Py_DECREF(r); else PyErr_Clear();
}

// ---- memory: the CPU's, said to be the device's ------------------------------------------------------------------
void used(int64_t bytes) {
  int64_t now = (in_use += bytes), high = peak.load();
  while (now > high && !peak.compare_exchange_weak(high, now)) {}
}
struct Block { void* p; size_t n; };
void release(void* context) {
  auto* b = static_cast<Block*>(context);
  used(-int64_t(b->n));
  c10::free_cpu(b->p);
  delete b;
}
struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = n ? c10::alloc_cpu(n) : nullptr;
    used(n);
    return {p, new Block{p, n}, &release, gpu()};
  }
  void copy_data(void* to, const void* from, std::size_t n) const override { default_copy_data(to, from, n); }
};
Memory memory;

// A storage on another device that shares the memory of `s` and keeps it alive.
struct Share { c10::Storage s; int64_t counted; };
void unshare(void* context) {
  auto* share = static_cast<Share*>(context);
  used(-share->counted);
  delete share;
}
c10::Storage shared_storage(const c10::Storage& s, c10::Device where, c10::Allocator* allocator, bool resizable) {
  void* p = s.unsafeGetStorageImpl()->mutable_data();
  const int64_t counted = where.type() == kind ? s.nbytes() : 0;  // what a CPU kernel made is device memory from now on
  used(counted);
  at::DataPtr data(p, new Share{s, counted}, &unshare, where);
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), s.nbytes(), std::move(data), allocator, resizable));
}

Tensor tensor_over(c10::Storage storage, const Tensor& like, c10::DispatchKey k) {
  Tensor r = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(k), like.dtype());
  auto* impl = r.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.is_conj()) impl->_set_conj(true);
  if (like.is_neg()) impl->_set_neg(true);
  if (like.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  return r;
}

bool ours(const Tensor& t) { return t.defined() && t.device().type() == kind; }
bool others(const Tensor& t) { return t.defined() && t.device().type() != kind; }

const char* no_double =
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead.";
void check_dtype(at::ScalarType t) {
  TORCH_CHECK_TYPE(!is_mps || t != at::kDouble, no_double);
  TORCH_CHECK_TYPE(!is_mps || t != at::kComplexDouble,
      "Trying to convert ComplexDouble to the MPS backend but it does not have support for that dtype.");
}

// ---- random numbers: a CPU generator behind the device's name ----------------------------------------------------
struct Dice final : c10::GeneratorImpl {
  explicit Dice(uint64_t seed = c10::default_rng_seed_val)
      : GeneratorImpl(gpu(), c10::DispatchKeySet(key)), seed_(seed), cpu(at::detail::createCPUGenerator(mixed(seed))) {}
  static uint64_t mixed(uint64_t seed) {  // splitmix64: another stream than the CPU's with this seed
    uint64_t z = seed + 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  void set_current_seed(uint64_t seed) override { seed_ = seed; cpu.set_current_seed(mixed(seed)); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return seed_; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return seed_;
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {  // longer than the CPU's, so never taken for it
    Tensor seed = at::empty({8}, at::kByte);
    std::memcpy(seed.mutable_data_ptr(), &seed_, 8);
    return at::cat({cpu.get_state(), seed}).getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    at::detail::check_rng_state(state);
    auto t = Tensor(state.shallow_copy_and_detach(c10::VariableVersion(0), true));
    int64_t n = cpu.get_state().numel();
    TORCH_CHECK(t.numel() == n + 8, "RNG state is wrong size");
    std::memcpy(&seed_, t.const_data_ptr<uint8_t>() + n, 8);
    cpu.set_state(t.narrow(0, 0, n).clone());
  }
  Dice* clone_impl() const override {
    auto* twin = new Dice(seed_);
    twin->cpu.set_state(cpu.get_state());
    return twin;
  }
  uint64_t seed_;
  at::Generator cpu;
};
at::Generator& default_dice() {
  static at::Generator g = at::make_generator<Dice>();
  return g;
}

// ---- the guard: device, streams and events, none of which do anything --------------------------------------------
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kind; }
  c10::Device exchangeDevice(c10::Device) const override { return gpu(); }
  c10::Device getDevice() const override { return gpu(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream stream() const { return c10::Stream(c10::Stream::DEFAULT, gpu()); }
  c10::Stream getStream(c10::Device) const override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  double elapsedTime(void*, void*, const c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

// ---- the hooks: what PyTorch asks a backend outside of kernels ----------------------------------------------------
#define COMMON_HOOKS                                                                       \
  void init() const override {}                                                            \
  bool isBuilt() const override { return true; }                                           \
  bool isAvailable() const override { return true; }                                       \
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }                 \
  c10::DeviceIndex deviceCount() const override { return 1; }                              \
  void setCurrentDevice(c10::DeviceIndex) const override {}                                \
  c10::DeviceIndex getCurrentDevice() const override { return 0; }                         \
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }           \
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }      \
  bool isPinnedPtr(const void*) const override { return false; }                           \
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); } \
  c10::Device getDeviceFromPtr(void*) const override { return gpu(); }                     \
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_dice(); } \
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Dice>(); }

struct CudaHooks final : at::CUDAHooksInterface {
  COMMON_HOOKS
  bool hasCUDA() const override { return true; }
  bool hasCUDART() const override { return true; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::Allocator* getCUDADeviceAllocator() const override { return &memory; }
  int getNumGPUs() const override { return 1; }
  std::string showConfig() const override { return "pretended CUDA"; }
  void deviceSynchronize(c10::DeviceIndex) const override {}
};
struct MpsHooks final : at::MPSHooksInterface {
  COMMON_HOOKS
  bool hasMPS() const override { return true; }
  bool isOnMacOSorNewer(unsigned, unsigned) const override { return true; }
  c10::Allocator* getMPSDeviceAllocator() const override { return &memory; }
  void deviceSynchronize() const override {}
  void commitStream() const override {}
  void emptyCache() const override {}
  size_t getCurrentAllocatedMemory() const override { return in_use; }
  size_t getDriverAllocatedMemory() const override { return in_use; }
  size_t getRecommendedMaxMemory() const override { return size_t(8) << 30; }
};
struct NoCudaHooks final : at::CUDAHooksInterface {  // beside MPS there must be none, though this PyTorch was built with it
  bool hasPrimaryContext(c10::DeviceIndex) const override { return false; }
};
// PyTorch keeps its hooks in an object that is made once, perhaps already. Both classes have no members, so giving that
// object another table of virtual functions turns it into ours.
template <class Mine, class Base>
void replace_hooks(const Base& theirs) {
  static Mine* mine = new Mine();
  *reinterpret_cast<void**>(const_cast<Base*>(&theirs)) = *reinterpret_cast<void**>(static_cast<Base*>(mine));
}

// ---- kernels ------------------------------------------------------------------------------------------------------
std::unordered_set<std::string> lenient;   // operators that check devices themselves (TensorIterator, foreach)
std::unordered_set<std::string> fell_back; // MPS: operators said to run on the CPU, warned of once

std::string full_name(const c10::OperatorHandle& op) {
  const auto& n = op.operator_name();
  return n.overload_name.empty() ? n.name : n.name + "." + n.overload_name;
}
bool starts(const std::string& s, const char* with) { return s.rfind(with, 0) == 0; }

template <class F>
void each_tensor(const IValue& v, F f) {
  if (v.isTensor()) {
    f(v.toTensor());
  } else if (v.isTensorList()) {
    for (const Tensor& t : v.toTensorVector()) f(t);
  } else if (v.isOptionalTensorList()) {
    for (const std::optional<Tensor>& t : v.toOptionalTensorList()) if (t) f(*t);
  } else if (v.isList()) {
    for (const IValue& one : v.toListRef()) if (one.isTensor()) f(one.toTensor());
  }
}

// Raises where the kernel would find tensors on different devices.
void check_devices(const std::string& name, const c10::FunctionSchema& schema, const IValue* args) {
  const size_t n = schema.arguments().size();
  bool any = false, foreign = false;
  for (size_t i = 0; i < n; ++i)
    each_tensor(args[i], [&](const Tensor& t) { any |= ours(t); foreign |= others(t); });
  if (!any || !foreign) return;
  const bool indexing = starts(name, "aten::index.") || starts(name, "aten::_unsafe_index.") ||
      starts(name, "aten::index_put") || starts(name, "aten::_index_put_impl_") ||
      starts(name, "aten::_unsafe_index_put");
  if (indexing) {
    const bool on_gpu = ours(args[0].toTensor());
    each_tensor(args[1], [&](const Tensor& t) {
      TORCH_CHECK(on_gpu || !ours(t), "indices should be either on ", args[0].toTensor().device(),
          " or on the same device as the indexed tensor (", args[0].toTensor().device(), ")");
    });
    for (size_t i = 2; i < n; ++i)
      each_tensor(args[i], [&](const Tensor& t) {
        TORCH_CHECK(ours(t) == on_gpu || (t.dim() == 0 && !ours(t)),
            "Expected all tensors to be on the same device, but found at least two devices, ", gpu(), " and cpu!");
      });
    return;
  }
  const bool scalars = lenient.count(name);
  for (size_t i = 0; i < n; ++i) {
    const auto& a = schema.arguments()[i];
    const bool written = a.alias_info() && a.alias_info()->isWrite();
    each_tensor(args[i], [&](const Tensor& t) {
      if (!others(t) || (scalars && t.dim() == 0 && !written)) return;
      TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two devices, ", gpu(),
          " and ", t.device(), "! (when checking argument for argument ", a.name(), " in method wrapper_",
          is_mps ? "MPS_" : "CUDA_", name, ")");
    });
  }
}

void check_integers(const std::string& name, const IValue* args) {
  static const std::unordered_set<std::string> products{
      "aten::mm", "aten::mm.out", "aten::bmm", "aten::bmm.out", "aten::addmm", "aten::addmm.out", "aten::addmm_",
      "aten::baddbmm", "aten::baddbmm.out", "aten::addmv", "aten::addmv.out", "aten::dot", "aten::mv",
      "aten::_addmm_activation", "aten::_addmm_activation.out"};
  if (!is_mps && products.count(name) && args[0].isTensor()) {
    auto t = args[0].toTensor().scalar_type();
    TORCH_CHECK_NOT_IMPLEMENTED(!c10::isIntegralType(t, true), "\"addmm_cuda\" not implemented for '", c10::toString(t), "'");
  }
}

// A GPU's rounding, if asked for. TF32: convolutions read 10 bits of mantissa (cuDNN's default from Ampere on). Jitter:
// sums that are gathered by atomic additions end in another order each time, here in a random last bit.
bool tf32 = false, jitter = false;
Tensor to_tf32(const Tensor& t) {
  if (!t.defined() || t.scalar_type() != at::kFloat || t.dim() < 3) return t;
  Tensor bits = t.clone().view(at::kInt);
  return bits.add_(1 << 12).bitwise_and_(~((1 << 13) - 1)).view(at::kFloat);
}
Tensor shaken(const Tensor& t) {
  static at::Generator g = at::detail::createCPUGenerator(1);
  if (!t.defined() || t.scalar_type() != at::kFloat) return t;
  return t.mul_(at::empty_like(t).uniform_(1 - 1.2e-7, 1 + 1.2e-7, g));
}

// The kernel of every operator: the CPU's, on the same memory.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const size_t n = schema.arguments().size(), base = stack->size() - n;
  const std::string name = full_name(op);
  check_devices(name, schema, stack->data() + base);
  check_integers(name, stack->data() + base);

  std::unordered_map<const c10::StorageImpl*, c10::Storage> cpu_of;   // device storage -> CPU storage
  std::unordered_map<const c10::StorageImpl*, c10::Storage> home_of;  // CPU storage -> device storage
  std::vector<std::pair<Tensor, Tensor>> written;                     // device tensor, its CPU twin
  std::vector<IValue> before(stack->begin() + base, stack->end());

  auto twin = [&](const Tensor& t, bool write) -> Tensor {
    if (!ours(t)) return t;
    auto* s = t.storage().unsafeGetStorageImpl();
    auto found = cpu_of.find(s);
    if (found == cpu_of.end()) {
      auto made = shared_storage(t.storage(), c10::Device(c10::kCPU), c10::GetCPUAllocator(), true);
      home_of.emplace(made.unsafeGetStorageImpl(), t.storage());
      found = cpu_of.emplace(s, std::move(made)).first;
    }
    Tensor r = tensor_over(found->second, t, c10::DispatchKey::CPU);
    if (write) written.emplace_back(t, r);
    return r;
  };

  bool any = false, foreign = false;
  for (const auto& v : before) each_tensor(v, [&](const Tensor& t) { any |= ours(t); foreign |= others(t); });
  Dice* dice = nullptr;
  bool takes_generator = false;
  for (size_t i = 0; i < n; ++i) {
    IValue& v = (*stack)[base + i];
    const auto& a = schema.arguments()[i];
    const bool write = a.alias_info() && a.alias_info()->isWrite();
    if (v.isTensor()) {
      v = twin(v.toTensor(), write);
    } else if (v.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : v.toTensorVector()) list.push_back(twin(t, write));
      v = std::move(list);
    } else if (v.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& t : v.toOptionalTensorList())
        list.push_back(t ? std::optional<Tensor>(twin(*t, write)) : std::nullopt);
      v = std::move(list);
    } else if (v.isDevice()) {
      if (v.toDevice().type() == kind) v = c10::Device(c10::kCPU);
    }
    if (a.type()->str() == "Generator?" || a.type()->str() == "Generator") {
      takes_generator = true;
      at::Generator g = v.isGenerator() && v.toGenerator().defined() ? v.toGenerator() : default_dice();
      TORCH_CHECK(g.device().type() == kind, "Expected a '", is_mps ? "mps" : "cuda",
          "' device type for generator but found '", g.device().type(), "'");
      TORCH_CHECK(any || !foreign, "Expected a 'cpu' device type for generator but found '", is_mps ? "mps" : "cuda", "'");
      v = static_cast<Dice*>(g.unsafeGetGeneratorImpl())->cpu;
    }
  }
  if (!takes_generator && op.hasTag(at::Tag::nondeterministic_seeded))
    dice = static_cast<Dice*>(default_dice().unsafeGetGeneratorImpl());

  {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    Tensor saved;
    const bool convolves = starts(name, "aten::convolution") || starts(name, "aten::_convolution");
    if (tf32 && convolves)
      for (size_t i = 0; i < n; ++i)
        if ((*stack)[base + i].isTensor()) (*stack)[base + i] = to_tf32((*stack)[base + i].toTensor());
    at::Generator host = at::detail::getDefaultCPUGenerator();
    if (dice) { saved = host.get_state(); host.set_state(dice->cpu.get_state()); }
    try {
      op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    } catch (...) {
      if (dice) host.set_state(saved);
      throw;
    }
    if (dice) { dice->cpu.set_state(host.get_state()); host.set_state(saved); }
  }

  static const std::unordered_set<std::string> atomic{
      "aten::convolution_backward", "aten::index_add", "aten::index_add_", "aten::scatter_add", "aten::scatter_add_",
      "aten::embedding_dense_backward", "aten::grid_sampler_2d_backward", "aten::native_batch_norm_backward"};
  if (jitter && atomic.count(name))
    for (IValue* v = &stack->back(); v > &stack->back() - schema.returns().size(); --v)
      if (v->isTensor()) shaken(v->toTensor());

  for (auto& [mine, cpu] : written) {  // out= may have been resized
    if (cpu.storage().data() != mine.storage().data() || cpu.storage().nbytes() != mine.storage().nbytes())
      mine.unsafeGetTensorImpl()->set_storage_keep_dtype(shared_storage(cpu.storage(), gpu(), &memory, true));
    if (cpu.sizes() != mine.sizes() || cpu.strides() != mine.strides() || cpu.storage_offset() != mine.storage_offset())
      mine.unsafeGetTensorImpl()->set_sizes_and_strides(cpu.sizes(), cpu.strides(), cpu.storage_offset());
  }

  bool is_view = false;
  auto home = [&](const Tensor& t) -> Tensor {
    if (!t.defined() || t.device().type() != c10::kCPU) return t;
    check_dtype(t.scalar_type());
    auto found = home_of.find(t.storage().unsafeGetStorageImpl());
    if (found != home_of.end()) { is_view = true; return tensor_over(found->second, t, key); }
    return tensor_over(shared_storage(t.storage(), gpu(), &memory, true), t, key);
  };
  const size_t m = schema.returns().size(), first = stack->size() - m;
  for (size_t j = 0; j < m; ++j) {
    IValue& v = (*stack)[first + j];
    const auto* alias = schema.returns()[j].alias_info();
    if (alias && alias->isWrite()) {
      for (size_t i = 0; i < n; ++i) {
        const auto* theirs = schema.arguments()[i].alias_info();
        if (theirs && theirs->isWrite() && theirs->beforeSets() == alias->beforeSets()) { v = before[i]; break; }
      }
    } else if (v.isTensor()) {
      v = home(v.toTensor());
    } else if (v.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : v.toTensorVector()) list.push_back(home(t));
      v = std::move(list);
    }
  }
  if (!is_view) { ++kernels; tell("kernel", name, 0); }
  static const std::unordered_set<std::string> waiting{
      "aten::nonzero", "aten::nonzero.out", "aten::masked_select", "aten::masked_select.out", "aten::_unique2",
      "aten::unique_dim", "aten::unique_consecutive", "aten::unique_dim_consecutive", "aten::equal", "aten::bincount",
      "aten::repeat_interleave.Tensor"};
  bool waited = waiting.count(name);
  if ((starts(name, "aten::index.") || starts(name, "aten::_index_put_impl_")) && before[1].isOptionalTensorList())
    for (const std::optional<Tensor>& t : before[1].toOptionalTensorList())  // masks are turned into indices first
      waited |= t && t->defined() && (t->scalar_type() == at::kBool || t->scalar_type() == at::kByte);
  if (waited) { ++waits; tell("wait", name, 0); }
  // CPU indices are copied to the device
  if (starts(name, "aten::index.") && before[1].isOptionalTensorList())
    for (const std::optional<Tensor>& t : before[1].toOptionalTensorList())
      if (t && others(*t)) { ++to_gpu; ++waits; to_gpu_bytes += t->nbytes(); tell("to_gpu", name, t->nbytes()); tell("wait", name, 0); }
}

void mps_runs_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (fell_back.insert(full_name(op)).second)
    TORCH_WARN("The operator '", full_name(op), "' is not currently supported on the MPS backend and will fall back to "
        "run on the CPU. This may have performance implications.");
  ++waits; tell("wait", full_name(op), 0);
  run_on_cpu(op, stack);
}
void mps_lacks(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "The operator '", full_name(op), "' is not currently implemented for the MPS device. "
      "As a temporary fix, you can set the environment variable `PYTORCH_ENABLE_MPS_FALLBACK=1` to use the CPU as a "
      "fallback for this op. WARNING: this will be slower than running natively on MPS.");
}
void cpu_lacks(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "pretend.py: '", full_name(op), "' has a GPU kernel, but no CPU kernel to stand in");
}

Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool> pin, std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  const auto t = c10::dtype_or_default(dtype);
  check_dtype(t);
  return Tensor(at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &memory, c10::DispatchKeySet(key), t, format));
}
Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool> pin) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  const auto t = c10::dtype_or_default(dtype);
  check_dtype(t);
  return Tensor(at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &memory,
      c10::DispatchKeySet(key), t));
}

Tensor cpu_twin(const Tensor& t) {
  if (!ours(t)) return t;
  return tensor_over(shared_storage(t.storage(), c10::Device(c10::kCPU), c10::GetCPUAllocator(), false), t, c10::DispatchKey::CPU);
}
Tensor& copy_(Tensor& self, const Tensor& from, bool non_blocking) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (self._is_zerotensor()) TORCH_CHECK(false, "ZeroTensors are immutable.");
  // The cast to the target's type happens on the device, also on the way to the CPU (Copy.mm). PyTorch 2.14 did not even
  // raise but left the CPU tensor as it was (pytorch#197715).
  TORCH_CHECK_TYPE(!is_mps || ours(self) || !ours(from) || self.scalar_type() == from.scalar_type() ||
          (self.scalar_type() != at::kDouble && self.scalar_type() != at::kComplexDouble),
      "Undefined type ", c10::toString(self.scalar_type()), " (from MPS to a CPU tensor of this type in one step: the cast "
      "is done on the device, which has no such type; move first, then cast: x.cpu().double())");
  if (ours(self) && ours(from)) { ++kernels; tell("kernel", "aten::copy_", 0); }
  else if (ours(self)) {  // unless non_blocking, PyTorch waits for the stream after the copy, and so for all kernels before it
    ++to_gpu; to_gpu_bytes += from.nbytes(); tell("to_gpu", "aten::copy_", from.nbytes());
    if (!non_blocking) { ++waits; tell("wait", "aten::copy_ to_gpu", 0); }
  }
  else { ++to_cpu; ++waits; to_cpu_bytes += from.nbytes(); tell("to_cpu", "aten::copy_", from.nbytes()); tell("wait", "aten::copy_", 0); }
  Tensor to = cpu_twin(self);
  to.copy_(cpu_twin(from));
  return self;
}
at::Scalar item(const Tensor& self) {
  ++waits; ++to_cpu; to_cpu_bytes += self.element_size();
  tell("wait", "aten::item", 0); tell("to_cpu", "aten::item", self.element_size());
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  return at::_local_scalar_dense(cpu_twin(self));
}

void grow(c10::StorageImpl* s, size_t bytes) {
  if (s->nbytes() >= bytes) return;
  auto bigger = memory.allocate(bytes);
  if (s->nbytes()) std::memcpy(bigger.get(), s->data(), s->nbytes());
  s->set_data_ptr_noswap(std::move(bigger));
  s->set_nbytes(bytes);
}
const Tensor& resize_(const Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(sizes);
  if (format) impl->empty_tensor_restride(*format);
  grow(self.storage().unsafeGetStorageImpl(),
       at::detail::computeStorageNbytes(self.sizes(), self.strides(), self.element_size(), self.storage_offset()));
  return self;
}
Tensor& set_storage(Tensor& self, c10::Storage s, c10::SymInt offset, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  TORCH_CHECK(s.device().type() == kind, "Attempted to set the storage of a tensor on device \"", self.device(),
      "\" to a storage on different device \"", s.device(), "\".");
  auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  auto strides = C10_AS_INTARRAYREF_SLOW(stride);
  impl->set_storage_keep_dtype(s);
  if (strides.size() == sizes.size()) impl->set_sizes_and_strides(sizes, strides, offset.expect_int());
  else { impl->set_storage_offset(offset.expect_int()); impl->set_sizes_contiguous(sizes); }
  grow(s.unsafeGetStorageImpl(),
       at::detail::computeStorageNbytes(self.sizes(), self.strides(), self.element_size(), self.storage_offset()));
  return self;
}
Tensor& set_source(Tensor& self, c10::Storage s) {
  int64_t n = s.nbytes() / self.element_size();
  return set_storage(self, s, 0, c10::SymIntArrayRef({c10::SymInt(n)}), {});
}
Tensor& set_tensor(Tensor& self, const Tensor& from) {
  TORCH_CHECK(ours(self) == ours(from), "Could not set tensor of a device to a tensor on another");
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(from.storage());
  self.unsafeGetTensorImpl()->set_sizes_and_strides(from.sizes(), from.strides(), from.storage_offset());
  return self;
}
Tensor& set_nothing(Tensor& self) {
  c10::Storage s(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), 0, memory.allocate(0), &memory, true));
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(s);
  self.unsafeGetTensorImpl()->set_sizes_contiguous({0});
  return self;
}
bool is_set_to(const Tensor& a, const Tensor& b) {
  return a.storage().unsafeGetStorageImpl() == b.storage().unsafeGetStorageImpl() &&
      a.storage_offset() == b.storage_offset() && a.sizes() == b.sizes() && a.strides() == b.strides();
}
// Attention would ask the driver which fused kernel to take: here it is always the plain formula, which differentiates.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& mask, double dropout,
    bool causal, std::optional<double> scale, bool gqa) {
  return std::get<0>(at::_scaled_dot_product_attention_math(q, k, v, mask, dropout, causal, std::nullopt, scale, gqa));
}

std::vector<torch::Library*> libraries;  // never destroyed: their destructors would have to run before PyTorch's

// names: operators to run on the CPU; falling: the same with MPS's warning; missing: those that raise
void install(const std::string& device, const std::vector<std::string>& names, const std::vector<std::string>& falling,
    const std::vector<std::string>& missing, const std::vector<std::string>& checks_itself) {
  is_mps = device == "mps";
  kind = is_mps ? c10::DeviceType::MPS : c10::DeviceType::CUDA;
  key = is_mps ? c10::DispatchKey::MPS : c10::DispatchKey::CUDA;
  lenient.insert(checks_itself.begin(), checks_itself.end());
  c10::SetAllocator(kind, &memory, 255);
  c10::impl::device_guard_impl_registry[static_cast<size_t>(kind)].store(new Guard());
  if (is_mps) {
    replace_hooks<MpsHooks>(at::detail::getMPSHooks());
    replace_hooks<NoCudaHooks>(at::detail::getCUDAHooks());
  } else {
    replace_hooks<CudaHooks>(at::detail::getCUDAHooks());
  }

  auto* lib = new torch::Library(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
  libraries.push_back(lib);
  static const std::unordered_set<std::string> own{
      "empty.memory_format", "empty_strided", "copy_", "_local_scalar_dense", "resize_", "set_", "set_.source_Storage",
      "set_.source_Storage_storage_offset", "set_.source_Tensor", "is_set_to", "scaled_dot_product_attention"};
  for (const auto& n : names)
    if (!own.count(n)) lib->impl(n.c_str(), torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
  for (const auto& n : falling)
    if (!own.count(n)) lib->impl(n.c_str(), torch::CppFunction::makeFromBoxedFunction<&mps_runs_on_cpu>());
  for (const auto& n : missing)
    if (!own.count(n)) {
      if (is_mps) lib->impl(n.c_str(), torch::CppFunction::makeFromBoxedFunction<&mps_lacks>());
      else lib->impl(n.c_str(), torch::CppFunction::makeFromBoxedFunction<&cpu_lacks>());
    }
  lib->impl("empty.memory_format", &empty);
  lib->impl("empty_strided", &empty_strided);
  lib->impl("copy_", &copy_);
  lib->impl("_local_scalar_dense", &item);
  lib->impl("resize_", &resize_);
  lib->impl("set_", &set_nothing);
  lib->impl("set_.source_Storage", &set_source);
  lib->impl("set_.source_Storage_storage_offset", &set_storage);
  lib->impl("set_.source_Tensor", &set_tensor);
  lib->impl("is_set_to", &is_set_to);
  for (auto k : {key, is_mps ? c10::DispatchKey::AutogradMPS : c10::DispatchKey::AutogradCUDA}) {
    auto* more = new torch::Library(torch::Library::IMPL, "aten", k, __FILE__, __LINE__);
    libraries.push_back(more);
    more->impl("scaled_dot_product_attention", &attention);
  }
  if (is_mps) {
    auto* rest = new torch::Library(torch::Library::IMPL, "_", key, __FILE__, __LINE__);
    libraries.push_back(rest);
    rest->fallback(torch::CppFunction::makeFromBoxedFunction<&mps_lacks>());
  }
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("install", &install);
  m.def("rounding", [](bool of_tf32, bool of_atomics) { tf32 = of_tf32; jitter = of_atomics; });
  m.def("default_generator", []() { return default_dice(); });
  m.def("listen", [](py::object f) {
    PyObject* old = listener;
    listener = f.is_none() ? nullptr : f.release().ptr();
    Py_XDECREF(old);
  });
  m.def("counts", []() {
    py::dict d;
    d["kernels"] = kernels.load(); d["waits"] = waits.load();
    d["to_gpu"] = to_gpu.load(); d["to_gpu_bytes"] = to_gpu_bytes.load();
    d["to_cpu"] = to_cpu.load(); d["to_cpu_bytes"] = to_cpu_bytes.load();
    return d;
  });
  m.def("memory", []() { return std::make_pair(in_use.load(), peak.load()); });
  m.def("reset_peak", []() { peak = in_use.load(); });
}
