#include "file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "error.h"

namespace lr {
namespace {

struct Descriptor {
  explicit Descriptor(int opened) : number(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  int number;
};

}  // namespace

void fail_io(const char* what, const std::string& path) {
  const int reason = errno;
  fail(reason == ENOMEM ? LR_OUT_OF_MEMORY : LR_IO_ERROR, "cannot %s %s: %s", what, path.c_str(), std::strerror(reason));
}

bool file_exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

InputFile::InputFile(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) fail_io("open", path);
  struct stat info;
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    fail(LR_IO_ERROR, "%s is not a regular file", path.c_str());
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), size_(other.size_), descriptor_(std::exchange(other.descriptor_, -1)) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(void* out, uint64_t bytes, uint64_t offset) const {
  auto* at = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, at, std::min<uint64_t>(bytes, 1u << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("read", path_);
    if (got == 0) fail(LR_IO_ERROR, "%s ended while it was read: another process shortened it", path_.c_str());
    at += got;
    bytes -= static_cast<uint64_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

std::string read_text(const std::string& path, uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    fail(LR_BAD_FORMAT, "%s has %llu bytes; at most %llu are expected there", path.c_str(),
         static_cast<unsigned long long>(file.size()), static_cast<unsigned long long>(limit));
  }
  std::string text(file.size(), '\0');
  file.read(text.data(), text.size(), 0);
  return text;
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const InputFile file(path);
  size_ = file.size();
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (mapped == MAP_FAILED) fail_io("map", path);
  data_ = static_cast<const uint8_t*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".tmp-XXXXXX") {
  // A process id would not do: containers that share a folder have the same ones.
  descriptor_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail_io("create", temporary_);
  if (::fchmod(descriptor_, 0644) == 0) return;
  const int reason = errno;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
  errno = reason;
  fail_io("set the mode of", temporary_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, uint64_t bytes) {
  const auto* at = static_cast<const char*>(data);
  position_ += bytes;
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, at, std::min<uint64_t>(bytes, 1u << 30));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io("write", temporary_);
    at += put;
    bytes -= static_cast<uint64_t>(put);
  }
}

void AtomicFile::pad_to(uint64_t position) {
  static constexpr char zeros[4096] = {};
  if (position < position_) fail(LR_INTERNAL, "file layout runs backwards in %s", path_.c_str());
  while (position_ < position) write(zeros, std::min<uint64_t>(sizeof zeros, position - position_));
}

void AtomicFile::commit() {
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number < 0) fail_io("open folder", folder);
  if (::fsync(descriptor_) != 0) fail_io("flush", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_io("rename", temporary_);
  ::close(std::exchange(descriptor_, -1));
  // The rename itself survives a power cut only once the folder is flushed too.
  if (::fsync(directory.number) != 0) fail_io("flush folder", folder);
}

}  // namespace lr
