#include "tiny_model.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "bf16.h"
#include "ops.h"

namespace lr::test {
namespace {

std::atomic<int> passed{0}, failed{0};

struct Size {
  uint64_t in, out;
};

constexpr uint64_t kHeads = 4, kKeyHeads = 2, kIntermediate = 80;

Size linear_size(const std::string& name, uint64_t head_dim) {
  const uint64_t q = kHeads * head_dim, kv = kKeyHeads * head_dim;
  if (name == "q_proj") return {kHidden, q};
  if (name == "k_proj" || name == "v_proj") return {kHidden, kv};
  if (name == "o_proj") return {q, kHidden};
  if (name == "down_proj") return {kIntermediate, kHidden};
  if (name == "qkv_proj") return {kHidden, q + 2 * kv};
  if (name == "gate_up_proj") return {kHidden, 2 * kIntermediate};
  return {kHidden, kIntermediate};
}

std::string module_name(int layer, const std::string& linear) {
  const bool mlp = linear == "gate_proj" || linear == "up_proj" || linear == "down_proj" || linear == "gate_up_proj";
  return "model.layers." + std::to_string(layer) + (mlp ? ".mlp." : ".self_attn.") + linear;
}

// The upper 16 bits of an IEEE half of a float without subnormals or overflow, rounded down: enough for a test's weights.
uint16_t half_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t exponent = (bits >> 23 & 0xFF);
  if (exponent < 113) return static_cast<uint16_t>(bits >> 16 & 0x8000);
  return static_cast<uint16_t>((bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 0x3FF));
}

StoredTensor random_tensor(const std::vector<int64_t>& shape, const std::string& dtype, uint64_t seed, float scale, float centre = 0) {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  StoredTensor tensor = {dtype, shape, ""};
  for (int64_t i = 0; i < count; ++i) {
    const float value = centre + scale * (2 * philox_uniform(seed, static_cast<uint64_t>(i)) - 1);
    const uint16_t narrow = dtype == "F16" ? half_of(value) : float_to_bf16(value);
    if (dtype == "F32") {
      tensor.bytes.append(reinterpret_cast<const char*>(&value), 4);
    } else {
      tensor.bytes.append(reinterpret_cast<const char*>(&narrow), 2);
    }
  }
  return tensor;
}

struct Description {
  const char* name;
  const char* model_type;
  const char* members;  // of config.json, beside the sizes
  bool tied = false, qkv_bias = false, other_bias = false, fused = false, qk_norm = false, gemma = false;
  int64_t head_dim = 12;
};

const Description& describe(Family family) {
  static const Description descriptions[] = {
      {.name = "llama", .model_type = "llama", .members = R"("rope_theta":1000.0)"},
      {.name = "llama with biases and llama3 RoPE", .model_type = "llama",
       .members = R"("attention_bias":true,"mlp_bias":true,"rope_parameters":{"rope_type":"llama3","rope_theta":500.0,"factor":4.0,
         "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32})",
       .qkv_bias = true, .other_bias = true},
      {.name = "llama with dynamic RoPE", .model_type = "llama",
       .members = R"("max_position_embeddings":8,"rope_scaling":{"type":"dynamic","factor":8.0})"},
      {.name = "llama with yarn", .model_type = "llama",
       .members = R"("rope_parameters":{"rope_type":"yarn","rope_theta":100.0,"factor":4.0,"original_max_position_embeddings":16})"},
      {.name = "mistral", .model_type = "mistral", .members = R"("sliding_window":5)"},
      {.name = "qwen2", .model_type = "qwen2", .members = R"("rope_theta":1000.0)", .tied = true, .qkv_bias = true},
      {.name = "qwen3", .model_type = "qwen3",
       .members = R"("use_sliding_window":true,"sliding_window":6,"max_window_layers":1,"rope_theta":1000.0)", .qk_norm = true},
      {.name = "gemma2", .model_type = "gemma2",
       .members = R"("sliding_window":4,"query_pre_attn_scalar":20,"attn_logit_softcapping":1.5,"final_logit_softcapping":4.0)",
       .tied = true, .gemma = true},
      {.name = "gemma3", .model_type = "gemma3_text",
       .members = R"("sliding_window":4,"sliding_window_pattern":2,"query_pre_attn_scalar":20,"rope_theta":5000.0,
         "rope_local_base_freq":100.0,"rope_scaling":{"rope_type":"linear","factor":4.0})",
       .tied = true, .qk_norm = true, .gemma = true},
      {.name = "phi3", .model_type = "phi3",
       .members = R"("partial_rotary_factor":0.5,"sliding_window":9,"original_max_position_embeddings":8,"rope_scaling":
         {"type":"su","short_factor":[1.0,1.1,1.2],"long_factor":[1.5,2.5,4.0]})",
       .fused = true},
      {.name = "llama with heads of 64", .model_type = "llama", .members = R"("rope_theta":1000.0)", .head_dim = 64},
      {.name = "qwen3 with heads of 64", .model_type = "qwen3", .members = R"("rope_theta":1000.0)", .qk_norm = true, .head_dim = 64},
  };
  return descriptions[static_cast<size_t>(family)];
}

}  // namespace

