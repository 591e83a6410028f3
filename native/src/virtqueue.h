// The device's side of a split virtqueue (VIRTIO 1.2, 2.7 "Split Virtqueues").
#pragma once
#include <cstdint>
#include <vector>

#include "guestMemory.h"

struct VirtqDesc {  // struct virtq_desc
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

// Where a ring is in the front-end's memory.
struct RingPlace {
  uint32_t size;  // descriptors, a power of two
  uint64_t descriptors;
  uint64_t available;
  uint64_t used;
};

// One chain of descriptors: a request and the room for its reply. Reused for every chain.
struct Chain {
  uint16_t head = 0;
  Pieces readable;
  Pieces writable;
  std::vector<VirtqDesc> indirect;  // a table that crosses regions, made whole
};

class Virtqueue {
 public:
  static constexpr uint32_t kMaxSize = 32768;  // VIRTIO 1.2, 2.7: "Queue Size"

  // Begins to work on a ring, at the next available index `nextAvailable` and at the used index
  // that the ring itself tells. 0; -EINVAL for a size or alignment that VIRTIO forbids; -EFAULT for
  // a ring that is not in guest memory.
  int32_t start(const GuestMemory& memory, const RingPlace& place, uint16_t nextAvailable,
                bool eventIdx, bool indirect);

  uint16_t nextAvailable() const { return nextAvailable_; }

  enum class Taken {
    kNothing,    // no request waits
    kChain,      // `chain` holds one
    kMalformed,  // a chain that no driver makes was given back unread: `head`
    kBadHead,    // an index that names no descriptor was passed over
    kBroken,     // more requests than the ring holds: nothing in it can be trusted
  };

  // Takes the next chain.
  Taken take(const GuestMemory& memory, Chain& chain);

  // Whether a request waits.
  bool waits() const { return availableIndex() != nextAvailable_; }

  // Gives a chain back, with `written` bytes in it.
  void giveBack(uint16_t head, uint32_t written);
  // Whether the driver wants a signal for what was given back since this was last asked.
  bool wantsSignal();

  // Asks for kicks. False when requests arrived before the wish: take them first.
  bool wantKicks();
  // Tells the driver not to kick, while requests are being taken anyway.
  void wantNoKicks();

 private:
  uint16_t availableIndex() const;
  bool gather(const GuestMemory& memory, Chain& chain) const;

  uint32_t size_ = 0;
  const uint8_t* descriptors_ = nullptr;
  uint8_t* available_ = nullptr;
  uint8_t* used_ = nullptr;
  uint16_t nextAvailable_ = 0;
  uint16_t nextUsed_ = 0;
  uint16_t signalled_ = 0;  // the used index at the last decision to signal or not
  bool decided_ = false;    // whether there was one since the start
  bool eventIdx_ = false;
  bool indirect_ = false;
  bool kicksOff_ = false;
};
