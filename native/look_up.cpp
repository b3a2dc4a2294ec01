#include "look_up.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define NES_HAS_AVX2_BUILD 1
#endif

namespace nes {

namespace {

#ifdef NES_HAS_AVX2_BUILD

// A shuffle looks 32 bytes up in 16 entries by their low four bits; bits 4 and 5 then choose among
// the results for the parts of a longer table.
template <int kParts>
__attribute__((target("avx2"))) int look_up_avx2(const u8* indices, int count, const u8* table, u8* out) {
    __m256i parts[kParts];
    for (int i = 0; i < kParts; ++i) {
        parts[i] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * i)));
    }
    int done = 0;
    for (; done + 32 <= count; done += 32) {
        const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices + done));
        const __m256i bit4 = _mm256_slli_epi16(index, 3);
        __m256i value = _mm256_blendv_epi8(_mm256_shuffle_epi8(parts[0], index),
                                           _mm256_shuffle_epi8(parts[1], index), bit4);
        if constexpr (kParts == 4) {
            const __m256i upper = _mm256_blendv_epi8(_mm256_shuffle_epi8(parts[2], index),
                                                     _mm256_shuffle_epi8(parts[3], index), bit4);
            value = _mm256_blendv_epi8(value, upper, _mm256_slli_epi16(index, 2));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + done), value);
    }
    return done;
}

bool has_avx2() {
    static const bool has = __builtin_cpu_supports("avx2");
    return has;
}

#endif

template <int kParts>
void look_up(const u8* indices, int count, const u8* table, u8* out) {
    int done = 0;
#ifdef NES_HAS_AVX2_BUILD
    if (has_avx2()) done = look_up_avx2<kParts>(indices, count, table, out);
#endif
    for (; done < count; ++done) out[done] = table[indices[done]];
}

}  // namespace

void look_up_32(const u8* indices, int count, const u8* table, u8* out) {
    look_up<2>(indices, count, table, out);
}

void look_up_64(const u8* indices, int count, const u8* table, u8* out) {
    look_up<4>(indices, count, table, out);
}

}  // namespace nes
