// The system's log.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "cold.h"
#include "state.h"

namespace {

// connectSyslog(): a socket that takes one message a write, or -errno. Connected once, so that it
// works on where /dev/log cannot be seen any more.
Napi::Value connectSyslog(const Napi::CallbackInfo& info) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return resultOf(info.Env(), -1);
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "/dev/log");
  if (connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) < 0) {
    const int failure = errno;
    close(fd);
    errno = failure;
    return resultOf(info.Env(), -1);
  }
  return Napi::Number::New(info.Env(), fd);
}

}  // namespace

void defineSyslog(Napi::Env env, Napi::Object exports) {
  exports.Set("connectSyslog", Napi::Function::New(env, connectSyslog));
}