const std::vector<std::string> kAllLinears = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

const char* name_of(Family family) { return describe(family).name; }

const std::vector<std::string>& linears_of(Family family) {
  static const std::vector<std::string> fused = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"};
  return describe(family).fused ? fused : kAllLinears;
}

void expect(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED %s\n", what.c_str());
}

void expect_status(lr_context* context, lr_status got, lr_status wanted, const std::string& what, const std::string& mention) {
  const std::string message = lr_context_error(context);
  expect(got == wanted && message.find(mention) != std::string::npos,
         what + ": status " + std::to_string(got) + ", message \"" + message + "\"");
}

int finish() {
  std::printf("%d passed, %d failed\n", passed.load(), failed.load());
  return failed == 0 ? 0 : 1;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "lowrank-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string safetensors_bytes(const Tensors& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
  for (const auto& [name, tensor] : tensors) {
    header += ",\"" + name + "\":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) header += ',';
      header += std::to_string(tensor.shape[i]);
    }
    header += "],\"data_offsets\":[" + std::to_string(data.size()) + ",";
    data += tensor.bytes;
    header += std::to_string(data.size()) + "]}";
  }
  header += "}";
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + data;
}

void TinyModel::write(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  write_file(folder + "/config.json", config);
  write_file(folder + "/model.safetensors", safetensors_bytes(tensors));
}

TinyModel tiny_model(Family family, const std::string& dtype, int64_t layers) {
  const Description& d = describe(family);
  const std::string members = d.members;
  TinyModel model;
  model.config = std::string("{\"model_type\":\"") + d.model_type +
                 "\",\"vocab_size\":97,\"hidden_size\":48,\"intermediate_size\":80,\"num_hidden_layers\":" +
                 std::to_string(layers) +
                 ",\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":" + std::to_string(d.head_dim) + ",\"rms_norm_eps\":1e-5," +
                 (members.find("\"max_position_embeddings\"") == std::string::npos ? "\"max_position_embeddings\":64," : "") +
                 members + ",\"tie_word_embeddings\":" + (d.tied ? "true" : "false") + "}";
  uint64_t seed = 100;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape, float scale, float centre = 0) {
    model.tensors[name] = random_tensor(shape, dtype, ++seed, scale, centre);
  };
  const float norm_centre = d.gemma ? 0 : 1;  // gemma's norms multiply by 1 + w
  // Gemma multiplies embeddings by √48, and uses them again as the head.
  add("model.embed_tokens.weight", {kVocab, kHidden}, d.gemma ? 0.3f : 1.0f);
  add("model.norm.weight", {kHidden}, 0.2f, norm_centre);
  if (!d.tied) add("lm_head.weight", {kVocab, kHidden}, 0.4f);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer);
    std::vector<std::string> norms = {"input_layernorm", "post_attention_layernorm"};
    if (d.gemma) norms.insert(norms.end(), {"pre_feedforward_layernorm", "post_feedforward_layernorm"});
    for (const std::string& norm : norms) add(prefix + "." + norm + ".weight", {kHidden}, 0.2f, norm_centre);
    if (d.qk_norm)
      for (const char* norm : {"q_norm", "k_norm"}) add(prefix + ".self_attn." + norm + ".weight", {d.head_dim}, 0.2f, norm_centre);
    for (const std::string& linear : linears_of(family)) {
      const Size size = linear_size(linear, static_cast<uint64_t>(d.head_dim));
      add(module_name(layer, linear) + ".weight", {static_cast<int64_t>(size.out), static_cast<int64_t>(size.in)}, 0.3f);
      const bool qkv = linear == "q_proj" || linear == "k_proj" || linear == "v_proj";
      if (qkv ? d.qkv_bias : d.other_bias) add(module_name(layer, linear) + ".bias", {static_cast<int64_t>(size.out)}, 0.2f);
    }
  }
  return model;
}

Context make_context(uint32_t backend, uint32_t threads, uint32_t compute, uint32_t isa) {
  const lr_context_options options = {threads, backend, isa, compute};
  lr_context* context = nullptr;
  const lr_status status = lr_context_create(&options, &context);
  Context owner(context);
  check(context, status);
  return owner;
}

