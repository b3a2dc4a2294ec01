// Looking up many bytes in a small table: 32 at a time where the processor has AVX2.
#pragma once

#include "types.hpp"

namespace nes {

// out[i] = table[indices[i]], for indices below the size of the table.
void look_up_32(const u8* indices, int count, const u8* table, u8* out);
void look_up_64(const u8* indices, int count, const u8* table, u8* out);

}  // namespace nes

// Compiles a function twice, with and without AVX2, and takes the right one when it is loaded.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define NES_WITH_AVX2_CLONE __attribute__((target_clones("avx2", "default")))
#else
#define NES_WITH_AVX2_CLONE
#endif
