#include "credentials.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace {

constexpr uint32_t kKeep = static_cast<uint32_t>(-1);

// Puts CAP_DAC_OVERRIDE back into the effective set after the uid was switched: a guest that does
// not send supplementary groups has checked group permissions by itself (virtiofsd does the same).
bool raiseDacOverride() {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return false;
  data[0].effective |= 1u << CAP_DAC_OVERRIDE;
  return syscall(SYS_capset, &header, data) == 0;
}

// A thread that cannot get its own identity back would serve later requests with a stranger's
// rights: there is no safe way on.
void mustRestore(long result, const char* what) {
  if (result == 0) return;
  fprintf(stderr, "virtiofsd-inspector: cannot restore the %s of the daemon: stopping\n", what);
  abort();
}

}  // namespace

CredentialSwitch::CredentialSwitch(State& state)
    : uid_(static_cast<uint32_t>(syscall(SYS_geteuid))),
      gid_(static_cast<uint32_t>(syscall(SYS_getegid))) {
  const uint32_t* wanted = state.at<const uint32_t>(layout::kCreds);
  const uint32_t uid = wanted[0];
  const uint32_t gid = wanted[1];
  if (wanted[2] != 0) {
    if (syscall(SYS_setgroups, static_cast<size_t>(wanted[2] - 1), wanted + 4) < 0) {
      failure_ = errno;
      return;
    }
    groupsSwitched_ = true;
  }
  if (gid != 0 && gid != gid_) {
    if (syscall(SYS_setresgid, kKeep, gid, kKeep) < 0) {
      failure_ = errno;
      restore();
      return;
    }
    gidSwitched_ = true;
  }
  if (uid != 0 && uid != uid_) {
    if (syscall(SYS_setresuid, kKeep, uid, kKeep) < 0) {
      failure_ = errno;
      restore();
      return;
    }
    uidSwitched_ = true;
    if ((wanted[3] & layout::kCredsKeepDacOverride) && !raiseDacOverride()) {
      failure_ = errno;
      restore();
    }
  }
}

CredentialSwitch::~CredentialSwitch() {
  const int kept = errno;
  restore();
  errno = kept;
}

void CredentialSwitch::restore() {
  if (uidSwitched_) mustRestore(syscall(SYS_setresuid, kKeep, uid_, kKeep), "user id");
  if (gidSwitched_) mustRestore(syscall(SYS_setresgid, kKeep, gid_, kKeep), "group id");
  if (groupsSwitched_) mustRestore(syscall(SYS_setgroups, 0ul, nullptr), "groups");
  uidSwitched_ = gidSwitched_ = groupsSwitched_ = false;
}

namespace {

// prepareThread(): gives the calling thread its own working directory and umask
// (unshare(CLONE_FS)), umask 0, and as root no supplementary groups. 0 or -errno.
Napi::Value prepareThread(const Napi::CallbackInfo& info) {
  int32_t result = 0;
  if (unshare(CLONE_FS) < 0) {
    result = -errno;
  } else {
    umask(0);
    // EPERM: a user namespace with a single id, where setgroups is denied for good.
    if (syscall(SYS_geteuid) == 0 && syscall(SYS_setgroups, 0ul, nullptr) < 0 && errno != EPERM) {
      result = -errno;
    }
  }
  return Napi::Number::New(info.Env(), result);
}

}  // namespace

void defineCredentials(Napi::Env env, Napi::Object exports) {
  exports.Set("prepareThread", Napi::Function::New(env, prepareThread));
}
