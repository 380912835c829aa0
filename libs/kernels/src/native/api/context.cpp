#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "../cores.h"
#include "../pool.h"
#include "handles.h"

using namespace lr;

namespace {

constexpr const char* kVersion = "0.1.0";
constexpr uint32_t kMaxThreads = 1024;

const char* isa_name(uint32_t isa) {
  static constexpr const char* names[] = {"auto", "scalar", "avx2", "avx512", "avx512_bf16", "amx_bf16"};
  return names[isa];
}

const Ops& choose_ops(lr_context_options& options) {
  if (options.backend > LR_BACKEND_REFERENCE) fail(LR_INVALID_ARGUMENT, "unknown backend %u", options.backend);
  if (options.isa > LR_ISA_AMX_BF16) fail(LR_INVALID_ARGUMENT, "unknown instruction set %u", options.isa);
  if (options.compute > LR_COMPUTE_BF16) fail(LR_INVALID_ARGUMENT, "unknown compute type %u", options.compute);
  if (options.backend == LR_BACKEND_REFERENCE) {
    if (options.isa > LR_ISA_SCALAR) {
      fail(LR_INVALID_ARGUMENT, "the reference backend is scalar; it has no %s version", isa_name(options.isa));
    }
    options.isa = LR_ISA_SCALAR;
    return reference_ops();
  }
  if (options.isa == LR_ISA_AUTO) options.isa = static_cast<uint32_t>(best_isa());
  const Ops* ops = cpu_ops(static_cast<int>(options.isa));
  if (ops == nullptr) {
    fail(LR_INVALID_ARGUMENT, "this machine has no %s; the most it has is %s", isa_name(options.isa),
         isa_name(static_cast<uint32_t>(best_isa())));
  }
  return *ops;
}

void start(lr_context& context, const lr_context_options* options) {
  require(options, "options");
  context.options = *options;
  const Ops& ops = choose_ops(context.options);
  context.isa = isa_name(context.options.isa);
  if (context.options.threads == 0) context.options.threads = static_cast<uint32_t>(usable_cores().size());
  if (context.options.threads > kMaxThreads) fail(LR_INVALID_ARGUMENT, "%u threads; at most %u", options->threads, kMaxThreads);
  context.pool = make_pool(static_cast<int>(context.options.threads));
  context.scratch = std::make_unique<BlockScratch>(context.host_memory);
  const Run run = {context.pool.get(), context.scratch.get(),
                   context.options.compute == LR_COMPUTE_BF16 ? Compute::BF16 : Compute::F32};
  if (context.options.backend != LR_BACKEND_REFERENCE) context.device = open_device();
  if (context.device == nullptr) {
    context.runtime = std::make_unique<Runtime>(ops, run, context.host_memory);
    return;
  }
  context.isa = context.device->ops().name;
  context.host_runtime = std::make_unique<Runtime>(ops, run, context.host_memory);
  Run on_device = run;
  on_device.scratch = &context.device->scratch();
  on_device.device = context.device->queue();
  context.runtime = std::make_unique<Runtime>(context.device->ops(), on_device, context.device->memory(), context.host_runtime.get());
}

}  // namespace

void lr_context::set_error(std::string&& message) noexcept {
  const std::lock_guard<std::mutex> lock(error_lock_);
  message_ = std::move(message);
  error_ = message_.c_str();
}

void lr_context::set_error(const char* message) noexcept {
  const std::lock_guard<std::mutex> lock(error_lock_);
  std::snprintf(text_, sizeof text_, "%s", message);
  error_ = text_;
}

const char* lr_context::error() const noexcept {
  const std::lock_guard<std::mutex> lock(error_lock_);
  return error_;
}

lr_status lr::status_of_exception(lr_context* context) noexcept {
  const auto report = [context](lr_status status, auto&& message) {
    if (context != nullptr) context->set_error(std::forward<decltype(message)>(message));
    return status;
  };
  try {
    throw;
  } catch (Error& error) {
    return report(error.status(), error.take_message());
  } catch (const std::bad_alloc&) {
    return report(LR_OUT_OF_MEMORY, "the machine has no more memory for this call: use fewer or shorter sequences, keep "
                                    "activation checkpointing on, or open a smaller session");
  } catch (const std::system_error& error) {  // thrown where a thread cannot be started
    char message[256];
    std::snprintf(message, sizeof message, "a thread could not be started (%s): ask for fewer, or raise the limit on processes",
                  error.what());
    return report(LR_OUT_OF_MEMORY, message);
  } catch (const std::exception& error) {
    return report(LR_INTERNAL, error.what());
  } catch (...) {
    return report(LR_INTERNAL, "unknown exception");
  }
}

extern "C" {

uint32_t lr_interface_version(void) { return LR_INTERFACE_VERSION; }

lr_status lr_context_create(const lr_context_options* options, lr_context** ctx) {
  if (ctx == nullptr) return LR_INVALID_ARGUMENT;
  *ctx = new (std::nothrow) lr_context;
  if (*ctx == nullptr) return LR_OUT_OF_MEMORY;
  return guarded(*ctx, [&] { start(**ctx, options); });
}

void lr_context_destroy(lr_context* ctx) { delete ctx; }

const char* lr_context_error(const lr_context* ctx) { return ctx == nullptr ? "null context" : ctx->error(); }

lr_status lr_context_info(lr_context* ctx, char* json, size_t capacity) {
  return guarded(ctx, [&] {
    require(json, "json");
    if (ctx->runtime == nullptr) fail(LR_INVALID_ARGUMENT, "the creation of this context failed");
    const std::string text =
        format("{\"version\":\"%s\",\"backend\":\"%s\",\"isa\":\"%s\",\"compute\":\"%s\",\"threads\":%u}", kVersion,
               ctx->options.backend == LR_BACKEND_REFERENCE ? "reference" : "fast", ctx->isa,
               ctx->options.compute == LR_COMPUTE_BF16 ? "bf16" : "f32", ctx->options.threads);
    if (capacity <= text.size()) fail(LR_INVALID_ARGUMENT, "the information needs %zu bytes", text.size() + 1);
    std::memcpy(json, text.c_str(), text.size() + 1);
  });
}

lr_status lr_context_memory(lr_context* ctx, uint64_t* current_bytes, uint64_t* peak_bytes, uint32_t reset_peak) {
  return guarded(ctx, [&] {
    require(current_bytes, "current_bytes");
    require(peak_bytes, "peak_bytes");
    *current_bytes = ctx->memory().current();
    *peak_bytes = ctx->memory().peak();
    if (reset_peak != 0) ctx->memory().reset_peak();
  });
}

lr_status lr_cancel_create(lr_cancel** cancel) {
  if (cancel == nullptr) return LR_INVALID_ARGUMENT;
  *cancel = new (std::nothrow) lr_cancel;
  return *cancel == nullptr ? LR_OUT_OF_MEMORY : LR_OK;
}

void lr_cancel_set(lr_cancel* cancel) {
  if (cancel != nullptr) cancel->flag.store(true, std::memory_order_relaxed);
}

void lr_cancel_destroy(lr_cancel* cancel) { delete cancel; }

}  // extern "C"
