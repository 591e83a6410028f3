// The device that a vhost-user front-end drives: its memory, its rings, and the one place where
// this thread waits for the guest, for the front-end and for the daemon's main thread.
#pragma once
#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "guestMemory.h"
#include "virtqueue.h"

struct State;

class VhostDevice {
 public:
  // hiprio and request queues. Enough for every guest; each costs a hundred bytes.
  static constexpr int kRings = 64;

  explicit VhostDevice(int controlFd) : control_(controlFd) { active_.fill(0); }
  VhostDevice(const VhostDevice&) = delete;
  VhostDevice& operator=(const VhostDevice&) = delete;
  ~VhostDevice();

  // Prepares waiting. 0 or -errno.
  int32_t open();

  // Waits for the front-end and takes its connection. 0; -EAGAIN when the control descriptor was
  // signalled instead; -ECANCELED when told to stop; -errno.
  int32_t acceptPeer(int listenFd);

  // Reads `size` bytes of the socket. 1; 0 when the peer closed before the first byte; -ECONNRESET
  // when it closed after; -ECANCELED when told to stop; -errno. Descriptors that came with the first
  // byte are put into `fds` (room for kMaxFds), which must be null where none are expected.
  static constexpr int kMaxFds = 253;  // SCM_MAX_FD of the kernel
  int32_t readPeer(uint8_t* to, size_t size, int* fds, int* fdCount);
  int32_t writePeer(const uint8_t* from, size_t size);

  struct RingDescriptors {
    int kick;  // watched
    int call;  // -1: the driver polls
    int error;
  };
  // Begins to serve a ring. As Virtqueue::start, or -errno of watching the kick descriptor.
  int32_t startRing(int index, const RingPlace& place, uint16_t nextAvailable, bool eventIdx,
                    bool indirect, const RingDescriptors& descriptors);
  // Stops serving. Returns the next available index.
  int32_t stopRing(int index);
  // The descriptors to signal from now on; -1 for none.
  void setSignals(int index, int call, int error) {
    rings_[index].call = call;
    rings_[index].error = error;
  }

  GuestMemory memory;

  // Finishes the request at hand with `replyLength` bytes at REPLY (0: without an answer) and waits
  // for what comes next: a request's length, 0 when the control descriptor was signalled, or one of
  // kMessage, -ECANCELED, -errno.
  static constexpr int32_t kMessage = -ENOMSG;
  int32_t next(State& state, int32_t replyLength);

  // Only finishes the request at hand.
  void answer(State& state, int32_t replyLength);

  // Takes the chain at hand away, so that others can be taken; the guest's memory and its ring must
  // stay as they are until it is back. `name` is the caller's.
  void putAside(int32_t name);
  // Makes it the one at hand again.
  void takeUp(int32_t name);

  // Answers a READ straight into guest memory: 0, or -errno with nothing answered.
  int32_t sendFile(State& state, int fd, int64_t offset, int32_t size, uint64_t unique);
  // Writes the payload of the WRITE at hand straight from guest memory: bytes or -errno.
  int32_t writeFile(State& state, int fd, int32_t size, int64_t offset, bool append);

 private:
  struct Ring {
    Virtqueue queue;
    int kick = -1;
    int call = -1;
    int error = -1;
    bool active = false;
    bool unsignalled = false;  // the driver was not asked yet whether it wants a signal
  };

  // A request whose chain was taken away.
  struct Aside {
    int32_t name;
    Chain chain;
    int ring;
    Pieces::Place payload;
  };

  int32_t wait(bool block);
  bool requestWaits() const;
  bool awaitShortly();
  void learnPause(int64_t ns);
  int32_t takeRequest(State& state);
  int32_t takeFrom(State& state, int index);
  void finish(State& state, uint32_t replyLength);
  void giveBack(int index, uint16_t head, uint32_t written);
  void signalDrivers();
  int32_t drainControl();
  int32_t awaitPeer(short events);
  void deactivate(int index);

  std::array<Ring, kRings> rings_;
  std::array<uint8_t, kRings> active_;  // the rings that are served, in order
  int activeCount_ = 0;
  int turn_ = 0;  // where in active_ the search for requests goes on, after hiprio
  Chain chain_;
  int chainRing_ = -1;  // whose chain is at hand, or -1
  Pieces::Place payload_;  // where the data of the WRITE at hand begins
  std::vector<Aside> aside_;
  int control_;         // not ours
  int peer_ = -1;
  int epoll_ = -1;
  uint32_t unsignalled_ = 0;     // requests that were given back since drivers were last signalled
  int64_t unsignalledSince_ = 0;
  bool controlled_ = false;  // the control descriptor was signalled while something else was awaited
  uint32_t turns_ = 0;
  uint32_t shortPauses_ = 0;  // how sure it is that the next request comes soon
  int64_t lookedAt_ = 0;  // when the front-end was last looked at, monotonic ns
};
