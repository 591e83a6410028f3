// vhost-user, seen from JavaScript: the listening socket, the front-end's messages, and the device
// that they describe.
#include <fcntl.h>
#include <grp.h>
#include <napi.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>

#include "cold.h"
#include "state.h"
#include "vhostDevice.h"

namespace {

// Message header: u32 request, flags, size (vhost-user specification, "Header").
constexpr size_t kMessageHeader = 12;
// As rust-vmm allows; the longest message in use is a memory table.
constexpr size_t kMaxPayload = 4096;

VhostDevice* deviceOf(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<State>()->vhost.get();
}

Napi::Value number(const Napi::CallbackInfo& info, int32_t value) {
  return Napi::Number::New(info.Env(), value);
}

uint64_t wideOf(const Napi::Value& value) {
  bool lossless = false;
  return value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
}

// listenAt(path, umask, gid): a listening socket bound at a path, -EADDRINUSE when something is
// there, or -errno; gid -1 leaves the group.
Napi::Value listenAt(const Napi::CallbackInfo& info) {
  const std::string path = pathOf(info[0]);
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return number(info, -ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return number(info, -errno);
  const mode_t before = umask(static_cast<mode_t>(intOf(info[1])));
  const int bound = bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address);
  int failure = bound < 0 ? errno : 0;
  umask(before);
  const int gid = intOf(info[2]);
  if (failure == 0 && gid >= 0 &&
      chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(gid)) < 0) {
    failure = errno;
    unlink(path.c_str());
  }
  // One front-end, and nobody in line behind it.
  if (failure == 0 && listen(fd, 1) < 0) failure = errno;
  if (failure == 0) return number(info, fd);
  close(fd);
  return number(info, -failure);
}

// isListening(fd): 1 when it is a listening stream socket of the Unix kind, 0 when not.
Napi::Value isListening(const Napi::CallbackInfo& info) {
  const int fd = intOf(info[0]);
  const auto option = [fd](int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  return number(info, option(SO_ACCEPTCONN) == 1 && option(SO_DOMAIN) == AF_UNIX &&
                          option(SO_TYPE) == SOCK_STREAM);
}

// isEvent(fd): 1 when it is an eventfd, 0 when not. Anything else can block whoever signals it.
Napi::Value isEvent(const Napi::CallbackInfo& info) {
  State* state = info.Env().GetInstanceData<State>();
  const std::string name = std::to_string(intOf(info[0]));
  char target[64];
  const ssize_t n = readlinkat(state->procSelfFd, name.c_str(), target, sizeof target);
  return number(info, n > 0 && std::string(target, static_cast<size_t>(n)) == "anon_inode:[eventfd]");
}

// groupId(name): the group's number, or -ENOENT.
Napi::Value groupId(const Napi::CallbackInfo& info) {
  const struct group* found = getgrnam(pathOf(info[0]).c_str());
  return Napi::Number::New(info.Env(), found == nullptr ? -ENOENT : static_cast<double>(found->gr_gid));
}

// setCloseOnExec(fd): for a descriptor that was inherited. 0 or -errno.
Napi::Value setCloseOnExec(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), fcntl(intOf(info[0]), F_SETFD, FD_CLOEXEC));
}

// lockFile(fd): takes an exclusive lock at once. 0, or -EWOULDBLOCK when another process has it.
Napi::Value lockFile(const Napi::CallbackInfo& info) {
  return resultOf(info.Env(), flock(intOf(info[0]), LOCK_EX | LOCK_NB));
}

// openDevice(controlFd): makes this thread's vhost-user device. 0 or -errno.
Napi::Value openDevice(const Napi::CallbackInfo& info) {
  auto device = std::make_unique<VhostDevice>(intOf(info[0]));
  const int32_t opened = device->open();
  if (opened < 0) return number(info, opened);
  info.Env().GetInstanceData<State>()->vhost = std::move(device);
  return number(info, VhostDevice::kRings);
}

// closeDevice(): unmaps the guest's memory and closes the connection.
void closeDevice(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<State>()->vhost.reset();
}

// acceptPeer(listenFd): see VhostDevice::acceptPeer.
Napi::Value acceptPeer(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  return number(info, device == nullptr ? -ENODEV : device->acceptPeer(intOf(info[0])));
}

