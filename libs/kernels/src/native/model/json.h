// A small strict JSON reader (RFC 8259) for config.json, safetensors headers and the index of a quantized base, and the few
// helpers that write JSON. Input comes from strangers: bytes, depth and number of values are bounded, duplicate keys refused.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lr::json {

struct Member;

struct Value {
  enum class Type : uint8_t { Null, Bool, Integer, Number, String, Array, Object };
  Type type = Type::Null;
  bool boolean = false;
  int64_t integer = 0;          // Integer: the exact value
  double number = 0;            // Integer and Number
  std::string string;           // String, UTF-8
  std::vector<Value> items;     // Array
  std::vector<Member> members;  // Object, sorted by key

  bool is(Type t) const { return type == t; }
  bool is_number() const { return type == Type::Integer || type == Type::Number; }
  // Member of an object; null when absent or when this is no object.
  const Value* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Value value;
};

struct Limits {
  size_t bytes = 16u << 20;
  size_t values = 150'000;
  int depth = 64;
};

// Parses one JSON text. Throws Error(LR_BAD_FORMAT) naming `where` and the byte at fault.
Value parse(std::string_view text, const std::string& where, const Limits& limits = {});

// Appends "text" with quotes and escapes.
void append_string(std::string& out, std::string_view text);

}  // namespace lr::json
