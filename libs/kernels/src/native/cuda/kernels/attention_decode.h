// Attention of decoding: one new token a sequence.
#pragma once
#include "attention.h"

namespace lr::cuda {

// Of heads whose width is at most 256 and a multiple of 4.
bool suits_decode(const Attention& a);
// o[n_sequences, Hq, D] of q[n_sequences, Hq, D]: query s at position sequences[s].past, over the keys and values that `cache` has of its sequence.
void attention_decode(const Run& run, const Attention& a, const float* q, const PagedKeys& cache, const PagedSequence* sequences, int64_t n_sequences,
                      float* o);

}  // namespace lr::cuda
