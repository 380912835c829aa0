#include "json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "error.h"

namespace lr::json {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& where, const Limits& limits) : text_(text), where_(where), limits_(limits) {}

  Value document() {
    if (text_.size() > limits_.bytes) {
      lr::fail(LR_BAD_FORMAT, "%s: %zu bytes of JSON, at most %zu are read", where_.c_str(), text_.size(), limits_.bytes);
    }
    Value root = value(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the end of the JSON value");
    return root;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    lr::fail(LR_BAD_FORMAT, "%s: not valid JSON: %s at byte %zu", where_.c_str(), what, at_);
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) fail("unexpected character");
    at_ += expected.size();
  }

  Value value(int depth) {
    if (depth > limits_.depth) fail("nested too deeply");
    if (++values_ > limits_.values) fail("too many values");
    skip_space();
    Value result;
    switch (peek()) {
      case '{': object(result, depth); break;
      case '[': array(result, depth); break;
      case '"':
        result.type = Value::Type::String;
        string(result.string);
        break;
      case 't':
      case 'f':
        result.type = Value::Type::Bool;
        result.boolean = peek() == 't';
        word(result.boolean ? "true" : "false");
        break;
      case 'n': word("null"); break;
      default: number(result);
    }
    return result;
  }

  void array(Value& result, int depth) {
    result.type = Value::Type::Array;
    ++at_;
    skip_space();
    if (take(']')) return;
    do {
      result.items.push_back(value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) fail("expected ',' or ']'");
  }

  void object(Value& result, int depth) {
    result.type = Value::Type::Object;
    ++at_;
    skip_space();
    if (take('}')) return;
    do {
      skip_space();
      if (peek() != '"') fail("expected a key");
      Member member;
      string(member.key);
      skip_space();
      if (!take(':')) fail("expected ':'");
      member.value = value(depth + 1);
      result.members.push_back(std::move(member));
      skip_space();
    } while (take(','));
    if (!take('}')) fail("expected ',' or '}'");
    auto& members = result.members;
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
    const auto twice =
        std::adjacent_find(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key == b.key; });
    if (twice != members.end()) fail("duplicate key in the object ending");
  }

  uint32_t hex4() {
    uint32_t code = 0;
    if (text_.size() - at_ < 4) fail("short \\u escape");
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (error != std::errc() || end != text_.data() + at_ + 4) fail("bad \\u escape");
    at_ += 4;
    return code;
  }

  static void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
      out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  void escape(std::string& out) {
    if (at_ >= text_.size()) fail("unfinished escape");
    const char c = text_[at_++];
    switch (c) {
      case '"': case '\\': case '/': out += c; return;
      case 'b': out += '\b'; return;
      case 'f': out += '\f'; return;
      case 'n': out += '\n'; return;
      case 'r': out += '\r'; return;
      case 't': out += '\t'; return;
      case 'u': break;
      default: fail("unknown escape");
    }
    uint32_t code = hex4();
    if (code >= 0xDC00 && code < 0xE000) fail("lone low surrogate");
    if (code >= 0xD800 && code < 0xDC00) {
      if (text_.substr(at_, 2) != "\\u") fail("lone high surrogate");
      at_ += 2;
      const uint32_t low = hex4();
      if (low < 0xDC00 || low >= 0xE000) fail("bad surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
  }

  void string(std::string& out) {
    ++at_;
    for (;;) {
      if (at_ >= text_.size()) fail("unfinished string");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
      ++at_;
      if (c == '"') return;
      if (c == '\\') {
        escape(out);
      } else {
        out += c;
      }
    }
  }

  size_t digits() {
    const size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    if (at_ == begin) fail("expected a value");
    return at_ - begin;
  }

  void number(Value& result) {
    const size_t begin = at_;
    bool integral = true;
    take('-');
    const bool zero = peek() == '0';
    if (digits() > 1 && zero) fail("number with a leading zero");
    if (take('.')) {
      integral = false;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      integral = false;
      ++at_;
      if (!take('+')) take('-');
      digits();
    }
    const char* first = text_.data() + begin;
    const char* last = text_.data() + at_;
    if (integral && std::from_chars(first, last, result.integer).ec == std::errc()) {
      result.type = Value::Type::Integer;
      result.number = static_cast<double>(result.integer);
      return;
    }
    result.type = Value::Type::Number;
    if (std::from_chars(first, last, result.number).ec != std::errc() || !std::isfinite(result.number)) {
      fail("number out of range");
    }
  }

  std::string_view text_;
  const std::string& where_;
  const Limits& limits_;
  size_t at_ = 0;
  size_t values_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  const auto found = std::lower_bound(members.begin(), members.end(), key,
                                      [](const Member& member, std::string_view k) { return member.key < k; });
  return found != members.end() && found->key == key ? &found->value : nullptr;
}

Value parse(std::string_view text, const std::string& where, const Limits& limits) {
  return Parser(text, where, limits).document();
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += lr::format("\\u%04x", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace lr::json
