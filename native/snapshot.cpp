#include "snapshot.hpp"

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>

namespace nes {

namespace {

constexpr char kMagic[8] = {'N', 'R', 'O', 'M', 'S', 'N', 'P', '1'};

u64 check_of(const Snapshot& snapshot) {
    const u8* begin = reinterpret_cast<const u8*>(&snapshot.machine_size);
    return hash_bytes(begin, sizeof(Snapshot) - offsetof(Snapshot, machine_size));
}

[[noreturn]] void refuse(const std::string& why) {
    throw std::invalid_argument("cannot load this snapshot: " + why);
}

}  // namespace

void save_snapshot(Console& console, Snapshot& snapshot) {
    std::memcpy(snapshot.magic, kMagic, sizeof kMagic);
    snapshot.rom_hash = console.rom().hash;
    snapshot.machine_size = sizeof(MachineState);
    snapshot.machine = console.state();
    std::memcpy(snapshot.ram, console.ram(), kRamSize);
    snapshot.check = check_of(snapshot);
}

void load_snapshot(Console& console, const void* bytes, std::size_t size) {
    if (size != sizeof(Snapshot)) {
        refuse("it has " + std::to_string(size) + " bytes instead of " +
               std::to_string(sizeof(Snapshot)) + ".");
    }
    Snapshot snapshot;
    std::memcpy(&snapshot, bytes, size);
    if (std::memcmp(snapshot.magic, kMagic, sizeof kMagic) != 0 ||
        snapshot.machine_size != sizeof(MachineState)) {
        refuse("it was not written by this version of the engine.");
    }
    if (snapshot.rom_hash != console.rom().hash) refuse("it belongs to another ROM.");
    if (snapshot.check != check_of(snapshot)) refuse("its bytes were damaged.");
    if (!console.set_state(snapshot.machine)) refuse("no console can be in the state it describes.");
    std::memcpy(console.ram(), snapshot.ram, kRamSize);
}

}  // namespace nes
