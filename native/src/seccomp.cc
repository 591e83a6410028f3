// Loads a system call filter that TypeScript has built (daemon/confinement/systemCallFilter.ts).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <napi.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "cold.h"
#include "state.h"

namespace {

// Names the refused call and ends: a core dump alone would leave people to guess.
void sayAndEnd(int, siginfo_t* info, void*) {
  char text[96];
  const int length = snprintf(text, sizeof text,
                              "error: System call %d is refused by --seccomp=trap.\n",
                              info->si_syscall);
  if (length > 0) {
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, static_cast<size_t>(length));
  }
  _exit(128 + SIGSYS);
}

// loadSystemCallFilter(program, explain): puts all threads under the filter, an array of struct
// sock_filter. `explain`: SIGSYS says which call it was. 0 or -errno; -ESRCH when a thread has a
// filter of its own already.
Napi::Value loadSystemCallFilter(const Napi::CallbackInfo& info) {
  Napi::Buffer<uint8_t> bytes = info[0].As<Napi::Buffer<uint8_t>>();
  struct sock_fprog program = {
      static_cast<unsigned short>(bytes.Length() / sizeof(struct sock_filter)),
      reinterpret_cast<struct sock_filter*>(bytes.Data()),
  };
  if (info[1].ToBoolean()) {
    struct sigaction action = {};
    action.sa_sigaction = sayAndEnd;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSYS, &action, nullptr) < 0) return resultOf(info.Env(), -1);
  }
  // Without CAP_SYS_ADMIN a filter may only be loaded by those who gain no privileges any more;
  // with TSYNC this goes to the other threads as well. seccomp(2).
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return resultOf(info.Env(), -1);
  const long result =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (result > 0) {
    errno = ESRCH;
    return resultOf(info.Env(), -1);
  }
  return resultOf(info.Env(), result);
}

}  // namespace

void defineSeccomp(Napi::Env env, Napi::Object exports) {
  exports.Set("loadSystemCallFilter", Napi::Function::New(env, loadSystemCallFilter));
}
