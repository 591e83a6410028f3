#include "vhostDevice.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "fileData.h"
#include "state.h"

namespace {

constexpr uint32_t kInHeader = 40;     // struct fuse_in_header
constexpr uint32_t kWriteHeader = 80;  // with struct fuse_write_in
constexpr uint32_t kOpcodeForget = 2;
constexpr uint32_t kOpcodeWrite = 16;
constexpr uint32_t kOpcodeInterrupt = 36;
constexpr uint32_t kOpcodeDestroy = 38;
constexpr uint32_t kOpcodeBatchForget = 42;

// How often a busy device looks at the front-end and at the main thread. A front-end that waits
// for an answer stands still with all its guest's devices.
constexpr uint32_t kLookEvery = 64;
constexpr int64_t kLookAfterNs = 2000000;

// Waking a driver costs as much as a small request. While further requests wait, so many that are
// done, and for so long, share one signal.
constexpr uint32_t kSignalAfter = 16;
constexpr int64_t kSignalAfterNs = 25000;

// Falling asleep and being woken costs more than most requests. A guest that sends one request as
// soon as the one before is answered is awaited awake, so long at most. Only one that was seen to do
// so is: as soon as its pauses get longer, the thread sleeps at once again.
constexpr int64_t kAwakeNs = 60000;
constexpr uint32_t kSureFrom = 8;
constexpr uint32_t kSurest = 16;

// How many requests that no driver makes are passed over before the front-end is looked at again: a
// guest can make them faster than they are refused, and each can be a loop of 32768 descriptors.
constexpr int kRefusedAtOnce = 16;

// What epoll tells of the descriptors that are no kicks.
constexpr uint64_t kPeer = 1000;
constexpr uint64_t kControl = 1001;

struct OutHeader {  // struct fuse_out_header
  uint32_t length;
  int32_t error;
  uint64_t unique;
};

// Requests that are never answered.
bool isSilent(uint32_t opcode) {
  return opcode == kOpcodeForget || opcode == kOpcodeBatchForget || opcode == kOpcodeInterrupt ||
         opcode == kOpcodeDestroy;
}

bool watch(int epoll, int fd, uint32_t events, uint64_t name) {
  struct epoll_event event = {};
  event.events = events;
  event.data.u64 = name;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

// Tells the processor that this is a wait.
void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Whether a file is read and written past the host's page cache.
bool isDirect(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0;
}

void signalEventFd(int fd) {
  const uint64_t one = 1;
  // EAGAIN: the counter is full, so the signal is there already.
  [[maybe_unused]] const ssize_t told = write(fd, &one, sizeof one);
}

}  // namespace

VhostDevice::~VhostDevice() {
  if (peer_ >= 0) close(peer_);
  if (epoll_ >= 0) close(epoll_);
}

int32_t VhostDevice::open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return -errno;
  return watch(epoll_, control_, EPOLLIN, kControl) ? 0 : -errno;
}

// Reads the control descriptor: 0, or -ECANCELED when told to stop.
int32_t VhostDevice::drainControl() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = read(control_, &count, sizeof count);
  return count >= layout::kStopCount ? -ECANCELED : 0;
}

int32_t VhostDevice::acceptPeer(int listenFd) {
  for (;;) {
    struct pollfd watched[2] = {{listenFd, POLLIN, 0}, {control_, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (watched[1].revents & POLLIN) {
      const int32_t told = drainControl();
      return told < 0 ? told : -EAGAIN;
    }
    peer_ = accept4(listenFd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer_ >= 0) return watch(epoll_, peer_, EPOLLIN | EPOLLRDHUP, kPeer) ? 0 : -errno;
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) return -errno;
  }
}

// Waits until the peer's socket can be read, or written. A stop is obeyed at once, everything else
// that the main thread wants has time until the message is through.
int32_t VhostDevice::awaitPeer(short events) {
  for (;;) {
    struct pollfd watched[2] = {{peer_, events, 0}, {control_, POLLIN, 0}};
    if (poll(watched, controlled_ ? 1 : 2, -1) < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (watched[1].revents & POLLIN) {
      if (drainControl() < 0) return -ECANCELED;
      controlled_ = true;
    }
    if (watched[0].revents != 0) return 0;
  }
}

int32_t VhostDevice::readPeer(uint8_t* to, size_t size, int* fds, int* fdCount) {
  size_t done = 0;
  while (done < size) {
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    struct iovec data = {to + done, size - done};
    struct msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    // Without room for them the kernel closes descriptors that come where none belong.
    if (done == 0 && fds != nullptr) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
    }
    const ssize_t n = recvmsg(peer_, &message, MSG_CMSG_CLOEXEC);
    if (n > 0) {
      for (struct cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
           part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds + *fdCount, CMSG_DATA(part), count * sizeof(int));
        *fdCount += static_cast<int>(count);
      }
      done += static_cast<size_t>(n);
      continue;
    }
    if (n == 0) return done == 0 ? 0 : -ECONNRESET;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    const int32_t awaited = awaitPeer(POLLIN);
    if (awaited < 0) return awaited;
  }
  return 1;
}

