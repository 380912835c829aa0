// A tiny random model written as a Hugging Face folder, and owners for the handles of the C interface.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lowrank_kernels.h"

namespace lr::test {

using Floats = std::vector<float>;

// One check with a name; counts it and prints what failed. From any thread.
void expect(bool passed, const std::string& what);
// expect() that a call returned `wanted`, and that its message mentions `mention`.
void expect_status(lr_context* context, lr_status got, lr_status wanted, const std::string& what, const std::string& mention = "");
// Prints the closing line; the exit code.
int finish();

// A folder under $TMPDIR that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& bytes);
std::string read_file(const std::string& path);

struct StoredTensor {
  std::string dtype;  // F32, F16, BF16; I8, U8 for codes
  std::vector<int64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, StoredTensor>;

std::string safetensors_bytes(const Tensors& tensors);

struct TinyModel {
  std::string config;
  Tensors tensors;
  void write(const std::string& folder) const;
};

// Every architecture, each with windows shorter than the tests' sequences and with a RoPE of its own where it has one.
enum class Family { LlamaPlain, LlamaBiased, LlamaDynamic, LlamaYarn, Mistral, Qwen2Tied, Qwen3, Gemma2, Gemma3, Phi3, LlamaWide, Qwen3Wide };
// Those of an architecture each; the last two have heads that attention reads in bfloat16.
constexpr Family kFamilies[] = {Family::LlamaPlain, Family::LlamaBiased, Family::LlamaDynamic, Family::LlamaYarn, Family::Mistral,
                                Family::Qwen2Tied,  Family::Qwen3,       Family::Gemma2,       Family::Gemma3,    Family::Phi3};
const char* name_of(Family family);
// Its linear layers by the last parts of their names.
const std::vector<std::string>& linears_of(Family family);
constexpr int64_t kVocab = 97, kHidden = 48, kLayers = 3;
// Ragged sizes on purpose: 4 query heads over 2 key heads of width 12, 80 intermediate, 97 tokens.
TinyModel tiny_model(Family family, const std::string& dtype = "F32", int64_t layers = kLayers);

template <typename T, void (*destroy)(T*)>
struct Destroyer {
  void operator()(T* handle) const { destroy(handle); }
};
using Context = std::unique_ptr<lr_context, Destroyer<lr_context, lr_context_destroy>>;
using BaseHandle = std::unique_ptr<lr_base, Destroyer<lr_base, lr_base_close>>;
using AdapterHandle = std::unique_ptr<lr_adapter, Destroyer<lr_adapter, lr_adapter_destroy>>;
using CacheHandle = std::unique_ptr<lr_cache, Destroyer<lr_cache, lr_cache_destroy>>;
using SessionHandle = std::unique_ptr<lr_session, Destroyer<lr_session, lr_session_destroy>>;
using Cancel = std::unique_ptr<lr_cancel, Destroyer<lr_cancel, lr_cancel_destroy>>;

Context make_context(uint32_t backend = LR_BACKEND_REFERENCE, uint32_t threads = 1, uint32_t compute = LR_COMPUTE_F32,
                     uint32_t isa = LR_ISA_AUTO);
// Throws std::runtime_error with the library's message when the status is not LR_OK.
void check(lr_context* context, lr_status status);

// A quantized tiny model and the context it lives in.
struct World {
  explicit World(Family family = Family::LlamaPlain, Context own = make_context(), int64_t layers = kLayers);
  TemporaryFolder folder;
  Context context;
  BaseHandle base;
  uint64_t head_dim;

  std::string base_file() const { return folder.path("base.lrb"); }
  // LoRA on the linears named here, in all layers or in those given; B filled with noise unless `fresh`.
  AdapterHandle adapter(const std::vector<std::string>& linears, uint32_t rank, float dropout = 0, std::vector<int> layers = {},
                        bool fresh = false, uint64_t seed = 7);
};

extern const std::vector<std::string> kAllLinears;

// Packed sequences of the given lengths with pseudo-random tokens; every fifth target is ignored.
struct Packed {
  explicit Packed(const std::vector<int>& lengths, uint64_t seed = 1);
  std::vector<int32_t> tokens, targets, starts;
  lr_batch batch() const;
  uint32_t size() const { return static_cast<uint32_t>(tokens.size()); }
};

// Number of elements of every tensor of an adapter made by World::adapter.
std::vector<uint64_t> adapter_sizes(const std::vector<std::string>& linears, uint32_t rank, size_t layers = kLayers, uint64_t head_dim = 12);
Floats read_tensor(World& world, lr_adapter* adapter, uint32_t kind, uint32_t index, uint64_t size);
// All tensors one after the other.
Floats read_all(World& world, lr_adapter* adapter, uint32_t kind, const std::vector<uint64_t>& sizes);

bool same_bytes(const Floats& a, const Floats& b);
// Largest difference relative to the root mean square of `want`.
double distance(const Floats& got, const Floats& want);
// The length of the difference, in that of what is wanted: single gradients of a small model are what rounding makes of them.
double error_of(const Floats& got, const Floats& want);

// The groups of cases, each in its own file.
void json_cases();
void checkpoint_cases();
void config_cases();
void base_cases();
void storage_cases();
void step_cases();
void bf16_cases();  // steps that compute in bfloat16
void gradient_cases();
void objective_cases();
void adapter_cases();
void method_cases();
void cache_cases();
void session_cases();

}  // namespace lr::test
