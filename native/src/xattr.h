#pragma once
#include "state.h"

// setxattr(2) on whatever an O_PATH descriptor stands for; -1 and errno when it fails.
int setXattrOfPath(State& state, int fd, const char* name, const void* value, size_t size);
