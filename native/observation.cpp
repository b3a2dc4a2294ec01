#include "observation.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "look_up.hpp"
#include "palette.hpp"

namespace nes {

namespace {

// How far the cells of a source axis cover the cells of the shorter target axis. On a common ruler
// a source cell is `kObservationSize` units long and a target cell `source` units, so that the
// weights of a target cell sum to `source`. A target cell touches at most four source cells.
constexpr int kTaps = 4;

template <int source>
struct Overlaps {
    constexpr Overlaps() : first{}, weights{} {
        for (int target = 0; target < kObservationSize; ++target) {
            const int begin = target * source;
            const int end = begin + source;
            first[target] = begin / kObservationSize;
            for (int tap = 0; tap < kTaps; ++tap) {
                const int cell = (first[target] + tap) * kObservationSize;
                const int low = cell > begin ? cell : begin;
                const int high = cell + kObservationSize < end ? cell + kObservationSize : end;
                weights[tap][target] = static_cast<u16>(high > low ? high - low : 0);
            }
        }
    }

    std::array<int, kObservationSize> first;
    std::array<std::array<u16, kObservationSize>, kTaps> weights;
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

constexpr int kWindow = 2 * kObservationSize;
constexpr Place kInWindow = {56, 72};  // where the window has the place that it is around

// The weighted sum of the picture's rows under one row of the observation, at most 240 * 255.
// `lines` has the last four rows, row y at y % 4.
NES_WITH_AVX2_CLONE
void sum_rows(const u8 (*lines)[kScreenWidth], int row, u16* sums) {
    const int first = kRows.first[row];
    const u8* a = lines[first % 4];
    const u8* b = lines[(first + 1) % 4];
    const u8* c = lines[(first + 2) % 4];
    const u8* d = lines[(first + 3) % 4];
    const u16 wa = kRows.weights[0][row];
    const u16 wb = kRows.weights[1][row];
    const u16 wc = kRows.weights[2][row];
    const u16 wd = kRows.weights[3][row];
    for (int x = 0; x < kScreenWidth; ++x) {
        sums[x] = static_cast<u16>(wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]);
    }
}

// The same along a row, and the division by the area, rounding half up. The two loops are apart so
// that the second one has no indirect access and becomes vector instructions.
NES_WITH_AVX2_CLONE
void sum_columns(const u16* sums, u8* out) {
    u32 left[kObservationSize];  // pairs of neighbours
    u32 right[kObservationSize];
    for (int column = 0; column < kObservationSize; ++column) {
        std::memcpy(&left[column], sums + kColumns.first[column], 4);
        std::memcpy(&right[column], sums + kColumns.first[column] + 2, 4);
    }
    for (int column = 0; column < kObservationSize; ++column) {
        const u32 total = kColumns.weights[0][column] * (left[column] & 0xFFFF) +
                          kColumns.weights[1][column] * (left[column] >> 16) +
                          kColumns.weights[2][column] * (right[column] & 0xFFFF) +
                          kColumns.weights[3][column] * (right[column] >> 16);
        out[column] = static_cast<u8>((total + kArea / 2) / kArea);
    }
}

}  // namespace

void observe(const u8* picture, u8* observation) {
    alignas(32) u8 lines[4][kScreenWidth] = {};
    alignas(32) u16 sums[kScreenWidth + kTaps] = {};
    int y = 0;
    for (int row = 0; row < kObservationSize; ++row) {
        for (; y < kRows.first[row] + kTaps && y < kScreenHeight; ++y) {
            look_up_64(picture + y * kScreenWidth, kScreenWidth, kGrey.data(), lines[y % 4]);
        }
        sum_rows(lines, row, sums);
        sum_columns(sums, observation + row * kObservationSize);
    }
}

void observe_around(const u8* picture, Place place, u8* observation) {
    const int left = place.x - kInWindow.x;
    const int top = place.y - kInWindow.y;
    const int begin = std::clamp(left, 0, kScreenWidth);
    const int end = std::clamp(left + kWindow, begin, kScreenWidth);
    alignas(32) u8 line[kScreenWidth];
    u8 lines[2][kWindow];
    for (int row = 0; row < kObservationSize; ++row) {
        for (int i = 0; i < 2; ++i) {
            const int y = top + 2 * row + i;
            std::memset(lines[i], 0, kWindow);
            if (y < 0 || y >= kScreenHeight || begin == end) continue;
            look_up_64(picture + y * kScreenWidth, kScreenWidth, kGrey.data(), line);
            std::copy(line + begin, line + end, lines[i] + (begin - left));
        }
        for (int column = 0; column < kObservationSize; ++column) {
            const int a = 2 * column, b = a + 1;
            *observation++ = static_cast<u8>((lines[0][a] + lines[0][b] + lines[1][a] + lines[1][b] + 2) / 4);
        }
    }
}

}  // namespace nes