// readMessage(): {request, flags, payload, fds}, or a number: 0 when the peer has closed the
// connection, -EMSGSIZE for a message that is too long, -ECANCELED when told to stop, -errno.
Napi::Value readMessage(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  if (device == nullptr) return number(info, -ENODEV);
  Napi::Env env = info.Env();
  uint8_t header[kMessageHeader];
  int fds[VhostDevice::kMaxFds];
  int fdCount = 0;
  uint8_t payload[kMaxPayload];
  uint32_t fields[3] = {};
  int32_t result = device->readPeer(header, sizeof header, fds, &fdCount);
  if (result > 0) {
    memcpy(fields, header, sizeof fields);
    if (fields[2] > kMaxPayload) {
      result = -EMSGSIZE;
    } else if (fields[2] > 0) {
      result = device->readPeer(payload, fields[2], nullptr, nullptr);
      if (result == 0) result = -ECONNRESET;
    }
  }
  if (result <= 0) {
    for (int i = 0; i < fdCount; i++) close(fds[i]);
    return number(info, result);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("request", Napi::Number::New(env, fields[0]));
  out.Set("flags", Napi::Number::New(env, fields[1]));
  out.Set("payload", Napi::Buffer<uint8_t>::Copy(env, payload, fields[2]));
  Napi::Array list = Napi::Array::New(env, static_cast<size_t>(fdCount));
  for (int i = 0; i < fdCount; i++) {
    list.Set(static_cast<uint32_t>(i), Napi::Number::New(env, fds[i]));
  }
  out.Set("fds", list);
  return out;
}

// writeMessage(bytes): 0; -ECANCELED when told to stop; -errno.
Napi::Value writeMessage(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  if (device == nullptr) return number(info, -ENODEV);
  if (!info[0].IsTypedArray()) return number(info, -EINVAL);
  Napi::Uint8Array bytes = info[0].As<Napi::Uint8Array>();
  return number(info, device->writePeer(bytes.Data(), bytes.ByteLength()));
}

RegionDescription regionOf(const Napi::CallbackInfo& info) {
  return {wideOf(info[0]), wideOf(info[1]), wideOf(info[2]), wideOf(info[3])};
}

// addMemory(guestAddress, size, userAddress, offset, fd): see GuestMemory::add.
Napi::Value addMemory(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  return number(info,
                device == nullptr ? -ENODEV : device->memory.add(regionOf(info), intOf(info[4])));
}

// removeMemory(guestAddress, size, userAddress): see GuestMemory::remove.
Napi::Value removeMemory(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  return number(info, device == nullptr ? -ENODEV : device->memory.remove(regionOf(info)));
}

void clearMemory(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  if (device != nullptr) device->memory.clear();
}

bool isRing(int index) { return index >= 0 && index < VhostDevice::kRings; }

// startRing(index, size, descriptors, available, used, nextAvailable, features, kick, call, error):
// see VhostDevice::startRing. Features: 1 event indexes, 2 indirect tables.
Napi::Value startRing(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  const int index = intOf(info[0]);
  if (device == nullptr || !isRing(index)) return number(info, -ENODEV);
  const int size = intOf(info[1]);
  if (size < 0) return number(info, -EINVAL);
  const RingPlace place = {static_cast<uint32_t>(size), wideOf(info[2]), wideOf(info[3]),
                           wideOf(info[4])};
  const int features = intOf(info[6]);
  return number(info, device->startRing(index, place, static_cast<uint16_t>(intOf(info[5])),
                                        (features & 1) != 0, (features & 2) != 0,
                                        {intOf(info[7]), intOf(info[8]), intOf(info[9])}));
}

// stopRing(index): the next available index.
Napi::Value stopRing(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  const int index = intOf(info[0]);
  if (device == nullptr || !isRing(index)) return number(info, -ENODEV);
  return number(info, device->stopRing(index));
}

// setRingSignals(index, call, error): the descriptors to signal from now on; -1 for none.
void setRingSignals(const Napi::CallbackInfo& info) {
  VhostDevice* device = deviceOf(info);
  const int index = intOf(info[0]);
  if (device == nullptr || !isRing(index)) return;
  device->setSignals(index, intOf(info[1]), intOf(info[2]));
}

int32_t ringNext(State& state, int32_t replyLength) {
  return state.vhost == nullptr ? -ENODEV : state.vhost->next(state, replyLength);
}

int32_t ringAnswer(State& state, int32_t replyLength) {
  if (state.vhost == nullptr) return -ENODEV;
  state.vhost->answer(state, replyLength);
  return 0;
}

int32_t ringSendFile(State& state, int32_t fd, int32_t offsetAt, int32_t size, int32_t uniqueAt) {
  if (state.vhost == nullptr) return -ENODEV;
  int64_t offset;
  uint64_t unique;
  memcpy(&offset, state.scratch + offsetAt, sizeof offset);
  memcpy(&unique, state.scratch + uniqueAt, sizeof unique);
  return state.vhost->sendFile(state, fd, offset, size, unique);
}

int32_t ringWriteFile(State& state, int32_t fd, int32_t size, int32_t offsetAt, int32_t append) {
  if (state.vhost == nullptr) return -ENODEV;
  int64_t offset;
  memcpy(&offset, state.scratch + offsetAt, sizeof offset);
  return state.vhost->writeFile(state, fd, size, offset, append != 0);
}

}  // namespace

void defineVhost(Napi::Env env, Napi::Object exports, State* state) {
  exports.Set("listenAt", Napi::Function::New(env, listenAt));
  exports.Set("isListening", Napi::Function::New(env, isListening));
  exports.Set("isEvent", Napi::Function::New(env, isEvent));
  exports.Set("groupId", Napi::Function::New(env, groupId));
  exports.Set("setCloseOnExec", Napi::Function::New(env, setCloseOnExec));
  exports.Set("lockFile", Napi::Function::New(env, lockFile));
  exports.Set("openDevice", Napi::Function::New(env, openDevice));
  exports.Set("closeDevice", Napi::Function::New(env, closeDevice));
  exports.Set("acceptPeer", Napi::Function::New(env, acceptPeer));
  exports.Set("readMessage", Napi::Function::New(env, readMessage));
  exports.Set("writeMessage", Napi::Function::New(env, writeMessage));
  exports.Set("addMemory", Napi::Function::New(env, addMemory));
  exports.Set("removeMemory", Napi::Function::New(env, removeMemory));
  exports.Set("clearMemory", Napi::Function::New(env, clearMemory));
  exports.Set("startRing", Napi::Function::New(env, startRing));
  exports.Set("stopRing", Napi::Function::New(env, stopRing));
  exports.Set("setRingSignals", Napi::Function::New(env, setRingSignals));
  defineHot<ringNext>(env, exports, state, "ringNext");
  defineHot<ringAnswer>(env, exports, state, "ringAnswer");
  defineHot<ringSendFile>(env, exports, state, "ringSendFile");
  defineHot<ringWriteFile>(env, exports, state, "ringWriteFile");
}
