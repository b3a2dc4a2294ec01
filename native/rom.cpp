#include "rom.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace nes {

namespace {

constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kProgramBank = 0x4000;
constexpr std::size_t kCharacterBank = 0x2000;

[[noreturn]] void refuse(const std::string& why) {
    throw std::invalid_argument("cannot play this ROM: " + why);
}

}  // namespace

u64 decode_tile_row(u8 low_plane, u8 high_plane) {
    u64 row = 0;
    for (int pixel = 0; pixel < 8; ++pixel) {
        const int bit = 7 - pixel;
        const u64 value = ((low_plane >> bit) & 1) | (((high_plane >> bit) & 1) << 1);
        row |= value << (8 * pixel);
    }
    return row;
}

u64 hash_bytes(const u8* bytes, std::size_t size) {
    u64 hash = 0x9E3779B97F4A7C15u ^ size;
    for (std::size_t i = 0; i < size; i += 8) {
        u64 word = 0;
        std::memcpy(&word, bytes + i, std::min<std::size_t>(8, size - i));
        hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    return hash;
}

Rom::Rom(const u8* image, std::size_t size) {
    if (size < kHeaderSize || std::memcmp(image, "NES\x1A", 4) != 0) {
        refuse("it does not begin with an iNES header.");
    }
    const std::size_t program_banks = image[4];
    const std::size_t character_banks = image[5];
    const u8 flags6 = image[6];
    const u8 flags7 = image[7];
    const bool nes2 = (flags7 & 0x0C) == 0x08;
    const int mapper = (flags6 >> 4) | (flags7 & 0xF0) | (nes2 ? (image[8] & 0x0F) << 8 : 0);
    if (mapper != 0) {
        refuse("it needs mapper " + std::to_string(mapper) + ", and only mapper 0 (NROM) is known.");
    }
    if (flags6 & 0x04) refuse("it has a trainer, which is not supported.");
    if (flags6 & 0x08) refuse("it has four-screen video memory, which NROM does not have.");
    if (nes2 ? (image[12] & 3) == 1 : (image[9] & 1) != 0) refuse("it is made for PAL consoles.");
    if (nes2 && image[9] != 0) refuse("it has more banks than NROM, says byte 9 of its header.");
    if (program_banks != 1 && program_banks != 2) {
        refuse("it has " + std::to_string(program_banks) + " program banks; NROM has 1 or 2.");
    }
    if (character_banks != 1) {
        refuse("it has " + std::to_string(character_banks) + " character banks; NROM has 1.");
    }
    const std::size_t program_size = program_banks * kProgramBank;
    const std::size_t needed = kHeaderSize + program_size + kCharacterBank;
    if (size < needed) {
        refuse("it is truncated: " + std::to_string(size) + " bytes of " + std::to_string(needed) + ".");
    }

    const u8* bytes = image + kHeaderSize;
    for (std::size_t i = 0; i < program.size(); ++i) program[i] = bytes[i % program_size];
    std::copy_n(bytes + program_size, character.size(), character.begin());
    for (std::size_t tile = 0; tile < 512; ++tile) {
        for (std::size_t row = 0; row < 8; ++row) {
            const u8* planes = &character[16 * tile + row];
            tile_rows[8 * tile + row] = decode_tile_row(planes[0], planes[8]);
        }
    }
    vertical_mirroring = flags6 & 1;
    hash = hash_bytes(image, needed);
}

}  // namespace nes
