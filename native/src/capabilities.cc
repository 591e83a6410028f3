// Capabilities, by raw system calls. They belong to threads, and V8 and libuv start theirs before the
// first JavaScript runs: a program that is to have few is executed with the bounds set; a program
// that already runs has each of its threads give them up.
#include <dirent.h>
#include <linux/capability.h>
#include <napi.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

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

// --- in all threads of a running process --------------------------------------------------------

// The signal by which glibc changes ids in all threads (nptl/setxid): the only one besides that of
// pthread_cancel(3) that no thread can block. sigaction(3) does not give it away; the kernel does.
constexpr int kUnblockable = 33;

#ifdef __x86_64__
constexpr unsigned long kHasRestorer = 0x04000000;  // SA_RESTORER; this architecture demands one
__attribute__((naked)) void returnFromSignal() { asm volatile("mov $15, %eax\n\tsyscall"); }
#endif

// struct sigaction as rt_sigaction(2) takes it.
struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
#ifdef __x86_64__
  void (*restorer)();
#endif
  uint64_t mask;
};

uint64_t keptByAll;

void dropInThisThread(int) {
  const int error = errno;
  setCapabilities(keptByAll, false);
  errno = error;
}

// Whether each thread's permitted set is within the mask; those that are not get the signal.
bool allThreadsKeep(uint64_t kept, bool signalOthers) {
  bool all = true;
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return false;
  while (const struct dirent* entry = readdir(tasks)) {
    const pid_t thread = atoi(entry->d_name);
    if (thread <= 0) continue;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, thread};
    struct __user_cap_data_struct data[2] = {};
    if (syscall(SYS_capget, &header, data) < 0) continue;  // it has ended
    const uint64_t permitted = data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
    if ((permitted & ~kept) == 0) continue;
    all = false;
    if (signalOthers) syscall(SYS_tgkill, getpid(), thread, kUnblockable);
  }
  closedir(tasks);
  return all;
}

// dropCapabilities(low, high): all threads of this process keep those of the mask, of what they
// have. 0 or -errno; -EAGAIN when a thread does not react.
Napi::Value dropCapabilities(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  keptByAll = static_cast<uint32_t>(intOf(info[0])) |
              static_cast<uint64_t>(static_cast<uint32_t>(intOf(info[1]))) << 32;
  if (setCapabilities(keptByAll, false) < 0) return resultOf(env, -1);
  KernelAction action = {}, before = {};
  action.handler = dropInThisThread;
  action.flags = SA_RESTART;
#ifdef __x86_64__
  action.flags |= kHasRestorer;
  action.restorer = returnFromSignal;
#endif
  if (syscall(SYS_rt_sigaction, kUnblockable, &action, &before, sizeof action.mask) < 0) {
    return resultOf(env, -1);
  }
  bool all = allThreadsKeep(keptByAll, true);
  for (int turns = 0; !all && turns < 1000; turns++) {
    const struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, nullptr);
    all = allThreadsKeep(keptByAll, false);
  }
  syscall(SYS_rt_sigaction, kUnblockable, &before, nullptr, sizeof action.mask);
  errno = EAGAIN;
  return resultOf(env, all ? 0 : -1);
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
  exports.Set("dropCapabilities", Napi::Function::New(env, dropCapabilities));
}
