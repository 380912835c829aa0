// Work that a device is given again and again, as each next token of the same sequences: to start it all at once takes less than to start
// each of its hundred kernels.
#pragma once
#include "../ops.h"

namespace lr {

class Repeats {
 public:
  virtual ~Repeats() = default;
  // Work that is given from here on is written down, and started by end() or by the first read, whichever comes first. Its bytes are those of
  // work that is started as it is given.
  virtual void begin(const Run& run) = 0;
  virtual void end() = 0;
  // Forgets what was written down and not started.
  virtual void drop() noexcept = 0;
};

// begin() to end(), or to an exception. `repeats` may be null: then it does nothing.
class RepeatedWork {
 public:
  RepeatedWork(Repeats* repeats, const Run& run) : repeats_(repeats) {
    if (repeats_ != nullptr) repeats_->begin(run);
  }
  ~RepeatedWork() {
    if (repeats_ != nullptr) repeats_->drop();
  }
  RepeatedWork(const RepeatedWork&) = delete;
  RepeatedWork& operator=(const RepeatedWork&) = delete;
  void end() {
    if (repeats_ != nullptr) repeats_->end();
  }

 private:
  Repeats* repeats_;
};

}  // namespace lr
