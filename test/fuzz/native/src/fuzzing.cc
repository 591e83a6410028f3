// What the fuzzer needs besides the addon under test: memory that a parent process can read after a
// crash, and memory that must not be touched.
#include <fcntl.h>
#include <napi.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace {

int intOf(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

// mapFile(fd, size): the file's first bytes as an ArrayBuffer shared with every other process that
// maps it, or -errno. Stays mapped for good.
Napi::Value mapFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const size_t size = static_cast<size_t>(intOf(info[1]));
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, intOf(info[0]), 0);
  if (at == MAP_FAILED) return Napi::Number::New(env, -errno);
  return Napi::ArrayBuffer::New(env, at, size);
}

uint8_t* bytesAt(const Napi::CallbackInfo& info) {
  Napi::Uint8Array view = info[0].As<Napi::Uint8Array>();
  return view.Data() + intOf(info[1]);
}

// poison(bytes, offset, length): from now on the sanitized addon must not touch these bytes.
void poison(const Napi::CallbackInfo& info) {
  ASAN_POISON_MEMORY_REGION(bytesAt(info), static_cast<size_t>(intOf(info[2])));
}

void unpoison(const Napi::CallbackInfo& info) {
  ASAN_UNPOISON_MEMORY_REGION(bytesAt(info), static_cast<size_t>(intOf(info[2])));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("mapFile", Napi::Function::New(env, mapFile));
  exports.Set("poison", Napi::Function::New(env, poison));
  exports.Set("unpoison", Napi::Function::New(env, unpoison));
  return exports;
}

}  // namespace

NODE_API_MODULE(fuzzing, init)
