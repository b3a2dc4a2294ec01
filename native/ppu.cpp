#include "ppu.hpp"

#include <algorithm>
#include <cstring>

namespace nes {

namespace {

constexpr int kColumns = 341;
constexpr int kLastPictureRow = 240;
constexpr int kVblankRow = 242;
constexpr int kRows = 262;

u8 palette_index(u16 address) {
    const u8 index = address & 0x1F;
    return (index & 0x13) == 0x10 ? index & 0x0F : index;  // the sprites' colour 0 is a mirror
}

}  // namespace

void Ppu::power_on() {
    std::memset(&s_, 0, sizeof s_);
    s_.mask = 0x1E;
    s_.column = -1;  // the first dot after power-on comes one dot early and does nothing
    s_.first_write = 1;
    s_.even_frame = 1;
    s_.sprites_known = 1;
}

void Ppu::begin_frame(u8* picture) {
    picture_ = picture;
    clock_ = 0;
    colours_known_ = tiles_known_ = line_sprites_known_ = false;
}

int Ppu::earliest_vblank() const {
    const int row = s_.row >= kVblankRow && (s_.row > kVblankRow || s_.column > 0)
                        ? s_.row - kRows : s_.row;
    int dots = (kVblankRow - row) * kColumns - s_.column;
    // While the pre-render line ahead may still turn out to be one dot shorter, count on it. An odd
    // frame follows an even one.
    const bool ahead = row < 0 ? s_.even_frame : (row == 0 && s_.column < 340 && !s_.even_frame);
    if (ahead) --dots;
    return clock_ + dots;
}

int Ppu::next_flag_clear() const {
    const bool now = s_.row == 0 && s_.column <= 0;
    const int rows = now ? 0 : kRows - s_.row;
    // On a pre-render line ahead of this one the length of this one does not matter; on this very
    // line it does, and an estimate that is too early does no harm.
    return clock_ + rows * kColumns - s_.column - (s_.row == 0 && !now ? 1 : 0);
}

bool Ppu::take_interrupt() {
    const bool taken = interrupt_;
    interrupt_ = false;
    return taken;
}

void Ppu::advance(int dots, bool stop_at_hit) {
    while (clock_ < dots) {
        const int row = s_.row;
        const int begin = s_.column;
        // The pre-render line is run in two parts, because its last dot may be left out.
        const int length = row == 0 && begin < kColumns - 1 ? kColumns - 1 : kColumns;
        int end = std::min(length, begin + dots - clock_);
        bool row_ends = end == kColumns;
        bool stop = false;
        if (row == 0) {
            run_pre_render(begin, end);
            row_ends |= end == kColumns - 1 && !s_.even_frame && shows_both();
        } else if (row <= kLastPictureRow) {
            if (begin == 0 && picture_ == nullptr && skip_rows((dots - clock_) / kColumns)) continue;
            const bool hit_before = s_.sprite0_hit;
            end = run_picture_row(begin, end, stop_at_hit);
            row_ends = end == kColumns;
            stop = stop_at_hit && !hit_before && s_.sprite0_hit;
        } else if (row == kVblankRow && begin == 0) {
            s_.in_vblank = 1;
            interrupt_ = s_.control & 0x80;
        }
        clock_ += end - begin;
        s_.column = end;
        if (row_ends) end_row();
        if (stop) return;
    }
}

void Ppu::end_row() {
    if (s_.row >= 1 && s_.row <= kLastPictureRow) s_.sprites_known = 0;
    s_.column = 0;
    if (++s_.row == kRows) {
        s_.row = 0;
        s_.even_frame ^= 1;
    }
}

void Ppu::run_pre_render(int begin, int end) {
    if (begin <= 0 && end > 0) s_.in_vblank = s_.sprite0_hit = 0;
    if (!shows_both()) return;
    if (begin <= 257 && end > 257) copy_horizontal();
    if (begin <= 303 && end > 280) copy_vertical();
}

int Ppu::run_picture_row(int begin, int end, bool stop_at_hit) {
    const int y = s_.row - 1;
    int last_pixel = std::min(end, kScreenWidth);
    if (begin < last_pixel) {
        if (!s_.sprite0_hit && shows_both() && sprite0_on_line(y)) {
            const int x = find_hit(y, begin, last_pixel);
            if (x >= 0) {
                s_.sprite0_hit = 1;
                if (stop_at_hit) last_pixel = end = x + 1;
            }
        }
        if (picture_ != nullptr) draw_pixels(y, begin, last_pixel);
        if (shows_background()) {
            const int tiles = (s_.fine_x + last_pixel) / 8 - (s_.fine_x + begin) / 8;
            s_.address = tiles_right(s_.address, tiles);
        }
    }
    if (begin <= 256 && end > 256 && shows_background()) increment_y();
    if (begin <= 257 && end > 257 && shows_both()) copy_horizontal();
    return end;
}

// Runs up to `rows` whole rows that nobody sees and in which sprite 0 cannot be hit.
bool Ppu::skip_rows(int rows) {
    rows = std::min(rows, kLastPictureRow + 1 - s_.row);
    if (!s_.sprite0_hit && shows_both()) {
        int y = s_.row - 1;
        const int end = y + rows;
        while (y < end && !sprite0_on_line(y)) ++y;
        rows = y - (s_.row - 1);
    }
    if (rows <= 0) return false;
    if (shows_background()) {
        if (rows & 1) s_.address ^= 0x0400;  // 32 tiles to the right are one name table
        for (int i = 0; i < rows; ++i) increment_y();
        if (shows_sprites()) copy_horizontal();
    }
    clock_ += rows * kColumns;
    s_.row += rows;
    s_.sprites_known = 0;
    return true;
}

void Ppu::increment_y() {
    if ((s_.address & 0x7000) != 0x7000) {
        s_.address += 0x1000;
        return;
    }
    const int tile_row = (s_.address >> 5) & 0x1F;
    s_.address &= 0x8C1F;
    if (tile_row == 29) {
        s_.address ^= 0x0800;
    } else if (tile_row != 31) {
        s_.address |= (tile_row + 1) << 5;
    }
}

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

u8 Ppu::read_memory(u16 address) const {
    address &= 0x3FFF;
    if (address < 0x2000) return rom_.character[address];
    if (address < 0x3F00) return s_.name_tables[name_table_index(address)];
    return s_.palette[palette_index(address)];
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

// To be called before anything changes that decides which sprites are on which line.
void Ppu::change_sprites() {
    find_sprites();
    line_sprites_known_ = false;
}

u8 Ppu::read_status() {
    const u8 status = (s_.in_vblank << 7) | (s_.sprite0_hit << 6);
    s_.in_vblank = 0;
    s_.first_write = 1;
    return status;
}

u8 Ppu::read_data() {
    const u16 address = s_.address & 0x3FFF;
    const u8 value = read_memory(address);
    s_.address += s_.control & 0x04 ? 32 : 1;
    if (address >= 0x3F00) return value;
    const u8 delayed = s_.data_buffer;
    s_.data_buffer = value;
    return delayed;
}

void Ppu::write_control(u8 value) {
    if ((value ^ s_.control) & 0x20) change_sprites();
    if ((value ^ s_.control) & 0x10) tiles_known_ = false;
    s_.control = value;
    s_.next_address = (s_.next_address & ~0x0C00) | ((value & 3) << 10);
}

void Ppu::write_scroll(u8 value) {
    if (s_.first_write) {
        s_.next_address = (s_.next_address & ~0x001F) | (value >> 3);
        s_.fine_x = value & 7;
    } else {
        s_.next_address = (s_.next_address & ~0x73E0) | ((value & 7) << 12) | ((value & 0xF8) << 2);
    }
    s_.first_write ^= 1;
}

void Ppu::write_address(u8 value) {
    if (s_.first_write) {
        s_.next_address = (s_.next_address & 0x00FF) | ((value & 0x3F) << 8);
    } else {
        s_.next_address = (s_.next_address & 0xFF00) | value;
        s_.address = s_.next_address;
    }
    s_.first_write ^= 1;
}

void Ppu::write_data(u8 value) {
    const u16 address = s_.address & 0x3FFF;
    if (address >= 0x3F00) {
        s_.palette[palette_index(address)] = value;
        colours_known_ = false;
    } else if (address >= 0x2000) {
        s_.name_tables[name_table_index(address)] = value;
        tiles_known_ = false;
    }
    s_.address += s_.control & 0x04 ? 32 : 1;
}

void Ppu::write_oam_address(u8 value) {
    if (value == s_.oam_address) return;
    change_sprites();
    s_.oam_address = value;
}

void Ppu::write_oam(u8 value) {
    change_sprites();
    s_.oam[s_.oam_address++] = value;
}

void Ppu::copy_to_oam(const u8* page) {
    change_sprites();
    const std::size_t first = 256 - s_.oam_address;
    std::memcpy(s_.oam + s_.oam_address, page, first);
    std::memcpy(s_.oam, page + first, 256 - first);
}

}  // namespace nes
