// The whole state of a console, beside its 2 KiB of RAM, as plain bytes: a snapshot is a copy of it.
#pragma once

#include <type_traits>

#include "types.hpp"

namespace nes {

struct CpuState {
    i32 wait;  // CPU cycles from the frame boundary to the next instruction
    u16 pc;
    u8 a, x, y, sp;
    u8 p;            // N V 1 B D I Z C
    u8 odd_cycle;    // whether an odd number of cycles has run before the frame boundary
};

struct PpuState {
    u8 name_tables[2048];
    u8 palette[32];
    u8 oam[256];  // 64 sprites of (y - 1, tile, attributes, x)
    // Where the beam is: the next dot to be run. Row 0 is the pre-render line, rows 1-240 the
    // picture, rows 242-261 vertical blank; columns 0-255 of a row are its pixels.
    i16 row, column;
    u16 address, next_address;  // the registers that are called v and t in the literature
    u8 fine_x;
    u8 first_write;
    u8 data_buffer;
    u8 oam_address;
    u8 control, mask;
    u8 in_vblank, sprite0_hit, even_frame;
    // The sprites on the current line, found at the end of the line before. They are looked up only
    // when somebody needs them; until then `sprites_known` is 0.
    u8 sprites_known;
    u8 sprite_count;
    u8 sprites[8];
    u8 reserved;
};

struct ControllerState {
    u8 strobe, buttons, shift, reserved;
};

struct MachineState {
    CpuState cpu;
    PpuState ppu;
    ControllerState controller;
};

// Without padding every byte of a snapshot means something, and equal consoles have equal snapshots.
static_assert(std::has_unique_object_representations_v<MachineState>);

}  // namespace nes
