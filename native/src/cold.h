// Helpers of the calls that are not hot: ordinary JavaScript values in and out.
#pragma once
#include <napi.h>

#include <cerrno>
#include <string>

// A path given as a Buffer (bytes) or a string.
inline std::string pathOf(const Napi::Value& value) {
  if (value.IsBuffer()) {
    Napi::Buffer<char> buffer = value.As<Napi::Buffer<char>>();
    return std::string(buffer.Data(), buffer.Length());
  }
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

inline int intOf(const Napi::Value& value, int missing = 0) {
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : missing;
}

// The result of a system call, or -errno.
inline Napi::Value resultOf(Napi::Env env, long result) {
  return Napi::Number::New(env, static_cast<double>(result < 0 ? -errno : result));
}
