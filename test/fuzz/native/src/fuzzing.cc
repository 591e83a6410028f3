// What the fuzzer needs besides the addon under test: memory that a parent process can read after a
// crash, memory that must not be touched, memory that changes all the time, and a vhost-user
// front-end's end of a socket.
#include <fcntl.h>
#include <napi.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

namespace {

int intOf(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

Napi::Value resultOf(const Napi::CallbackInfo& info, long result) {
  return Napi::Number::New(info.Env(), static_cast<double>(result < 0 ? -errno : result));
}

// mapFile(fd, size): the file's first bytes as an ArrayBuffer shared with every other process that
// maps it, or -errno. Stays mapped for good.
Napi::Value mapFile(const Napi::CallbackInfo& info) {
  const size_t size = static_cast<size_t>(intOf(info[1]));
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, intOf(info[0]), 0);
  if (at == MAP_FAILED) return resultOf(info, -1);
  return Napi::ArrayBuffer::New(info.Env(), at, size);
}

uint8_t* bytesAt(const Napi::CallbackInfo& info) {
  Napi::Uint8Array view = info[0].As<Napi::Uint8Array>();
  return view.Data() + intOf(info[1]);
}

// poison(bytes, offset, length): from now on the sanitized addon must not touch these bytes.
void poison(const Napi::CallbackInfo& info) {
  ASAN_POISON_MEMORY_REGION(bytesAt(info), static_cast<size_t>(intOf(info[2])));
}

void unpoison(const Napi::CallbackInfo& info) {
  ASAN_UNPOISON_MEMORY_REGION(bytesAt(info), static_cast<size_t>(intOf(info[2])));
}

// memoryFile(size): a memfd of this size, or -errno.
Napi::Value memoryFile(const Napi::CallbackInfo& info) {
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, info[0].As<Napi::Number>().Int64Value()) < 0) {
    const int failure = errno;
    close(fd);
    errno = failure;
    return resultOf(info, -1);
  }
  return resultOf(info, fd);
}

// connectTo(path): a socket, or -errno.
Napi::Value connectTo(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return resultOf(info, -1);
  }
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return resultOf(info, -1);
  if (connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) < 0) {
    const int failure = errno;
    close(fd);
    errno = failure;
    return resultOf(info, -1);
  }
  return resultOf(info, fd);
}

// sendTo(socket, bytes, fds): never waits. Bytes sent, or -errno.
Napi::Value sendTo(const Napi::CallbackInfo& info) {
  constexpr uint32_t most = 253;  // SCM_MAX_FD of the kernel
  Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  Napi::Array list = info[2].As<Napi::Array>();
  const uint32_t count = list.Length() < most ? list.Length() : most;
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * most)] = {};
  struct iovec data = {bytes.Data(), bytes.ByteLength()};
  struct msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (uint32_t i = 0; i < count; i++) {
      const int fd = intOf(list.Get(i));
      memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  const ssize_t sent =
      sendmsg(intOf(info[0]), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return resultOf(info, sent);
}

// endSending(socket): the peer reads to the end; answers still come. 0 or -errno.
Napi::Value endSending(const Napi::CallbackInfo& info) {
  return resultOf(info, shutdown(intOf(info[0]), SHUT_WR));
}

// receiveFrom(socket, bytes): never waits. Bytes received, 0 at the end, or -errno.
Napi::Value receiveFrom(const Napi::CallbackInfo& info) {
  Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  return resultOf(info, recv(intOf(info[0]), bytes.Data(), bytes.ByteLength(), MSG_DONTWAIT));
}

// drainEvent(fd): how often an eventfd was signalled, 0 for not at all.
Napi::Value drainEvent(const Napi::CallbackInfo& info) {
  uint64_t count = 0;
  if (read(intOf(info[0]), &count, sizeof count) != sizeof count) count = 0;
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

// A thread that changes memory while others read it: half of its writes put back what was there.
class Changer {
 public:
  Changer(uint16_t* words, uint32_t count, uint32_t seed)
      : words_(words), count_(count), state_(seed | 1), thread_([this] { run(); }) {}
  ~Changer() {
    end_.store(true);
    thread_.join();
  }

 private:
  uint32_t next() {  // xorshift32
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

  void run() {
    while (!end_.load(std::memory_order_relaxed)) {
      uint16_t* word = words_ + next() % count_;
      const uint16_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
      const uint32_t choice = next();
      const uint16_t odd = static_cast<uint16_t>(choice % 3 == 0   ? choice >> 16
                                                 : choice % 3 == 1 ? was ^ (1u << (choice >> 28))
                                                                   : was + 1);
      __atomic_store_n(word, odd, __ATOMIC_RELAXED);
      if (choice & 0x8000) __atomic_store_n(word, was, __ATOMIC_RELAXED);
    }
  }

  uint16_t* words_;
  uint32_t count_;
  uint32_t state_;
  std::atomic<bool> end_{false};
  std::thread thread_;
};

std::unique_ptr<Changer> changer;

// startChanging(bytes, offset, length, seed): one at a time.
void startChanging(const Napi::CallbackInfo& info) {
  changer = std::make_unique<Changer>(reinterpret_cast<uint16_t*>(bytesAt(info)),
                                      static_cast<uint32_t>(intOf(info[2])) / 2,
                                      info[3].As<Napi::Number>().Uint32Value());
}

void stopChanging(const Napi::CallbackInfo& info) { changer.reset(); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("mapFile", Napi::Function::New(env, mapFile));
  exports.Set("poison", Napi::Function::New(env, poison));
  exports.Set("unpoison", Napi::Function::New(env, unpoison));
  exports.Set("memoryFile", Napi::Function::New(env, memoryFile));
  exports.Set("connectTo", Napi::Function::New(env, connectTo));
  exports.Set("sendTo", Napi::Function::New(env, sendTo));
  exports.Set("endSending", Napi::Function::New(env, endSending));
  exports.Set("receiveFrom", Napi::Function::New(env, receiveFrom));
  exports.Set("drainEvent", Napi::Function::New(env, drainEvent));
  exports.Set("startChanging", Napi::Function::New(env, startChanging));
  exports.Set("stopChanging", Napi::Function::New(env, stopChanging));
  return exports;
}

}  // namespace

NODE_API_MODULE(fuzzing, init)
