// Every entry point of the C interface while allocations fail, one after the other.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "trial.h"

namespace {

int64_t entries(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

// Open files and mappings of this process that have to do with a test's folders, and its threads.
int64_t held() {
  int64_t count = 0;
  std::string line;
  for (std::ifstream maps("/proc/self/maps"); std::getline(maps, line);) count += line.find("lowrank-test-") != std::string::npos;
  return count + entries("/proc/self/fd") + entries("/proc/self/task");
}

}  // namespace

int main() {
  using namespace lr::test;
  const int64_t before = held();
  for (const auto group : {context_cases, base_cases, adapter_cases, step_cases, session_cases, boundary_cases}) {
    try {
      group();
    } catch (const std::exception& error) {
      expect(false, error.what());
    }
  }
  expect(held() == before, "files, mappings and threads are given back: " + std::to_string(held() - before) + " more than before");
  return finish();
}
