// What the parts of the client's addon share.
#pragma once
#include <napi.h>

#include <cerrno>
#include <cstdint>

// The result of a system call, or -errno.
inline Napi::Value resultOf(Napi::Env env, long result) {
  return Napi::Number::New(env, static_cast<double>(result < 0 ? -errno : result));
}

inline int intOf(const Napi::Value& value) {
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : -1;
}

inline double numberOf(const Napi::Value& value) {
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
}

void defineStream(Napi::Env env, Napi::Object exports);
void defineWatch(Napi::Env env, Napi::Object exports);
