// Drawing a piece of a line. First the pixels are palette indices (0-15 background, 16-31 sprites),
// then they become colour numbers.
#include <algorithm>
#include <cstring>

#include "ppu.hpp"

namespace nes {

namespace {

// A line has room for the parts of tiles that hang over its ends.
constexpr int kMargin = 8;
constexpr int kLineSize = kMargin + kScreenWidth + 2 * kMargin;
constexpr u64 kEveryByte = 0x0101010101010101;

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
    if (shows_sprites()) draw_sprites(line, y, begin, end);

    if (!colours_known_) find_colours();
    u8* out = picture_ + y * kScreenWidth;
    for (int x = begin; x < end; ++x) out[x] = colours_[line[x]];
}

void Ppu::find_colours() {
    for (int i = 0; i < 32; ++i) colours_[i] = s_.palette[i % 4 == 0 ? 0 : i] & 0x3F;
    colours_known_ = true;
}

void Ppu::draw_background(u8* line, int begin, int end) const {
    u16 address = s_.address;
    for (int x = begin - (s_.fine_x + begin) % 8; x < end; x += 8) {
        const unsigned attribute_address =
            0x03C0 | (address & 0x0C00) | ((address >> 4) & 0x38) | ((address >> 2) & 0x07);
        const u8 attributes = s_.name_tables[name_table_index(attribute_address)];
        const u64 palette = (attributes >> (((address >> 4) & 4) | (address & 2))) & 3;
        const u64 pixels = background_tile_row(address) | palette * (4 * kEveryByte);
        std::memcpy(line + x, &pixels, 8);
        address = next_tile(address);
    }
}

void Ppu::draw_sprites(u8* line, int y, int begin, int end) {
    find_sprites();
    const int first = s_.mask & 0x04 ? begin : std::max(begin, 8);
    // The first sprite that is opaque in a pixel decides, even where it hides behind the
    // background; so the later ones are drawn only where no earlier one is.
    u8 taken[kScreenWidth + kMargin] = {};
    for (int n = 0; n < s_.sprite_count; ++n) {
        const u8* sprite = &s_.oam[4 * s_.sprites[n]];
        const int left = sprite[3];
        const u64 row = sprite_row(sprite, y);
        if (row == 0) continue;
        const u8 palette = 0x10 | ((sprite[2] & 3) << 2);
        const bool behind = sprite[2] & 0x20;
        for (int x = std::max(first, left); x < std::min(end, left + 8); ++x) {
            const u8 pixel = (row >> (8 * (x - left))) & 3;
            if (pixel == 0 || taken[x]) continue;
            taken[x] = 1;
            if (!behind || (line[x] & 3) == 0) line[x] = palette | pixel;
        }
    }
}

}  // namespace nes
