// The processor: a 6502 without decimal mode. One instruction happens at one moment, at the first
// of its cycles, as in nes-py.
#include <algorithm>

#include "console.hpp"
#include "followers.hpp"

namespace nes {

namespace {

constexpr unsigned kCarry = 0x01, kZero = 0x02, kInterruptDisable = 0x04, kDecimal = 0x08,
                   kBreak = 0x10, kAlwaysSet = 0x20, kOverflow = 0x40, kNegative = 0x80;
constexpr unsigned kInterruptVector = 0x7FFA, kBreakVector = 0x7FFE;  // in the program ROM

// APU registers, which nobody hears: writing to them does nothing.
constexpr bool is_silent(unsigned address) {
    return (address >= 0x4000 && address < 0x4014) || address == 0x4015 || address == 0x4017;
}

}  // namespace

void Console::interrupt() {
    CpuState& cpu = s_.cpu;
    const auto push = [&](unsigned value) { ram_[0x100 | cpu.sp--] = static_cast<u8>(value); };
    push(cpu.pc >> 8);
    push(cpu.pc);
    push((cpu.p | kAlwaysSet) & ~kBreak);
    cpu.p |= kInterruptDisable;
    cpu.pc = static_cast<u16>(rom_.program[kInterruptVector] | rom_.program[kInterruptVector + 1] << 8);
    cpu.wait += 7;
}

void Console::run_cpu(int limit) {
    while (s_.cpu.wait < limit) {
        run_instructions<true>(limit);
        if (s_.cpu.wait < limit && !skip_sprite0_polls(limit)) run_instructions<false>(limit);
    }
}

// Where the program stands before a loop LDA $2002 / AND #$40 / BEQ or BNE that waits for sprite 0,
// skips the polls before `limit` that will find nothing new. Returns whether there were any.
bool Console::skip_sprite0_polls(int limit) {
    if (s_.cpu.pc < 0x8000 || s_.cpu.pc > 0xFFF0) return false;
    const u8* code = rom_.program.data() + (s_.cpu.pc - 0x8000);
    const bool waits_for_hit = code[5] == 0xF0;
    if (code[0] != 0xAD || code[1] != 0x02 || code[2] != 0x20 || code[3] != 0x29 || code[4] != 0x40 ||
        !(waits_for_hit || code[5] == 0xD0) || code[6] != 0xF9) {
        return false;
    }
    const int cycle = s_.cpu.wait;
    ppu_.catch_up(dots_at(cycle));
    if (ppu_.sprite0_hit() == waits_for_hit) return false;
    const int end = dots_before(limit);
    const int change = waits_for_hit ? ppu_.catch_up_to_hit(end) - 1 : ppu_.next_flag_clear();
    const int period = 9 + (((s_.cpu.pc + 7) ^ s_.cpu.pc) & 0xFF00 ? 2 : 0);
    const int until_change = (change / kDotsPerCycle - cycle + period - 1) / period;
    const int until_limit = (limit - 1 - cycle) / period;
    const int polls = std::min(until_change, until_limit);
    if (polls <= 0) return false;
    ppu_.read_status();
    s_.cpu.wait += polls * period;
    return true;
}

#define INLINE __attribute__((always_inline))

// Fast: runs instructions until `limit`, or until one that touches a device or lies outside ROM.
// There it stops before the instruction. Since it calls nothing, the compiler can keep the console's
// registers in the host's. Otherwise: runs one instruction, whatever it touches.
template <bool kFast>
void Console::run_instructions(const int limit) {
    // The bits above those of the console's registers stay 0, but for `pc`, which may run over.
    unsigned a = s_.cpu.a, x = s_.cpu.x, y = s_.cpu.y, sp = s_.cpu.sp, pc = s_.cpu.pc;
    // The flags are kept apart. `nz` holds the last result: zero if its low byte is 0, negative if
    // bit 7 or 8 is set (bit 8 serves the few results that are zero and negative at once).
    unsigned nz, carry, overflow, other_flags;
    int cycle = s_.cpu.wait;
    u8* const ram = ram_;
    const u8* const program = rom_.program.data();
    const u8* const* const pages = pages_;
    u32 word;          // the instruction and the bytes after it
    unsigned crossed;  // 1 where an indexed address lies in another page than its base

    const auto flags = [&]() INLINE -> unsigned {
        return other_flags | kAlwaysSet | carry | (nz & 0xFF ? 0 : kZero) |
               (overflow ? kOverflow : 0) | (nz & 0x180 ? kNegative : 0);
    };
    const auto set_flags = [&](unsigned value) INLINE {
        other_flags = value & (kInterruptDisable | kDecimal | kBreak);
        carry = value & kCarry;
        overflow = value & kOverflow;
        nz = (value & kZero ? 0 : 1) | (value & kNegative) << 1;
    };
    const auto push = [&](unsigned value) INLINE {
        ram[0x100 | sp] = static_cast<u8>(value);
        sp = (sp - 1) & 0xFF;
    };
    const auto pull = [&]() INLINE -> unsigned {
        sp = (sp + 1) & 0xFF;
        return ram[0x100 | sp];
    };
    const auto pull_word = [&]() INLINE -> unsigned {
        const unsigned low = pull();
        return low | pull() << 8;
    };

    // Addressing modes.
    const auto byte = [&]() INLINE -> unsigned { return (word >> 8) & 0xFF; };
    const auto absolute = [&]() INLINE -> unsigned { return (word >> 8) & 0xFFFF; };
    const auto zero_page_x = [&]() INLINE -> unsigned { return (byte() + x) & 0xFF; };
    const auto zero_page_y = [&]() INLINE -> unsigned { return (byte() + y) & 0xFF; };
    const auto pointer = [&](unsigned at) INLINE -> unsigned {
        return ram[at] | ram[(at + 1) & 0xFF] << 8;
    };
    const auto indexed = [&](unsigned base, unsigned index) INLINE -> unsigned {
        crossed = ((base & 0xFF) + index) >> 8;
        return (base + index) & 0xFFFF;
    };
    const auto absolute_x = [&]() INLINE -> unsigned { return indexed(absolute(), x); };
    const auto absolute_y = [&]() INLINE -> unsigned { return indexed(absolute(), y); };
    const auto indirect_x = [&]() INLINE -> unsigned { return pointer(zero_page_x()); };
    const auto indirect_y = [&]() INLINE -> unsigned { return indexed(pointer(byte()), y); };

    // Operations that end in a register or in flags.
    const auto set = [&](unsigned& target, unsigned value) INLINE { nz = target = value; };
    const auto lda = [&](unsigned value) INLINE { set(a, value); };
    const auto ldx = [&](unsigned value) INLINE { set(x, value); };
    const auto ldy = [&](unsigned value) INLINE { set(y, value); };
    const auto ora = [&](unsigned value) INLINE { set(a, a | value); };
    const auto and_ = [&](unsigned value) INLINE { set(a, a & value); };
    const auto eor = [&](unsigned value) INLINE { set(a, a ^ value); };
    const auto adc = [&](unsigned value) INLINE {
        const unsigned sum = a + value + carry;
        overflow = (a ^ sum) & (value ^ sum) & 0x80;
        carry = sum >> 8;
        set(a, sum & 0xFF);
    };
    const auto sbc = [&](unsigned value) INLINE { adc(value ^ 0xFF); };
    const auto compare = [&](unsigned with, unsigned value) INLINE {
        carry = with >= value;
        nz = (with - value) & 0xFF;
    };
    const auto cmp = [&](unsigned value) INLINE { compare(a, value); };
    const auto cpx = [&](unsigned value) INLINE { compare(x, value); };
    const auto cpy = [&](unsigned value) INLINE { compare(y, value); };
    const auto bit = [&](unsigned value) INLINE {
        overflow = value & 0x40;
        nz = (value & 0x80) << 1 | ((a & value) != 0);
    };
    // Operations from a byte to a byte.
    const auto asl = [&](unsigned value) INLINE {
        carry = value >> 7;
        return (value << 1) & 0xFF;
    };
    const auto lsr = [&](unsigned value) INLINE {
        carry = value & 1;
        return value >> 1;
    };
    const auto rol = [&](unsigned value) INLINE {
        const unsigned result = (value << 1 | carry) & 0xFF;
        carry = value >> 7;
        return result;
    };
    const auto ror = [&](unsigned value) INLINE {
        const unsigned result = value >> 1 | carry << 7;
        carry = value & 1;
        return result;
    };
    const auto inc = [&](unsigned value) INLINE { return (value + 1) & 0xFF; };
    const auto dec = [&](unsigned value) INLINE { return (value - 1) & 0xFF; };

    static const void* const labels[256] = {
        &&op_00, &&op_01, &&op_xx, &&op_xx, &&op_xx, &&op_05, &&op_06, &&op_xx,
        &&op_08, &&op_09, &&op_0A, &&op_xx, &&op_xx, &&op_0D, &&op_0E, &&op_xx,
        &&op_10, &&op_11, &&op_xx, &&op_xx, &&op_xx, &&op_15, &&op_16, &&op_xx,
        &&op_18, &&op_19, &&op_xx, &&op_xx, &&op_xx, &&op_1D, &&op_1E, &&op_xx,
        &&op_20, &&op_21, &&op_xx, &&op_xx, &&op_24, &&op_25, &&op_26, &&op_xx,
        &&op_28, &&op_29, &&op_2A, &&op_xx, &&op_2C, &&op_2D, &&op_2E, &&op_xx,
        &&op_30, &&op_31, &&op_xx, &&op_xx, &&op_xx, &&op_35, &&op_36, &&op_xx,
        &&op_38, &&op_39, &&op_xx, &&op_xx, &&op_xx, &&op_3D, &&op_3E, &&op_xx,
        &&op_40, &&op_41, &&op_xx, &&op_xx, &&op_xx, &&op_45, &&op_46, &&op_xx,
        &&op_48, &&op_49, &&op_4A, &&op_xx, &&op_4C, &&op_4D, &&op_4E, &&op_xx,
        &&op_50, &&op_51, &&op_xx, &&op_xx, &&op_xx, &&op_55, &&op_56, &&op_xx,
        &&op_58, &&op_59, &&op_xx, &&op_xx, &&op_xx, &&op_5D, &&op_5E, &&op_xx,
        &&op_60, &&op_61, &&op_xx, &&op_xx, &&op_xx, &&op_65, &&op_66, &&op_xx,
        &&op_68, &&op_69, &&op_6A, &&op_xx, &&op_6C, &&op_6D, &&op_6E, &&op_xx,
        &&op_70, &&op_71, &&op_xx, &&op_xx, &&op_xx, &&op_75, &&op_76, &&op_xx,
        &&op_78, &&op_79, &&op_xx, &&op_xx, &&op_xx, &&op_7D, &&op_7E, &&op_xx,
        &&op_xx, &&op_81, &&op_xx, &&op_xx, &&op_84, &&op_85, &&op_86, &&op_xx,
        &&op_88, &&op_xx, &&op_8A, &&op_xx, &&op_8C, &&op_8D, &&op_8E, &&op_xx,
        &&op_90, &&op_91, &&op_xx, &&op_xx, &&op_94, &&op_95, &&op_96, &&op_xx,
        &&op_98, &&op_99, &&op_9A, &&op_xx, &&op_xx, &&op_9D, &&op_xx, &&op_xx,
        &&op_A0, &&op_A1, &&op_A2, &&op_xx, &&op_A4, &&op_A5, &&op_A6, &&op_xx,
        &&op_A8, &&op_A9, &&op_AA, &&op_xx, &&op_AC, &&op_AD, &&op_AE, &&op_xx,
        &&op_B0, &&op_B1, &&op_xx, &&op_xx, &&op_B4, &&op_B5, &&op_B6, &&op_xx,
        &&op_B8, &&op_B9, &&op_BA, &&op_xx, &&op_BC, &&op_BD, &&op_BE, &&op_xx,
        &&op_C0, &&op_C1, &&op_xx, &&op_xx, &&op_C4, &&op_C5, &&op_C6, &&op_xx,
        &&op_C8, &&op_C9, &&op_CA, &&op_xx, &&op_CC, &&op_CD, &&op_CE, &&op_xx,
        &&op_D0, &&op_D1, &&op_xx, &&op_xx, &&op_xx, &&op_D5, &&op_D6, &&op_xx,
        &&op_D8, &&op_D9, &&op_xx, &&op_xx, &&op_xx, &&op_DD, &&op_DE, &&op_xx,
        &&op_E0, &&op_E1, &&op_xx, &&op_xx, &&op_E4, &&op_E5, &&op_E6, &&op_xx,
        &&op_E8, &&op_E9, &&op_EA, &&op_xx, &&op_EC, &&op_ED, &&op_EE, &&op_xx,
        &&op_F0, &&op_F1, &&op_xx, &&op_xx, &&op_xx, &&op_F5, &&op_F6, &&op_xx,
        &&op_F8, &&op_F9, &&op_xx, &&op_xx, &&op_xx, &&op_FD, &&op_FE, &&op_xx,
    };

// Fetches and runs an instruction. The jump is repeated behind every instruction, so that the host
// learns for each one apart what tends to follow it. The last three bytes of ROM are left to the slow
// case, because an instruction there may reach over their end.
#define IS(code)     if ((word & 0xFF) == 0x##code) goto op_##code;
#define FETCH(followers)                                                                 do {                                                                                     const unsigned offset = pc - 0x8000;                                                 if (offset >= 0x7FFD) goto leave;                                                    const u8* at = program + offset;                                                     word = at[0] | at[1] << 8 | at[2] << 16 | static_cast<u32>(at[3]) << 24;             followers goto* labels[word & 0xFF];                                             } while (false)
#define NEXT(code)                                       do {                                                     if (!kFast || cycle >= limit) goto leave;            FETCH(FOLLOWERS_##code);                         } while (false)

#define OP(code, length, cycles, ...)      \
    op_##code : {                          \
        __VA_ARGS__;                       \
        pc += (length);                    \
        cycle += static_cast<int>(cycles); \
        NEXT(code);                        \
    }
#define JUMP(code, cycles, ...) OP(code, 0, cycles, __VA_ARGS__)
#define BRANCH(code, condition)                                        \
    op_##code : {                                                      \
        pc += 2;                                                       \
        cycle += 2;                                                    \
        if (condition) {                                               \
            const unsigned target = pc + static_cast<i8>(word >> 8);   \
            cycle += (target ^ pc) & 0xFF00 ? 3 : 1;                   \
            pc = target;                                               \
        }                                                              \
        NEXT(code);                                                    \
    }
