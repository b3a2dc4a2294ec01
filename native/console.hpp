// One console: processor, picture processor, controller, and the wires between them.
#pragma once

#include "ppu.hpp"
#include "rom.hpp"
#include "state.hpp"
#include "types.hpp"

namespace nes {

constexpr int kDotsPerCycle = 3;

// The dots that are done before the given cycle of a frame, and those that are done when an
// instruction runs in it: the picture processor goes first in every cycle.
constexpr int dots_before(int cycle) { return kDotsPerCycle * cycle; }
constexpr int dots_at(int cycle) { return dots_before(cycle + 1); }

class Console {
  public:
    // `ram` is kRamSize bytes, owned by the caller, and may be changed between frames.
    Console(const Rom& rom, u8* ram);
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    // Presses reset, as nes-py does: the RAM keeps its contents.
    void reset();

    // Runs 29,781 processor cycles, which nes-py calls a frame, with `buttons` held (bit 0 is A,
    // then B, select, start, up, down, left, right). Draws the picture, uint8 [240, 256] of colour
    // numbers, unless `picture` is nullptr.
    void run_frame(u8 buttons, u8* picture);

    u8* ram() const { return ram_; }
    const Rom& rom() const { return rom_; }

    // The state, complete and in one form only: equal consoles have equal states.
    const MachineState& state();

    // Takes a state over. Returns false, and changes nothing, if no console could be in it.
    bool set_state(const MachineState& state);

  private:
    // cpu.cpp: runs instructions that begin before cycle `limit` of the frame.
    void run_cpu(int limit);
    template <bool kFast>
    void run_instructions(int limit);
    void interrupt();
    bool skip_sprite0_polls(int limit);

    // The world outside RAM and ROM, as it is in the given cycle of the frame.
    unsigned read_device(unsigned address, int cycle);
    // Returns the cycles for which it stops the processor.
    int write_device(unsigned address, unsigned value, int cycle);
    int copy_sprites(unsigned page, int cycle);
    // What stands in RAM or ROM, without side effects; 0 elsewhere.
    unsigned peek(unsigned address) const;

    const Rom& rom_;
    u8* ram_;
    MachineState s_;
    Ppu ppu_;
    const u8* pages_[32];  // what can be read without side effects, in pages of 2 KiB
};

}  // namespace nes
