// Contexts, their threads, and what works on plain arrays.
#include "trial.h"

namespace lr::test {
namespace {

// A context that is made by the trial itself.
struct Fresh {
  lr_context* context = nullptr;
  char info[256] = {};
  ~Fresh() { lr_context_destroy(context); }
};

void contexts() {
  for (const Device& device : {kPlain, Device{"fast, 4 threads", LR_BACKEND_FAST, 4}}) {
    survive("lr_context_create", device.name, [device] {
      auto fresh = std::make_shared<Fresh>();
      Fresh& f = *fresh;
      return Trial{fresh, [&f] { return f.context; },
                   [&f, device] {
                     lr_context_destroy(f.context);  // what a creation that failed leaves
                     const lr_context_options options = {device.threads, device.backend, LR_ISA_AUTO, LR_COMPUTE_F32};
                     return lr_context_create(&options, &f.context);
                   },
                   [] { return std::string(); },
                   [&f] {
                     check(f.context, lr_context_info(f.context, f.info, sizeof f.info));
                     return std::string(f.info);
                   }};
    });
  }
  survive("lr_context_create", "refused", [] {
    auto fresh = std::make_shared<Fresh>();
    Fresh& f = *fresh;
    return Trial{fresh, [&f] { return f.context; },
                 [&f] {
                   lr_context_destroy(f.context);
                   const lr_context_options options = {1, 99, LR_ISA_AUTO, LR_COMPUTE_F32};
                   return lr_context_create(&options, &f.context);
                 },
                 [] { return std::string(); }, [] { return std::string(); }};
  }, LR_INVALID_ARGUMENT);
  survive("lr_context_info", "", [] {
    auto setup = std::make_shared<Setup>(kFast);
    setup->output.resize(256);
    return reading(setup, [](Setup& s) { return lr_context_info(s.handle(), s.output.data(), s.output.size()); });
  });
  survive("lr_context_memory", "", [] {
    return reading(std::make_shared<Setup>(kFast), [](Setup& s) {
      uint64_t current = 0, peak = 0;
      return lr_context_memory(s.handle(), &current, &peak, 1);
    });
  });
}

void cancel_flags() {
  survive("lr_cancel_create", "", [] {
    auto cancel = std::make_shared<Cancel>();
    return Trial{cancel, [] { return nullptr; },
                 [cancel] {
                   lr_cancel* made = nullptr;
                   const lr_status status = lr_cancel_create(&made);
                   cancel->reset(made);
                   return status;
                 },
                 [] { return std::string(); }, [] { return std::string(); }};
  });
}

struct Matrix {
  static constexpr uint64_t kRows = 3, kCols = 50;
  Setup setup{kFast};
  Floats values = Floats(kRows * kCols), scales = Floats(8), nested = Floats(1), offset = Floats(1);
  std::string codes = std::string(kRows * kCols, '\0'), scale_codes = std::string(8, '\0');

  Matrix() {
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 11) - 5;
  }
  lr_quantized parts() {
    return {reinterpret_cast<uint8_t*>(codes.data()), scales.data(), reinterpret_cast<uint8_t*>(scale_codes.data()), nested.data(),
            offset.data()};
  }
  lr_status quantize(const lr_quantization& quantization) {
    const lr_quantized to = parts();
    return lr_quantize(setup.handle(), &quantization, values.data(), kRows, kCols, &to);
  }
};

void matrices() {
  for (const lr_quantization quantization : {lr_quantization{LR_NF4, 1}, lr_quantization{LR_FP4, 0}, lr_quantization{LR_INT8, 0}}) {
    const std::string what = "format " + std::to_string(quantization.format);
    const auto none = [] { return std::string(); };
    survive("lr_quantize", what, [=] {
      auto matrix = std::make_shared<Matrix>();
      Matrix& m = *matrix;
      return Trial{matrix, [&m] { return m.setup.handle(); }, [&m, quantization] { return m.quantize(quantization); }, none,
                   [&m] { return m.codes + m.scale_codes; }};
    });
    survive("lr_dequantize", what, [=] {
      auto matrix = std::make_shared<Matrix>();
      Matrix& m = *matrix;
      check(m.setup.handle(), m.quantize(quantization));
      return Trial{matrix, [&m] { return m.setup.handle(); },
                   [&m, quantization] {
                     const lr_quantized from = m.parts();
                     return lr_dequantize(m.setup.handle(), &quantization, &from, Matrix::kRows, Matrix::kCols, m.values.data());
                   },
                   none, [&m] { return std::string(reinterpret_cast<const char*>(m.values.data()), m.values.size() * sizeof(float)); }};
    });
  }
}

}  // namespace

void context_cases() {
  contexts();
  cancel_flags();
  matrices();
}

}  // namespace lr::test
