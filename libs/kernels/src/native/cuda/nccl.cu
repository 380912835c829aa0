#include "nccl.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "../model/error.h"
#include "library.h"

#if !defined(__CUDACC__)
#include "emulator/memory.h"
#endif

namespace lr::cuda {
namespace {

// Values of nccl.h.
constexpr int kFloat = 7;                                              // ncclDataType_t
constexpr int kOk = 0, kInvalidArgument = 4, kInvalidUsage = 5, kInProgress = 7;  // ncclResult_t
constexpr int kOldest = 21300, kTooNew = 30000;                        // ncclGetVersion: 10000 · major + 100 · minor + patch

// Between two looks at an exchange: short beside the time that a micro-batch takes.
constexpr auto kPause = std::chrono::microseconds(50);

}  // namespace

struct Nccl::Functions {
  int (*version)(int* version);
  int (*unique_id)(GroupId* id);
  int (*init_rank)(void** communicator, int ranks, GroupId id, int rank);  // the id by value
  int (*destroy)(void* communicator);
  int (*abort)(void* communicator);
  int (*async_error)(void* communicator, int* status);
  int (*all_gather)(const void* own, void* all, size_t count, int type, void* communicator, Stream stream);
  const char* (*error_string)(int status);
  const char* (*last_error)(void* communicator);

  // Throws unless `status` is that of success.
  void check(Device* device, int status, const char* what) const {
    if (status == kOk) return;
    const std::string said = format("%s: NCCL says \"%s\", %s", what, error_string(status), last_error(nullptr));
    if (status == kInvalidArgument || status == kInvalidUsage) fail(LR_INVALID_ARGUMENT, "%s", said.c_str());
    give_up(device, said.c_str(), status);
  }
};

class Nccl::Member final : public Group {
 public:
  Member(const Functions& functions, Device* device, void* communicator, int rank, int size)
      : Group(rank, size), call_(functions), device_(device), communicator_(communicator) {}
  ~Member() override {
    if (communicator_ != nullptr) call_.destroy(communicator_);
  }

  void gather(const float* own, float* all, int64_t count, const CancelFlag* cancel) override {
    if (communicator_ == nullptr) fail(ended_, "this group has ended: every rank has to join another");
#if !defined(__CUDACC__)
    const emulator::OpenMemory open;
#endif
    try {
      exchange(own, all, static_cast<size_t>(count), cancel);
    } catch (const Error& error) {
      end(error.status());
      throw;
    } catch (...) {
      end(LR_DEVICE_FAILED);
      throw;
    }
  }

 private:
  void exchange(const float* own, float* all, size_t count, const CancelFlag* cancel) {
    constexpr const char* kWhat = "ranks exchanged gradients";
    call_.check(device_, call_.all_gather(own, all, count, kFloat, communicator_, stream_of(device_)), kWhat);
    for (;;) {
      int status = kOk;
      call_.check(device_, call_.async_error(communicator_, &status), kWhat);
      if (status != kInProgress) {
        call_.check(device_, status, kWhat);
        if (is_done(device_)) return;
      }
      check_cancelled(cancel);
      std::this_thread::sleep_for(kPause);
    }
  }

  // The other ranks may never come: what is under way is given up, and with it the communicator.
  void end(lr_status status) {
    call_.abort(communicator_);
    communicator_ = nullptr;
    ended_ = status;
  }

  const Functions& call_;
  Device* device_;
  void* communicator_;
  lr_status ended_ = LR_OK;
};

Nccl::Nccl(const char* path) : state_(open(path)) {}
Nccl::~Nccl() = default;

std::string Nccl::open(const char* path) {
  LoadedLibrary library(path, {"libnccl.so.2"});
  auto found = std::make_unique<Functions>();
  const auto find = [&](auto& function, const char* name) { library.find(function, name); };
  find(found->version, "ncclGetVersion");
  find(found->unique_id, "ncclGetUniqueId");
  find(found->init_rank, "ncclCommInitRank");
  find(found->destroy, "ncclCommDestroy");
  find(found->abort, "ncclCommAbort");
  find(found->async_error, "ncclCommGetAsyncError");
  find(found->all_gather, "ncclAllGather");
  find(found->error_string, "ncclGetErrorString");
  find(found->last_error, "ncclGetLastError");
  if (!library.trouble().empty()) return "no NCCL: " + library.trouble();
  int version = 0;
  const int status = found->version(&version);
  if (status != kOk) return format("no NCCL: it does not tell its version (status %d)", status);
  const int major = version / 10000, minor = version / 100 % 100, patch = version % 100;
  if (version < kOldest || version >= kTooNew) return format("no NCCL: 2.13 and later ones of 2 are known here, not version %d", version);
  call_ = std::move(found);
  return format("NCCL %d.%d.%d", major, minor, patch);
}

void Nccl::need() const {
  if (call_ == nullptr) fail(LR_IO_ERROR, "GPUs train together through libnccl.so.2; %s", state_.c_str());
}

GroupId Nccl::make_id(Device* device) {
  need();
  GroupId id;
  call_->check(device, call_->unique_id(&id), "a group was made");
  return id;
}

std::unique_ptr<Group> Nccl::join(Device* device, const GroupId& id, int rank, int size) {
  need();
  void* communicator = nullptr;
  call_->check(device, call_->init_rank(&communicator, size, id, rank), "ranks found each other");
  return std::make_unique<Member>(*call_, device, communicator, rank, size);
}

Nccl& nccl() {
  const char* set = std::getenv("LOWRANK_NCCL");
  static Nccl library(set == nullptr || *set == '\0' ? nullptr : set);
  return library;
}

}  // namespace lr::cuda
