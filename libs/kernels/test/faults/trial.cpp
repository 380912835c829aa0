#include "trial.h"

#include <map>
#include <set>
#include <vector>

#include "api/handles.h"
#include "faults.h"

namespace lr::test {
namespace {

std::set<std::string>& entry_points() {
  static std::set<std::string> names;
  return names;
}

// One trial with the n-th allocation failing; false when there was none. `complaint` says what went wrong.
bool disturbed(const std::function<Trial()>& make, lr_status wanted, const std::string& want, uint64_t n, Failing failing,
               std::string& complaint) {
  Trial trial = make();
  const std::string before = trial.state();
  fail_allocation(n, failing);
  lr_status status = trial.call();
  const bool reached = stop_failing();
  if (!reached) {
    if (status != wanted || (wanted == LR_OK && trial.outcome() != want)) complaint = "undisturbed, it gives something else";
    return false;
  }
  const auto require = [&complaint](bool held, const std::string& what) {
    if (!held && complaint.empty()) complaint = what;
  };
  require(status == LR_OUT_OF_MEMORY, "status " + std::to_string(status));
  const lr_context* context = trial.context();
  require(context == nullptr || *lr_context_error(context) != '\0', "no message");
  require(trial.state() == before, "it changed something");
  trial.recover();
  status = trial.call();
  require(status == wanted, "called again, status " + std::to_string(status));
  require(status != LR_OK || trial.outcome() == want, "called again, it gives something else");
  return true;
}

void survive(const std::string& what, const std::function<Trial()>& make, lr_status wanted, Failing failing) {
  std::string want, complaint;
  {
    Trial trial = make();
    const lr_status status = trial.call();
    if (status != wanted) return expect(false, what + ": status " + std::to_string(status) + " when nothing fails");
    if (status == LR_OK) want = trial.outcome();
  }
  uint64_t n = 1;
  for (bool reached = true; reached && complaint.empty(); n += reached) {
    const int64_t blocks = live_blocks();
    std::string said;
    reached = disturbed(make, wanted, want, n, failing, said);
    if (said.empty() && live_blocks() != blocks) said = std::to_string(live_blocks() - blocks) + " blocks lost";
    complaint.swap(said);
  }
  expect(complaint.empty(), what + ", allocation " + std::to_string(n - 1) + (failing == Failing::Once ? "" : " and all after it") + ": " + complaint);
}

std::string bytes_of(const Floats& values) { return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}; }

}  // namespace

void survive(const std::string& entry_point, const std::string& what, const std::function<Trial()>& make, lr_status wanted) {
  seen(entry_point);
  for (const Failing failing : {Failing::Once, Failing::FromThenOn})
    survive(entry_point + (what.empty() ? "" : ", " + what), make, wanted, failing);
}

void seen(const std::string& entry_point) { entry_points().insert(entry_point); }
bool was_seen(const std::string& entry_point) { return entry_points().count(entry_point) > 0; }

TinyModel one_layer(Family family) {
  TinyModel model = tiny_model(family);
  const std::string layers = "\"num_hidden_layers\":3";
  model.config.replace(model.config.find(layers), layers.size(), "\"num_hidden_layers\":1");
  std::erase_if(model.tensors, [](const auto& named) {
    return named.first.find("layers.1.") != std::string::npos || named.first.find("layers.2.") != std::string::npos;
  });
  return model;
}

const std::string& base_file(Family family) {
  static const TemporaryFolder folder;
  static std::map<Family, std::string> files;
  std::string& file = files[family];
  if (!file.empty()) return file;
  const std::string name = folder.path(std::to_string(static_cast<int>(family)));
  one_layer(family).write(name);
  const Context context = make_context();
  check(context.get(), lr_base_quantize(context.get(), name.c_str(), (name + ".lrb").c_str(), nullptr, nullptr, nullptr, nullptr));
  return file = name + ".lrb";
}

Setup::Setup(const Device& device, Family family) : Setup(device) {
  lr_base* opened = nullptr;
  check(handle(), lr_base_open(handle(), base_file(family).c_str(), &opened));
  base.reset(opened);
}

Setup::Setup(const Device& device, Family family, const Method& method) : Setup(device, family) {
  lr_adapter* made = nullptr;
  check(handle(), create_adapter(base.get(), targets_of(base.get(), method), method, &made));
  adapter.reset(made);
  // B starts at zero, which would hide what A's gradient is.
  uint32_t index = 0;
  for (const AdapterTensor& tensor : made->adapter.tensors()) {
    if (tensor.role == Role::B) {
      Floats values(tensor.elements());
      for (size_t i = 0; i < values.size(); ++i) values[i] = 0.05f * static_cast<float>(i % 7) - 0.15f;
      check(handle(), lr_adapter_write(made, LR_WEIGHT, index, values.data(), values.size()));
    }
    ++index;
  }
}

std::vector<lr_lora_target> targets_of(lr_base* base, const Method& method) {
  std::vector<lr_lora_target> targets;
  for (const Linear& linear : base->base.layers().front().linears)
    if (!linear.name.empty()) targets.push_back({linear.name.c_str(), 3, 2.0f, method.dora});
  return targets;
}

lr_status create_adapter(lr_base* base, const std::vector<lr_lora_target>& targets, const Method& method, lr_adapter** adapter) {
  const lr_adapter_options options = {method.dropout, method.bias, method.optimizer, method.init, 1, 7};
  return lr_adapter_create(base, targets.data(), static_cast<uint32_t>(targets.size()), &options, adapter);
}

std::string state_of(lr_adapter* adapter) {
  uint64_t size = 0;
  check(adapter->base->context, lr_adapter_state_size(adapter, &size));
  std::string state(size, '\0');
  check(adapter->base->context, lr_adapter_state_export(adapter, reinterpret_cast<uint8_t*>(state.data()), size));
  return state;
}

std::string gradients_of(lr_adapter* adapter) {
  std::string all;
  uint32_t index = 0;
  for (const AdapterTensor& tensor : adapter->adapter.tensors()) {
    Floats values(tensor.elements());
    check(adapter->base->context, lr_adapter_read(adapter, LR_GRADIENT, index++, values.data(), values.size()));
    all += bytes_of(values);
  }
  return all;
}

}  // namespace lr::test