// Reading or writing any address. In the fast case this must come before anything else is changed.
#define LOAD(value, address)                                \
    unsigned value;                                         \
    if (const u8* const page = pages[(address) >> 11]) {    \
        value = page[(address)&0x7FF];                      \
    } else if (kFast) {                                     \
        goto leave;                                         \
    } else {                                                \
        value = read_device(address, cycle);                \
    }
#define STORE(address, value)                               \
    if ((address) < 0x2000) {                               \
        ram[(address)&0x7FF] = static_cast<u8>(value);      \
    } else if ((address) < 0x8000 && !is_silent(address)) { \
        if (kFast) goto leave;                              \
        cycle += write_device(address, value, cycle);       \
    }
#define READ(code, length, cycles, mode, operation) \
    OP(code, length, cycles, const unsigned address = mode; LOAD(value, address) operation(value))
#define WRITE(code, length, cycles, mode, value) \
    OP(code, length, cycles, const unsigned address = mode; STORE(address, value))
#define CHANGE(code, length, cycles, mode, operation)                              \
    OP(code, length, cycles, const unsigned address = mode; LOAD(value, address)   \
       nz = operation(value); STORE(address, nz))
#define CHANGE_RAM(code, cycles, mode, operation) \
    OP(code, 2, cycles, u8& value = ram[mode]; value = static_cast<u8>(nz = operation(value)))
