#include "handles.h"

using namespace lr;

extern "C" {

lr_status lr_base_quantize(lr_context* ctx, const char* model_dir, const char* file, const lr_quantization* quantization,
                           lr_cancel* cancel, lr_progress progress, void* user) {
  return guarded_turn(ctx, [&](Runtime& runtime) {
    require(model_dir, "model_dir");
    require(file, "file");
    Runtime& machine = runtime.host();  // which has the checkpoint, and one tensor of it at a time
    quantize_base(machine.run, machine.ops, machine.memory, model_dir, file, parse_quantization(quantization), flag_of(cancel),
                  [&](uint64_t done, uint64_t total) {
                    if (progress != nullptr) progress(user, done, total);
                  });
  });
}

lr_status lr_base_open(lr_context* ctx, const char* file, lr_base** base) {
  return guarded(ctx, [&] {
    require(file, "file");
    require(base, "base");
    *base = nullptr;
    *base = new lr_base(ctx, file);
  });
}

void lr_base_close(lr_base* base) { delete base; }

lr_status lr_base_info(lr_base* base, char* json, size_t capacity, size_t* needed) {
  return guarded(base == nullptr ? nullptr : base->context, [&] { write_text(base->base.info(), json, capacity, needed); });
}

}  // extern "C"
