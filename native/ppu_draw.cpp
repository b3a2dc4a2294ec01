// Drawing a piece of a line. First the pixels are palette indices (0-15 background, 16-31 sprites),
// then they become colour numbers.
#include <algorithm>
#include <cstring>

#include "look_up.hpp"
#include "ppu.hpp"

namespace nes {

namespace {

// A line has room for the parts of tiles and sprites that hang over its ends.
constexpr int kMargin = 8;
constexpr int kLineSize = kMargin + kScreenWidth + kMargin;
constexpr u64 kEveryByte = 0x0101010101010101;

u64 load_8(const u8* from) {
    u64 value;
    std::memcpy(&value, from, 8);
    return value;
}

// 0xFF in every byte whose pixel (its lowest two bits) is not transparent.
u64 opaque(u64 pixels) { return ((pixels | pixels >> 1) & kEveryByte) * 0xFF; }

}  // namespace

void Ppu::draw_pixels(int y, int begin, int end) {
    u8 buffer[kLineSize];
    u8* line = buffer + kMargin;
    if (shows_background()) {
        draw_background(line, begin, end);
        if (!(s_.mask & 0x02) && begin < 8) std::memset(line + begin, 0, std::min(8, end) - begin);
    } else {
        std::memset(line + begin, 0, end - begin);
    }
    if (shows_sprites()) draw_sprites(line, y);

    if (!colours_known_) find_colours();
    look_up_32(line + begin, end - begin, colours_, picture_ + y * kScreenWidth + begin);
}

void Ppu::find_colours() {
    for (int i = 0; i < 32; ++i) colours_[i] = s_.palette[i % 4 == 0 ? 0 : i] & 0x3F;
    colours_known_ = true;
}

// The eight lines of a row of tiles show the same tiles.
void Ppu::find_tiles() {
    u16 address = s_.address;
    for (Tile& tile : tiles_) {
        const unsigned attribute_address =
            0x03C0 | (address & 0x0C00) | ((address >> 4) & 0x38) | ((address >> 2) & 0x07);
        const unsigned attributes = s_.name_tables[name_table_index(attribute_address)];
        const u64 palette = (attributes >> (((address >> 4) & 4) | (address & 2))) & 3;
        tile.rows = &rom_.tile_rows[8 * background_tile(address)];
        tile.palette = palette * (4 * kEveryByte);
        address = next_tile(address);
    }
    tiles_address_ = s_.address & 0x0FFF;
    tiles_known_ = true;
}

void Ppu::draw_background(u8* line, int begin, int end) {
    if (!tiles_known_ || tiles_address_ != (s_.address & 0x0FFF)) find_tiles();
    const int fine_y = (s_.address >> 12) & 7;
    const Tile* tile = tiles_;
    for (int x = begin - (s_.fine_x + begin) % 8; x < end; x += 8, ++tile) {
        const u64 pixels = tile->rows[fine_y] | tile->palette;
        std::memcpy(line + x, &pixels, 8);
    }
}

void Ppu::draw_sprites(u8* line, int y) {
    find_sprites();
    if (s_.sprite_count == 0) return;
    // The first sprite that is opaque in a pixel decides, even where it hides behind the
    // background; so the later ones are drawn only where no earlier one is.
    u8 taken[kScreenWidth + kMargin] = {};
    if (!(s_.mask & 0x04)) std::memset(taken, 0xFF, 8);
    for (int n = 0; n < s_.sprite_count; ++n) {
        const u8* sprite = &s_.oam[4 * s_.sprites[n]];
        const int left = sprite[3];
        const u64 row = sprite_row(sprite, y);
        const u64 palette = (0x10 | (sprite[2] & 3) << 2) * kEveryByte;
        const u64 taken_here = load_8(taken + left);
        const u64 now_taken = taken_here | opaque(row);
        std::memcpy(taken + left, &now_taken, 8);
        const u64 below = load_8(line + left);
        u64 shown = now_taken & ~taken_here;
        if (sprite[2] & 0x20) shown &= ~opaque(below);
        const u64 pixels = (below & ~shown) | ((row | palette) & shown);
        std::memcpy(line + left, &pixels, 8);
    }
}

}  // namespace nes
