// Typed members of one JSON object of a config.json. A member that is null counts as absent, where nothing else is said.
// Everything throws Error(LR_BAD_FORMAT) that names the member.
#pragma once
#include <string>

#include "error.h"
#include "json.h"

namespace lr {

class ConfigReader {
 public:
  ConfigReader(const json::Value& object, std::string where);

  const std::string& where() const { return where_; }
  const json::Value* find(const char* key) const;
  // The object under `key`, which must be there.
  ConfigReader object(const char* key) const;

  int64_t integer(const char* key, int64_t low, int64_t high) const;
  int64_t integer_or(const char* key, int64_t fallback, int64_t low, int64_t high) const;
  // null is 0: some settings have a default and are switched off by null.
  int64_t integer_or_null(const char* key, int64_t fallback, int64_t low, int64_t high) const;
  double positive(const char* key) const;
  double positive_or(const char* key, double fallback) const;
  double positive_or_null(const char* key, double fallback) const;
  bool boolean_or(const char* key, bool fallback) const;
  std::string string_or(const char* key, const char* fallback) const;

  // Throws Error(LR_UNSUPPORTED_MODEL) when the member is there and not null, false or 0: a setting that changes the result.
  void refuse(const char* key) const;

 private:
  int64_t checked(const json::Value& value, const char* key, int64_t low, int64_t high) const;
  bool is_null(const char* key) const;

  const json::Value& object_;
  std::string where_;
};

}  // namespace lr
