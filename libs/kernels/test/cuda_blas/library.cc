// A library with the functions of cublasLt that src/native/cuda/cublaslt.cu calls, written from their documentation and the values in
// cublasLt.h, apart from ours: it computes on the machine, refuses what the real one refuses, and counts.
#include <cstdint>
#include <cstring>
#include <initializer_list>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Layout {
  int type;  // cudaDataType_t: 0 float, 14 bfloat16
  uint64_t rows, cols;
  int64_t stride;  // of a column
};
struct Desc {
  int compute, scale_type, transpose_a;
};
struct Preference {
  uint64_t workspace;
  uint32_t reductions;
  uint32_t alignments[4];
};
struct Algorithm {
  uint64_t id, splits, reduction, unused[5];
};
struct Result {
  Algorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Result) == 96);

enum Status { kOk = 0, kNotInitialized = 1, kInvalid = 7, kExecutionFailed = 13, kNotSupported = 15 };

float element(const Layout& layout, const void* data, int64_t row, int64_t col) {
  const int64_t place = row + col * layout.stride;
  if (layout.type == 0) return static_cast<const float*>(data)[place];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(data)[place]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void store(const Layout& layout, void* data, int64_t row, int64_t col, float value) {
  const int64_t place = row + col * layout.stride;
  if (layout.type == 0) {
    static_cast<float*>(data)[place] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  static_cast<uint16_t*>(data)[place] = static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

int handles;

}  // namespace

// What a test sets and reads.
EXPORT int fake_version, fake_create_status, fake_multiply_status, fake_offered, fake_live;
EXPORT int fake_heuristics, fake_products;
EXPORT uint64_t fake_algorithm;
EXPORT uint64_t fake_fewest_rows;  // of our a; what has less is refused by the check
int fake_version = 130002, fake_create_status = 0, fake_multiply_status = 0, fake_offered = 3, fake_live = 0;
int fake_heuristics = 0, fake_products = 0;
uint64_t fake_algorithm = 0;
uint64_t fake_fewest_rows = 0;

EXPORT size_t cublasLtGetVersion() { return static_cast<size_t>(fake_version); }
EXPORT int cublasLtCreate(void** handle) {
  *handle = &handles;
  ++fake_live;
  return fake_create_status;
}
EXPORT int cublasLtDestroy(void* handle) {
  --fake_live;
  return handle == &handles ? kOk : kNotInitialized;
}
EXPORT int cublasLtMatmulDescCreate(void** desc, int compute, int scale_type) {
  ++fake_live;
  *desc = new Desc{compute, scale_type, 0};
  return kOk;
}
EXPORT int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value, size_t bytes) {
  if (attribute != 3 || bytes != sizeof(int32_t)) return kInvalid;
  std::memcpy(&static_cast<Desc*>(desc)->transpose_a, value, bytes);
  return kOk;
}
EXPORT int cublasLtMatmulDescDestroy(void* desc) {
  --fake_live;
  delete static_cast<Desc*>(desc);
  return kOk;
}
EXPORT int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t cols, int64_t stride) {
  ++fake_live;
  *layout = new Layout{type, rows, cols, stride};
  return kOk;
}
EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
  --fake_live;
  delete static_cast<Layout*>(layout);
  return kOk;
}
EXPORT int cublasLtMatmulPreferenceCreate(void** preference) {
  ++fake_live;
  *preference = new Preference{0, 7, {256, 256, 256, 256}};
  return kOk;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {
  auto& p = *static_cast<Preference*>(preference);
  if (attribute == 1 && bytes == 8) {
    std::memcpy(&p.workspace, value, 8);
  } else if (attribute == 3 && bytes == 4) {
    std::memcpy(&p.reductions, value, 4);
  } else if (attribute >= 5 && attribute <= 8 && bytes == 4) {
    std::memcpy(&p.alignments[attribute - 5], value, 4);
  } else {
    return kInvalid;
  }
  return kOk;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
  --fake_live;
  delete static_cast<Preference*>(preference);
  return kOk;
}

EXPORT int cublasLtMatmulAlgoCheck(void* handle, void* desc, void* a, void* b, void* c, void* d, const Algorithm* algorithm, Result* result) {
  const Desc& operation = *static_cast<Desc*>(desc);
  const Layout &left = *static_cast<Layout*>(a), &right = *static_cast<Layout*>(b), &out = *static_cast<Layout*>(d);
  const uint64_t m = operation.transpose_a ? left.cols : left.rows, k = operation.transpose_a ? left.rows : left.cols;
  if (handle != &handles || c != d || operation.compute != 68 || operation.scale_type != 0) return kInvalid;
  if (left.type != right.type || (out.type != 0 && out.type != left.type)) return kInvalid;
  if (right.rows != k || out.rows != m || out.cols != right.cols) return kInvalid;
  for (const Layout* layout : {&left, &right, &out})
    if (layout->stride < static_cast<int64_t>(layout->rows)) return kInvalid;
  if (right.cols < fake_fewest_rows) return kNotSupported;
  *result = {*algorithm, algorithm->id * 1024, kOk, 1, {}};
  return kOk;
}
// Three of them: one that splits k, one that takes too much workspace when it is wanted for few rows, and one that does neither.
EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Result* results,
                                          int* found) {
  ++fake_heuristics;
  const auto& p = *static_cast<Preference*>(preference);
  if (p.reductions != 0 || p.workspace == 0) return kInvalid;
  for (const uint32_t alignment : p.alignments)
    if (alignment > 16) return kInvalid;
  const Algorithm offered[] = {{1, 4, 2, {}}, {uint64_t{1} << 30, 1, 0, {}}, {7, 1, 0, {}}};
  *found = fake_offered < wanted ? fake_offered : wanted;
  for (int i = 0; i < *found; ++i) {
    Result ignored;
    const int status = cublasLtMatmulAlgoCheck(handle, desc, a, b, c, d, &offered[i], &ignored);
    results[i] = {offered[i], 4096, status, 1, {}};
  }
  return kOk;
}
EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* value, size_t bytes, size_t*) {
  if ((attribute != 2 && attribute != 3) || bytes != 4) return kInvalid;
  const auto number = static_cast<uint32_t>(attribute == 2 ? algorithm->splits : algorithm->reduction);
  std::memcpy(value, &number, 4);
  return kOk;
}
EXPORT int cublasLtMatmul(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout,
                          const void* beta, const void* c, void* c_layout, void* d, void* d_layout, const Algorithm* algorithm,
                          void* workspace, size_t workspace_bytes, void*) {
  Result result;
  const int status = cublasLtMatmulAlgoCheck(handle, desc, a_layout, b_layout, c_layout, d_layout, algorithm, &result);
  if (status != kOk) return status;
  if (fake_multiply_status != kOk) return fake_multiply_status;
  if (workspace == nullptr || workspace_bytes < result.workspace || c != d) return kInvalid;
  std::memset(workspace, 0xFF, workspace_bytes);
  ++fake_products;
  fake_algorithm = algorithm->id;
  const Layout &left = *static_cast<Layout*>(a_layout), &right = *static_cast<Layout*>(b_layout), &out = *static_cast<Layout*>(d_layout);
  const bool transpose = static_cast<Desc*>(desc)->transpose_a != 0;
  for (uint64_t col = 0; col < out.cols; ++col)
    for (uint64_t row = 0; row < out.rows; ++row) {
      float sum = 0;
      for (uint64_t k = 0; k < right.rows; ++k)
        sum += (transpose ? element(left, a, static_cast<int64_t>(k), static_cast<int64_t>(row))
                          : element(left, a, static_cast<int64_t>(row), static_cast<int64_t>(k))) *
               element(right, b, static_cast<int64_t>(k), static_cast<int64_t>(col));
      const auto at_row = static_cast<int64_t>(row), at_col = static_cast<int64_t>(col);
      const float factor = *static_cast<const float*>(beta);
      store(out, d, at_row, at_col, *static_cast<const float*>(alpha) * sum + (factor == 0 ? 0 : factor * element(out, d, at_row, at_col)));
    }
  return kOk;
}
