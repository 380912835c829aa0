// NVIDIA's matrix products, where its library lies on the machine: it is looked for when the first product wants it, and nothing is
// linked or included of it. Declarations are those of cublasLt.h of CUDA 12 and 13, which do not differ in what is used here.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "kernels/products.h"

namespace lr::cuda {

// c[m, n] = or += a[m, k] · b, as product_bf16, with operands in bfloat16 or in floats; strides in elements. c may be in bfloat16 where they are.
struct LargeProduct {
  bool halves;
  const void* a;
  int64_t a_stride;
  const void* b;
  int64_t b_stride;
  Right right;
  OperandOut c;
  int64_t m, n;
  Depth k;
  bool add;
};

class CublasLt {
 public:
  // `path`: the library; null: the names it has where CUDA is installed.
  explicit CublasLt(const char* path);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // False, and nothing done, where there is no library, or none that this was written for, or it has no algorithm for the product. The
  // algorithm for a pair of n and k.own is chosen once, for many rows and without splitting k, and then serves any number of rows and whatever
  // stands behind k.own: which one it is depends on nothing else that is computed. Throws Error(LR_DEVICE_FAILED) when a product could not be started.
  bool multiply(const Run& run, const LargeProduct& product);
  // What was found: "cublasLt 13.0.2", or why it is not used.
  const std::string& state() const { return state_; }

 private:
  struct Functions;
  struct Description;
  struct Algorithm;
  using Key = std::tuple<bool, Right, int64_t, int64_t, bool, bool>;
  std::string open(const char* path);
  const Algorithm& algorithm_for(const LargeProduct& product);

  std::unique_ptr<Functions> call_;
  void* handle_ = nullptr;
  std::string state_;
  std::mutex lock_;
  std::map<Key, Algorithm> algorithms_;
};

// That of this process, unless LOWRANK_CUBLASLT is `off`; it may be the path of a library.
CublasLt& cublaslt();

}  // namespace lr::cuda
