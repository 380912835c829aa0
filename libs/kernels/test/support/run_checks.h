// What the main function of a test program does.
#pragma once
#include <exception>
#include <string>

namespace lr::test {

void expect(bool passed, const std::string& what);
int finish();

// Runs checks, of which one that throws is the last and has failed; prints the closing line. The exit code.
template <typename Checks>
int run_checks(const Checks& checks) {
  try {
    checks();
  } catch (const std::exception& error) {
    expect(false, error.what());
  }
  return finish();
}

}  // namespace lr::test
