// The storages of a base, and checkpoints that bitsandbytes has quantized: made here from a tiny model, in bitsandbytes' layout.
#include <cmath>
#include <cstring>
#include <functional>

#include "model/storage.h"
#include "prequantized_model.h"

namespace lr::test {
namespace {

struct Kept {
  const char* name;
  lr_quantization quantization;
};
constexpr Kept kKept[] = {{"nf4 double", {LR_NF4, 1}}, {"nf4", {LR_NF4, 0}},   {"fp4 double", {LR_FP4, 1}}, {"fp4", {LR_FP4, 0}},
                          {"int8", {LR_INT8, 0}},      {"bf16", {LR_BF16, 0}}, {"f32", {LR_F32, 0}}};
constexpr uint64_t kLargest = 97 * 48 * 4;  // bytes of the largest tensor of a tiny model in full precision, the embedding

BaseHandle make_base(lr_context* context, const TemporaryFolder& folder, const TinyModel& model, const lr_quantization* quantization) {
  model.write(folder.path("model"));
  check(context, lr_base_quantize(context, folder.path("model").c_str(), folder.path("base.lrb").c_str(), quantization, nullptr,
                                  nullptr, nullptr));
  lr_base* base = nullptr;
  check(context, lr_base_open(context, folder.path("base.lrb").c_str(), &base));
  return BaseHandle(base);
}

std::string information(lr_base* base) {
  size_t needed = 0;
  lr_base_info(base, nullptr, 0, &needed);
  std::string json(needed, '\0');
  lr_base_info(base, json.data(), json.size(), &needed);
  return json;
}

Floats logits(lr_context* context, lr_base* base) {
  const Packed batch({9, 4}, 7);
  const lr_batch native = batch.batch();
  const lr_rows rows = {nullptr, 0, batch.size(), 1, 0};
  Floats out(batch.size() * static_cast<size_t>(kVocab));
  check(context, lr_logits(base, &native, &rows, 1, out.data()));
  return out;
}

uint64_t peak(lr_context* context, bool reset) {
  uint64_t current = 0, highest = 0;
  lr_context_memory(context, &current, &highest, reset ? 1 : 0);
  return reset ? current : highest;
}

void every_storage() {
  const TinyModel model = tiny_model(Family::LlamaPlain);
  Floats exact;
  for (int i = 6; i >= 0; --i) {  // f32 first: the others are measured against it
    const auto& [name, quantization] = kKept[i];
    const Context plain = make_context(), fast = make_context(LR_BACKEND_FAST, 2);
    const TemporaryFolder folder;
    const BaseHandle base = make_base(plain.get(), folder, model, &quantization);
    const Floats want = logits(plain.get(), base.get());
    if (exact.empty()) exact = want;
    const double off = distance(want, exact);
    // Largest error of a logit: of bfloat16, of rows of 8 bits, of blocks of 4 bits.
    const double allowed = quantization.format == LR_F32 ? 0 : quantization.format == LR_BF16 ? 0.1 : quantization.format == LR_INT8 ? 0.3 : 3;
    expect(off <= allowed && (off > 0) == (allowed > 0), std::string(name) + ": off the exact logits by " + std::to_string(off));
    const BaseHandle again = make_base(fast.get(), folder, model, &quantization);
    expect(distance(logits(fast.get(), again.get()), want) < 1e-4, std::string(name) + ": both backends agree");
  }
}

void other_dtypes() {
  // bf16 and f32 hold what the checkpoint has; halves are exact in f32 only.
  const auto run = [](const char* dtype, lr_format format) {
    const Context context = make_context();
    const TemporaryFolder folder;
    const lr_quantization quantization = {static_cast<uint32_t>(format), 0};
    const BaseHandle base = make_base(context.get(), folder, tiny_model(Family::LlamaBiased, dtype), &quantization);
    return logits(context.get(), base.get());
  };
  expect(same_bytes(run("BF16", LR_BF16), run("BF16", LR_F32)), "bf16 holds a bfloat16 checkpoint exactly");
  const double off = distance(run("F16", LR_BF16), run("F16", LR_F32));
  expect(off > 1e-3 && off < 0.2, "bf16 rounds a checkpoint of halves, by " + std::to_string(off));
}

// ---- checkpoints of bitsandbytes

const std::string kSkipped = "model.layers.1.mlp.up_proj";

TinyModel prequantized(lr_context* context, const lr_quantization& quantization, bool skip = false) {
  return prequantized(context, tiny_model(Family::LlamaBiased), quantization, skip ? kSkipped : "");
}

void taken_over() {
  for (int i = 0; i < 5; ++i) {
    const auto& [name, quantization] = kKept[i];
    const Context context = make_context();
    const TemporaryFolder folder;
    const BaseHandle ours = make_base(context.get(), folder, tiny_model(Family::LlamaBiased), &quantization);
    const Floats want = logits(context.get(), ours.get());
    const lr_quantization other = {LR_F32, 0};  // what the checkpoint is stands over what is asked for
    const BaseHandle base = make_base(context.get(), folder, prequantized(context.get(), quantization), &other);
    expect(same_bytes(logits(context.get(), base.get()), want), std::string(name) + ": a quantized checkpoint keeps its bytes");
    expect(information(base.get()).find("\"prequantized\":true") != std::string::npos, std::string(name) + ": and says so");

    const BaseHandle mixed = make_base(context.get(), folder, prequantized(context.get(), quantization, true), nullptr);
    const std::string said = information(mixed.get());
    expect(said.find("\"name\":\"" + kSkipped + "\",\"in\":48,\"out\":80,\"bias\":true,\"storage\":\"f32\"") != std::string::npos,
           std::string(name) + ": a layer that was left alone stays in full precision");
    expect(!same_bytes(logits(context.get(), mixed.get()), want), std::string(name) + ": and computes with more than its codes");
  }
}

// Only one tensor is ever held in full precision, and opening holds none.
void memory() {
  const TinyModel model = tiny_model(Family::LlamaPlain);
  const TemporaryFolder folder;
  for (const auto& [name, quantization] : kKept) {
    const Context context = make_context();
    // The working memory of the operations comes in blocks of 1 MiB: the first is taken before the measurement.
    TinyModel warm = model;
    quantize_layer(context.get(), warm, kSkipped, {LR_NF4, 1});
    const uint64_t before = peak(context.get(), true);
    const BaseHandle base = make_base(context.get(), folder, model, &quantization);
    const bool quantized = quantization.format < LR_BF16;
    // The values of a linear layer and their codes, or one piece of a tensor that is copied; scales of blocks or rows besides.
    const uint64_t linear = quantized ? 80 * 48 * 4 + 80 * 48 + 2048 : 0;
    const uint64_t held = peak(context.get(), false) - before;
    expect(held <= kLargest + linear + 1024, std::string(name) + ": quantizing held " + std::to_string(held) + " bytes");
    expect(peak(context.get(), true) - before <= 2048, std::string(name) + ": an open base holds next to nothing");
  }
}

void refusals() {
  const Context context = make_context();
  const TemporaryFolder folder;
  const std::string module = "model.layers.2.self_attn.o_proj", name = module + ".weight";
  const auto refused = [&](const lr_quantization& quantization, const std::function<void(TinyModel&)>& spoil, lr_status status,
                           const std::string& mention) {
    TinyModel model = prequantized(context.get(), quantization);
    spoil(model);
    model.write(folder.path("model"));
    expect_status(context.get(),
                  lr_base_quantize(context.get(), folder.path("model").c_str(), folder.path("out.lrb").c_str(), nullptr, nullptr,
                                   nullptr, nullptr),
                  status, "a quantized checkpoint refused (" + mention + ")", mention);
  };
  const auto replace = [](std::string& text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    if (at == std::string::npos) throw std::runtime_error("no " + from);
    text.replace(at, from.size(), to);
  };
  const auto config = [&](const std::string& from, const std::string& to) {
    return [&replace, from, to](TinyModel& model) { replace(model.config, from, to); };
  };
  const auto without = [](const std::string& tensor) { return [tensor](TinyModel& model) { model.tensors.erase(tensor); }; };
  const auto dtype = [](const std::string& tensor, const char* as) {
    return [tensor, as](TinyModel& model) { model.tensors.at(tensor).dtype = as; };
  };
  const std::string state = name + ".quant_state.bitsandbytes__nf4";
  const auto stated = [&](const std::string& from, const std::string& to) {  // to is as long as from
    return [&, from, to](TinyModel& model) { replace(model.tensors.at(state).bytes, from, to); };
  };
  const auto touched = [](const std::string& tensor) {
    return [tensor](TinyModel& model) { model.tensors.at(tensor).bytes[5] ^= 1; };
  };
  const lr_quantization nf4 = {LR_NF4, 1}, fp4 = {LR_FP4, 0}, int8 = {LR_INT8, 0};

  refused(nf4, config("\"quant_method\":\"bitsandbytes\"", "\"quant_method\":\"gptq\""), LR_UNSUPPORTED_MODEL, "\"gptq\"");
  refused(nf4, config("load_in_4bit", "load_in_2bit"), LR_UNSUPPORTED_MODEL, "neither load_in_4bit nor load_in_8bit");
  refused(nf4, config("\"nf4\"", "\"af4\""), LR_UNSUPPORTED_MODEL, "bnb_4bit_quant_type \"af4\"");
  refused(nf4, config("\"uint8\"", "\"bfloat16\""), LR_UNSUPPORTED_MODEL, "bnb_4bit_quant_storage \"bfloat16\"");
  refused(nf4, config("\"nf4\"", "\"fp4\""), LR_BAD_FORMAT, "config.json names another 4-bit type");
  refused(nf4, config("\"bnb_4bit_use_double_quant\":true", "\"bnb_4bit_use_double_quant\":false"), LR_BAD_FORMAT,
          "is double-quantized, config.json says otherwise");
  refused(fp4, config("\"bnb_4bit_use_double_quant\":false", "\"bnb_4bit_use_double_quant\":true"), LR_BAD_FORMAT,
          "is not double-quantized");
  for (const char* part : {".quant_map", ".absmax", ".nested_quant_map"}) {
    // Without its scales a layer counts as left alone, and codes are no values in full precision.
    const bool scales = std::strcmp(part, ".absmax") == 0;
    refused(nf4, without(name + part), scales ? LR_UNSUPPORTED_MODEL : LR_BAD_FORMAT, scales ? "has dtype U8" : "is missing");
  }
  refused(nf4, without(state), LR_BAD_FORMAT, "quant_state.bitsandbytes__nf4\" is missing");
  refused(nf4, without(name), LR_BAD_FORMAT, "\"" + name + "\" is missing");
  refused(nf4, stated("\"blocksize\": 64", "\"blocksize\": 32"), LR_UNSUPPORTED_MODEL, module + ": blocksize is 32; supported: 64");
  refused(nf4, stated("\"nested_blocksize\": 256", "\"nested_blocksize\": 128"), LR_UNSUPPORTED_MODEL, "nested_blocksize is 128");
  refused(nf4, stated("[48, 48]", "[24, 96]"), LR_BAD_FORMAT, "has not the shape [48, 48]");
  refused(nf4, stated("\"nested_offset\"", "\"nested_offzet\""), LR_BAD_FORMAT, "no \"nested_offset\"");
  refused(nf4, stated("{", "["), LR_BAD_FORMAT, "not valid JSON");
  refused(nf4, touched(name + ".quant_map"), LR_UNSUPPORTED_MODEL, name + ".quant_map\" is not the standard table");
  refused(nf4, touched(name + ".nested_quant_map"), LR_UNSUPPORTED_MODEL, "nested_quant_map\" is not the standard table");
  refused(nf4, dtype(name + ".absmax", "I8"), LR_UNSUPPORTED_MODEL, "has dtype I8; supported: U8");
  refused(fp4, dtype(name + ".absmax", "I32"), LR_UNSUPPORTED_MODEL, "has dtype I32; supported: F32");
  refused(nf4, dtype(name, "I8"), LR_UNSUPPORTED_MODEL, "has dtype I8; supported: U8");
  refused(int8, dtype(name, "U8"), LR_UNSUPPORTED_MODEL, "has dtype U8; supported: I8");
  refused(int8, [&](TinyModel& model) { model.tensors.at(module + ".weight_format").bytes[0] = 1; }, LR_UNSUPPORTED_MODEL,
          "supported: 0, row-major");
  refused(int8, without(module + ".SCB"), LR_UNSUPPORTED_MODEL, "has dtype I8");
  refused(nf4, [&](TinyModel& model) { quantize_layer(context.get(), model, "lm_head", nf4); }, LR_UNSUPPORTED_MODEL,
          "\"lm_head.weight\" is quantized");
  refused(nf4, [](TinyModel& model) { model.tensors = tiny_model(Family::LlamaBiased).tensors; }, LR_BAD_FORMAT,
          "no linear layer is quantized");
}

void arguments() {
  const Context context = make_context();
  const Floats values(64, 1);
  Floats absmax(64);
  uint8_t codes[64];
  const lr_quantized parts = {codes, absmax.data(), nullptr, nullptr, nullptr}, none = {codes, nullptr, nullptr, nullptr, nullptr};
  const auto refused = [&](const lr_quantization& quantization, const lr_quantized* out, uint64_t rows, const std::string& mention) {
    expect_status(context.get(), lr_quantize(context.get(), &quantization, values.data(), rows, 8, out), LR_INVALID_ARGUMENT,
                  "lr_quantize", mention);
    expect_status(context.get(), lr_dequantize(context.get(), &quantization, out, rows, 8, absmax.data()), LR_INVALID_ARGUMENT,
                  "lr_dequantize", mention);
  };
  refused({LR_BF16, 0}, &parts, 8, "NF4, FP4 and INT8");
  refused({5, 0}, &parts, 8, "unknown format 5");
  refused({LR_NF4, 2}, &parts, 8, "double_quant is 2");
  refused({LR_NF4, 0}, &parts, 0, "rows · cols");
  refused({LR_NF4, 0}, &parts, uint64_t{1} << 58, "rows · cols");
  refused({LR_NF4, 0}, nullptr, 8, "the quantized matrix is null");
  refused({LR_NF4, 1}, &parts, 8, "absmax_codes is null");
  refused({LR_INT8, 1}, &none, 8, "absmax is null");

}

void unreached_values() {
  struct Case {
    lr_quantization quantization;
    float value;
    const char* mention;
  };
  const Case cases[] = {{{LR_INT8, 0}, 1e6f, "int8 does not reach (over 65504"},
                        {{LR_NF4, 1}, 1e21f, "nf4 does not reach (over 1e20"},
                        {{LR_NF4, 0}, -INFINITY, "nf4 does not reach"},
                        {{LR_FP4, 1}, NAN, "fp4 does not reach"}};
  const Context context = make_context();
  for (const auto& [quantization, value, mention] : cases) {
    TinyModel model = tiny_model(Family::LlamaPlain);
    std::memcpy(model.tensors.at("model.layers.0.mlp.up_proj.weight").bytes.data(), &value, 4);
    const TemporaryFolder folder;
    model.write(folder.path("model"));
    expect_status(context.get(),
                  lr_base_quantize(context.get(), folder.path("model").c_str(), folder.path("b").c_str(), &quantization, nullptr,
                                   nullptr, nullptr),
                  LR_BAD_FORMAT, "a value that a format does not reach", std::string("model.layers.0.mlp.up_proj.weight\" has values that ") + mention);
  }
}

}  // namespace

void storage_cases() {
  every_storage();
  other_dtypes();
  memory();
  taken_over();
  refusals();
  arguments();
  unreached_values();
}

}  // namespace lr::test
