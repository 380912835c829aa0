// NVIDIA's exchange between GPUs, where its library lies on the machine: it is looked for when the first group is made, and nothing is linked
// or included of it. Declarations are those of nccl.h of NCCL 2, compared with 2.32.
#pragma once
#include <memory>
#include <string>

#include "../model/group.h"
#include "queue.h"

namespace lr::cuda {

class Nccl {
 public:
  // `path`: the library; null: the name it has where it is installed.
  explicit Nccl(const char* path);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  // What was found: "NCCL 2.32.3", or why there is none.
  const std::string& state() const { return state_; }
  // Both throw Error: LR_IO_ERROR where there is no library, or none that this was written for; LR_INVALID_ARGUMENT for what NCCL calls a wrong
  // use, as two ranks on one GPU; LR_DEVICE_FAILED for any other failure.
  GroupId make_id(Device* device);
  // Waits for all ranks.
  std::unique_ptr<Group> join(Device* device, const GroupId& id, int rank, int size);

 private:
  struct Functions;
  class Member;
  std::string open(const char* path);
  void need() const;

  std::unique_ptr<Functions> call_;
  std::string state_;
};

// That of this process; LOWRANK_NCCL may be the path of a library.
Nccl& nccl();

}  // namespace lr::cuda
