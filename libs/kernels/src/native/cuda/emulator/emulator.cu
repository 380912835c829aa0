#include "emulator.h"

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__x86_64__)
extern "C" void lr_emulator_switch(void** from, void* to);
#endif

namespace lr::cuda::emulator {
namespace {

constexpr size_t kStack = 128 << 10;
constexpr int kWarp = 32;

// A point of execution that another one can switch to. ucontext would do everywhere, but saves the signal mask by a system call at
// each switch, and a product is 32 of them.
#if defined(__x86_64__)
struct Context {
  void* stack_pointer = nullptr;
};
asm(R"(
.text
.local lr_emulator_switch
.type lr_emulator_switch, @function
lr_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
void switch_to(Context& from, Context& to) { lr_emulator_switch(&from.stack_pointer, to.stack_pointer); }
void prepare(Context& context, std::byte* stack, void (*entry)()) {
  // After the six registers are popped `ret` enters the function, whose stack is then 8 off a multiple of 16, as after a call.
  auto* top = reinterpret_cast<void**>(stack + kStack) - 2;
  *top = reinterpret_cast<void*>(entry);
  context.stack_pointer = top - 6;
}
#else
struct Context {
  ucontext_t registers;
};
void switch_to(Context& from, Context& to) { swapcontext(&from.registers, &to.registers); }
void prepare(Context& context, std::byte* stack, void (*entry)()) {
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = stack;
  context.registers.uc_stack.ss_size = kStack;
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, entry, 0);
}
#endif

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool valid;
};

enum class State { Ready, AtBarrier, AtWarp, Done };

struct Fiber {
  Context context;
  Thread thread;
  State state;
  int group;  // threads that meet at its barrier
  Perform perform;
  void* mine;
  std::vector<std::vector<Copy>> copies;  // by group, the last one open
};

// Stacks and fibers stay for the next launch.
struct Machine {
  std::byte* stacks = nullptr;
  size_t stack_count = 0;
  std::vector<Fiber> fibers;
  std::vector<unsigned char> shared;
  Context scheduler;
  Fiber* running = nullptr;
  const std::function<void()>* body = nullptr;

  ~Machine() {
    if (stacks != nullptr) ::munmap(stacks, stack_count * kStack);
  }
  void reserve(size_t threads) {
    if (threads <= stack_count) return;
    if (stacks != nullptr) ::munmap(stacks, stack_count * kStack);
    void* memory = ::mmap(nullptr, threads * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stacks = static_cast<std::byte*>(memory);
    stack_count = threads;
    fibers.resize(threads);
  }
};
thread_local Machine machine;

[[noreturn]] void broken(const std::string& what) { throw std::logic_error("emulated kernel: " + what); }

void pause(State state) {
  Fiber* own = machine.running;
  own->state = state;
  switch_to(own->context, machine.scheduler);
}

void enter() {
  (*machine.body)();
  pause(State::Done);
}

void resume(Fiber& fiber) {
  machine.running = &fiber;
  fiber.state = State::Ready;
  switch_to(machine.scheduler, fiber.context);
}

// Takes a warp to the next barrier or its end.
void run_warp(Fiber* lanes, const std::vector<int>& order) {
  for (;;) {
    for (const int lane : order) {
      if (lanes[lane].state == State::Ready) resume(lanes[lane]);
    }
    if (lanes[0].state != State::AtWarp) break;
    void* brought[kWarp];
    for (int lane = 0; lane < kWarp; ++lane) {
      if (lanes[lane].state != State::AtWarp || lanes[lane].perform != lanes[0].perform) broken("lanes of a warp are at different operations");
      brought[lane] = lanes[lane].mine;
    }
    lanes[0].perform(brought);
    for (int lane = 0; lane < kWarp; ++lane) lanes[lane].state = State::Ready;
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if (lanes[lane].state != lanes[0].state) broken("lanes of a warp are at different operations");
  }
}

std::vector<int> ordered(int count, int order) {
  std::vector<int> places(static_cast<size_t>(count));
  std::iota(places.begin(), places.end(), 0);
  if (order == 2) std::reverse(places.begin(), places.end());
  uint32_t random = static_cast<uint32_t>(order) * 2654435761u;
  for (size_t i = places.size(); order > 2 && i > 1; --i) {
    random = random * 1664525u + 1013904223u;
    std::swap(places[i - 1], places[(random >> 16) % i]);
  }
  return places;
}

// Whether a group met, whose threads go on then.
bool meet(int first, int threads) {
  const int group = machine.fibers[first].group;
  const auto waits = [&](const Fiber& fiber) { return fiber.state == State::AtBarrier && fiber.group == group; };
  const auto begin = machine.fibers.begin() + first;
  if (!waits(*begin) || first % group != 0 || first + group > threads || !std::all_of(begin, begin + group, waits)) return false;
  for (int i = 0; i < group; ++i) begin[i].state = State::Ready;
  return true;
}

void run_block(int threads, int order) {
  const std::vector<int> warps = ordered(threads / kWarp, order), lanes = ordered(kWarp, order);
  for (;;) {
    for (const int warp : warps) run_warp(machine.fibers.data() + warp * kWarp, lanes);
    bool met = false;
    for (int first = 0; first < threads; first += kWarp) met |= meet(first, threads);
    if (met) continue;
    for (int i = 0; i < threads; ++i)
      if (machine.fibers[i].state != State::Done) broken("not all threads reach a barrier");
    return;
  }
}

}  // namespace

const Thread& current() { return machine.running->thread; }

void run(int order, Place grid, int threads, size_t shared_bytes, const std::function<void()>& body) {
  if (threads < kWarp || threads > 1024 || threads % kWarp != 0) broken("a block of " + std::to_string(threads) + " threads");
  if (grid.y > 65535 || grid.z > 65535 || grid.x > INT32_MAX) broken("a grid that is too large");
  if (shared_bytes > 99 << 10) broken("more shared memory than every GPU from 8.6 on has");
  machine.reserve(static_cast<size_t>(threads));
  machine.body = &body;
  const int64_t blocks = grid.x * grid.y * grid.z;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t block = order == 2 ? blocks - 1 - i : i;
    machine.shared.assign(shared_bytes + 128, 0xFF);
    auto* shared = machine.shared.data() + (128 - reinterpret_cast<uintptr_t>(machine.shared.data()) % 128);
    for (int thread = 0; thread < threads; ++thread) {
      Fiber& fiber = machine.fibers[static_cast<size_t>(thread)];
      fiber.thread = {thread, threads, {block % grid.x, block / grid.x % grid.y, block / (grid.x * grid.y)}, grid, shared};
      fiber.state = State::Ready;
      fiber.copies.assign(1, {});
      prepare(fiber.context, machine.stacks + static_cast<size_t>(thread) * kStack, enter);
    }
    run_block(threads, order);
  }
}

