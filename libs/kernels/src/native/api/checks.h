// Checks of arguments that several calls share.
#pragma once
#include <vector>

#include "handles.h"

namespace lr {

// Packed sequences: starts ascend from 0 to n_tokens. Throws Error(LR_INVALID_ARGUMENT), as do the others.
void check_starts(const int32_t* starts, uint32_t n_tokens, uint32_t n_sequences);
// Ids are in the vocabulary, or `lowest`.
void check_tokens(const int32_t* tokens, uint32_t n, const char* name, int32_t lowest, int64_t vocab);
// Every token of sequences that have been checked is in exactly one entry of rows.
std::vector<RowGroup> check_rows(const lr_base* base, const int32_t* starts, uint32_t n_sequences, const lr_rows* rows, uint32_t n_rows);

}  // namespace lr