// An operation of the accumulator, and one of read-modify-write, in all their addressing modes.
#define FOR_ACCUMULATOR(operation, ix, zp, im, ab, iy, zx, ay, ax) \
    READ(ix, 2, 6, indirect_x(), operation)                        \
    OP(zp, 2, 3, operation(ram[byte()]))                           \
    OP(im, 2, 2, operation(byte()))                                \
    READ(ab, 3, 4, absolute(), operation)                          \
    READ(iy, 2, 5 + crossed, indirect_y(), operation)              \
    OP(zx, 2, 4, operation(ram[zero_page_x()]))                    \
    READ(ay, 3, 4 + crossed, absolute_y(), operation)              \
    READ(ax, 3, 4 + crossed, absolute_x(), operation)
#define FOR_MEMORY(operation, ac, zp, ab, zx, ax)    \
    OP(ac, 1, 2, set(a, operation(a)))               \
    FOR_MEMORY_ONLY(operation, zp, ab, zx, ax)
#define FOR_MEMORY_ONLY(operation, zp, ab, zx, ax)   \
    CHANGE_RAM(zp, 5, byte(), operation)             \
    CHANGE(ab, 3, 6, absolute(), operation)          \
    CHANGE_RAM(zx, 6, zero_page_x(), operation)      \
    CHANGE(ax, 3, 7 + crossed, absolute_x(), operation)

    set_flags(s_.cpu.p);
    if (kFast) {
        FETCH();
    } else {
        word = peek(pc) | peek(pc + 1) << 8 | peek(pc + 2) << 16;
        goto* labels[word & 0xFF];
    }

#include "instructions.inc"

leave:
    s_.cpu.wait = cycle;
    s_.cpu.pc = static_cast<u16>(pc);
    s_.cpu.a = static_cast<u8>(a);
    s_.cpu.x = static_cast<u8>(x);
    s_.cpu.y = static_cast<u8>(y);
    s_.cpu.sp = static_cast<u8>(sp);
    s_.cpu.p = static_cast<u8>(flags());
}

}  // namespace nes