int32_t VhostDevice::writePeer(const uint8_t* from, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = send(peer_, from + done, size - done, MSG_NOSIGNAL);
    if (n >= 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    const int32_t awaited = awaitPeer(POLLOUT);
    if (awaited < 0) return awaited;
  }
  return 0;
}

int32_t VhostDevice::startRing(int index, const RingPlace& place, uint16_t nextAvailable,
                               bool eventIdx, bool indirect, const RingDescriptors& descriptors) {
  Ring& ring = rings_[index];
  if (ring.active) return -EBUSY;
  const int32_t started = ring.queue.start(memory, place, nextAvailable, eventIdx, indirect);
  if (started < 0) return started;
  // Every write to an eventfd is an edge, so its count need not be read: one system call less for
  // each request. (The kernel's own vhost does not read it either.)
  if (!watch(epoll_, descriptors.kick, EPOLLIN | EPOLLET, static_cast<uint64_t>(index))) {
    return -errno;
  }
  ring.kick = descriptors.kick;
  ring.call = descriptors.call;
  ring.error = descriptors.error;
  ring.active = true;
  int at = activeCount_++;
  for (; at > 0 && active_[at - 1] > index; at--) active_[at] = active_[at - 1];
  active_[at] = static_cast<uint8_t>(index);
  return 0;
}

void VhostDevice::deactivate(int index) {
  Ring& ring = rings_[index];
  // Closing it would not do: the front-end holds the same open file, which keeps it watched.
  epoll_ctl(epoll_, EPOLL_CTL_DEL, ring.kick, nullptr);
  ring.active = false;
  const auto end = active_.begin() + activeCount_;
  const auto at = std::find(active_.begin(), end, index);
  std::copy(at + 1, end, at);
  activeCount_--;
}

int32_t VhostDevice::stopRing(int index) {
  if (rings_[index].active) deactivate(index);
  return rings_[index].queue.nextAvailable();
}

void VhostDevice::giveBack(int index, uint16_t head, uint32_t written) {
  rings_[index].queue.giveBack(head, written);
  rings_[index].unsignalled = true;
  unsignalled_++;
}

void VhostDevice::signalDrivers() {
  if (unsignalled_ == 0) return;
  unsignalled_ = 0;
  for (int i = 0; i < activeCount_; i++) {
    Ring& ring = rings_[active_[i]];
    if (!ring.unsignalled) continue;
    ring.unsignalled = false;
    if (ring.queue.wantsSignal() && ring.call >= 0) signalEventFd(ring.call);
  }
}

// Answers the chain at hand with `length` bytes at REPLY; 0: gives it back without an answer.
void VhostDevice::finish(State& state, uint32_t length) {
  const int index = chainRing_;
  chainRing_ = -1;
  uint8_t* reply = state.at<uint8_t>(layout::kReply);
  if (length > chain_.writable.bytes()) {
    state.word(layout::kResultTrouble) = layout::kTroubleRoom;
    state.word(layout::kResultTroubleRing) = index;
    length = chain_.writable.bytes() < sizeof(OutHeader) ? 0 : sizeof(OutHeader);
    reinterpret_cast<OutHeader*>(reply)->length = sizeof(OutHeader);
    reinterpret_cast<OutHeader*>(reply)->error = -EIO;
  }
  Pieces::Place start;
  chain_.writable.write(start, reply, length);
  giveBack(index, chain_.head, length);
}