void check(lr_context* context, lr_status status) {
  if (status != LR_OK) throw std::runtime_error(std::to_string(status) + ": " + lr_context_error(context));
}

World::World(Family family, Context own, int64_t layers) : context(std::move(own)), head_dim(static_cast<uint64_t>(describe(family).head_dim)) {
  tiny_model(family, "F32", layers).write(folder.path("model"));
  check(context.get(), lr_base_quantize(context.get(), folder.path("model").c_str(), base_file().c_str(), nullptr, nullptr, nullptr,
                                         nullptr));
  lr_base* opened = nullptr;
  check(context.get(), lr_base_open(context.get(), base_file().c_str(), &opened));
  base.reset(opened);
}

AdapterHandle World::adapter(const std::vector<std::string>& linears, uint32_t rank, float dropout, std::vector<int> layers,
                             bool fresh, uint64_t seed) {
  if (layers.empty()) layers = {0, 1, 2};
  std::vector<std::string> names;
  for (const int layer : layers) {
    for (const std::string& linear : linears) names.push_back(module_name(layer, linear));
  }
  std::vector<lr_lora_target> targets;
  for (const std::string& name : names) targets.push_back({name.c_str(), rank, 2.0f, 0});
  const lr_adapter_options options = {dropout, LR_BIAS_NONE, LR_OPTIMIZER_ADAMW, LR_INIT_DEFAULT, 0, seed};
  lr_adapter* made = nullptr;
  check(context.get(), lr_adapter_create(base.get(), targets.data(), static_cast<uint32_t>(targets.size()), &options, &made));
  AdapterHandle owner(made);
  if (fresh) return owner;
  const std::vector<uint64_t> sizes = adapter_sizes(linears, rank, layers.size(), head_dim);
  for (uint32_t i = 1; i < sizes.size(); i += 2) {
    Floats b(sizes[i]);
    for (size_t j = 0; j < b.size(); ++j) b[j] = 0.2f * (2 * philox_uniform(seed + i, j) - 1);
    check(context.get(), lr_adapter_write(made, LR_WEIGHT, i, b.data(), b.size()));
  }
  return owner;
}

Packed::Packed(const std::vector<int>& lengths, uint64_t seed) : starts{0} {
  for (const int length : lengths) starts.push_back(starts.back() + length);
  for (int32_t t = 0; t < starts.back(); ++t) {
    tokens.push_back(static_cast<int32_t>(philox_uniform(seed, static_cast<uint64_t>(t)) * kVocab));
    const auto target = static_cast<int32_t>(philox_uniform(seed + 1000, static_cast<uint64_t>(t)) * kVocab);
    targets.push_back(t % 5 == 4 ? -100 : target);
  }
}

lr_batch Packed::batch() const {
  return {tokens.data(), targets.data(), starts.data(), size(), static_cast<uint32_t>(starts.size() - 1)};
}

std::vector<uint64_t> adapter_sizes(const std::vector<std::string>& linears, uint32_t rank, size_t layers, uint64_t head_dim) {
  std::vector<uint64_t> sizes;
  for (size_t layer = 0; layer < layers; ++layer) {
    for (const std::string& linear : linears) {
      sizes.push_back(rank * linear_size(linear, head_dim).in);
      sizes.push_back(rank * linear_size(linear, head_dim).out);
    }
  }
  return sizes;
}

Floats read_tensor(World& world, lr_adapter* adapter, uint32_t kind, uint32_t index, uint64_t size) {
  Floats values(size);
  check(world.context.get(), lr_adapter_read(adapter, kind, index, values.data(), size));
  return values;
}

Floats read_all(World& world, lr_adapter* adapter, uint32_t kind, const std::vector<uint64_t>& sizes) {
  Floats all;
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    const Floats tensor = read_tensor(world, adapter, kind, i, sizes[i]);
    all.insert(all.end(), tensor.begin(), tensor.end());
  }
  return all;
}

bool same_bytes(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double error_of(const Floats& got, const Floats& want) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(double{got[i]} - want[i], 2);
    size += std::pow(double{want[i]}, 2);
  }
  return std::sqrt(difference / size);
}

double distance(const Floats& got, const Floats& want) {
  double squares = 0, largest = 0;
  for (const float value : want) squares += double{value} * double{value};
  const double size = std::sqrt(squares / static_cast<double>(want.size())) + 1e-30;
  for (size_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::fabs(double{got[i]} - double{want[i]}) / size);
  return std::isnan(largest) || got.size() != want.size() ? INFINITY : largest;
}

}  // namespace lr::test
