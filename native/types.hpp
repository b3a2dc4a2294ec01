// Short names for the sizes that the machine itself has.
#pragma once

#include <cstdint>

namespace nes {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;

constexpr int kScreenWidth = 256;
constexpr int kScreenHeight = 240;
constexpr int kRamSize = 2048;

}  // namespace nes
