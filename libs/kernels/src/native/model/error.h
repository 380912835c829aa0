// The one exception of the library: a status of the public header with a message for the user. The C interface turns it into
// that status; nothing else crosses the boundary.
#pragma once
#include <exception>
#include <string>
#include <utility>

#include "../../../include/lowrank_kernels.h"

namespace lr {

class Error : public std::exception {
 public:
  Error(lr_status status, std::string message) : status_(status), message_(std::move(message)) {}
  lr_status status() const { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }
  // Takes the message away, which needs no memory as a copy would.
  std::string take_message() noexcept { return std::move(message_); }

 private:
  lr_status status_;
  std::string message_;
};

// Throws Error with a printf-style message: what was wrong, where, what to do.
[[noreturn]] void fail(lr_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// printf into a std::string.
std::string format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace lr
