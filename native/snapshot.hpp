// A console's whole state as bytes: header, machine, RAM. It can be kept, copied and put into any
// console with the same ROM, in this process or another on the same kind of machine.
#pragma once

#include "console.hpp"

namespace nes {

struct Snapshot {
    char magic[8];
    u64 rom_hash;
    u64 check;  // hash of what follows
    u32 machine_size;
    MachineState machine;
    u8 ram[kRamSize];
};

static_assert(std::has_unique_object_representations_v<Snapshot>);

void save_snapshot(Console& console, Snapshot& snapshot);

// Throws std::invalid_argument, and leaves the console as it is, unless `size` bytes are a snapshot
// that `save_snapshot` wrote for the same ROM.
void load_snapshot(Console& console, const void* bytes, std::size_t size);

}  // namespace nes
