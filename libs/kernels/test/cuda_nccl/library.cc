// A library with the functions of NCCL that src/native/cuda/nccl.cu calls, written from their documentation and the values in nccl.h, apart
// from ours. Ranks are threads or processes; they meet in memory that they share. As with the real one an exchange is under way when its call
// returns; what it writes is garbage until it is done.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#define EXPORT extern "C" __attribute__((visibility("default")))

// What a test sets and reads.
EXPORT std::atomic<int> fake_version, fake_id_status, fake_init_status, fake_gather_status, fake_async_status, fake_live, fake_gathers;
std::atomic<int> fake_version = 23203, fake_id_status = 0, fake_init_status = 0, fake_gather_status = 0, fake_async_status = 0, fake_live = 0,
                 fake_gathers = 0;

namespace {

enum Status { kOk = 0, kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5, kInProgress = 7 };
constexpr int kFloat = 7, kMostRanks = 8;
constexpr size_t kMostFloats = size_t{1} << 20;

struct UniqueId {
  char internal[128];
};

struct Shared {
  std::atomic<uint64_t> joined, arrived;
  std::atomic<uint32_t> taken;  // a bit for each rank
  float data[kMostRanks][kMostFloats];
};

struct Comm {
  Comm(Shared* memory, int own, int all) : shared(memory), rank(own), ranks(all) {}
  Shared* shared;
  int rank, ranks;
  uint64_t barriers = 0;
  std::atomic<bool> aborted{false}, busy{false};
  std::thread work;
};

void nap() { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

// False: given up.
bool meet(Comm& comm) {
  comm.shared->arrived.fetch_add(1);
  const uint64_t all = ++comm.barriers * static_cast<uint64_t>(comm.ranks);
  while (comm.shared->arrived.load() < all) {
    if (comm.aborted) return false;
    nap();
  }
  return true;
}

int release(Comm* comm) {
  if (comm->work.joinable()) comm->work.join();
  ::munmap(comm->shared, sizeof(Shared));
  delete comm;
  --fake_live;
  return kOk;
}

}  // namespace

EXPORT int ncclGetVersion(int* version) {
  *version = fake_version;
  return kOk;
}
EXPORT const char* ncclGetErrorString(int status) { return status == kInvalidUsage ? "invalid usage" : "a made-up failure"; }
EXPORT const char* ncclGetLastError(void*) { return "as the test wants it"; }

EXPORT int ncclGetUniqueId(UniqueId* id) {
  static std::atomic<int> made{0};
  if (fake_id_status != kOk) return fake_id_status;
  for (size_t i = 0; i < sizeof id->internal; ++i) id->internal[i] = static_cast<char>(i * 7 + 1);
  std::snprintf(id->internal, 48, "/nccl-of-a-test-%d-%d", static_cast<int>(::getpid()), ++made);
  return kOk;
}

EXPORT int ncclCommInitRank(void** made, int ranks, UniqueId id, int rank) {
  for (size_t i = 48; i < sizeof id.internal; ++i)
    if (id.internal[i] != static_cast<char>(i * 7 + 1)) return kInvalidArgument;
  if (ranks < 1 || ranks > kMostRanks || rank < 0 || rank >= ranks) return kInvalidArgument;
  if (fake_init_status != kOk) return fake_init_status;
  const int file = ::shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Shared)) != 0) return kSystemError;
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) return kSystemError;
  auto* comm = new Comm(static_cast<Shared*>(memory), rank, ranks);
  ++fake_live;
  if ((comm->shared->taken.fetch_or(1u << rank) >> rank & 1) != 0) {
    release(comm);
    return kInvalidUsage;
  }
  if (comm->shared->joined.fetch_add(1) + 1 == static_cast<uint64_t>(ranks)) ::shm_unlink(id.internal);
  while (comm->shared->joined.load() < static_cast<uint64_t>(ranks)) nap();
  *made = comm;
  return kOk;
}
EXPORT int ncclCommDestroy(Comm* comm) { return release(comm); }
EXPORT int ncclCommAbort(Comm* comm) {
  comm->aborted = true;
  return release(comm);
}
EXPORT int ncclCommGetAsyncError(Comm* comm, int* status) {
  *status = fake_async_status != kOk ? fake_async_status.load() : comm->busy ? kInProgress : kOk;
  return kOk;
}
EXPORT int ncclAllGather(const void* own, void* all, size_t count, int type, Comm* comm, void*) {
  if (type != kFloat || count == 0 || count > kMostFloats || comm->busy) return kInvalidArgument;
  if (fake_gather_status != kOk) return fake_gather_status;
  if (comm->work.joinable()) comm->work.join();
  ++fake_gathers;
  const size_t bytes = count * sizeof(float);
  std::memset(all, 0xFF, static_cast<size_t>(comm->ranks) * bytes);
  comm->busy = true;
  comm->work = std::thread([=] {
    nap();
    std::memcpy(comm->shared->data[comm->rank], own, bytes);
    if (!meet(*comm)) return;
    for (int rank = 0; rank < comm->ranks; ++rank) std::memcpy(static_cast<char*>(all) + static_cast<size_t>(rank) * bytes, comm->shared->data[rank], bytes);
    if (meet(*comm)) comm->busy = false;
  });
  return kOk;
}
