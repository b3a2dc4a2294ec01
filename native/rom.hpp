// A cartridge without a mapper chip (iNES mapper 0, "NROM").
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "types.hpp"

namespace nes {

class Rom {
  public:
    // Reads an iNES image. Throws std::invalid_argument, in one sentence, for anything that is not
    // a complete NTSC NROM cartridge with character ROM.
    Rom(const u8* image, std::size_t size);

    // The three bytes after 0xFFFF repeat the first ones, so that an instruction can be fetched as
    // four bytes from anywhere.
    std::array<u8, 0x8000 + 3> program;
    std::array<u8, 0x2000> character;
    // Row r of tile t at [8 t + r]: eight 2-bit pixels, one a byte, the leftmost in byte 0.
    std::array<u64, 512 * 8> tile_rows;
    bool vertical_mirroring;
    u64 hash;  // of the whole image; tells snapshots of different games apart
};

// Eight pixels from the two bit planes of a tile's row, laid out as in `Rom::tile_rows`.
u64 decode_tile_row(u8 low_plane, u8 high_plane);

// A fast 64-bit hash (not a cryptographic one).
u64 hash_bytes(const u8* bytes, std::size_t size);

}  // namespace nes
