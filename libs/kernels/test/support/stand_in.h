// A library made for a test, in the place of one of NVIDIA's: build/test/<test>_test_library.so, from test/<test>/library.cc.
#pragma once
#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lr::test {

// Its path; empty until `stand_in`.
inline std::string library_path;

// Lets the environment variable `name` say that it is the library beside this program.
inline void stand_in(const char* program, const char* name) {
  library_path = std::string(program) + "_library.so";
  ::setenv(name, library_path.c_str(), 1);
}

// A variable of it.
template <typename T>
T& setting(const char* name) {
  static void* library = ::dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* address = library == nullptr ? nullptr : ::dlsym(library, name);
  if (address == nullptr) throw std::runtime_error(::dlerror());
  return *static_cast<T*>(address);
}

}  // namespace lr::test
