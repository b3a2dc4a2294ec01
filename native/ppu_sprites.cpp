// Which sprites are on a line, and where the first of them meets the background.
#include <algorithm>
#include <cstring>

#include "ppu.hpp"

namespace nes {

bool Ppu::sprite0_on_line(int y) const {
    if (s_.sprites_known && y == s_.row - 1) return s_.sprite_count > 0 && s_.sprites[0] == 0;
    const int below_top = (y == 0 ? kScreenHeight : y) - 1 - s_.oam[0];
    return s_.oam_address < 4 && below_top >= 0 && below_top < sprite_height();
}

void Ppu::find_sprites() {
    if (s_.sprites_known) return;
    s_.sprites_known = 1;
    s_.sprite_count = 0;
    // The look-up is done at the end of every picture row, and not again before the next picture.
    const int line = s_.row >= 2 && s_.row <= kLastPictureRow ? s_.row - 2 : kScreenHeight - 1;
    if (picture_ != nullptr) {
        if (!line_sprites_known_) find_sprites_of_all_lines();
        s_.sprite_count = line_sprite_counts_[line];
        std::memcpy(s_.sprites, line_sprites_[line], sizeof s_.sprites);
        return;
    }
    std::memset(s_.sprites, 0, sizeof s_.sprites);
    for (int i = s_.oam_address / 4; i < 64 && s_.sprite_count < 8; ++i) {
        const int below_top = line - s_.oam[4 * i];
        if (below_top >= 0 && below_top < sprite_height()) {
            s_.sprites[s_.sprite_count++] = static_cast<u8>(i);
        }
    }
}

void Ppu::find_sprites_of_all_lines() {
    std::memset(line_sprite_counts_, 0, sizeof line_sprite_counts_);
    std::memset(line_sprites_, 0, sizeof line_sprites_);
    for (int i = s_.oam_address / 4; i < 64; ++i) {
        const int top = s_.oam[4 * i];
        for (int line = top; line < std::min(top + sprite_height(), kScreenHeight); ++line) {
            u8& count = line_sprite_counts_[line];
            if (count < 8) line_sprites_[line][count++] = static_cast<u8>(i);
        }
    }
    line_sprites_known_ = true;
}

// The first pixel of line y, from `begin` and before `end`, in which sprite 0 meets the background.
int Ppu::find_hit(int y, int begin, int end) const {
    const bool edge_shown = (s_.mask & 0x06) == 0x06;
    const int left = s_.oam[3];
    const u64 row = sprite_row(&s_.oam[0], y);
    for (int x = std::max({begin, left, edge_shown ? 0 : 8}); x < std::min(end, left + 8); ++x) {
        if (((row >> (8 * (x - left))) & 3) == 0) continue;
        const int tiles = (s_.fine_x + x) / 8 - (s_.fine_x + begin) / 8;
        const unsigned tile = background_tile(tiles_right(s_.address, tiles));
        const u64 pixels = rom_.tile_rows[8 * tile + ((s_.address >> 12) & 7)];
        if ((pixels >> (8 * ((s_.fine_x + x) % 8))) & 3) return x;
    }
    return -1;
}

u64 Ppu::sprite_row(const u8* sprite, int y) const {
    const int height = sprite_height();
    const int tile = sprite[1];
    const int attributes = sprite[2];
    // Negative where a line shows the sprites found for another one (line 0 does); the odd address
    // that this gives is what nes-py computes.
    int row = (y - static_cast<u8>(sprite[0] + 1)) % height;
    if (attributes & 0x80) row ^= height - 1;
    int address;
    if (height == 8) {
        address = 16 * tile + row + (s_.control & 0x08 ? 0x1000 : 0);
    } else {
        address = (16 * (tile & 0xFE) + ((row & 7) | ((row & 8) << 1))) | ((tile & 1) << 12);
    }
    u64 pixels;
    if ((address & ~0x1FF7) == 0) {
        pixels = rom_.tile_rows[8 * (address >> 4) + (address & 7)];
    } else {
        pixels = decode_tile_row(read_memory(static_cast<u16>(address)),
                                 read_memory(static_cast<u16>(address + 8)));
    }
    return attributes & 0x40 ? __builtin_bswap64(pixels) : pixels;
}

}  // namespace nes
