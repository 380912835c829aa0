// The handles of the C interface and its firewall: exceptions become a status and a message, nothing else gets out.
#pragma once
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "../device.h"
#include "../model/adapter.h"
#include "../model/runtime.h"
#include "../model/session.h"
#include "../scratch.h"

struct lr_cancel {
  lr::CancelFlag flag{false};
};

struct lr_context {
  lr::MemoryCounter host_memory;
  std::unique_ptr<lr::DeviceBackend> device;  // null: the machine itself computes
  // One call at a time uses the threads, the scratch and the workspace.
  std::mutex busy;
  std::unique_ptr<lr::Pool> pool;
  std::unique_ptr<lr::BlockScratch> scratch;
  std::unique_ptr<lr::Runtime> host_runtime;  // beside that of a device
  std::unique_ptr<lr::Runtime> runtime;
  lr_context_options options{};
  const char* isa = "";

  // That of the backend.
  lr::MemoryCounter& memory() { return device == nullptr ? host_memory : device->memory(); }

  // Neither needs memory: an error is often that there is none. The second cuts what is longer than any message that is not an Error's.
  void set_error(std::string&& message) noexcept;
  void set_error(const char* message) noexcept;
  const char* error() const noexcept;

 private:
  mutable std::mutex error_lock_;
  std::string message_;
  char text_[256] = {};
  const char* error_ = "";
};

struct lr_base {
  lr_base(lr_context* owner, const char* file) : context(owner), base(file, owner->memory(), owner->host_memory) {}
  lr_context* context;
  lr::Base base;
};

struct lr_adapter {
  lr_base* base;
  lr::Adapter adapter;
};

struct lr_cache {
  lr_base* base;
  lr::Cache cache;
};

struct lr_group {
  lr_context* context;
  std::unique_ptr<lr::Group> group;
};

struct lr_session {
  lr_base* base;
  lr::Session session;
};

namespace lr {

// Status of the exception being handled; its message goes to the context, which may be null.
lr_status status_of_exception(lr_context* context) noexcept;

// Runs body() and turns what it throws into a status.
template <typename Body>
lr_status guarded(lr_context* context, const Body& body) noexcept {
  try {
    if (context == nullptr) fail(LR_INVALID_ARGUMENT, "null handle");
    body();
    return LR_OK;
  } catch (...) {
    return status_of_exception(context);
  }
}

// The same for calls that compute: they take turns on the context's threads and workspace.
template <typename Body>
lr_status guarded_turn(lr_context* context, const Body& body) noexcept {
  return guarded(context, [&] {
    if (context->runtime == nullptr) fail(LR_INVALID_ARGUMENT, "the creation of this context failed");
    const std::lock_guard<std::mutex> turn(context->busy);
    try {
      body(*context->runtime);
    } catch (...) {
      context->scratch->release(0);  // an operation that threw may not have released what it took
      if (context->device != nullptr) context->device->scratch().release(0);
      throw;
    }
  });
}

inline const CancelFlag* flag_of(const lr_cancel* cancel) { return cancel == nullptr ? nullptr : &cancel->flag; }

// Throws Error(LR_INVALID_ARGUMENT) naming the parameter.
inline void require(const void* pointer, const char* name) {
  if (pointer == nullptr) fail(LR_INVALID_ARGUMENT, "%s is null", name);
}

// text with its NUL into json [capacity]; *needed, unless null, receives its size. Throws Error(LR_INVALID_ARGUMENT).
inline void write_text(const std::string& text, char* json, size_t capacity, size_t* needed) {
  if (needed != nullptr) *needed = text.size() + 1;
  if (json == nullptr || capacity <= text.size()) fail(LR_INVALID_ARGUMENT, "the information needs %zu bytes", text.size() + 1);
  std::memcpy(json, text.c_str(), text.size() + 1);
}
// NULL is the default. Throws Error(LR_INVALID_ARGUMENT).
Quantization parse_quantization(const lr_quantization* quantization);

}  // namespace lr
