#include <cstring>

#include "handles.h"

using namespace lr;

namespace {

constexpr uint32_t kMostRanks = 64;  // far beyond the GPUs of one machine

DeviceBackend& device_of(lr_context* context) {
  if (context->device == nullptr) fail(LR_INVALID_ARGUMENT, "this context computes on the processors; a group is of GPUs");
  return *context->device;
}

}  // namespace

extern "C" {

lr_status lr_group_id(lr_context* ctx, uint8_t id[LR_GROUP_ID_BYTES]) {
  return guarded_turn(ctx, [&](Runtime&) {
    require(id, "id");
    const GroupId made = device_of(ctx).make_group_id();
    std::memcpy(id, made.bytes, sizeof made.bytes);
  });
}

lr_status lr_group_join(lr_context* ctx, const uint8_t id[LR_GROUP_ID_BYTES], uint32_t rank, uint32_t ranks, lr_group** group) {
  return guarded_turn(ctx, [&](Runtime&) {
    require(group, "group");
    *group = nullptr;
    require(id, "id");
    if (ranks < 1 || ranks > kMostRanks || rank >= ranks) {
      fail(LR_INVALID_ARGUMENT, "rank %u of %u ranks; there can be 1 to %u, numbered from 0", rank, ranks, kMostRanks);
    }
    GroupId wanted;
    std::memcpy(wanted.bytes, id, sizeof wanted.bytes);
    auto made = std::make_unique<lr_group>(lr_group{ctx, nullptr});
    made->group = device_of(ctx).join_group(wanted, static_cast<int>(rank), static_cast<int>(ranks));
    *group = made.release();
  });
}

void lr_group_leave(lr_group* group) { delete group; }

lr_status lr_adapter_sum_gradients(lr_adapter* adapter, lr_group* group, uint32_t last, lr_cancel* cancel) {
  return guarded_turn(adapter == nullptr ? nullptr : adapter->base->context, [&](Runtime& runtime) {
    require(group, "group");
    if (group->context != adapter->base->context) fail(LR_INVALID_ARGUMENT, "the group was joined by another context than the adapter's");
    adapter->adapter.sum_gradients(runtime.run, runtime.ops, *group->group, last != 0, flag_of(cancel));
  });
}

}  // extern "C"
