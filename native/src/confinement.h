// What the pieces of confinement share. Everything here is called between clone(2) and execve(2) in
// a copy of a process with several threads: system calls and plain memory only, no allocation.
#pragma once
#include <cstdint>

// What went wrong, in the words of the table in daemon/confinement/failure.ts. Crosses a socket.
struct ConfinementFailure {
  char step[28];
  int32_t error;
};

// Bounds what this thread and the program that it executes may do to the capabilities of the mask.
// `ambient`: the user is not root, to whom execve(2) would leave none otherwise. Null, or the step
// that failed with errno set. capabilities(7).
const char* boundCapabilities(uint64_t kept, bool ambient);
