// A model folder as a stranger may send it: it is refused with an Error, or a base is written that opens and computes. The input is
// config.json, then either choices of which the weights are made, or 'S' and the bytes of model.safetensors, or the JSON of
// model.safetensors.index.json, 'S' and the bytes of the one shard.
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "model/base_file.h"
#include "model/error.h"
#include "pool.h"
#include "scratch.h"
#include "support/input_file.h"
#include "support/made_model.h"
#include "support/use_base.h"

namespace {

constexpr const char* kShard = "model-00001-of-00001.safetensors";

struct Parts {
  std::string config, choices;         // choices: of an input without weights
  std::string index, weights;          // index: of sharded weights
  bool has_weights = false;

  std::string join() const { return config + (has_weights ? index + "S" + weights : choices); }
};

Parts split(const std::string& input) {
  Parts parts;
  const std::string_view text = input;
  size_t at = object_end(text);
  if (at == std::string_view::npos) return {input, "", "", "", false};
  parts.config = input.substr(0, at);
  const size_t index_end = object_end(text.substr(at));
  if (index_end != std::string_view::npos) parts.index = input.substr(at, index_end);
  const size_t weights = at + parts.index.size();
  if (weights < input.size() && input[weights] == 'S') {
    parts.has_weights = true;
    parts.weights = input.substr(weights + 1);
  } else {
    parts.index.clear();
    parts.choices = input.substr(at);
  }
  return parts;
}

// The same input with weights that can then be changed by themselves, in one file or in a shard.
Parts with_weights(Parts parts, bool sharded) {
  const std::optional<std::string> made = made_weights(parts.config, parts.choices);
  if (!made) return parts;
  parts.has_weights = true;
  parts.weights = *made;
  if (!sharded) return parts;
  std::string map;
  for (size_t at = 0; (at = made->find("\":{\"dtype\"", at)) != std::string::npos; ++at) {
    const size_t begin = made->rfind('"', at - 1);
    map += (map.empty() ? "" : ",") + made->substr(begin, at - begin) + "\":\"" + kShard + "\"";
  }
  parts.index = "{\"weight_map\":{" + map + "}}";
  return parts;
}

void change(Parts& parts, Random& random, size_t most) {
  const size_t kind = random(8);
  if (!parts.has_weights && kind == 0) {
    parts = with_weights(parts, random(2) == 0);
  } else if (!parts.has_weights && kind == 1) {
    parts.choices = mutate_bytes(parts.choices, 256);
  } else if (parts.has_weights && kind < 4) {
    parts.weights = mutate_safetensors(parts.weights, random, most);
  } else if (!parts.index.empty() && kind < 6) {
    parts.index = mutate_json(parts.index, random, most);
  } else {
    parts.config = mutate_json(parts.config, random, most);
  }
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A folder in memory where there is one, which goes with the process.
class Folder {
 public:
  Folder() {
    std::string pattern = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/lowrank-fuzz-XXXXXX" : "/tmp/lowrank-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() {
    clear();
    ::rmdir(path_.c_str());
  }

  std::string path(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  void clear() const {
    for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json", kShard, "base.lrb"})
      std::remove(path(name).c_str());
  }

 private:
  std::string path_;
};

void quantize(const Folder& folder, const lr::Quantization& quantization) {
  static lr::MemoryCounter memory;
  static const std::unique_ptr<lr::Pool> pool = lr::make_pool(1);
  static lr::BlockScratch scratch(memory);
  lr::quantize_base({pool.get(), &scratch, lr::Compute::F32}, lr::reference_ops(), memory, folder.path(), folder.path("base.lrb"),
                    quantization, nullptr, [](uint64_t, uint64_t) {});
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  Parts parts = split(std::string(reinterpret_cast<const char*>(data), size));
  change(parts, random, most);
  std::string input = parts.join();
  if (input.size() > most) input.resize(most);
  std::copy(input.begin(), input.end(), data);
  return input.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  Parts parts = split(std::string(reinterpret_cast<const char*>(data), size));
  if (!parts.has_weights) parts = with_weights(parts, false);
  constexpr lr::Storage kStorages[] = {lr::Storage::NF4, lr::Storage::FP4, lr::Storage::INT8, lr::Storage::BF16, lr::Storage::F32};
  const lr::Quantization quantization = {kStorages[size % 5], size % 5 < 2 && size % 2 == 0};
  folder.clear();
  write(folder.path("config.json"), parts.config);
  if (parts.has_weights) write(folder.path(parts.index.empty() ? "model.safetensors" : kShard), parts.weights);
  if (!parts.index.empty()) write(folder.path("model.safetensors.index.json"), parts.index);
  try {
    quantize(folder, quantization);
  } catch (const lr::Error& error) {
    if (error.status() == LR_INTERNAL) std::abort();
    return 0;
  }
  use_base(folder.path("base.lrb"));  // an Error here would leave the fuzzer: what was written has to open
  return 0;
}
