// Per-environment state (the addon lives in the main thread and in a worker at the same time)
// and the binding of plain C++ functions to JavaScript.
#pragma once
#include <napi.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "layout.h"

class VhostDevice;

struct State {
  uint8_t* scratch = nullptr;
  Napi::Reference<Napi::ArrayBuffer> scratchOwner;
  int procSelfFd = -1;       // O_PATH descriptor of /proc/self/fd
  bool openat2Works = true;  // until the kernel says ENOSYS
  int dataPipe[2] = {-1, -1};
  int dataPipeSize = 0;
  bool spliceWorks = true;
  uint32_t turns = 0;
  uint32_t bigWrites = 0;         // predicts whether the next request is a large WRITE
  int32_t payloadInPipe = 0;      // bytes of the current WRITE still in dataPipe

  int64_t receivedAt = 0;         // CLOCK_MONOTONIC ns of the request at hand
  // A request that was put aside, and how long it had been under way.
  struct Aside {
    int32_t name;
    int64_t elapsed;
  };
  std::vector<Aside> aside;
  int32_t lastAside = 0;

  std::unique_ptr<VhostDevice> vhost;  // of the thread that serves a virtual machine

  template <typename T>
  T* at(int32_t offset) {
    return reinterpret_cast<T*>(scratch + offset);
  }
  int32_t& word(int32_t offset) { return *at<int32_t>(offset); }
  ~State();
};

// A call on the hot path: int32 arguments in, int32 out, nothing allocated. A call before
// attach() answers -EFAULT.
template <typename F>
struct HotCall;

template <typename... Args>
struct HotCall<int32_t (*)(State&, Args...)> {
  template <auto Function>
  static napi_value call(napi_env env, napi_callback_info info) {
    return invoke<Function>(env, info, std::index_sequence_for<Args...>{});
  }

 private:
  template <auto Function, size_t... I>
  static napi_value invoke(napi_env env, napi_callback_info info, std::index_sequence<I...>) {
    constexpr size_t count = sizeof...(Args);
    napi_value values[count + 1];
    size_t given = count;
    void* data = nullptr;
    napi_get_cb_info(env, info, &given, values, nullptr, &data);
    State* state = static_cast<State*>(data);
    int32_t arguments[count + 1] = {};
    for (size_t i = 0; i < count && i < given; i++) {
      napi_get_value_int32(env, values[i], &arguments[i]);
    }
    const int32_t result =
        state->scratch == nullptr ? -EFAULT : Function(*state, arguments[I]...);
    napi_value out;
    napi_create_int32(env, result, &out);
    return out;
  }
};

template <auto Function>
void defineHot(Napi::Env env, Napi::Object exports, State* state, const char* name) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH,
                       &HotCall<decltype(Function)>::template call<Function>, state, &function);
  exports.Set(name, Napi::Value(env, function));
}

inline int64_t monotonicNs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

// Nanoseconds since the request was received, at most 2^31 - 1.
inline int32_t elapsedNs(const State& state) {
  const int64_t ns = monotonicNs() - state.receivedAt;
  return ns < 0 ? 0 : ns > INT32_MAX ? INT32_MAX : static_cast<int32_t>(ns);
}

inline int32_t negated(long result) { return result < 0 ? -errno : static_cast<int32_t>(result); }

void defineAttributes(Napi::Env env, Napi::Object exports, State* state);
void defineDirectories(Napi::Env env, Napi::Object exports, State* state);
void defineFiles(Napi::Env env, Napi::Object exports, State* state);
void defineLookup(Napi::Env env, Napi::Object exports, State* state);
void defineLoopback(Napi::Env env, Napi::Object exports);
void defineMounting(Napi::Env env, Napi::Object exports);
void defineNames(Napi::Env env, Napi::Object exports, State* state);
void defineProbing(Napi::Env env, Napi::Object exports);
void defineSession(Napi::Env env, Napi::Object exports, State* state);
void defineTimes(Napi::Env env, Napi::Object exports);
void defineSyslog(Napi::Env env, Napi::Object exports);
void defineVhost(Napi::Env env, Napi::Object exports, State* state);
void defineXattr(Napi::Env env, Napi::Object exports, State* state);
void defineCapabilities(Napi::Env env, Napi::Object exports);
void defineConfinement(Napi::Env env, Napi::Object exports);
void defineCredentials(Napi::Env env, Napi::Object exports, State* state);
void defineSeccomp(Napi::Env env, Napi::Object exports);
