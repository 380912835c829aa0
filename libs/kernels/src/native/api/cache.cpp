#include "checks.h"

using namespace lr;

namespace {

lr_context* context_of(const lr_cache* cache) { return cache == nullptr ? nullptr : cache->base->context; }

// Checks a batch against the vocabulary of the base and the pages of the cache.
void check_batch(Cache& cache, const lr_cached_batch* batch, bool decoding) {
  require(batch, "batch");
  require(batch->tokens, "batch.tokens");
  require(batch->starts, "batch.starts");
  require(batch->past, "batch.past");
  require(batch->pages, "batch.pages");
  require(batch->page_starts, "batch.page_starts");
  check_starts(batch->starts, batch->n_tokens, batch->n_sequences);
  if (decoding && batch->n_tokens != batch->n_sequences) {
    fail(LR_INVALID_ARGUMENT, "%u tokens of %u sequences: LR_DECODE takes one token of each; prompts go through LR_PREFILL", batch->n_tokens,
         batch->n_sequences);
  }
  check_tokens(batch->tokens, batch->n_tokens, "tokens", 0, cache.config().vocab);
  if (batch->page_starts[0] != 0) fail(LR_INVALID_ARGUMENT, "page_starts has to begin with 0");
  for (uint32_t s = 0; s < batch->n_sequences; ++s) {
    if (batch->page_starts[s + 1] < batch->page_starts[s]) {
      fail(LR_INVALID_ARGUMENT, "page_starts[%u] comes before page_starts[%u]", s + 1, s);
    }
  }
  cache.check(*batch);
}

}  // namespace

extern "C" {

lr_status lr_cache_create(lr_base* base, uint32_t page_tokens, uint32_t pages, lr_cache** cache) {
  return guarded(base == nullptr ? nullptr : base->context, [&] {
    require(cache, "cache");
    *cache = nullptr;
    *cache = new lr_cache{base, Cache(base->base, page_tokens, pages)};
  });
}

void lr_cache_destroy(lr_cache* cache) { delete cache; }

lr_status lr_cache_run(lr_cache* cache, uint32_t kind, const lr_cached_batch* batch, const lr_rows* rows, uint32_t n_rows,
                       lr_cancel* cancel, float* logits) {
  return guarded_turn(context_of(cache), [&](Runtime& runtime) {
    if (kind > LR_DECODE) fail(LR_INVALID_ARGUMENT, "kind is %u; there are LR_PREFILL (0) and LR_DECODE (1)", kind);
    const bool decoding = kind == LR_DECODE;
    check_batch(cache->cache, batch, decoding);
    const std::vector<RowGroup> groups = check_rows(cache->base, batch->starts, batch->n_sequences, rows, n_rows);
    cache->cache.run(runtime, decoding, *batch, groups, flag_of(cancel), logits);
  });
}

}  // extern "C"
