// Plays the engine under the sanitizers, with the real game and with everything that a hostile
// caller could hand it. Built and run by tests/test_native_sanitizers.py:
//
//   check ROM.nes FRAMES
//
// It prints "ok" and returns 0, or says what is wrong and returns 1; a sanitizer aborts it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "../batch.hpp"
#include "../observation.hpp"
#include "../super_mario_bros.hpp"

namespace {

using namespace nes;

using Bytes = std::vector<u8>;
using Random = std::mt19937;

void require(bool condition, const char* what) {
    if (condition) return;
    std::printf("failed: %s\n", what);
    std::exit(1);
}

Bytes read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

u8 any_byte(Random& random) { return static_cast<u8>(random()); }

Bytes snapshot_of(Console& console) {
    Bytes bytes(sizeof(Snapshot));
    Snapshot snapshot;
    save_snapshot(console, snapshot);
    std::memcpy(bytes.data(), &snapshot, sizeof snapshot);
    return bytes;
}

bool loads(Console& console, const Bytes& bytes) {
    try {
        load_snapshot(console, bytes.data(), bytes.size());
        return true;
    } catch (const std::invalid_argument&) {
        return false;
    }
}

// Writes a matching check sum over whatever was done to a snapshot.
void forge(Bytes& bytes) {
    const std::size_t from = offsetof(Snapshot, machine_size);
    const u64 check = hash_bytes(bytes.data() + from, bytes.size() - from);
    std::memcpy(bytes.data() + offsetof(Snapshot, check), &check, sizeof check);
}

// Random play through the whole interface, drawn and undrawn; a snapshot must lead to the same future.
void play(const Bytes& rom, int frames, Random& random) {
    Batch batch(rom.data(), rom.size(), 3);
    std::vector<u8> observation(3 * kObservationSize * kObservationSize);
    u8 buttons[3];
    i32 repeats[3], ran[3];
    bool ended[3];
    for (int i = 0; i < 60; ++i) batch.run_frame(0, i == 40 ? 0x08 : 0);
    batch.set_start(0);
    for (int i = 0; i < 3; ++i) batch.reset(i);
    for (int done = 0; done < frames; done += 12) {
        for (int i = 0; i < 3; ++i) {
            buttons[i] = any_byte(random);
            repeats[i] = static_cast<i32>(random() % 9);
        }
        batch.console(1).ram()[0x0770] = 1;  // leave the title screen, so that games end
        batch.set_close(random() % 2 == 0);
        batch.step(buttons, repeats, observation.data(), ran, ended);
        for (int i = 0; i < 3; ++i) {
            if (ended[i]) batch.reset(i);
        }
        const Bytes before = snapshot_of(batch.console(0));
        for (int i = 0; i < 3; ++i) batch.run_frame(0, static_cast<u8>(done));
        const Bytes after = snapshot_of(batch.console(0));
        require(loads(batch.console(0), before), "a snapshot could not be loaded");
        require(snapshot_of(batch.console(0)) == before, "a loaded snapshot is not what was saved");
        for (int i = 0; i < 3; ++i) batch.console(0).run_frame(static_cast<u8>(done), nullptr);
        require(snapshot_of(batch.console(0)) == after, "drawing or loading changed the future");
    }
}

// A sequence that is played in one call leads where the same frames lead one by one.
void play_sequences(const Bytes& rom, int frames, Random& random) {
    Batch batch(rom.data(), rom.size(), 2);
    for (int i = 0; i < 60; ++i) batch.run_frame(0, i == 40 ? 0x08 : 0);
    batch.set_start(0);
    for (int done = 0; done < frames; done += 36) {
        batch.reset(0);
        batch.reset(1);
        u8 buttons[9];
        Snapshot snapshots[9];
        for (u8& button : buttons) button = any_byte(random);
        batch.console(0).ram()[0x0770] = batch.console(1).ram()[0x0770] = 1;
        const Batch::Played played = batch.play(0, buttons, 9, 4, snapshots);
        for (int frame = 0; frame < played.frames; ++frame) {
            super_mario_bros::step(batch.console(1), buttons[frame / 4], nullptr);
        }
        const Bytes last = snapshot_of(batch.console(1));
        require(snapshot_of(batch.console(0)) == last, "a sequence and its frames lead apart");
        require(std::memcmp(&snapshots[played.buttons - 1], last.data(), last.size()) == 0,
                "a sequence did not keep its last state");
    }
}

// Snapshots with damaged bytes are refused. Those that were forged to pass are either refused or
// playable, whatever they say.
void load_hostile_snapshots(const Bytes& rom, int count, Random& random) {
    Batch batch(rom.data(), rom.size(), 1);
    Console& console = batch.console(0);
    for (int i = 0; i < 100; ++i) batch.run_frame(0, i % 2 ? 0x08 : 0);
    const Bytes good = snapshot_of(console);
    std::vector<u8> picture(Batch::kPictureSize);
    for (int i = 0; i < count; ++i) {
        Bytes bad = good;
        bad[random() % bad.size()] ^= static_cast<u8>(1 + random() % 255);
        require(!loads(console, bad), "a damaged snapshot was loaded");
        bad.resize(random() % bad.size());
        require(!loads(console, bad), "a truncated snapshot was loaded");

        bad = good;
        const std::size_t begin = offsetof(Snapshot, machine);
        const int changes = i % 4 == 0 ? 4000 : 1 + static_cast<int>(random() % 40);
        for (int change = 0; change < changes; ++change) {
            bad[begin + random() % (bad.size() - begin)] = any_byte(random);
        }
        // The fields after the tables of the picture processor are few; aim at them as well.
        const std::size_t fields = begin + offsetof(MachineState, ppu.row);
        bad[fields + random() % (sizeof(MachineState) - offsetof(MachineState, ppu.row))] =
            any_byte(random);
        bad[begin + random() % sizeof(CpuState)] = any_byte(random);
        forge(bad);
        if (!loads(console, bad)) continue;
        for (int frame = 0; frame < 4; ++frame) {
            console.run_frame(any_byte(random), frame % 2 ? picture.data() : nullptr);
        }
        const Bytes later = snapshot_of(console);
        require(loads(console, later), "a console came into a state that cannot be loaded");
    }
}

// ROMs with any header and any length are refused or playable; so is code that is no code.
void play_hostile_roms(const Bytes& rom, int count, Random& random) {
    std::vector<u8> ram(kRamSize), picture(Batch::kPictureSize);
    int played = 0;
    for (int i = 0; i < count; ++i) {
        Bytes bad = rom;
        if (i % 3 == 0) {
            bad[random() % 16] = any_byte(random);
        } else if (i % 3 == 1) {
            bad.resize(random() % bad.size());
        } else {
            for (int change = 0; change < 20000; ++change) {
                bad[16 + random() % (bad.size() - 16)] = any_byte(random);
            }
        }
        std::unique_ptr<Rom> cartridge;
        try {
            cartridge = std::make_unique<Rom>(bad.data(), bad.size());
        } catch (const std::invalid_argument&) {
            continue;
        }
        ++played;
        for (u8& byte : ram) byte = any_byte(random);
        Console console(*cartridge, ram.data());
        for (int frame = 0; frame < 6; ++frame) {
            console.run_frame(any_byte(random), frame % 2 ? picture.data() : nullptr);
        }
    }
    require(played > 0, "no ROM was played");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const Bytes rom = read_file(argv[1]);
    const int frames = std::atoi(argv[2]);
    Random random(1);
    play(rom, frames, random);
    play_sequences(rom, frames, random);
    load_hostile_snapshots(rom, frames, random);
    play_hostile_roms(rom, frames / 2, random);
    std::puts("ok");
}
