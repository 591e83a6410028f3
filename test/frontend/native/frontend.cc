// What a virtual machine monitor needs of Linux and Node lacks: shared memory, descriptors over
// Unix sockets, eventfds. Calls that return a number return -errno when they fail.
#include "frontend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr size_t kMostFds = 64;
constexpr int kSendLimitMs = 10000;

// memfd(size, seals?): an anonymous file of guest memory.
Napi::Value memfd(const Napi::CallbackInfo& info) {
  const int fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return resultOf(info.Env(), -1);
  if (ftruncate(fd, static_cast<off_t>(numberOf(info[0]))) < 0) {
    const int failure = errno;
    close(fd);
    errno = failure;
    return resultOf(info.Env(), -1);
  }
  return resultOf(info.Env(), fd);
}

// map(fd, offset, size): the memory as an ArrayBuffer; unmapped by unmap() alone.
Napi::Value map(const Napi::CallbackInfo& info) {
  const size_t size = static_cast<size_t>(numberOf(info[2]));
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, intOf(info[0]),
                      static_cast<off_t>(numberOf(info[1])));
  if (memory == MAP_FAILED) return resultOf(info.Env(), -1);
  return Napi::ArrayBuffer::New(info.Env(), memory, size);
}

// unmap(arrayBuffer): the buffer has no bytes afterwards.
Napi::Value unmap(const Napi::CallbackInfo& info) {
  Napi::ArrayBuffer buffer = info[0].As<Napi::ArrayBuffer>();
  void* memory = buffer.Data();
  const size_t size = buffer.ByteLength();
  buffer.Detach();
  return resultOf(info.Env(), munmap(memory, size));
}

// events(count): a nonblocking eventfd that begins with this count.
Napi::Value events(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(),
                  eventfd(static_cast<unsigned>(intOf(info[0])), EFD_NONBLOCK | EFD_CLOEXEC));
}

Napi::Value signalFd(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  return resultOf(info.Env(), write(intOf(info[0]), &one, sizeof one));
}

// drainFd(fd): the count, or 0 when nothing was signalled.
Napi::Value drainFd(const Napi::CallbackInfo& info) {
  uint64_t count = 0;
  const ssize_t n = read(intOf(info[0]), &count, sizeof count);
  if (n < 0 && errno == EAGAIN) return Napi::Number::New(info.Env(), 0);
  return resultOf(info.Env(), n < 0 ? -1 : static_cast<long>(count));
}

int unixSocket(const std::string& path, sockaddr_un* address) {
  if (path.size() >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  *address = {};
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.c_str(), path.size());
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int closing(int fd) {
  const int failure = errno;
  close(fd);
  errno = failure;
  return -1;
}

Napi::Value connectUnix(const Napi::CallbackInfo& info) {
  sockaddr_un address;
  int fd = unixSocket(info[0].As<Napi::String>().Utf8Value(), &address);
  if (fd >= 0 && (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
                  fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
    fd = closing(fd);
  }
  return resultOf(info.Env(), fd);
}

// listenUnix(path): a listening socket for a child process to inherit.
Napi::Value listenUnix(const Napi::CallbackInfo& info) {
  sockaddr_un address;
  int fd = unixSocket(info[0].As<Napi::String>().Utf8Value(), &address);
  if (fd >= 0 && (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
                  listen(fd, 1) < 0)) {
    fd = closing(fd);
  }
  return resultOf(info.Env(), fd);
}

// socketPair(): two connected stream sockets, or -errno.
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
    return resultOf(info.Env(), -1);
  }
  Napi::Array out = Napi::Array::New(info.Env(), 2);
  out.Set(0u, Napi::Number::New(info.Env(), fds[0]));
  out.Set(1u, Napi::Number::New(info.Env(), fds[1]));
  return out;
}

// sendBytes(fd, bytes, fds): all bytes; the descriptors ride with the first one.
Napi::Value sendBytes(const Napi::CallbackInfo& info) {
  const int fd = intOf(info[0]);
  Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  Napi::Array given = info[2].As<Napi::Array>();
  std::vector<int> fds;
  for (uint32_t i = 0; i < given.Length(); i++) fds.push_back(intOf(given.Get(i)));
  std::vector<uint8_t> control(CMSG_SPACE(sizeof(int) * fds.size()));
  size_t sent = 0;
  do {
    iovec piece = {bytes.Data() + sent, bytes.ByteLength() - sent};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (sent == 0 && !fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
    }
    const ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd writable = {fd, POLLOUT, 0};
      if (poll(&writable, 1, kSendLimitMs) == 0) {
        errno = ETIMEDOUT;
        return resultOf(info.Env(), -1);
      }
    } else if (errno != EINTR) {
      return resultOf(info.Env(), -1);
    }
  } while (sent < bytes.ByteLength());
  return resultOf(info.Env(), static_cast<long>(sent));
}

// receiveBytes(fd, bytes, fds): what is there, at most as long as `bytes`; descriptors are pushed
// to the array `fds`. 0: the peer closed; -EAGAIN: nothing there.
Napi::Value receiveBytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  Napi::Array fds = info[2].As<Napi::Array>();
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * kMostFds)];
  iovec piece = {bytes.Data(), bytes.ByteLength()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = recvmsg(intOf(info[0]), &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return resultOf(env, -1);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.Set(fds.Length(), Napi::Number::New(env, fd));
    }
  }
  return resultOf(env, n);
}

Napi::Value closeFd(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), close(intOf(info[0])));
}

// fence(): a full memory barrier between stores of JavaScript before it and loads after it.
Napi::Value fence(const Napi::CallbackInfo& info) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const std::pair<const char*, Napi::Value (*)(const Napi::CallbackInfo&)> functions[] = {
      {"memfd", memfd},
      {"map", map},
      {"unmap", unmap},
      {"events", events},
      {"signalFd", signalFd},
      {"drainFd", drainFd},
      {"connectUnix", connectUnix},
      {"listenUnix", listenUnix},
      {"socketPair", socketPair},
      {"sendBytes", sendBytes},
      {"receiveBytes", receiveBytes},
      {"closeFd", closeFd},
      {"fence", fence},
  };
  for (const auto& [name, function] : functions) {
    exports.Set(name, Napi::Function::New(env, function, name));
  }
  defineStream(env, exports);
  defineWatch(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(frontend, init)
