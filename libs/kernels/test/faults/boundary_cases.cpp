// Nothing but a status crosses the C boundary, and every function of the header is among these tests.
#include <filesystem>
#include <new>
#include <stdexcept>

#include "trial.h"

namespace lr::test {
namespace {

// What a callback written in C++ throws comes back as a status; in the end there is neither a file nor half of one.
void throwing_callbacks() {
  struct Thrown {
    const char* name;
    lr_progress callback;
    lr_status status;
    const char* mention;
  };
  const Thrown all[] = {
      {"an exception", [](void*, uint64_t, uint64_t) { throw std::runtime_error("the caller's own"); }, LR_INTERNAL, "the caller's own"},
      {"a number", [](void*, uint64_t, uint64_t) { throw 7; }, LR_INTERNAL, "unknown"},
      {"memory", [](void*, uint64_t, uint64_t) { throw std::bad_alloc(); }, LR_OUT_OF_MEMORY, "memory"},
      {"at the end", [](void*, uint64_t done, uint64_t total) { if (done == total) throw std::runtime_error("late"); }, LR_INTERNAL, "late"},
  };
  const TemporaryFolder folder;
  one_layer(Family::LlamaPlain).write(folder.path("model"));
  Setup setup(kFast);
  const auto quantize = [&](lr_progress callback) {
    return lr_base_quantize(setup.handle(), folder.path("model").c_str(), folder.path("out.lrb").c_str(), nullptr, nullptr, callback, nullptr);
  };
  for (const Thrown& thrown : all) {
    expect_status(setup.handle(), quantize(thrown.callback), thrown.status, std::string("a callback throws ") + thrown.name, thrown.mention);
    const auto files = std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator());
    expect(files == 1, std::string("a callback throws ") + thrown.name + ": no file is left");
  }
  expect(quantize(nullptr) == LR_OK, "the context works after callbacks that threw");
}

void nothing_at_all() {
  lr_context_destroy(nullptr);
  lr_cancel_destroy(nullptr);
  lr_cancel_set(nullptr);
  lr_base_close(nullptr);
  lr_adapter_destroy(nullptr);
  lr_session_destroy(nullptr);
  lr_group_leave(nullptr);
  expect(std::string(lr_context_error(nullptr)) == "null context", "the message of no context");
  expect(lr_interface_version() == LR_INTERFACE_VERSION, "the version of the interface");
  for (const char* name : {"lr_context_destroy", "lr_cancel_destroy", "lr_cancel_set", "lr_base_close", "lr_adapter_destroy",
                           "lr_session_destroy", "lr_group_leave", "lr_context_error", "lr_interface_version"})
    seen(name);
}

// Groups are of GPUs: a context on processors has none. test/cuda_nccl has those of devices.
void groups() {
  uint8_t id[LR_GROUP_ID_BYTES] = {};
  survive("lr_group_id", "", [&] {
    return reading(std::make_shared<Setup>(kFast), [&](Setup& s) { return lr_group_id(s.handle(), id); });
  }, LR_INVALID_ARGUMENT);
  survive("lr_group_join", "", [&] {
    return reading(std::make_shared<Setup>(kFast), [&](Setup& s) {
      lr_group* group = nullptr;
      return lr_group_join(s.handle(), id, 0, 1, &group);
    });
  }, LR_INVALID_ARGUMENT);
  survive("lr_adapter_sum_gradients", "", [] {
    return reading(std::make_shared<Setup>(kFast, Family::LlamaPlain, kLora),
                   [](Setup& s) { return lr_adapter_sum_gradients(s.adapter.get(), nullptr, 1, nullptr); });
  }, LR_INVALID_ARGUMENT);
}

// The Makefile runs this program in the library's folder.
void every_entry_point() {
  const std::string header = read_file("include/lowrank_kernels.h");
  const std::string mark = "\nLR_API ";
  int found = 0;
  for (size_t at = header.find(mark); at != std::string::npos; at = header.find(mark, at + 1), ++found) {
    const size_t end = header.find('(', at), begin = header.find_last_of(" *", end) + 1;
    const std::string name = header.substr(begin, end - begin);
    expect(was_seen(name), name + " is called while allocations fail");
  }
  expect(found > 30, "the functions of include/lowrank_kernels.h are found");
}

}  // namespace

void boundary_cases() {
  throwing_callbacks();
  nothing_at_all();
  groups();
  every_entry_point();
}

}  // namespace lr::test
