#include "virtqueue.h"

#include <cerrno>
#include <cstring>

namespace {

// struct virtq_desc flags
constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

constexpr uint16_t kNoInterrupt = 1;  // virtq_avail.flags
constexpr uint16_t kNoNotify = 1;     // virtq_used.flags

// struct virtq_avail {flags, idx, ring[], used_event} and virtq_used {flags, idx, ring[],
// avail_event}: both begin alike.
constexpr uint32_t kFlags = 0;
constexpr uint32_t kIndex = 2;
constexpr uint32_t kRing = 4;

uint16_t* wordAt(uint8_t* base, uint32_t offset) {
  return reinterpret_cast<uint16_t*>(base + offset);
}

// The driver changes these words at any time: each is read, and written, once and as a whole.
uint16_t load(uint8_t* base, uint32_t offset, int order = __ATOMIC_RELAXED) {
  return __atomic_load_n(wordAt(base, offset), order);
}

void store(uint8_t* base, uint32_t offset, uint16_t value, int order = __ATOMIC_RELAXED) {
  __atomic_store_n(wordAt(base, offset), value, order);
}

}  // namespace

int32_t Virtqueue::start(const GuestMemory& memory, const RingPlace& place, uint16_t nextAvailable,
                         bool eventIdx, bool indirect) {
  const uint32_t n = place.size;
  if (n == 0 || n > kMaxSize || (n & (n - 1)) != 0) return -EINVAL;
  // VIRTIO 1.2, 2.7: the alignments of the three parts.
  if (place.descriptors % 16 != 0 || place.available % 2 != 0 || place.used % 4 != 0) {
    return -EINVAL;
  }
  // The last word of either ring is there for event indexes only.
  const uint64_t around = eventIdx ? 6 : 4;
  const uint8_t* descriptors = memory.atUser(place.descriptors, 16ull * n);
  uint8_t* available = memory.atUser(place.available, around + 2ull * n);
  uint8_t* used = memory.atUser(place.used, around + 8ull * n);
  if (descriptors == nullptr || available == nullptr || used == nullptr) return -EFAULT;
  // What matters to the processor is where they are mapped.
  if (reinterpret_cast<uintptr_t>(available) % 2 != 0 || reinterpret_cast<uintptr_t>(used) % 4 != 0) {
    return -EINVAL;
  }
  size_ = n;
  descriptors_ = descriptors;
  available_ = available;
  used_ = used;
  nextAvailable_ = nextAvailable;
  nextUsed_ = load(used, kIndex, __ATOMIC_ACQUIRE);
  signalled_ = 0;
  decided_ = false;
  eventIdx_ = eventIdx;
  indirect_ = indirect;
  kicksOff_ = false;
  return 0;
}

uint16_t Virtqueue::availableIndex() const { return load(available_, kIndex, __ATOMIC_ACQUIRE); }

Virtqueue::Taken Virtqueue::take(const GuestMemory& memory, Chain& chain) {
  const uint16_t waiting = static_cast<uint16_t>(availableIndex() - nextAvailable_);
  if (waiting == 0) return Taken::kNothing;
  if (waiting > size_) return Taken::kBroken;
  const uint32_t slot = nextAvailable_ & (size_ - 1);
  const uint16_t head = load(available_, kRing + 2 * slot);
  nextAvailable_++;
  if (head >= size_) return Taken::kBadHead;
  chain.head = head;
  return gather(memory, chain) ? Taken::kChain : Taken::kMalformed;
}

// Collects what the chain at chain.head describes. False for what a driver never makes: a loop, an
// address outside of memory, a readable part after a writable one, a table within a table.
bool Virtqueue::gather(const GuestMemory& memory, Chain& chain) const {
  chain.readable.clear();
  chain.writable.clear();
  const uint8_t* table = descriptors_;
  uint32_t length = size_;
  uint32_t at = chain.head;
  uint32_t walked = 0;
  bool inside = false;  // of an indirect table
  for (;;) {
    if (at >= length || walked >= length) return false;
    walked++;
    VirtqDesc entry;
    memcpy(&entry, table + 16ull * at, sizeof entry);
    // What is checked below must be what is used: the compiler may not read it a second time.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (entry.flags & kIndirect) {
      if (!indirect_ || inside || (entry.flags & kNext)) return false;
      const uint32_t entries = entry.length / 16;
      if (entry.length % 16 != 0 || entries == 0 || entries > kMaxSize) return false;
      table = memory.atGuest(entry.address, entry.length);
      if (table == nullptr) {
        Pieces whole;
        if (!memory.gather(entry.address, entry.length, whole)) return false;
        chain.indirect.resize(entries);
        Pieces::Place start;
        whole.read(start, reinterpret_cast<uint8_t*>(chain.indirect.data()), entry.length);
        table = reinterpret_cast<const uint8_t*>(chain.indirect.data());
      }
      inside = true;
      length = entries;
      at = 0;
      walked = 0;
      continue;
    }
    if (entry.flags & kWrite) {
      if (!memory.gather(entry.address, entry.length, chain.writable)) return false;
    } else {
      if (chain.writable.bytes() > 0) return false;
      if (!memory.gather(entry.address, entry.length, chain.readable)) return false;
    }
    // VIRTIO 1.2, 2.7.5: no chain is longer than that in total.
    if (chain.readable.bytes() + chain.writable.bytes() > 1ull << 32) return false;
    if (!(entry.flags & kNext)) return true;
    at = entry.next;
  }
}

void Virtqueue::giveBack(uint16_t head, uint32_t written) {
  const uint32_t slot = nextUsed_ & (size_ - 1);
  const uint32_t element[2] = {head, written};
  memcpy(used_ + kRing + 8ull * slot, element, sizeof element);
  nextUsed_++;
  store(used_, kIndex, nextUsed_, __ATOMIC_RELEASE);
}

bool Virtqueue::wantsSignal() {
  // The driver writes its wish and then looks at the index; here it is the other way round, and one
  // of the two must see what the other wrote (VIRTIO 1.2, 2.7.7.2 and 2.7.10).
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!eventIdx_) return (load(available_, kFlags) & kNoInterrupt) == 0;
  const uint16_t wished = load(available_, kRing + 2 * size_);
  const uint16_t since = signalled_;
  const bool first = !decided_;
  decided_ = true;
  signalled_ = nextUsed_;
  // Whether the index passed the wish since the last decision: vring_need_event() of
  // linux/virtio_ring.h.
  return first ||
         static_cast<uint16_t>(nextUsed_ - wished - 1) < static_cast<uint16_t>(nextUsed_ - since);
}

bool Virtqueue::wantKicks() {
  if (eventIdx_) {
    store(used_, kRing + 8 * size_, nextAvailable_);
  } else {
    store(used_, kFlags, 0);
    kicksOff_ = false;
  }
  // As above, on the driver's way to the device (VIRTIO 1.2, 2.7.13.4.1).
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return availableIndex() == nextAvailable_;
}

void Virtqueue::wantNoKicks() {
  // With event indexes the wish that was passed once is not renewed, which is enough.
  if (eventIdx_ || kicksOff_) return;
  store(used_, kFlags, kNoNotify);
  kicksOff_ = true;
}