// Looks at, or waits for, everything but requests: 0 when there may be some, 1 when the control
// descriptor was signalled, or a code of next().
int32_t VhostDevice::wait(bool block) {
  struct epoll_event events[16];
  int count;
  do {
    count = epoll_wait(epoll_, events, 16, block ? -1 : 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  bool message = false;
  for (int i = 0; i < count; i++) {
    if (events[i].data.u64 == kControl) {
      // The other descriptors that are ready now are ready later, too; kicks mean nothing but that
      // the rings are to be looked at.
      const int32_t told = drainControl();
      return told < 0 ? told : 1;
    }
    message = message || events[i].data.u64 == kPeer;
  }
  return message ? kMessage : 0;
}

// Takes a request from this ring: its length, or 0 when there is none, or none among the next few.
int32_t VhostDevice::takeFrom(State& state, int index) {
  Ring& ring = rings_[index];
  for (int refused = 0; refused < kRefusedAtOnce; refused++) {
    const Virtqueue::Taken taken = ring.queue.take(memory, chain_);
    if (taken == Virtqueue::Taken::kNothing) return 0;
    if (taken == Virtqueue::Taken::kChain) {
      const uint64_t readable = chain_.readable.bytes();
      if (readable >= kInHeader) {
        // The guest can change its memory at any time: what is looked at here is this copy.
        uint8_t* request = state.at<uint8_t>(layout::kRequest);
        Pieces::Place place;
        chain_.readable.read(place, request, kInHeader);
        const uint32_t opcode = *state.at<uint32_t>(layout::kRequest + 4);
        if (chain_.writable.bytes() >= sizeof(OutHeader) || isSilent(opcode)) {
          const uint64_t length = std::min<uint64_t>(readable, layout::kRequestSize);
          // A WRITE's data stays where it is, for writeFile().
          const uint64_t copied =
              opcode == kOpcodeWrite ? std::min<uint64_t>(length, kWriteHeader) : length;
          chain_.readable.read(place, request + kInHeader, static_cast<size_t>(copied - kInHeader));
          payload_ = place;
          chainRing_ = index;
          return static_cast<int32_t>(length);
        }
      }
    }
    state.word(layout::kResultTroubleRing) = index;
    if (taken == Virtqueue::Taken::kBadHead) {
      state.word(layout::kResultTrouble) = layout::kTroubleHead;
    } else if (taken == Virtqueue::Taken::kBroken) {
      state.word(layout::kResultTrouble) = layout::kTroubleRing;
      deactivate(index);
      if (ring.error >= 0) signalEventFd(ring.error);
      return 0;
    } else {
      state.word(layout::kResultTrouble) = layout::kTroubleChain;
      giveBack(index, chain_.head, 0);
    }
  }
  return 0;
}

// The next request of any ring: hiprio, whose forgets make room, goes first, then one ring after
// the other.
int32_t VhostDevice::takeRequest(State& state) {
  const int first = activeCount_ > 0 && active_[0] == 0 ? 1 : 0;
  if (first == 1) {
    const int32_t length = takeFrom(state, 0);
    if (length > 0) return length;
  }
  const int rest = activeCount_ - first;
  for (int i = 0; i < rest; i++) {
    if (turn_ >= rest) turn_ = 0;
    const int index = active_[first + turn_++];
    const int32_t length = takeFrom(state, index);
    if (length > 0) return length;
    // It was found broken and taken out.
    if (activeCount_ - first != rest) return takeRequest(state);
  }
  return 0;
}

bool VhostDevice::requestWaits() const {
  for (int i = 0; i < activeCount_; i++) {
    if (rings_[active_[i]].queue.waits()) return true;
  }
  return false;
}

// Waits awake for a request. False when none came soon.
bool VhostDevice::awaitShortly() {
  const int64_t until = monotonicNs() + kAwakeNs;
  do {
    for (int i = 0; i < 16; i++) {
      if (requestWaits()) return true;
      relax();
    }
    // Whoever has work goes first.
    sched_yield();
  } while (monotonicNs() < until);
  return false;
}

void VhostDevice::learnPause(int64_t ns) {
  if (ns > kAwakeNs) {
    shortPauses_ /= 2;
  } else if (shortPauses_ < kSurest) {
    shortPauses_++;
  }
}

int32_t VhostDevice::next(State& state, int32_t replyLength) {
  if (chainRing_ >= 0) finish(state, static_cast<uint32_t>(replyLength));
  if (controlled_) {
    controlled_ = false;
    signalDrivers();
    return 0;
  }
  turns_++;
  bool look = turns_ % kLookEvery == 0 || state.receivedAt - lookedAt_ > kLookAfterNs;
  bool block = false;
  int64_t pausedAt = 0;
  for (;;) {
    if (look) {
      lookedAt_ = state.receivedAt;
      const int32_t seen = wait(block);
      if (seen != 0) {
        signalDrivers();
        return seen > 0 ? 0 : seen;
      }
    }
    const int32_t length = takeRequest(state);
    if (length > 0) {
      for (int i = 0; i < activeCount_; i++) rings_[active_[i]].queue.wantNoKicks();
      state.receivedAt = monotonicNs();
      if (look) lookedAt_ = state.receivedAt;
      if (pausedAt != 0) learnPause(state.receivedAt - pausedAt);
      if (unsignalled_ == 1) unsignalledSince_ = state.receivedAt;
      if (unsignalled_ >= kSignalAfter || state.receivedAt - unsignalledSince_ > kSignalAfterNs) {
        signalDrivers();
      }
      return length;
    }
    signalDrivers();
    if (pausedAt == 0) {
      pausedAt = monotonicNs();
      if (shortPauses_ >= kSureFrom && awaitShortly()) continue;
    }
    look = true;
    block = true;
    for (int i = 0; i < activeCount_; i++) {
      if (!rings_[active_[i]].queue.wantKicks()) block = false;
    }
  }
}

void VhostDevice::answer(State& state, int32_t replyLength) {
  if (chainRing_ >= 0) finish(state, static_cast<uint32_t>(replyLength));
  signalDrivers();
}

void VhostDevice::putAside(int32_t name) {
  aside_.push_back({name, std::move(chain_), chainRing_, payload_});
  chain_ = Chain();
  chainRing_ = -1;
  // Whoever waits for what was answered before must not wait for this one, too.
  signalDrivers();
}

void VhostDevice::takeUp(int32_t name) {
  const auto at = std::find_if(aside_.begin(), aside_.end(),
                               [name](const Aside& one) { return one.name == name; });
  if (at == aside_.end()) return;
  chain_ = std::move(at->chain);
  chainRing_ = at->ring;
  payload_ = at->payload;
  aside_.erase(at);
}

int32_t VhostDevice::sendFile(State& state, int fd, int64_t offset, int32_t size,
                              uint64_t unique) {
  if (chainRing_ < 0) return -EIO;
  constexpr size_t headerSize = sizeof(OutHeader);
  // A guest that asks for more than it has room for gets what there is room for.
  const size_t wanted = std::min(static_cast<size_t>(size),
                                 static_cast<size_t>(chain_.writable.bytes()) - headerSize);
  Pieces::Place place;
  chain_.writable.skip(place, headerSize);
  size_t done = 0;
  while (done < wanted) {
    const ssize_t n = chain_.writable.readFile(place, fd, wanted - done,
                                               offset + static_cast<int64_t>(done));
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (n == 0) break;
    if (errno == EINTR) continue;
    if (errno == EINVAL && done == 0 && isDirect(fd)) {
      // A file without the host's page cache wants memory that is aligned; a guest's need not be.
      const int32_t read = readAll(fd, state.at<uint8_t>(layout::kReply + headerSize),
                                   static_cast<int32_t>(wanted), offset);
      if (read < 0) return read;
      done = static_cast<size_t>(read);
      chain_.writable.write(place, state.at<uint8_t>(layout::kReply + headerSize), done);
      break;
    }
    if (done == 0) return -errno;
    break;
  }
  const OutHeader header = {static_cast<uint32_t>(headerSize + done), 0, unique};
  Pieces::Place start;
  chain_.writable.write(start, reinterpret_cast<const uint8_t*>(&header), headerSize);
  const int index = chainRing_;
  chainRing_ = -1;
  giveBack(index, chain_.head, header.length);
  return 0;
}

int32_t VhostDevice::writeFile(State& state, int fd, int32_t size, int64_t offset, bool append) {
  if (chainRing_ < 0) return -EIO;
  const int flags = append ? RWF_APPEND : 0;
  const size_t wanted = static_cast<size_t>(size);
  Pieces::Place place = payload_;
  size_t done = 0;
  while (done < wanted) {
    const ssize_t n = chain_.readable.writeFile(place, fd, wanted - done,
                                                offset + static_cast<int64_t>(done), flags);
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (n == 0) break;
    if (errno == EINTR) continue;
    if (errno == EINVAL && done == 0 && isDirect(fd)) {
      uint8_t* data = state.at<uint8_t>(layout::kRequest + static_cast<int32_t>(kWriteHeader));
      chain_.readable.read(place, data, wanted);
      return writeAll(fd, data, size, offset, flags);
    }
    if (done == 0) return -errno;
    break;
  }
  return static_cast<int32_t>(done);
}
