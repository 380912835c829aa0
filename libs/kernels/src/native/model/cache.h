// Keys and values of many sequences, kept in pages, and the pass that takes new tokens of them through the model.
#pragma once
#include <vector>

#include "cancel.h"
#include "layer.h"
#include "runtime.h"

namespace lr {

class Cache {
 public:
  // Throws Error(LR_INVALID_ARGUMENT).
  Cache(Base& base, int64_t page_tokens, int64_t pages);

  const ModelConfig& config() const { return base_.config(); }
  int64_t page_tokens() const { return page_tokens_; }
  int64_t pages() const { return pages_; }
  // Of a batch whose arrays have the right sizes: pages exist, are enough, and none that is written is in use elsewhere; positions are
  // those of the model, and frequencies known. Throws Error(LR_INVALID_ARGUMENT).
  void check(const lr_cached_batch& batch);
  // See lr_cache_run. The batch and groups have been validated. Whatever ends it early, tokens that were in the cache stay.
  void run(Runtime& runtime, bool decoding, const lr_cached_batch& batch, const std::vector<RowGroup>& groups, const CancelFlag* cancel,
           float* logits);

 private:
  struct Part;
  struct Plan;
  static Part part_of(const lr_cached_batch& batch, const std::vector<RowGroup>& groups, int64_t begin, int64_t end);
  static Plan make_plan(Arena& arena, Arena& host, const Pass& pass, int64_t lora_hidden);
  void check_positions(const lr_cached_batch& batch, uint32_t sequence) const;
  RopeTable& rope_table(size_t index);
  void number_rows(const Part& part, Plan& plan, Pass& pass);
  static int64_t logits_of_ends(const Pass& pass, const Part& part, const Plan& plan, float* logits);
  void run_part(const Pass& pass, const Part& part, const Plan& plan, const int32_t* tokens, const CancelFlag* cancel);

  Base& base_;
  int64_t page_tokens_, pages_;
  std::vector<RopeTable> ropes_;  // for dynamic, which has other tables for every length: caches that shared them would rebuild them in turn
  Buffer<float> keys_, values_;   // [layers, pages, page_tokens, kv]
  Buffer<int32_t> writers_;       // [pages] while checking: the entry of batch.pages that is written there
};

}  // namespace lr
