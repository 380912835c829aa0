#include "cublaslt.h"

#include <cstdlib>

#include "../model/error.h"
#include "library.h"

namespace lr::cuda {
namespace {

// Values of library_types.h, cublas_api.h and cublasLt.h.
constexpr int kFloat = 0, kBfloat16 = 14;                                       // cudaDataType_t
constexpr int kComputeFloat = 68;                                               // cublasComputeType_t: no TF32
constexpr int kTransposed = 1;                                                  // cublasOperation_t
constexpr int kOk = 0, kInvalid = 7, kMismatch = 8, kUnsupported = 15;           // cublasStatus_t
constexpr int kDescTransposeA = 3;                                              // cublasLtMatmulDescAttributes_t
constexpr int kPreferWorkspace = 1, kPreferReductions = 3, kPreferAlignments = 5;  // cublasLtMatmulPreferenceAttributes_t; 5, 6, 7, 8
constexpr int kConfigSplits = 2, kConfigReduction = 3;                          // cublasLtMatmulAlgoConfigAttributes_t
constexpr size_t kOldest = 120000, kTooNew = 140000;                            // cublasLtGetVersion: 10000 · major + 100 · minor + patch

constexpr int64_t kManyRows = 4096;  // for which algorithms are chosen
constexpr uint64_t kWorkspace = uint64_t{32} << 20;
constexpr uint32_t kAlignment = 16;
constexpr int kCandidates = 8;

struct AlgorithmData {
  uint64_t data[8];
};
struct Candidate {  // cublasLtMatmulHeuristicResult_t
  AlgorithmData algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

}  // namespace

struct CublasLt::Functions {
  size_t (*version)();
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*desc_create)(void** desc, int compute, int scale_type);
  int (*desc_set)(void* desc, int attribute, const void* value, size_t bytes);
  int (*desc_destroy)(void* desc);
  int (*layout_create)(void** layout, int type, uint64_t rows, uint64_t cols, int64_t stride);
  int (*layout_destroy)(void* layout);
  int (*preference_create)(void** preference);
  int (*preference_set)(void* preference, int attribute, const void* value, size_t bytes);
  int (*preference_destroy)(void* preference);
  int (*heuristic)(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Candidate* candidates, int* found);
  int (*check)(void* handle, void* desc, void* a, void* b, void* c, void* d, const AlgorithmData* algorithm, Candidate* result);
  int (*config)(const AlgorithmData* algorithm, int attribute, void* value, size_t bytes, size_t* written);
  int (*multiply)(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout, const void* beta,
                  const void* c, void* c_layout, void* d, void* d_layout, const AlgorithmData* algorithm, void* workspace, size_t workspace_bytes,
                  void* stream);
};

struct CublasLt::Algorithm {
  bool found = false;
  AlgorithmData data = {};
  size_t workspace = 0;
};

// A product of m rows as the library is told it. Its matrices are columns after columns, so it computes cᵀ [n, m] = bᵀ · aᵀ: what it
// calls A is our b, and what it calls B our a.
struct CublasLt::Description {
  Description(const Functions& functions, const LargeProduct& p, int64_t m) : call(functions) {
    const auto made = [&](int status) { good = good && status == kOk; };
    const int type = p.halves ? kBfloat16 : kFloat, transposed = kTransposed;
    const bool rows = p.right == Right::Rows;
    const int64_t k = p.k.all();
    made(call.desc_create(&desc, kComputeFloat, kFloat));
    if (good && rows) made(call.desc_set(desc, kDescTransposeA, &transposed, sizeof transposed));
    made(call.layout_create(&b, type, static_cast<uint64_t>(rows ? k : p.n), static_cast<uint64_t>(rows ? p.n : k), p.b_stride));
    made(call.layout_create(&a, type, static_cast<uint64_t>(k), static_cast<uint64_t>(m), p.a_stride));
    made(call.layout_create(&c, p.c.halves == nullptr ? kFloat : kBfloat16, static_cast<uint64_t>(p.n), static_cast<uint64_t>(m),
                            p.c.halves == nullptr ? p.n : p.c.stride));
  }
  ~Description() {
    for (void* layout : {a, b, c})
      if (layout != nullptr) call.layout_destroy(layout);
    if (desc != nullptr) call.desc_destroy(desc);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  const Functions& call;
  bool good = true;
  void *desc = nullptr, *a = nullptr, *b = nullptr, *c = nullptr;
};

CublasLt::CublasLt(const char* path) : state_(open(path)) {}

std::string CublasLt::open(const char* path) {
  LoadedLibrary library(path, {"libcublasLt.so.13", "libcublasLt.so.12"});
  auto found = std::make_unique<Functions>();
  const auto find = [&](auto& function, const char* name) { library.find(function, name); };
  find(found->version, "cublasLtGetVersion");
  find(found->create, "cublasLtCreate");
  find(found->destroy, "cublasLtDestroy");
  find(found->desc_create, "cublasLtMatmulDescCreate");
  find(found->desc_set, "cublasLtMatmulDescSetAttribute");
  find(found->desc_destroy, "cublasLtMatmulDescDestroy");
  find(found->layout_create, "cublasLtMatrixLayoutCreate");
  find(found->layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(found->preference_create, "cublasLtMatmulPreferenceCreate");
  find(found->preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(found->preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(found->heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(found->check, "cublasLtMatmulAlgoCheck");
  find(found->config, "cublasLtMatmulAlgoConfigGetAttribute");
  find(found->multiply, "cublasLtMatmul");
  if (!library.trouble().empty()) return "no cublasLt: " + library.trouble();
  const size_t version = found->version(), major = version / 10000, minor = version / 100 % 100, patch = version % 100;
  if (version < kOldest || version >= kTooNew) return format("no cublasLt: 12 and 13 are known here, not %zu.%zu.%zu", major, minor, patch);
  const int status = found->create(&handle_);
  if (status != kOk) return format("no cublasLt: %zu.%zu.%zu gives no handle (status %d)", major, minor, patch, status);
  call_ = std::move(found);
  return format("cublasLt %zu.%zu.%zu", major, minor, patch);
}

CublasLt::~CublasLt() {
  if (call_ != nullptr) call_->destroy(handle_);
}

const CublasLt::Algorithm& CublasLt::algorithm_for(const LargeProduct& p) {
  const std::lock_guard<std::mutex> lock(lock_);
  const auto [place, is_new] = algorithms_.try_emplace(Key{p.halves, p.right, p.n, p.k.own, p.add, p.c.halves != nullptr});
  Algorithm& algorithm = place->second;
  if (!is_new) return algorithm;
  LargeProduct plain = p;
  plain.k = p.k.own;
  const auto stride = [&](int64_t cols) { return p.halves ? halves_stride(cols) : cols; };
  plain.a_stride = stride(p.k.own);
  plain.b_stride = stride(p.right == Right::Rows ? p.k.own : p.n);
  plain.c.stride = p.n;
  const Description many(*call_, plain, kManyRows), one(*call_, plain, 1);
  void* preference = nullptr;
  if (!many.good || !one.good || call_->preference_create(&preference) != kOk) return algorithm;
  const uint32_t unsplit = 0;
  call_->preference_set(preference, kPreferWorkspace, &kWorkspace, sizeof kWorkspace);
  call_->preference_set(preference, kPreferReductions, &unsplit, sizeof unsplit);
  for (int matrix = 0; matrix < 4; ++matrix) call_->preference_set(preference, kPreferAlignments + matrix, &kAlignment, sizeof kAlignment);
  Candidate candidates[kCandidates];
  int count = 0;
  if (call_->heuristic(handle_, many.desc, many.b, many.a, many.c, many.c, preference, kCandidates, candidates, &count) != kOk) count = 0;
  call_->preference_destroy(preference);
  for (int i = 0; i < count && !algorithm.found; ++i) {
    const Candidate& candidate = candidates[i];
    int32_t splits = 0;
    uint32_t reduction = 0;
    Candidate alone = {};
    const auto read = [&](int attribute, auto& value) { return call_->config(&candidate.algorithm, attribute, &value, sizeof value, nullptr) == kOk; };
    algorithm.found = candidate.status == kOk && read(kConfigSplits, splits) && splits <= 1 && read(kConfigReduction, reduction) && reduction == 0 &&
                      call_->check(handle_, one.desc, one.b, one.a, one.c, one.c, &candidate.algorithm, &alone) == kOk &&
                      std::max(candidate.workspace, alone.workspace) <= kWorkspace;
    algorithm.data = candidate.algorithm;
    algorithm.workspace = std::max(candidate.workspace, alone.workspace);
  }
  return algorithm;
}

bool CublasLt::multiply(const Run& run, const LargeProduct& p) {
  const int64_t each = kAlignment / (p.halves ? 2 : 4);
  const auto fits = [](const void* address) { return reinterpret_cast<uintptr_t>(address) % kAlignment == 0; };
  void* c = p.c.halves == nullptr ? static_cast<void*>(p.c.floats) : p.c.halves;
  if (call_ == nullptr || !fits(p.a) || !fits(p.b) || !fits(c) || p.a_stride % each != 0 || p.b_stride % each != 0 || p.n % 4 != 0) return false;
  const Algorithm& algorithm = algorithm_for(p);
  if (!algorithm.found) return false;
  const Description given(*call_, p, p.m);
  if (!given.good) return false;
  Moment moment(run);
  void* workspace = algorithm.workspace == 0 ? nullptr : moment.take<char>(static_cast<int64_t>(algorithm.workspace));
  const float alpha = 1, beta = p.add ? 1 : 0;
#if !defined(__CUDACC__)
  const emulator::OpenMemory open;
#endif
  const int status = call_->multiply(handle_, given.desc, &alpha, p.b, given.b, p.a, given.a, &beta, c, given.c, c, given.c, &algorithm.data,
                                     workspace, algorithm.workspace, stream_of(run.device));
  if (status == kInvalid || status == kMismatch || status == kUnsupported) return false;
  if (status != kOk) give_up(run.device, "cublasLt was asked for a product", status);
  return true;
}

CublasLt& cublaslt() {
  const char* path = std::getenv("LOWRANK_CUBLASLT");
#if !defined(__CUDACC__)
  if (path == nullptr) path = "off";  // NVIDIA's own cannot reach the memory of an emulated device
#endif
  static CublasLt library(path);
  return library;
}

}  // namespace lr::cuda
