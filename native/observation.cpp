#include "observation.hpp"

#include <algorithm>
#include <array>

#include "palette.hpp"

namespace nes {

namespace {

// How far the cells of a source axis cover the cells of the shorter target axis. On a common ruler
// a source cell is `kObservationSize` units long and a target cell `source` units, so that the
// weights of a target cell sum to `source`.
template <int source>
struct Overlaps {
    static constexpr int kTaps = (source + kObservationSize - 1) / kObservationSize + 1;

    constexpr Overlaps() : first{}, weights{} {
        for (int target = 0; target < kObservationSize; ++target) {
            const int begin = target * source;
            const int end = begin + source;
            first[target] = begin / kObservationSize;
            for (int tap = 0; tap < kTaps; ++tap) {
                const int cell = (first[target] + tap) * kObservationSize;
                const int low = cell > begin ? cell : begin;
                const int high = cell + kObservationSize < end ? cell + kObservationSize : end;
                weights[target][tap] = static_cast<u8>(high > low ? high - low : 0);
            }
        }
    }

    std::array<int, kObservationSize> first;
    std::array<std::array<u8, kTaps>, kObservationSize> weights;
};

constexpr Overlaps<kScreenHeight> kRows;
constexpr Overlaps<kScreenWidth> kColumns;
constexpr u32 kArea = kScreenHeight * kScreenWidth;

constexpr std::array<u8, 64> grey_levels() {
    std::array<u8, 64> levels{};
    for (int i = 0; i < 64; ++i) {
        const u32 rgb = kPalette[i];
        levels[i] = static_cast<u8>((77 * (rgb >> 16) + 150 * ((rgb >> 8) & 255) + 29 * (rgb & 255)) >> 8);
    }
    return levels;
}

constexpr std::array<u8, 64> kGrey = grey_levels();

}  // namespace

void observe(const u8* picture, u8* observation) {
    for (int row = 0; row < kObservationSize; ++row) {
        u16 sums[kScreenWidth + kColumns.kTaps] = {};  // at most 240 * 255
        for (int tap = 0; tap < kRows.kTaps; ++tap) {
            const u16 weight = kRows.weights[row][tap];
            if (weight == 0) continue;
            const u8* line = picture + (kRows.first[row] + tap) * kScreenWidth;
            for (int x = 0; x < kScreenWidth; ++x) sums[x] += weight * kGrey[line[x]];
        }
        for (int column = 0; column < kObservationSize; ++column) {
            const u16* from = sums + kColumns.first[column];
            u32 total = 0;
            for (int tap = 0; tap < kColumns.kTaps; ++tap) total += kColumns.weights[column][tap] * from[tap];
            observation[row * kObservationSize + column] = static_cast<u8>((total + kArea / 2) / kArea);
        }
    }
}

}  // namespace nes
