#include "cores.h"

#include <sched.h>

#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>

namespace lr {
namespace {

// A number that Linux says of a hardware thread's place in the machine; -1 where it does not.
int topology(int cpu, const char* what) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + what);
  int value = -1;
  file >> value;
  return file ? value : -1;
}

}  // namespace

std::vector<int> usable_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    std::set<std::pair<int, int>> seen;  // (package, core)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &set)) continue;
      const int core = topology(cpu, "core_id");
      if (core < 0 || seen.emplace(topology(cpu, "physical_package_id"), core).second) cores.push_back(cpu);
    }
  }
  if (cores.empty())
    for (unsigned cpu = 0; cpu == 0 || cpu < std::thread::hardware_concurrency(); ++cpu) cores.push_back(static_cast<int>(cpu));
  return cores;
}

}  // namespace lr
