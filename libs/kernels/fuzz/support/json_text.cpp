#include "json_text.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

namespace {

// What the parsers compare with, and numbers around the sizes at which types and checks change.
constexpr const char* kValues[] = {
    "0", "1", "2", "3", "4", "-1", "7", "8", "16", "63", "64", "65", "255", "256", "4096", "65536", "1048576", "16777216",
    "134217728", "2147483647", "2147483648", "4294967296", "4611686018427387904", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "0.5", "1.0", "1e30", "1e-30", "1e308", "-0.5", "null", "true", "false", "{}", "[]", "[1,2]", "\"\"",
    "\"F32\"", "\"F16\"", "\"BF16\"", "\"I8\"", "\"U8\"", "\"F64\"", "\"f32\"", "\"bf16\"", "\"nf4\"", "\"fp4\"", "\"int8\"",
    "\"llama\"", "\"mistral\"", "\"qwen2\"", "\"qwen3\"", "\"gemma2\"", "\"gemma3\"", "\"gemma3_text\"", "\"phi3\"",
    "\"default\"", "\"linear\"", "\"dynamic\"", "\"yarn\"", "\"llama3\"", "\"longrope\"", "\"su\"", "\"silu\"",
    "\"gelu_pytorch_tanh\"", "\"sliding_attention\"", "\"full_attention\"", "\"layer_types\"", "\"rope_parameters\"",
    "\"rope_scaling\"", "\"text_config\"", "\"head_dim\"", "\"sliding_window\"", "\"partial_rotary_factor\"",
    "\"original_max_position_embeddings\"", "\"factor\"", "\"short_factor\"", "\"long_factor\"", "\"attention_bias\"",
    "\"tie_word_embeddings\"", "\"quantization_config\"", "\"load_in_8bit\"", "\"__metadata__\"", "\"\\u0000\"",
    "\"\\ud83d\\ude00\"", "\"../model.safetensors\"", "\"0000000000000040\"", "\"ffffffffffffffc0\""};

struct Span {
  size_t begin, end;
};

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.'; }

size_t string_end(std::string_view text, size_t begin) {
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

// The strings, numbers and words of the text; keys are strings too.
std::vector<Span> atoms(std::string_view text) {
  std::vector<Span> found;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    if (text[i] == '"') {
      end = string_end(text, i);
    } else {
      while (end < text.size() && in_word(text[end])) ++end;
    }
    if (end > i) found.push_back({i, end});
    i = end > i ? end : i + 1;
  }
  return found;
}

// The element of an array or member of an object that begins at `begin`, with the comma behind it if there is one.
Span element_at(std::string_view text, size_t begin) {
  int depth = 0;
  for (size_t i = begin; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      i = string_end(text, i);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth < 0) return {begin, i};
    ++i;
    if (c == ',' && depth == 0) return {begin, i};
  }
  return {begin, text.size()};
}

void replace(std::string& text, Span span, std::string_view with) { text.replace(span.begin, span.end - span.begin, with); }

std::string nearby(std::string_view number, Random& random) {
  const std::string digits(number.substr(0, 18));
  char* end = nullptr;
  const long long value = std::strtoll(digits.c_str(), &end, 10);
  if (end == digits.c_str() || *end != '\0') return kValues[random(std::size(kValues))];
  const long long near[] = {value - 1, value + 1, value * 2, value / 2, -value, value + 64};
  return std::to_string(near[random(std::size(near))]);
}

void change_once(std::string& text, Random& random) {
  const std::vector<Span> all = atoms(text);
  if (all.empty()) return;
  const Span span = all[random(all.size())], other = all[random(all.size())];
  const auto at = [&text](Span s) { return text.substr(s.begin, s.end - s.begin); };
  switch (random(6)) {
    case 0: return replace(text, span, kValues[random(std::size(kValues))]);
    case 1: return replace(text, span, at(other));
    case 2: return replace(text, span, nearby(at(span), random));
    case 3: return replace(text, element_at(text, span.begin), "");
    case 4: {
      const Span element = element_at(text, span.begin);
      const std::string copy = at(element);
      return replace(text, {element.begin, element.begin}, copy.back() == ',' ? copy : copy + ",");
    }
    default:
      return replace(text, {span.begin, span.begin},
                     std::string(kValues[random(std::size(kValues))]) + ":" + kValues[random(std::size(kValues))] + ",");
  }
}

}  // namespace

size_t object_end(std::string_view text) {
  if (text.empty() || text.front() != '{') return std::string_view::npos;
  int depth = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    i = c == '"' ? string_end(text, i) : i + 1;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return i;
  }
  return std::string_view::npos;
}

std::string mutate_bytes(std::string bytes, size_t most) {
  if (bytes.size() > most) bytes.resize(most);
  const size_t had = bytes.size();
  bytes.resize(most);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), had, most));
  return bytes;
}

std::string mutate_json(std::string text, Random& random, size_t most) {
  if (random(8) == 0) return mutate_bytes(text, std::min(most, text.size() + 64));
  for (size_t i = random(3) + 1; i > 0; --i) change_once(text, random);
  return text.size() > most ? text.substr(0, most) : text;
}
