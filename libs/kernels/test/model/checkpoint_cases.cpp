// Model folders as strangers may send them: damaged, lying, or of another kind.
#include <cstring>
#include <filesystem>

#include "model/error.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

class Import {
 public:
  // Writes `weights` as the folder's model.safetensors, quantizes, and expects a refusal that mentions something.
  void refused(const std::string& weights, const std::string& mention, lr_status status = LR_BAD_FORMAT) {
    write_file(folder_.path("model/model.safetensors"), weights);
    run(status, mention, "weights");
  }

  void run(lr_status status, const std::string& mention, const std::string& what) {
    const lr_status got = lr_base_quantize(context_.get(), folder_.path("model").c_str(), folder_.path("out.lrb").c_str(), nullptr,
                                           nullptr, nullptr, nullptr);
    expect_status(context_.get(), got, status, what + " (" + mention + ")", mention);
    expect(std::filesystem::exists(folder_.path("out.lrb")) == (status == LR_OK), what + ": a file is there only after success");
    expect(entries(folder_.path()) <= 2, what + ": no temporary file is left");
    std::filesystem::remove(folder_.path("out.lrb"));
  }

  void write_model(const TinyModel& model) { model.write(folder_.path("model")); }
  std::string path(const std::string& name) const { return folder_.path("model/" + name); }

 private:
  static int64_t entries(const std::string& folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  }

  TemporaryFolder folder_;
  Context context_ = make_context();
};

std::string with_header(const std::string& header, const std::string& data, uint64_t size) {
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + data;
}

std::string with_header(const std::string& header, const std::string& data = "") {
  return with_header(header, data, header.size());
}

