// The picture processor. It is not stepped dot by dot: it is brought up to date (`catch_up`) when
// the processor touches one of its registers, and at the end of a frame.
#pragma once

#include "rom.hpp"
#include "state.hpp"
#include "types.hpp"

namespace nes {

constexpr int kLastPictureRow = kScreenHeight;  // row 0 is the pre-render line

class Ppu {
  public:
    Ppu(const Rom& rom, PpuState& state) : rom_(rom), s_(state) {}

    void power_on();

    // Starts counting dots from 0. `picture`, uint8 [240, 256] of colour numbers, is drawn into
    // while the beam moves; nullptr draws nothing.
    void begin_frame(u8* picture);

    // Runs until `dots` dots of this frame are done.
    void catch_up(int dots) { if (clock_ < dots) advance(dots, false); }

    // The same, but stops right after the dot in which sprite 0 is hit. Returns the dots done.
    int catch_up_to_hit(int dots) { advance(dots, true); return clock_; }

    // The first dot of this frame, counted as in `catch_up`, in which vertical blank may begin.
    int earliest_vblank() const;

    // The dot of this frame in which the sprite-0 flag is cleared next.
    int next_flag_clear() const;

    // Whether vertical blank has begun, with its interrupt enabled, since the last call.
    bool take_interrupt();

    bool sprite0_hit() const { return s_.sprite0_hit; }
    u8 read_status();
    u8 read_data();
    u8 read_oam() const { return s_.oam[s_.oam_address]; }
    void write_control(u8 value);
    void write_mask(u8 value) { s_.mask = value; }
    void write_scroll(u8 value);
    void write_address(u8 value);
    void write_data(u8 value);
    void write_oam_address(u8 value);
    void write_oam(u8 value);
    void copy_to_oam(const u8* page);

    // Looks up the sprites of the current line, so that the state says all there is to say.
    void find_sprites();

  private:
    void advance(int dots, bool stop_at_hit);
    void run_pre_render(int begin, int end);
    int run_picture_row(int begin, int end, bool stop_at_hit);
    bool skip_rows(int rows);
    void end_row();

    bool shows_background() const { return s_.mask & 0x08; }
    bool shows_sprites() const { return s_.mask & 0x10; }
    bool shows_both() const { return (s_.mask & 0x18) == 0x18; }
    int sprite_height() const { return s_.control & 0x20 ? 16 : 8; }

    void copy_horizontal() { s_.address = (s_.address & ~0x041F) | (s_.next_address & 0x041F); }
    void copy_vertical() { s_.address = (s_.address & ~0x7BE0) | (s_.next_address & 0x7BE0); }
    void increment_y();
    void change_sprites();

    // Where an address of the name tables lies in the console's 2 KiB of them.
    unsigned name_table_index(unsigned address) const {
        return rom_.vertical_mirroring ? address & 0x07FF
                                       : ((address >> 1) & 0x0400) | (address & 0x03FF);
    }
    unsigned background_tile(unsigned address) const {
        return s_.name_tables[name_table_index(address)] + (s_.control & 0x10 ? 256 : 0);
    }
    u8 read_memory(u16 address) const;
    u64 sprite_row(const u8* sprite, int y) const;
    bool sprite0_on_line(int y) const;
    int find_hit(int y, int begin, int end) const;

    // ppu_draw.cpp
    void draw_pixels(int y, int begin, int end);
    void draw_background(u8* line, int begin, int end);
    void draw_sprites(u8* line, int y);
    void find_colours();
    void find_tiles();
    void find_sprites_of_all_lines();

    const Rom& rom_;
    PpuState& s_;
    u8* picture_ = nullptr;
    int clock_ = 0;
    bool interrupt_ = false;

    // What drawing keeps from one line to the next, as long as it stays true.
    static constexpr int kTilesOnLine = 33;
    struct Tile {
        const u64* rows;  // in Rom::tile_rows
        u64 palette;      // to be added to the pixels, in every byte
    };
    bool colours_known_ = false;
    bool tiles_known_ = false;
    bool line_sprites_known_ = false;
    u16 tiles_address_ = 0;
    u8 colours_[32];  // the colour numbers of the 32 palette indices
    Tile tiles_[kTilesOnLine];
    u8 line_sprite_counts_[kScreenHeight];  // the sprites that the look-up on a line finds
    u8 line_sprites_[kScreenHeight][8];
};

// The address register one tile further to the right, in the next name table after the last column.
inline u16 next_tile(u16 address) {
    return (address & 0x1F) == 31 ? (address & ~0x1F) ^ 0x0400 : address + 1;
}

// The address register `tiles` (0 to 32) further to the right.
inline u16 tiles_right(u16 address, int tiles) {
    const int column = (address & 0x1F) + tiles;
    return ((address & ~0x1F) ^ ((column & 0x20) << 5)) | (column & 0x1F);
}

}  // namespace nes
