// Bases: writing them from all kinds of folders, and opening them.
#include <filesystem>

#include "../model/prequantized_model.h"
#include "trial.h"

namespace lr::test {
namespace {

// A folder that is quantized into a file beside it.
struct Folder {
  TemporaryFolder folder;
  std::string model = folder.path("model"), file = folder.path("base.lrb");

  std::string files() const {
    std::string names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) names += entry.path().filename().string() + " ";
    return names;
  }
};

Trial quantizing(const std::shared_ptr<Folder>& folder, const Device& device, const lr_quantization& quantization) {
  std::filesystem::remove(folder->file);
  auto setup = std::make_shared<Setup>(device);
  return trial(
      setup,
      [folder, quantization](Setup& s) {
        return lr_base_quantize(s.handle(), folder->model.c_str(), folder->file.c_str(), &quantization, nullptr, nullptr, nullptr);
      },
      [folder](Setup&) { return folder->files(); }, [folder](Setup&) { return folder->files() + read_file(folder->file); });
}

// The folders are made once; each trial removes the file of the one before.
void quantize(const std::string& what, const std::function<void(const Folder&)>& fill, const lr_quantization& quantization,
              lr_status wanted = LR_OK, const Device& device = kFast) {
  const auto folder = std::make_shared<Folder>();
  fill(*folder);
  survive("lr_base_quantize", what, [&] { return quantizing(folder, device, quantization); }, wanted);
}

void folders() {
  const auto write = [](const TinyModel& model) { return [model](const Folder& folder) { model.write(folder.model); }; };
  const Context context = make_context();
  quantize("nf4", write(one_layer(Family::LlamaBiased)), {LR_NF4, 1});
  quantize("int8, reference", write(one_layer(Family::Phi3)), {LR_INT8, 0}, LR_OK, kPlain);
  for (const lr_quantization& quantization : {lr_quantization{LR_NF4, 1}, lr_quantization{LR_INT8, 0}}) {
    const TinyModel model = prequantized(context.get(), one_layer(Family::LlamaPlain), quantization);
    quantize("quantized by bitsandbytes, format " + std::to_string(quantization.format), write(model), {LR_F32, 0});
  }
  quantize("shards", [](const Folder& folder) {
    const TinyModel model = one_layer(Family::Qwen2Tied);
    std::filesystem::create_directories(folder.model);
    write_file(folder.model + "/config.json", model.config);
    write_file(folder.model + "/one.safetensors", safetensors_bytes(model.tensors));
    std::string map;
    for (const auto& [name, tensor] : model.tensors) map += (map.empty() ? "\"" : ",\"") + name + "\":\"one.safetensors\"";
    write_file(folder.model + "/model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  }, {LR_BF16, 0});
  quantize("pickled weights", [](const Folder& folder) {
    std::filesystem::create_directories(folder.model);
    write_file(folder.model + "/config.json", one_layer(Family::LlamaPlain).config);
    write_file(folder.model + "/pytorch_model.bin", "x");
  }, {LR_NF4, 1}, LR_BAD_FORMAT);
  quantize("no folder", [](const Folder&) {}, {LR_NF4, 1}, LR_IO_ERROR);
}

void opening() {
  for (const Family family : {Family::Gemma3, Family::LlamaBiased, Family::Phi3}) {
    const std::string file = base_file(family);
    survive("lr_base_open", name_of(family), [&] {
      return trial(
          std::make_shared<Setup>(kFast),
          [&file](Setup& s) {
            lr_base* opened = nullptr;
            const lr_status status = lr_base_open(s.handle(), file.c_str(), &opened);
            s.base.reset(opened);
            return status;
          },
          [](Setup& s) { return std::string(s.base == nullptr ? "" : "open"); },
          [](Setup& s) {
            std::string info(1 << 14, '\0');
            check(s.handle(), lr_base_info(s.base.get(), info.data(), info.size(), nullptr));
            return info;
          });
    });
  }
  const std::string config = base_file(Family::Gemma3) + "/none";
  survive("lr_base_open", "no file", [&] {
    return reading(std::make_shared<Setup>(kFast), [&config](Setup& s) {
      lr_base* opened = nullptr;
      return lr_base_open(s.handle(), config.c_str(), &opened);
    });
  }, LR_IO_ERROR);
  survive("lr_base_info", "", [] {
    auto setup = std::make_shared<Setup>(kFast, Family::LlamaBiased);
    setup->output.resize(1 << 14);
    return reading(setup, [](Setup& s) { return lr_base_info(s.base.get(), s.output.data(), s.output.size(), nullptr); });
  });
}

}  // namespace

void base_cases() {
  folders();
  opening();
}

}  // namespace lr::test
