#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace lr::test {
namespace {

std::atomic<int64_t> left = 0;  // allocations up to the one that fails; 0 or below: it came
std::atomic<bool> armed = false, persists = false;
std::atomic<int64_t> blocks = 0;

bool refused() {
  if (!armed) return false;
  const int64_t before = left--;
  return before == 1 || (before < 1 && persists);
}

void* take(std::size_t bytes) {
  if (refused()) return nullptr;
  void* block = std::malloc(bytes);
  if (block != nullptr) ++blocks;
  return block;
}

void* take_or_throw(std::size_t bytes) {
  void* block = take(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void give_back(void* block) noexcept {
  if (block != nullptr) --blocks;
  std::free(block);
}

// The function of this name that this program's own hides.
template <typename Function>
Function hidden(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void fail_allocation(uint64_t n, Failing failing) {
  left = static_cast<int64_t>(n);
  persists = failing == Failing::FromThenOn;
  armed = true;
}

bool stop_failing() {
  armed = false;
  return left < 1;
}

int64_t live_blocks() { return blocks; }

}  // namespace lr::test

using lr::test::refused;

void* operator new(std::size_t bytes) { return lr::test::take_or_throw(bytes); }
void* operator new[](std::size_t bytes) { return lr::test::take_or_throw(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return lr::test::take(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return lr::test::take(bytes); }
void operator delete(void* block) noexcept { lr::test::give_back(block); }
void operator delete[](void* block) noexcept { lr::test::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { lr::test::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { lr::test::give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { lr::test::give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { lr::test::give_back(block); }

#define LR_REPLACED extern "C" __attribute__((visibility("default")))

LR_REPLACED void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  void* block = nullptr;
  return refused() || posix_memalign(&block, alignment, bytes) != 0 ? nullptr : block;
}

LR_REPLACED void* mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) noexcept {
  if (!refused()) return reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, file, offset));
  errno = ENOMEM;
  return MAP_FAILED;
}

LR_REPLACED int mprotect(void* at, size_t bytes, int protection) noexcept {
  if (!refused()) return static_cast<int>(syscall(SYS_mprotect, at, bytes, protection));
  errno = ENOMEM;
  return -1;
}

LR_REPLACED DIR* opendir(const char* name) {
  if (!refused()) return lr::test::hidden<DIR* (*)(const char*)>("opendir")(name);
  errno = ENOMEM;
  return nullptr;
}

LR_REPLACED int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  return refused() ? EAGAIN : lr::test::hidden<Create>("pthread_create")(thread, attributes, run, argument);
}
