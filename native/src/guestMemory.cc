#include "guestMemory.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace {

// Not in the headers of older distributions. Kernels before 5.14 answer EINVAL.
constexpr int kMadvPopulateRead = 22;

bool overflows(uint64_t start, uint64_t size) { return size > UINT64_MAX - start; }

bool overlap(uint64_t a, uint64_t aSize, uint64_t b, uint64_t bSize) {
  return a < b + bSize && b < a + aSize;
}

// What mappings of this file are aligned to: mmap(2), "Huge page (Huge TLB) mappings".
uint64_t pageSizeOf(int fd) {
  struct statfs about = {};
  if (fstatfs(fd, &about) == 0 && about.f_type == HUGETLBFS_MAGIC) {
    return static_cast<uint64_t>(about.f_bsize);
  }
  return static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Pieces::append(uint8_t* at, size_t size) {
  bytes_ += size;
  if (!pieces_.empty()) {
    struct iovec& last = pieces_.back();
    if (static_cast<uint8_t*>(last.iov_base) + last.iov_len == at) {
      last.iov_len += size;
      return;
    }
  }
  pieces_.push_back({at, size});
}

// Calls use(memory, size) for each part of the next `size` bytes.
template <typename Use>
void Pieces::each(Place& place, size_t size, Use use) const {
  while (size > 0 && place.piece < pieces_.size()) {
    const struct iovec& piece = pieces_[place.piece];
    const size_t n = std::min(size, piece.iov_len - place.inside);
    use(static_cast<uint8_t*>(piece.iov_base) + place.inside, n);
    size -= n;
    place.inside += n;
    if (place.inside == piece.iov_len) place = {place.piece + 1, 0};
  }
}

void Pieces::read(Place& place, uint8_t* to, size_t size) const {
  each(place, size, [&](const uint8_t* at, size_t n) {
    memcpy(to, at, n);
    to += n;
  });
}

void Pieces::write(Place& place, const uint8_t* from, size_t size) const {
  each(place, size, [&](uint8_t* at, size_t n) {
    memcpy(at, from, n);
    from += n;
  });
}

void Pieces::skip(Place& place, size_t size) const {
  each(place, size, [](const uint8_t*, size_t) {});
}

// Calls call(pieces, count) with what one system call may take of the next `size` bytes.
template <typename Call>
ssize_t Pieces::transfer(Place& place, size_t size, Call call) {
  size_t end = place.piece;
  size_t held = 0;
  while (end < pieces_.size() && end - place.piece < IOV_MAX && held < size + place.inside) {
    held += pieces_[end++].iov_len;
  }
  if (end == place.piece) return 0;
  held -= place.inside;
  const size_t excess = held > size ? held - size : 0;
  struct iovec& first = pieces_[place.piece];
  struct iovec& last = pieces_[end - 1];
  first.iov_base = static_cast<uint8_t*>(first.iov_base) + place.inside;
  first.iov_len -= place.inside;
  last.iov_len -= excess;
  const ssize_t moved = call(&first, static_cast<int>(end - place.piece));
  last.iov_len += excess;
  first.iov_len += place.inside;
  first.iov_base = static_cast<uint8_t*>(first.iov_base) - place.inside;
  if (moved > 0) skip(place, static_cast<size_t>(moved));
  return moved;
}

ssize_t Pieces::readFile(Place& place, int fd, size_t size, int64_t offset) {
  return transfer(place, size, [&](const struct iovec* pieces, int count) {
    return preadv(fd, pieces, count, offset);
  });
}

ssize_t Pieces::writeFile(Place& place, int fd, size_t size, int64_t offset, int flags) {
  return transfer(place, size, [&](const struct iovec* pieces, int count) {
    return flags == 0 ? pwritev(fd, pieces, count, offset)
                      : pwritev2(fd, pieces, count, offset, flags);
  });
}

int32_t GuestMemory::add(const RegionDescription& region, int fd) {
  if (region.size == 0 || overflows(region.guest, region.size) ||
      overflows(region.user, region.size) || overflows(region.offset, region.size)) {
    return -EINVAL;
  }
  if (regions_.size() >= kMaxRegions) return -ENOSPC;
  for (const Region& other : regions_) {
    if (overlap(region.guest, region.size, other.is.guest, other.is.size) ||
        overlap(region.user, region.size, other.is.user, other.is.size)) {
      return -EINVAL;
    }
  }
  struct stat about;
  if (fstat(fd, &about) < 0) return -errno;
  // Devices, like those of persistent memory, tell no size.
  const bool tellsSize = S_ISREG(about.st_mode);
  if (tellsSize &&
      region.offset + region.size > static_cast<uint64_t>(about.st_size)) {
    return -ENXIO;
  }
  const uint64_t page = pageSizeOf(fd);
  const uint64_t start = region.offset / page * page;
  const uint64_t lead = region.offset - start;
  // munmap of huge pages wants whole ones.
  const uint64_t whole = (lead + region.size + page - 1) / page * page;
  if (whole < region.size || start > INT64_MAX || whole > SIZE_MAX) return -EINVAL;
  void* mapping = mmap(nullptr, static_cast<size_t>(whole), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(start));
  if (mapping == MAP_FAILED) return -errno;
  // Their last page tells: EFAULT where touching it would be SIGBUS, as of /dev/zero with an offset.
  if (!tellsSize &&
      madvise(static_cast<uint8_t*>(mapping) + (whole - page), static_cast<size_t>(page),
              kMadvPopulateRead) < 0 &&
      errno == EFAULT) {
    munmap(mapping, static_cast<size_t>(whole));
    return -ENXIO;
  }
  // A core dump is no place for a guest's secrets, nor has it room for its memory.
  madvise(mapping, static_cast<size_t>(whole), MADV_DONTDUMP);
  const Region mapped = {region, static_cast<uint8_t*>(mapping) + lead, mapping,
                         static_cast<size_t>(whole)};
  const auto after = std::find_if(regions_.begin(), regions_.end(), [&](const Region& other) {
    return other.is.guest > region.guest;
  });
  regions_.insert(after, mapped);
  return 0;
}

int32_t GuestMemory::remove(const RegionDescription& region) {
  for (auto at = regions_.begin(); at != regions_.end(); ++at) {
    if (at->is.guest != region.guest || at->is.size != region.size || at->is.user != region.user) {
      continue;
    }
    munmap(at->mapping, at->mappingSize);
    regions_.erase(at);
    lastFound_ = 0;
    return 0;
  }
  return -ENOENT;
}

void GuestMemory::clear() {
  for (const Region& region : regions_) munmap(region.mapping, region.mappingSize);
  regions_.clear();
  lastFound_ = 0;
}

uint8_t* GuestMemory::atUser(uint64_t address, uint64_t size) const {
  for (const Region& region : regions_) {
    if (address < region.is.user) continue;
    const uint64_t inside = address - region.is.user;
    if (inside < region.is.size && size <= region.is.size - inside) return region.host + inside;
  }
  return nullptr;
}

const GuestMemory::Region* GuestMemory::find(uint64_t guest) const {
  if (lastFound_ < regions_.size()) {
    const Region& last = regions_[lastFound_];
    if (guest >= last.is.guest && guest - last.is.guest < last.is.size) return &last;
  }
  const auto after = std::upper_bound(
      regions_.begin(), regions_.end(), guest,
      [](uint64_t address, const Region& region) { return address < region.is.guest; });
  if (after == regions_.begin()) return nullptr;
  const Region& before = *(after - 1);
  if (guest - before.is.guest >= before.is.size) return nullptr;
  lastFound_ = static_cast<size_t>(after - 1 - regions_.begin());
  return &before;
}

uint8_t* GuestMemory::atGuest(uint64_t address, uint64_t size) const {
  const Region* region = find(address);
  if (region == nullptr) return nullptr;
  const uint64_t inside = address - region->is.guest;
  return size <= region->is.size - inside ? region->host + inside : nullptr;
}

bool GuestMemory::gather(uint64_t address, uint64_t size, Pieces& pieces) const {
  if (overflows(address, size)) return false;
  while (size > 0) {
    const Region* region = find(address);
    if (region == nullptr) return false;
    const uint64_t inside = address - region->is.guest;
    const uint64_t n = std::min(size, region->is.size - inside);
    pieces.append(region->host + inside, static_cast<size_t>(n));
    address += n;
    size -= n;
  }
  return true;
}