void wait_group(int threads) {
  machine.running->group = threads;
  pause(State::AtBarrier);
}

void wait_warp(Perform perform, void* mine) {
  machine.running->perform = perform;
  machine.running->mine = mine;
  pause(State::AtWarp);
}

void copy_later(void* to, const void* from, size_t bytes, bool valid) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || (valid && reinterpret_cast<uintptr_t>(from) % bytes != 0)) broken("a copy that is not aligned");
  machine.running->copies.back().push_back({to, from, bytes, valid});
}

void commit_copies() { machine.running->copies.emplace_back(); }

void wait_copies(int pending) {
  auto& groups = machine.running->copies;
  while (static_cast<int>(groups.size()) - 1 > pending) {
    for (const Copy& copy : groups.front()) {
      if (copy.valid) {
        std::memcpy(copy.to, copy.from, copy.bytes);
      } else {
        std::memset(copy.to, 0, copy.bytes);
      }
    }
    groups.erase(groups.begin());
  }
}

void perform_shuffle(void* const (&lanes)[32]) {
  for (int lane = 0; lane < kWarp; ++lane) {
    auto* mine = static_cast<Shuffle*>(lanes[lane]);
    mine->received = static_cast<const Shuffle*>(lanes[mine->from])->bits;
  }
}

namespace {

// Element (row, column) of matrix j of a load.
uint16_t element(void* const (&lanes)[32], int j, int row, int column) {
  return static_cast<const uint16_t*>(static_cast<const Load*>(lanes[8 * j + row])->row)[column];
}

void check_rows(void* const (&lanes)[32]) {
  for (void* lane : lanes) {
    if (reinterpret_cast<uintptr_t>(static_cast<const Load*>(lane)->row) % 16 != 0) broken("a row of a matrix that is not aligned");
  }
}

}  // namespace

void perform_load(void* const (&lanes)[32]) {
  check_rows(lanes);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int row = lane / 4, column = lane % 4 * 2;
    for (int j = 0; j < 4; ++j) {
      static_cast<Load*>(lanes[lane])->r[j] = uint32_t{element(lanes, j, row, column)} | uint32_t{element(lanes, j, row, column + 1)} << 16;
    }
  }
}

void perform_load_transposed(void* const (&lanes)[32]) {
  check_rows(lanes);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int row = lane % 4 * 2, column = lane / 4;
    for (int j = 0; j < 4; ++j) {
      static_cast<Load*>(lanes[lane])->r[j] = uint32_t{element(lanes, j, row, column)} | uint32_t{element(lanes, j, row + 1, column)} << 16;
    }
  }
}

void perform_multiply(void* const (&lanes)[32]) {
  const auto value = [](uint32_t pair, int half) { return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xFFFF0000u); };
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& mine = *static_cast<const Multiply*>(lanes[lane]);
    const int group = lane / 4, place = lane % 4 * 2;
    for (int half = 0; half < 2; ++half) {
      for (int j = 0; j < 4; ++j) a[group + j % 2 * 8][place + half + j / 2 * 8] = value(mine.a[j], half);
      for (int j = 0; j < 2; ++j) b[place + half + j * 8][group] = value(mine.b[j], half);
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& mine = *static_cast<const Multiply*>(lanes[lane]);
    for (int j = 0; j < 4; ++j) {
      const int row = lane / 4 + j / 2 * 8, column = lane % 4 * 2 + j % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      mine.c[j] += sum;
    }
  }
}

}  // namespace lr::cuda::emulator
