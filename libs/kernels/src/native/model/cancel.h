// The flag polled by long calls.
#pragma once
#include <atomic>

#include "error.h"

namespace lr {

using CancelFlag = std::atomic<bool>;

// Throws Error(LR_CANCELLED) when the flag is there and set.
inline void check_cancelled(const CancelFlag* cancel) {
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) fail(LR_CANCELLED, "cancelled by the caller");
}

}  // namespace lr
