// The quantized base file: what it says of itself, and that damage anywhere in its head is noticed.
#include <cstring>

#include "model/base_file.h"
#include "model/crc32c.h"
#include "tiny_model.h"

namespace lr::test {
namespace {

void expect_open(World& world, const std::string& bytes, lr_status status, const std::string& what, const std::string& mention = "") {
  const std::string path = world.folder.path("changed.lrb");
  write_file(path, bytes);
  lr_base* base = nullptr;
  const lr_status got = lr_base_open(world.context.get(), path.c_str(), &base);
  lr_base_close(base);
  expect_status(world.context.get(), got, status, what, mention);
}

// The file with other index text, checksums and sizes made right again: what a forger would do.
std::string forged(const std::string& bytes, const std::string& from, const std::string& to) {
  uint64_t index_bytes;
  std::memcpy(&index_bytes, &bytes[16], 8);
  std::string index = bytes.substr(64, index_bytes);
  const size_t at = index.find(from);
  if (at == std::string::npos) throw std::runtime_error("the index has no " + from);
  index.replace(at, from.size(), to);
  std::string out = bytes.substr(0, 64) + index + bytes.substr(64 + index_bytes);
  const uint32_t index_crc = crc32c(index.data(), index.size());
  const uint64_t new_index_bytes = index.size(), file_bytes = out.size();
  std::memcpy(&out[12], &index_crc, 4);
  std::memcpy(&out[16], &new_index_bytes, 8);
  std::memcpy(&out[24], &file_bytes, 8);
  const uint32_t header_crc = crc32c(out.data(), 60);
  std::memcpy(&out[60], &header_crc, 4);
  return out;
}

void damage(World& world) {
  const std::string bytes = read_file(world.base_file());
  expect_open(world, bytes, LR_OK, "a base as written");
  expect_open(world, "", LR_BAD_FORMAT, "an empty file");
  expect_open(world, std::string(4096, 'x'), LR_BAD_FORMAT, "another file", "not a quantized base");
  for (const size_t keep : {size_t{8}, size_t{63}, size_t{64}, size_t{200}, bytes.size() / 2, bytes.size() - 1}) {
    expect_open(world, bytes.substr(0, keep), LR_BAD_FORMAT, "a base cut to " + std::to_string(keep));
  }
  expect_open(world, bytes + "x", LR_BAD_FORMAT, "a base that has grown", "has grown");
  uint64_t index_bytes;
  std::memcpy(&index_bytes, &bytes[16], 8);
  bool all = true;
  for (size_t at = 0; at < 64 + index_bytes; at += 7) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    write_file(world.folder.path("flipped.lrb"), flipped);
    lr_base* base = nullptr;
    all = all && lr_base_open(world.context.get(), world.folder.path("flipped.lrb").c_str(), &base) == LR_BAD_FORMAT;
    lr_base_close(base);
  }
  expect(all, "every flipped bit of header and index is noticed");
}

void forgeries(World& world) {
  const std::string bytes = read_file(world.base_file());
  const auto refused = [&](const std::string& from, const std::string& to) {
    expect_open(world, forged(bytes, from, to), LR_BAD_FORMAT, from + " forged to " + to);
  };
  refused("\"hidden_size\":48", "\"hidden_size\":4800000");
  refused("\"hidden_size\":48", "\"hidden_size\":96");
  refused("\"num_hidden_layers\":3", "\"num_hidden_layers\":4");
  refused("\"num_attention_heads\":4", "\"num_attention_heads\":0");
  refused("\"vocab_size\":97", "\"vocab_size\":98");
  refused("\"rows\":97", "\"rows\":98");
  refused("\"storage\":\"nf4\"", "\"storage\":\"f32\"");
  refused("\"storage\":\"f32\"", "\"storage\":\"nf4\"");
  refused("\"storage\":\"nf4\"", "\"storage\":\"x\"");
  refused("\"offset\":\"0000", "\"offset\":\"ffff");
  refused("\"offset\":\"0", "\"offset\":\"-");
  refused("model.embed_tokens.weight", "model.embed_tokens.weighs");
  refused("\"tensors\":[", "\"tensors\":[{},");
}

void information(World& world) {
  size_t needed = 0;
  expect(lr_base_info(world.base.get(), nullptr, 0, &needed) == LR_INVALID_ARGUMENT && needed > 100, "the information says its size");
  std::string json(needed, '\0');
  check(world.context.get(), lr_base_info(world.base.get(), json.data(), json.size(), &needed));
  expect(json.find("\"modelType\":\"llama\",\"layers\":3,\"hidden\":48,\"heads\":4,\"kvHeads\":2,\"headDim\":12") != std::string::npos,
         "information: " + json.substr(0, 200));
  expect(json.find("{\"name\":\"model.layers.2.mlp.down_proj\",\"in\":80,\"out\":48,\"bias\":false,\"storage\":\"nf4\"}") != std::string::npos, "every linear is listed");
}

struct Counted {
  uint64_t calls = 0, done = 0, total = 0;
  lr_cancel* cancel = nullptr;
};

void progress_and_cancel(World& world) {
  const auto quantize = [&](const char* file, lr_cancel* cancel, Counted& counted) {
    return lr_base_quantize(
        world.context.get(), world.folder.path("model").c_str(), world.folder.path(file).c_str(), nullptr, cancel,
        [](void* user, uint64_t done, uint64_t total) {
          auto* seen = static_cast<Counted*>(user);
          expect(done >= seen->done && done <= total, "progress only grows");
          *seen = {seen->calls + 1, done, total, seen->cancel};
          if (seen->cancel != nullptr && done > 0) lr_cancel_set(seen->cancel);
        },
        &counted);
  };
  Counted counted;
  check(world.context.get(), quantize("again.lrb", nullptr, counted));
  expect(counted.calls > 10 && counted.done == counted.total && counted.total > 0, "progress ends at the total");
  expect(read_file(world.folder.path("again.lrb")) == read_file(world.base_file()), "the same model gives the same bytes");

  lr_cancel* flag = nullptr;
  lr_cancel_create(&flag);
  const Cancel owner(flag);
  Counted cancelled;
  cancelled.cancel = flag;
  expect_status(world.context.get(), quantize("cancelled.lrb", flag, cancelled), LR_CANCELLED, "quantizing is cancelled");
  expect(read_file(world.folder.path("cancelled.lrb")).empty(), "and leaves no file");
}

}  // namespace

void base_cases() {
  expect(crc32c("123456789", 9) == 0xE3069283, "CRC-32C of the standard's check string");
  expect(crc32c("6789", 4, crc32c("12345", 5)) == 0xE3069283, "CRC-32C in two parts");
  World world;
  information(world);
  damage(world);
  forgeries(world);
  progress_and_cancel(world);
  lr_base* base = nullptr;
  expect_status(world.context.get(), lr_base_open(world.context.get(), "/nonexistent/base", &base), LR_IO_ERROR, "no file", "/nonexistent");
  expect(lr_base_open(nullptr, "x", &base) == LR_INVALID_ARGUMENT, "no context");
  expect_status(world.context.get(), lr_base_open(world.context.get(), nullptr, &base), LR_INVALID_ARGUMENT, "no name", "file is null");
}

}  // namespace lr::test
