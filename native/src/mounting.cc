// Mounting and what surrounds a session.
#include <fcntl.h>
#include <napi.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "cold.h"
#include "state.h"

namespace {

// mount(source, target, type, flags, data): 0 or -errno.
Napi::Value mountIt(const Napi::CallbackInfo& info) {
  const std::string source = pathOf(info[0]), target = pathOf(info[1]), type = pathOf(info[2]),
                    data = pathOf(info[4]);
  return resultOf(info.Env(), mount(source.c_str(), target.c_str(), type.c_str(),
                                    static_cast<unsigned long>(intOf(info[3])), data.c_str()));
}

// umount(target, flags): 0 or -errno.
Napi::Value unmountIt(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), umount2(pathOf(info[0]).c_str(), intOf(info[1])));
}

// openPath(path, flags, directory): a descriptor or -errno; O_CLOEXEC is added.
Napi::Value openPath(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), openat(intOf(info[2], AT_FDCWD), pathOf(info[0]).c_str(),
                                     intOf(info[1]) | O_CLOEXEC));
}

Napi::Value closeDescriptor(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), close(intOf(info[0])));
}

// setNonblocking(fd): 0 or -errno.
Napi::Value setNonblocking(const Napi::CallbackInfo& info) {
  const int fd = intOf(info[0]);
  const int flags = fcntl(fd, F_GETFL);
  return resultOf(info.Env(), flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

// socketPair(): two connected stream sockets, or -errno.
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return resultOf(env, -1);
  Napi::Array out = Napi::Array::New(env, 2);
  out.Set(0u, Napi::Number::New(env, pair[0]));
  out.Set(1u, Napi::Number::New(env, pair[1]));
  return out;
}

// receiveDescriptor(socket): the descriptor of one SCM_RIGHTS message, or -errno; -ECONNRESET when
// the peer closed without sending one.
Napi::Value receiveDescriptor(const Napi::CallbackInfo& info) {
  char byte = 0;
  struct iovec data = {&byte, 1};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = recvmsg(intOf(info[0]), &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return resultOf(info.Env(), -1);
  const struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) {
    errno = ECONNRESET;
    return resultOf(info.Env(), -1);
  }
  int fd;
  memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  return Napi::Number::New(info.Env(), fd);
}

// createEvent(): a nonblocking eventfd, or -errno.
Napi::Value createEvent(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

// signalEvent(fd): wakes whoever polls it. 0 or -errno.
Napi::Value signalEvent(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  return resultOf(info.Env(), write(intOf(info[0]), &one, sizeof one) < 0 ? -1 : 0);
}

// stopEvent(fd): makes the receive() that polls it return -ECANCELED. 0 or -errno.
Napi::Value stopEvent(const Napi::CallbackInfo& info) {
  const uint64_t stop = layout::kStopCount;
  return resultOf(info.Env(), write(intOf(info[0]), &stop, sizeof stop) < 0 ? -1 : 0);
}

// openFilesLimit(): {soft, hard} of RLIMIT_NOFILE.
Napi::Value openFilesLimit(const Napi::CallbackInfo& info) {
  struct rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("soft", Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_cur)));
  out.Set("hard", Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_max)));
  return out;
}

// setOpenFilesLimit(soft, hard): 0 or -errno, for the whole process.
Napi::Value setOpenFilesLimit(const Napi::CallbackInfo& info) {
  struct rlimit limit = {
      static_cast<rlim_t>(info[0].As<Napi::Number>().Int64Value()),
      static_cast<rlim_t>(info[1].As<Napi::Number>().Int64Value()),
  };
  return resultOf(info.Env(), prlimit(0, RLIMIT_NOFILE, &limit, nullptr));
}

}  // namespace

void defineMounting(Napi::Env env, Napi::Object exports) {
  exports.Set("mount", Napi::Function::New(env, mountIt));
  exports.Set("unmount", Napi::Function::New(env, unmountIt));
  exports.Set("openPath", Napi::Function::New(env, openPath));
  exports.Set("closeDescriptor", Napi::Function::New(env, closeDescriptor));
  exports.Set("setNonblocking", Napi::Function::New(env, setNonblocking));
  exports.Set("socketPair", Napi::Function::New(env, socketPair));
  exports.Set("receiveDescriptor", Napi::Function::New(env, receiveDescriptor));
  exports.Set("createEvent", Napi::Function::New(env, createEvent));
  exports.Set("signalEvent", Napi::Function::New(env, signalEvent));
  exports.Set("stopEvent", Napi::Function::New(env, stopEvent));
  exports.Set("openFilesLimit", Napi::Function::New(env, openFilesLimit));
  exports.Set("setOpenFilesLimit", Napi::Function::New(env, setOpenFilesLimit));
}
