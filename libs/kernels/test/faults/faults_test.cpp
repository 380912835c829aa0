// Every entry point of the C interface while allocations fail, one after the other.
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "trial.h"

namespace {

int64_t entries(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

// What an allocator does not know of: open files, mappings of a test's files, threads, and terabytes of addresses (scratch.h).
struct Held {
  int64_t files = entries("/proc/self/fd"), mappings = 0, threads = entries("/proc/self/task"), terabytes = 0;

  Held() {
    std::string line;
    for (std::ifstream maps("/proc/self/maps"); std::getline(maps, line);) mappings += line.find("lowrank-test-") != std::string::npos;
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    terabytes = (pages * 4096 + (int64_t{1} << 39)) >> 40;
  }
  bool operator==(const Held&) const = default;
};

bool given_back(const Held& before) {
  for (int tries = 0; tries < 2000; ++tries) {  // a thread that was joined may be listed for a moment longer
    if (Held() == before) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace

int main() {
  using namespace lr::test;
  const Held before;
  for (const auto group : {context_cases, base_cases, adapter_cases, step_cases, cache_cases, session_cases, boundary_cases}) {
    try {
      group();
    } catch (const std::exception& error) {
      expect(false, error.what());
    }
  }
  expect(given_back(before), "files, mappings, threads and addresses are given back");
  return finish();
}
