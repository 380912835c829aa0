// Opens a base and does with it what the library does: reads every weight, and a small one computes logits, by the plain operations.
#pragma once
#include <string>

// Throws lr::Error. A pointer beside the mapping is found by the sanitizer or the processor.
void use_base(const std::string& path);
