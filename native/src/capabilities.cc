// Capabilities, by raw system calls: they belong to a thread, and libcap would want to be asked
// before the threads of V8 and libuv start. A program is executed with the bounds set instead.
#include <linux/capability.h>
#include <napi.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "cold.h"
#include "confinement.h"
#include "state.h"

namespace {

constexpr int kCapabilities = 64;

// Permitted and effective; inheritable too for `ambient`.
int setCapabilities(uint64_t kept, bool inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  for (int word = 0; word < 2; word++) {
    const uint32_t bits = static_cast<uint32_t>(kept >> (32 * word));
    data[word].permitted = data[word].effective = bits;
    data[word].inheritable = inheritable ? bits : 0;
  }
  return static_cast<int>(syscall(SYS_capset, &header, data));
}

// dropOwnCapabilities(low, high): the calling thread keeps those of the mask. 0 or -errno.
Napi::Value dropOwnCapabilities(const Napi::CallbackInfo& info) {
  const uint64_t kept = static_cast<uint32_t>(intOf(info[0])) |
                        static_cast<uint64_t>(static_cast<uint32_t>(intOf(info[1]))) << 32;
  return resultOf(info.Env(), setCapabilities(kept, false));
}

}  // namespace

const char* boundCapabilities(uint64_t kept, bool ambient) {
  for (int capability = 0; capability < kCapabilities; capability++) {
    if (kept >> capability & 1) continue;
    const int bounded = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (bounded < 0) break;  // EINVAL: past the kernel's last one
    if (bounded == 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return "capability bounds";
  }
  if (setCapabilities(kept, ambient) < 0) return "capabilities";
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return "ambient capabilities";
  for (int capability = 0; ambient && capability < kCapabilities; capability++) {
    if (!(kept >> capability & 1)) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) {
      return "ambient capabilities";
    }
  }
  return nullptr;
}

void defineCapabilities(Napi::Env env, Napi::Object exports) {
  exports.Set("dropOwnCapabilities", Napi::Function::New(env, dropOwnCapabilities));
}
