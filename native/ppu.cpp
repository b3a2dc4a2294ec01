// When things happen: vertical blank, the flags, and how the address register wanders with the beam.
#include "ppu.hpp"

#include <algorithm>
#include <cstring>

namespace nes {

namespace {

constexpr int kColumns = 341;
constexpr int kVblankRow = 242;
constexpr int kRows = 262;

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

}  // namespace nes
