// A library that is looked for when it is wanted, and its functions by name.
#pragma once
#include <dlfcn.h>

#include <cstring>
#include <initializer_list>
#include <string>

namespace lr::cuda {

class LoadedLibrary {
 public:
  // The one at `path`, or, when that is null, the first of `names` that there is. It stays: what libraries of NVIDIA do when they are
  // closed is their own affair.
  LoadedLibrary(const char* path, std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (path == nullptr && handle_ == nullptr) handle_ = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (path != nullptr) handle_ = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) trouble_ = ::dlerror();
  }

  template <typename Function>
  void find(Function& function, const char* name) {
    void* address = handle_ == nullptr ? nullptr : ::dlsym(handle_, name);
    if (address == nullptr && trouble_.empty()) trouble_ = std::string("the library lacks ") + name;
    std::memcpy(&function, &address, sizeof function);
  }
  // What is missing; empty: nothing.
  const std::string& trouble() const { return trouble_; }

 private:
  void* handle_ = nullptr;
  std::string trouble_;
};

}  // namespace lr::cuda
