// Files of the library: read at an offset, mapped read-only, or written so that readers never see half of one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace lr {

// Throws Error for what a system call left in errno, "cannot <what> <path>: …": LR_IO_ERROR, or LR_OUT_OF_MEMORY when it says so.
[[noreturn]] void fail_io(const char* what, const std::string& path);

bool file_exists(const std::string& path);

// A regular file opened for reading. Throws Error(LR_IO_ERROR) when it cannot be opened or is no regular file.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  InputFile(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  // Reads exactly `bytes` from `offset`; LR_IO_ERROR when the file has fewer.
  void read(void* out, uint64_t bytes, uint64_t offset) const;

 private:
  std::string path_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

// A whole file, for small ones such as config.json. LR_BAD_FORMAT when larger than `limit` bytes.
std::string read_text(const std::string& path, uint64_t limit);

// A file mapped read-only and shared: pages come from the page cache, which all processes on the machine have in common.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// Writes <path>.tmp-<random>; commit() flushes file and folder to disk and renames. Without commit the temporary file is removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  uint64_t position() const { return position_; }
  void write(const void* data, uint64_t bytes);
  // Writes zeros up to `position`, which must not lie behind.
  void pad_to(uint64_t position);
  void commit();

 private:
  std::string path_, temporary_;
  uint64_t position_ = 0;
  int descriptor_ = -1;
};

}  // namespace lr
