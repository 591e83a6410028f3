// The inspector's listening socket: made by hand, because Node gives its own away to no other process.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "cold.h"
#include "state.h"

namespace {

constexpr int kBacklog = 511;  // Node's own

// listenOnLoopback(address, port): {descriptor, port} of a listening TCP socket at a literal IPv4 or
// IPv6 address, port 0: a free one; or -errno.
Napi::Value listenOnLoopback(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string literal = pathOf(info[0]);
  const uint16_t port = htons(static_cast<uint16_t>(intOf(info[1])));
  struct sockaddr_in v4 = {};
  struct sockaddr_in6 v6 = {};
  const bool six = inet_pton(AF_INET6, literal.c_str(), &v6.sin6_addr) == 1;
  if (!six && inet_pton(AF_INET, literal.c_str(), &v4.sin_addr) != 1) {
    errno = EINVAL;
    return resultOf(env, -1);
  }
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port = port;
  v6.sin6_family = AF_INET6;
  struct sockaddr* address = six ? reinterpret_cast<struct sockaddr*>(&v6)
                                 : reinterpret_cast<struct sockaddr*>(&v4);
  socklen_t length = six ? sizeof v6 : sizeof v4;
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return resultOf(env, -1);
  const int reuse = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) < 0 ||
      bind(fd, address, length) < 0 || listen(fd, kBacklog) < 0 ||
      getsockname(fd, address, &length) < 0) {
    const int error = errno;
    close(fd);
    errno = error;
    return resultOf(env, -1);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("descriptor", Napi::Number::New(env, fd));
  out.Set("port", Napi::Number::New(env, ntohs(six ? v6.sin6_port : v4.sin_port)));
  return out;
}

}  // namespace

void defineLoopback(Napi::Env env, Napi::Object exports) {
  exports.Set("listenOnLoopback", Napi::Function::New(env, listenOnLoopback));
}
