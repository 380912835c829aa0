#pragma once

#include <functional>
#include <vector>

#include "ops.h"

namespace lr {

// One thread is timed by the time it was given, several by the clock on the wall, which is the default.
void by_processor_time(bool on);

// Seconds of the best of several runs: on a shared machine the others only ever make it slower.
double seconds(const std::function<void()>& work);
// The same of several that take turns, so that what else the machine does falls on all of them.
std::vector<double> seconds_in_turn(const std::vector<std::function<void()>>& works);

// GFLOP/s of all threads of the run, in its operand type, by multiply-adds that never leave the registers; 0 where there is no
// vector unit to measure. isa: a level of lr_isa.
double peak(const Run& run, int isa);

// GB/s at which all threads of the run together read memory that no cache holds.
double read_rate(const Run& run);

}  // namespace lr
