// The caller's identity for the calls that make new objects.
#pragma once
#include <cstdint>

#include "state.h"

// Takes on the credentials at CREDS for the lifetime of the object, on the calling thread only:
// raw system calls, because libc's wrappers change every thread of the process (setresuid(2),
// "C library/kernel differences"). Order as in virtiofsd: groups, gid, uid; back: uid, gid, groups.
// uid or gid 0, or the one that the thread already has, are not switched. The umask at MAKING goes
// with them: the kernel leaves it out where the directory has a default ACL (umask(2)).
class CredentialSwitch {
 public:
  explicit CredentialSwitch(State& state);
  ~CredentialSwitch();
  CredentialSwitch(const CredentialSwitch&) = delete;
  CredentialSwitch& operator=(const CredentialSwitch&) = delete;
  // 0, or the errno of the switch that failed; then nothing must be made.
  int failure() const { return failure_; }

 private:
  void restore();
  uint32_t uid_ = 0;
  uint32_t gid_ = 0;
  bool uidSwitched_ = false;
  bool gidSwitched_ = false;
  bool groupsSwitched_ = false;
  bool masked_ = false;
  int failure_ = 0;
};

// Goes without CAP_FSETID for the lifetime of the object, if the calling thread has it: then the
// kernel takes the set-user-id and set-group-id bits off what is written or truncated, as for a
// user who may not keep them (capabilities(7)).
class WithoutFsetid {
 public:
  explicit WithoutFsetid(bool wanted);
  ~WithoutFsetid();
  WithoutFsetid(const WithoutFsetid&) = delete;
  WithoutFsetid& operator=(const WithoutFsetid&) = delete;
  // 0, or the errno with which the capability could not be given up.
  int failure() const { return failure_; }

 private:
  bool dropped_ = false;
  int failure_ = 0;
};
