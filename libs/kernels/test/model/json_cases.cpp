#include "model/json.h"

#include "model/error.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

using json::Value;

void expect_refused(const std::string& text, const std::string& mention, const json::Limits& limits = {}) {
  const std::string shown = text.substr(0, 40);
  try {
    json::parse(text, "test", limits);
    expect(false, "JSON accepted: " + shown);
  } catch (const Error& error) {
    expect(error.status() == LR_BAD_FORMAT && std::string(error.what()).find(mention) != std::string::npos,
           "JSON " + shown + ": " + error.what());
  }
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

void json_cases() {
  const Value value = json::parse(
      R"( {"a":[1,-2.5e3,true,null,"x\"\\\n\u00e9\ud83d\ude00"],"big":9007199254740993,"huge":1e300,"o":{"k":{}}} )", "test");
  const Value& items = *value.find("a");
  expect(items.items.size() == 5 && items.items[0].integer == 1 && items.items[1].number == -2500, "JSON numbers");
  expect(items.items[2].boolean && items.items[3].is(Value::Type::Null), "JSON words");
  expect(items.items[4].string == "x\"\\\n\xC3\xA9\xF0\x9F\x98\x80", "JSON escapes");
  expect(value.find("big")->integer == 9007199254740993, "JSON integers are exact");
  expect(value.find("o")->find("k")->is(Value::Type::Object) && value.find("none") == nullptr, "JSON objects");
  expect(json::parse("18446744073709551616", "test").is(Value::Type::Number), "an integer beyond 64 bits is a number");

  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "01", "+1", "1.", ".5", "1e", "nul", "[1 2]", "\"\\x\"",
                           "\"\\u12g4\"", "\"\\ud800\"", "\"\\udc00\"", "\"abc", "\"a\tb\"", "[1]]", "NaN", "Infinity", "'a'"}) {
    expect_refused(text, "not valid JSON");
  }
  expect_refused("{\"a\":1,\"b\":2,\"a\":3}", "duplicate key");
  expect_refused("1e999", "out of range");
  expect_refused(repeated("[", 100'000), "nested too deeply");
  expect_refused("[0" + repeated(",0", 200'000), "too many values");
  expect_refused("[1,2,3]", "bytes of JSON", {.bytes = 4});

  std::string out;
  json::append_string(out, "a\"b\\c\x01");
  expect(json::parse(out, "test").string == "a\"b\\c\x01", "what is written is read back");
}

}  // namespace lr::test
