#include "config_reader.h"

namespace lr {

using json::Value;

ConfigReader::ConfigReader(const Value& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is(Value::Type::Object)) fail(LR_BAD_FORMAT, "%s: expected an object", where_.c_str());
}

bool ConfigReader::is_null(const char* key) const {
  const Value* value = object_.find(key);
  return value != nullptr && value->is(Value::Type::Null);
}

const Value* ConfigReader::find(const char* key) const { return is_null(key) ? nullptr : object_.find(key); }

ConfigReader ConfigReader::object(const char* key) const {
  const Value* value = find(key);
  if (value == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing", where_.c_str(), key);
  return ConfigReader(*value, where_ + ", \"" + key + "\"");
}

int64_t ConfigReader::checked(const Value& value, const char* key, int64_t low, int64_t high) const {
  if (!value.is(Value::Type::Integer) || value.integer < low || value.integer > high) {
    fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a whole number from %lld to %lld", where_.c_str(), key, static_cast<long long>(low),
         static_cast<long long>(high));
  }
  return value.integer;
}

int64_t ConfigReader::integer(const char* key, int64_t low, int64_t high) const {
  const Value* value = find(key);
  if (value == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing", where_.c_str(), key);
  return checked(*value, key, low, high);
}

int64_t ConfigReader::integer_or(const char* key, int64_t fallback, int64_t low, int64_t high) const {
  const Value* value = find(key);
  return value == nullptr ? fallback : checked(*value, key, low, high);
}

int64_t ConfigReader::integer_or_null(const char* key, int64_t fallback, int64_t low, int64_t high) const {
  return is_null(key) ? 0 : integer_or(key, fallback, low, high);
}

double ConfigReader::positive_or(const char* key, double fallback) const {
  const Value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->number > 0) || value->number > 1e30) {
    fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a positive number", where_.c_str(), key);
  }
  return value->number;
}

double ConfigReader::positive(const char* key) const {
  if (find(key) == nullptr) fail(LR_BAD_FORMAT, "%s: \"%s\" is missing", where_.c_str(), key);
  return positive_or(key, 0);
}

double ConfigReader::positive_or_null(const char* key, double fallback) const {
  return is_null(key) ? 0 : positive_or(key, fallback);
}

bool ConfigReader::boolean_or(const char* key, bool fallback) const {
  const Value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is(Value::Type::Bool)) fail(LR_BAD_FORMAT, "%s: \"%s\" has to be true or false", where_.c_str(), key);
  return value->boolean;
}

std::string ConfigReader::string_or(const char* key, const char* fallback) const {
  const Value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is(Value::Type::String)) fail(LR_BAD_FORMAT, "%s: \"%s\" has to be a string", where_.c_str(), key);
  return value->string.substr(0, 64);
}

void ConfigReader::refuse(const char* key) const {
  const Value* value = find(key);
  if (value == nullptr || (value->is(Value::Type::Bool) && !value->boolean) || (value->is_number() && value->number == 0)) return;
  fail(LR_UNSUPPORTED_MODEL, "%s: \"%s\" is set, which changes the result and is not supported", where_.c_str(), key);
}

}  // namespace lr
