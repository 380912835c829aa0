#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace lr {
namespace {

std::string vformat(const char* format, va_list arguments) {
  va_list copy;
  va_copy(copy, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

}  // namespace

void fail(lr_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string message = vformat(format, arguments);
  va_end(arguments);
  throw Error(status, std::move(message));
}

std::string format(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = vformat(format, arguments);
  va_end(arguments);
  return text;
}

}  // namespace lr
