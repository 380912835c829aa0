// Checks of the readers, the decoder, adapters and sessions, through the C interface wherever it reaches.
#include <cstdio>
#include <exception>

#include "tiny_model.h"

int main() {
  using namespace lr::test;
  const auto groups = {json_cases,      config_cases, checkpoint_cases, base_cases,   storage_cases, gradient_cases,
                       objective_cases, step_cases,   bf16_cases,       adapter_cases, method_cases, cache_cases, session_cases};
  for (const auto group : groups) {
    try {
      group();
    } catch (const std::exception& error) {
      expect(false, error.what());
    }
  }
  return finish();
}
