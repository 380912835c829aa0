// Files that a configuration asks for, with weights made up: what no fuzzer guesses (names, shapes, offsets, sizes, checksums), the
// library's own code works out. `choices` decides what is open, such as storages and dtypes. Nothing comes out for a configuration
// that is refused or asks for too much.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "json_text.h"

// A quantized base.
std::optional<std::string> made_base(const std::string& config, std::string_view choices);
// Sets the sizes and checksums of a base right; its index ends where its JSON does.
void make_right(std::string& base);
// A change to a base, or to its index with the tensors' offsets and the file's size then made right.
std::string mutate_base(const std::string& base, Random& random, size_t most);

// The weights of a checkpoint as a safetensors file; some linear layers as bitsandbytes would have written them where the configuration
// says that it did.
std::optional<std::string> made_weights(const std::string& config, std::string_view choices);
// A change to a safetensors file, or to its header with its size, the tensors' offsets and the size of the file then made right.
std::string mutate_safetensors(const std::string& bytes, Random& random, size_t most);
