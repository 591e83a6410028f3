// The same three tables as std::map and std::unordered_map, to compare InodeTables with: entries by
// node id, ids -> node id, handle -> node id. Prints CPU nanoseconds per operation and bytes per
// entry: KIND COUNT insert random ordered bytes

#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>
#include <malloc.h>

namespace {

using Ids = std::tuple<uint64_t, uint64_t, uint64_t>;

// As virtiofsd keeps it: mount id, type, and the bytes in a buffer of their own.
struct Handle {
  uint64_t mnt_id;
  int32_t type;
  std::string bytes;
  bool operator<(const Handle& o) const {
    return std::tie(mnt_id, bytes, type) < std::tie(o.mnt_id, o.bytes, o.type);
  }
  bool operator==(const Handle& o) const {
    return mnt_id == o.mnt_id && type == o.type && bytes == o.bytes;
  }
};

struct Entry {
  uint64_t nodeid;
  Ids ids;
  Handle handle;
  uint64_t lookups;
  uint32_t mode;
};

struct IdsHash {
  size_t operator()(const Ids& k) const {
    size_t h = std::hash<uint64_t>{}(std::get<0>(k));
    h = h * 1000003 ^ std::hash<uint64_t>{}(std::get<1>(k));
    return h * 1000003 ^ std::hash<uint64_t>{}(std::get<2>(k));
  }
};

struct HandleHash {
  size_t operator()(const Handle& k) const {
    return (std::hash<std::string>{}(k.bytes) * 1000003 ^ k.mnt_id) * 1000003 ^ k.type;
  }
};

struct Ordered {
  std::map<uint64_t, std::unique_ptr<Entry>> data;
  std::map<Ids, uint64_t> by_ids;
  std::map<Handle, uint64_t> by_handle;
};

struct Hashed {
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> data;
  std::unordered_map<Ids, uint64_t, IdsHash> by_ids;
  std::unordered_map<Handle, uint64_t, HandleHash> by_handle;
};

double cpu() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec * 1e9 + usage.ru_utime.tv_usec * 1e3 + usage.ru_stime.tv_sec * 1e9 +
         usage.ru_stime.tv_usec * 1e3;
}

uint32_t mix(uint32_t i) { return i * 2654435761u; }

Handle handle_of(uint32_t i) {
  char bytes[8];
  uint32_t gen = mix(i);
  memcpy(bytes, &i, 4);
  memcpy(bytes + 4, &gen, 4);
  return {74, 1, std::string(bytes, 8)};
}

template <class Tables>
uint64_t look_up(Tables& tables, uint32_t i) {
  auto found = tables.by_handle.find(handle_of(i));
  auto named = tables.by_ids.find(Ids{i, 0x700, 74});
  if (found == tables.by_handle.end()) {
    if (named == tables.by_ids.end()) return 0;
    return named->second;
  }
  tables.data.find(found->second)->second->lookups++;
  return found->second;
}

template <class Tables>
void run(const char* kind, uint32_t count) {
  size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  Tables tables;
  double start = cpu();
  for (uint32_t i = 1; i <= count; i++) {
    if (look_up(tables, i) != 0) abort();
    auto entry = std::make_unique<Entry>(Entry{i + 1ull, Ids{i, 0x700, 74}, handle_of(i), 1, 0100644});
    tables.by_ids[entry->ids] = entry->nodeid;
    tables.by_handle[entry->handle] = entry->nodeid;
    tables.data[entry->nodeid] = std::move(entry);
  }
  double filled = cpu();
  std::vector<uint32_t> order(count);
  for (uint32_t i = 0; i < count; i++) order[i] = i + 1;
  uint32_t state = 1;
  for (uint32_t i = count - 1; i > 0; i--) {
    state = state * 1664525u + 1013904223u;
    std::swap(order[i], order[(uint32_t)(state / 4294967296.0 * (i + 1))]);
  }
  double inserted = cpu();
  uint64_t sum = 0;
  for (uint32_t i : order) sum += look_up(tables, i);
  double random = cpu();
  for (uint32_t i = 1; i <= count; i++) sum += look_up(tables, i);
  double ordered = cpu();
  size_t bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
  printf("%s %u %.1f %.1f %.1f %.1f\n", kind, count, (filled - start) / count,
         (random - inserted) / count, (ordered - random) / count, (double)bytes / count);
  if (sum == 0) abort();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  uint32_t count = strtoul(argv[2], nullptr, 10);
  if (strcmp(argv[1], "map") == 0) run<Ordered>("map", count);
  else run<Hashed>("unordered_map", count);
}
