// What the processor sees of the picture processor.
#include <cstring>

#include "ppu.hpp"

namespace nes {

namespace {

u8 palette_index(u16 address) {
    const u8 index = address & 0x1F;
    return (index & 0x13) == 0x10 ? index & 0x0F : index;  // the sprites' colour 0 is a mirror
}

}  // namespace

u8 Ppu::read_memory(u16 address) const {
    address &= 0x3FFF;
    if (address < 0x2000) return rom_.character[address];
    if (address < 0x3F00) return s_.name_tables[name_table_index(address)];
    return s_.palette[palette_index(address)];
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
