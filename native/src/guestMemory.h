// The memory of a virtual machine, as a vhost-user front-end shares it: regions of files mapped
// into this process, found by the guest's physical addresses (descriptors) and by the front-end's
// own addresses (rings).
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

// What the front-end says about one region (vhost-user specification, "Memory region description").
struct RegionDescription {
  uint64_t guest;   // guest-physical address
  uint64_t size;    // bytes
  uint64_t user;    // address in the front-end
  uint64_t offset;  // where the region begins in its file
};

// A byte stream in guest memory: a request, or the room for its reply.
class Pieces {
 public:
  // How far a stream was read or written.
  struct Place {
    size_t piece = 0;
    size_t inside = 0;
  };

  void clear() {
    pieces_.clear();
    bytes_ = 0;
  }
  uint64_t bytes() const { return bytes_; }
  // Joins a piece that follows the last one in this process's memory, too.
  void append(uint8_t* at, size_t size);
  // Copy at most `size` bytes from, or to, a place and move it on.
  void read(Place& place, uint8_t* to, size_t size) const;
  void write(Place& place, const uint8_t* from, size_t size) const;
  void skip(Place& place, size_t size) const;
  // Move at most `size` bytes from or to a file, with one call. As preadv(2) and pwritev2(2).
  ssize_t readFile(Place& place, int fd, size_t size, int64_t offset);
  ssize_t writeFile(Place& place, int fd, size_t size, int64_t offset, int flags);

 private:
  template <typename Use>
  void each(Place& place, size_t size, Use use) const;
  template <typename Call>
  ssize_t transfer(Place& place, size_t size, Call call);

  std::vector<struct iovec> pieces_;
  uint64_t bytes_ = 0;
};

class GuestMemory {
 public:
  static constexpr size_t kMaxRegions = 256;  // what QEMU uses at most on x86

  GuestMemory() = default;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory() { clear(); }

  // Maps a region; the descriptor stays the caller's. 0 or -errno: -EINVAL for a region that is
  // empty, overflows or overlaps another, -ENOSPC for one too many, -ENXIO for one that reaches
  // beyond the end of its file (touching that would be SIGBUS).
  int32_t add(const RegionDescription& region, int fd);
  // Unmaps the region with this place and size; its offset does not matter. 0 or -ENOENT.
  int32_t remove(const RegionDescription& region);
  void clear();

  // Where [address, address + size) is in this process, or null when not all of it is in one region.
  uint8_t* atUser(uint64_t address, uint64_t size) const;
  uint8_t* atGuest(uint64_t address, uint64_t size) const;
  // Appends [address, address + size) to `pieces`. False when a part of it is in no region.
  bool gather(uint64_t address, uint64_t size, Pieces& pieces) const;

 private:
  struct Region {
    RegionDescription is;
    uint8_t* host;
    void* mapping;
    size_t mappingSize;
  };

  const Region* find(uint64_t guest) const;

  std::vector<Region> regions_;      // by guest-physical address
  mutable size_t lastFound_ = 0;     // most addresses lie where the last one did
};