std::string entry(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

void damaged_headers(Import& import) {
  const std::string data(16, '\0');
  import.refused("", "too few");
  import.refused("1234567", "too few");
  import.refused(with_header("{}", "", UINT64_MAX), "truncated");
  import.refused(with_header("{}", "", 3), "truncated");
  import.refused(with_header(std::string(100, ' '), ""), "begins with '{'");
  import.refused(with_header("{\"a\":"), "not valid JSON");
  import.refused(with_header("{\"a\":3}"), "needs dtype");
  import.refused(with_header("{\"a\":" + entry("[4]", "[0]") + "}", data), "needs dtype");
  import.refused(with_header("{\"a\":" + entry("[4]", "[0,16]", "F31") + "}", data), "unknown dtype");
  import.refused(with_header("{\"a\":" + entry("[-4]", "[0,16]") + "}", data), "whole number");
  import.refused(with_header("{\"a\":" + entry("[4.0]", "[0,16]") + "}", data), "whole number");
  import.refused(with_header("{\"a\":" + entry("[4]", "[16,0]") + "}", data), "outside");
  import.refused(with_header("{\"a\":" + entry("[4]", "[0,17]") + "}", data), "outside");
  import.refused(with_header("{\"a\":" + entry("[4]", "[-16,0]") + "}", data), "whole number");
  import.refused(with_header("{\"a\":" + entry("[3]", "[0,16]") + "}", data), "need 12 bytes");
  import.refused(with_header("{\"a\":" + entry("[4294967296,4294967296]", "[0,16]") + "}", data), "overflows");
  import.refused(with_header("{\"a\":" + entry("[1,1,1,1,1,1,1,1,4]", "[0,16]") + "}", data), "dimensions");
  import.refused(with_header("{\"a\":" + entry("[3]", "[0,12]") + ",\"b\":" + entry("[2]", "[8,16]") + "}", data), "overlap");
  import.refused(with_header("{\"a\":" + entry("[2]", "[0,8]") + ",\"b\":" + entry("[1]", "[12,16]") + "}", data), "hole");
  import.refused(with_header("{\"a\":" + entry("[3]", "[0,12]") + "}", data), "after the last tensor");
  import.refused(with_header("{\"a\":" + entry("[4]", "[0,16]") + ",\"a\":" + entry("[4]", "[0,16]") + "}", data), "duplicate");
  std::string many = "{";
  for (int i = 0; i < 60'000; ++i) many += format("\"%d\":%s,", i, entry("[0]", "[0,0]").c_str());
  many.back() = '}';
  import.refused(with_header(many), "too many values");
}

void damaged_tensors(Import& import) {
  const TinyModel whole = tiny_model(Family::LlamaPlain);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  TinyModel model = whole;
  model.tensors.erase(name);
  import.refused(safetensors_bytes(model.tensors), "\"" + name + "\" is missing");
  model = whole;
  std::swap(model.tensors[name].shape[0], model.tensors[name].shape[1]);
  import.refused(safetensors_bytes(model.tensors), "has not the shape [80, 48]");
  model = whole;
  model.tensors[name].dtype = "I32";
  import.refused(safetensors_bytes(model.tensors), "has dtype I32", LR_UNSUPPORTED_MODEL);
  const std::string bytes = safetensors_bytes(whole.tensors);
  for (const size_t keep : {size_t{8}, size_t{500}, bytes.size() / 2, bytes.size() - 1}) {
    import.refused(bytes.substr(0, keep), keep < 5000 ? "truncated" : "outside");
  }
}

// The same tensors in two files and an index; `index` may be spoilt.
void write_shards(const Import& import, const TinyModel& model, const std::string& second, const std::string& claimed = "") {
  std::filesystem::remove(import.path("model.safetensors"));
  Tensors halves[2];
  std::string map;
  for (const auto& [name, tensor] : model.tensors) {
    const size_t half = name < "model.layers.1" ? 0 : 1;
    halves[half][name] = tensor;
    map += (map.empty() ? "\"" : ",\"") + name + "\":\"" + (half == 0 ? "model-1.safetensors" : claimed.empty() ? second : claimed) + "\"";
  }
  write_file(import.path("model-1.safetensors"), safetensors_bytes(halves[0]));
  write_file(import.path("model-2.safetensors"), safetensors_bytes(halves[1]));
  write_file(import.path("model.safetensors.index.json"), "{\"metadata\":{},\"weight_map\":{" + map + "}}");
}

void shards(Import& import) {
  const TinyModel model = tiny_model(Family::LlamaPlain);
  write_shards(import, model, "model-2.safetensors");
  import.run(LR_OK, "", "shards");
  for (const char* name : {"../model-2.safetensors", "/etc/passwd", "model-2.bin", "..", "a\\\\b.safetensors", "x\\u0000.safetensors"}) {
    write_shards(import, model, name);
    import.run(LR_BAD_FORMAT, "plain name", std::string("shard ") + name);
  }
  write_shards(import, model, "model-3.safetensors");
  import.run(LR_IO_ERROR, "model-3.safetensors", "a shard that is not there");
  write_shards(import, model, "", "model-1.safetensors");
  import.run(LR_BAD_FORMAT, "as the index says", "an index that lies");
  write_file(import.path("model.safetensors.index.json"), "{\"weight_map\":[]}");
  import.run(LR_BAD_FORMAT, "no weight_map", "an index without a map");
  std::filesystem::remove(import.path("model.safetensors.index.json"));
}

void other_folders(Import& import) {
  std::filesystem::remove(import.path("model.safetensors"));
  write_file(import.path("pytorch_model.bin"), "\x80\x02");
  import.run(LR_BAD_FORMAT, "pickled weights (pytorch_model.bin)", "pickle");
  std::filesystem::remove(import.path("pytorch_model.bin"));
  import.run(LR_BAD_FORMAT, "neither model.safetensors nor", "no weights");
  std::filesystem::remove(import.path("config.json"));
  import.run(LR_IO_ERROR, "config.json", "no configuration");
  std::filesystem::create_directory(import.path("config.json"));
  import.run(LR_IO_ERROR, "not a regular file", "a folder for a file");
}

}  // namespace

void checkpoint_cases() {
  Import import;
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    import.write_model(tiny_model(Family::LlamaBiased, dtype));
    import.run(LR_OK, "", std::string("a model in ") + dtype);
  }
  import.write_model(tiny_model(Family::LlamaPlain));
  damaged_headers(import);
  damaged_tensors(import);
  shards(import);
  other_folders(import);
}

}  // namespace lr::test
