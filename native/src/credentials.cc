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

// Puts a capability back into the calling thread's effective set. Returns 0, or -1 with errno set.
long raiseCapability(int capability) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return -1;
  data[0].effective |= 1u << capability;
  return syscall(SYS_capset, &header, data);
}

// Takes CAP_FSETID out of the calling thread's effective set: 1, or 0 when it is not in there, or
// -errno.
int32_t dropFsetid() {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return -errno;
  if ((data[0].effective & (1u << CAP_FSETID)) == 0) return 0;
  data[0].effective &= ~(1u << CAP_FSETID);
  return syscall(SYS_capset, &header, data) < 0 ? -errno : 1;
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
    // The change of the uid took it away, but a guest that does not send supplementary groups has
    // checked group permissions by itself (virtiofsd does the same).
    if ((wanted[3] & layout::kCredsKeepDacOverride) && raiseCapability(CAP_DAC_OVERRIDE) != 0) {
      failure_ = errno;
      restore();
      return;
    }
  }
  const uint32_t mask = *state.at<const uint32_t>(layout::kMakingUmask);
  if (mask != 0) {
    umask(static_cast<mode_t>(mask));
    masked_ = true;
  }
}

CredentialSwitch::~CredentialSwitch() {
  const int kept = errno;
  restore();
  errno = kept;
}

void CredentialSwitch::restore() {
  if (masked_) umask(0);
  masked_ = false;
  if (uidSwitched_) mustRestore(syscall(SYS_setresuid, kKeep, uid_, kKeep), "user id");
  if (gidSwitched_) mustRestore(syscall(SYS_setresgid, kKeep, gid_, kKeep), "group id");
  if (groupsSwitched_) mustRestore(syscall(SYS_setgroups, 0ul, nullptr), "groups");
  uidSwitched_ = gidSwitched_ = groupsSwitched_ = false;
}

WithoutFsetid::WithoutFsetid(bool wanted) {
  if (!wanted) return;
  const int32_t result = dropFsetid();
  dropped_ = result == 1;
  if (result < 0) failure_ = -result;
}

WithoutFsetid::~WithoutFsetid() {
  if (!dropped_) return;
  const int kept = errno;
  mustRestore(raiseCapability(CAP_FSETID), "capabilities");
  errno = kept;
}

namespace {

// For what is written elsewhere (session.cc, vhost.cc): the same in two calls. 1 when the
// capability was given up and must be taken back.
int32_t giveUpFsetid(State&) { return dropFsetid(); }

int32_t takeBackFsetid(State&) {
  mustRestore(raiseCapability(CAP_FSETID), "capabilities");
  return 0;
}

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

void defineCredentials(Napi::Env env, Napi::Object exports, State* state) {
  defineHot<giveUpFsetid>(env, exports, state, "giveUpFsetid");
  defineHot<takeBackFsetid>(env, exports, state, "takeBackFsetid");
  exports.Set("prepareThread", Napi::Function::New(env, prepareThread));
}
