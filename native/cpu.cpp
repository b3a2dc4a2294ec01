// The processor: a 6502 without decimal mode. One instruction happens at one moment, at the first
// of its cycles, as in nes-py.
#include "console.hpp"

namespace nes {

namespace {

constexpr u8 kCarry = 0x01, kZero = 0x02, kInterruptDisable = 0x04, kDecimal = 0x08, kBreak = 0x10,
             kAlwaysSet = 0x20, kOverflow = 0x40, kNegative = 0x80;

// While instructions run, the flags are kept apart, and `nz` holds the last result: zero if its low
// byte is 0, negative if bit 7 or 8 is set (bit 8 serves the few results that are zero and negative
// at once).
unsigned nz_of(unsigned flags) {
    return (flags & kZero ? 0 : 1) | (flags & kNegative ? 0x100 : 0);
}

}  // namespace

void Console::interrupt() {
    CpuState& cpu = s_.cpu;
    const auto push = [&](u8 value) { ram_[0x100 | cpu.sp--] = value; };
    push(cpu.pc >> 8);
    push(cpu.pc & 0xFF);
    push((cpu.p | kAlwaysSet) & ~kBreak);
    cpu.p |= kInterruptDisable;
    cpu.pc = static_cast<u16>(rom_.program[0x7FFA] | rom_.program[0x7FFB] << 8);
    cpu.wait += 7;
}

#define INLINE __attribute__((always_inline))

void Console::run_cpu(const int limit) {
    // Registers of the host's natural size; the bits above those of the console's stay 0.
    unsigned a = s_.cpu.a, x = s_.cpu.x, y = s_.cpu.y, sp = s_.cpu.sp, pc = s_.cpu.pc;
    unsigned nz, carry, overflow, other_flags;
    int cycle = s_.cpu.wait;
    u8* const ram = ram_;
    const u8* const program = rom_.program.data();
    u32 word = 0;     // the instruction and the bytes after it
    unsigned crossed = 0;  // 1 where an indexed address lies in another page than its base

    const auto flags = [&]() -> unsigned {
        return other_flags | kAlwaysSet | carry | (nz & 0xFF ? 0 : kZero) |
               (overflow ? kOverflow : 0) | (nz & 0x180 ? kNegative : 0);
    };
    const auto set_flags = [&](unsigned value) {
        other_flags = value & (kInterruptDisable | kDecimal | kBreak);
        carry = value & kCarry;
        overflow = value & kOverflow;
        nz = nz_of(value);
    };
    set_flags(s_.cpu.p);

    const auto read = [&](unsigned address) INLINE -> unsigned {
        const u8* page = pages_[address >> 11];
        return page != nullptr ? page[address & 0x7FF] : read_device(address, cycle);
    };
    const auto write = [&](unsigned address, unsigned value) INLINE {
        if (address < 0x2000) {
            ram[address & 0x7FF] = static_cast<u8>(value);
        } else if (address < 0x8000) {
            write_device(static_cast<u16>(address), static_cast<u8>(value), cycle);
            cycle += stall_;
            stall_ = 0;
        }
    };
    const auto push = [&](unsigned value) INLINE {
        ram[0x100 | sp] = static_cast<u8>(value);
        sp = (sp - 1) & 0xFF;
    };
    const auto pull = [&]() INLINE -> unsigned {
        sp = (sp + 1) & 0xFF;
        return ram[0x100 | sp];
    };
    const auto zero_page_word = [&](unsigned at) INLINE -> unsigned {
        return ram[at] | ram[(at + 1) & 0xFF] << 8;
    };
    const auto fetch_outside_rom = [&](unsigned at) -> u32 {
        const auto peek = [&](unsigned address) -> u32 {
            const u8* page = pages_[(address & 0xFFFF) >> 11];
            return page != nullptr ? page[address & 0x7FF] : 0;
        };
        return peek(at) | peek(at + 1) << 8 | peek(at + 2) << 16;
    };

    // Addressing modes. Each leaves `pc` behind the instruction.
    const auto advance = [&](unsigned bytes) INLINE { pc = (pc + bytes) & 0xFFFF; };
    const auto immediate = [&]() INLINE -> unsigned { advance(2); return (word >> 8) & 0xFF; };
    const auto zero_page = [&]() INLINE -> unsigned { return immediate(); };
    const auto zero_page_x = [&]() INLINE -> unsigned { return (immediate() + x) & 0xFF; };
    const auto zero_page_y = [&]() INLINE -> unsigned { return (immediate() + y) & 0xFF; };
    const auto absolute = [&]() INLINE -> unsigned { advance(3); return (word >> 8) & 0xFFFF; };
    const auto indexed = [&](unsigned base, unsigned index) INLINE -> unsigned {
        crossed = ((base & 0xFF) + index) >> 8;
        return (base + index) & 0xFFFF;
    };
    const auto absolute_x = [&]() INLINE -> unsigned { return indexed(absolute(), x); };
    const auto absolute_y = [&]() INLINE -> unsigned { return indexed(absolute(), y); };
    const auto indirect_x = [&]() INLINE -> unsigned { return zero_page_word(zero_page_x()); };
    const auto indirect_y = [&]() INLINE -> unsigned { return indexed(zero_page_word(zero_page()), y); };

    // Operations on the accumulator.
    const auto ora = [&](unsigned value) INLINE { nz = a |= value; };
    const auto and_ = [&](unsigned value) INLINE { nz = a &= value; };
    const auto eor = [&](unsigned value) INLINE { nz = a ^= value; };
    const auto adc = [&](unsigned value) INLINE {
        const unsigned sum = a + value + carry;
        overflow = (a ^ sum) & (value ^ sum) & 0x80;
        carry = sum >> 8;
        nz = a = sum & 0xFF;
    };
    const auto sbc = [&](unsigned value) INLINE { adc(value ^ 0xFF); };
    const auto lda = [&](unsigned value) INLINE { nz = a = value; };
    const auto compare = [&](unsigned with, unsigned value) INLINE {
        carry = with >= value;
        nz = (with - value) & 0xFF;
    };
    const auto cmp = [&](unsigned value) INLINE { compare(a, value); };
    const auto bit = [&](unsigned value) INLINE {
        overflow = value & 0x40;
        nz = ((value & 0x80) << 1) | ((a & value) != 0);
    };
    // Operations on a byte that give a byte.
    const auto asl = [&](unsigned value) INLINE { carry = value >> 7; return (value << 1) & 0xFF; };
    const auto lsr = [&](unsigned value) INLINE { carry = value & 1; return value >> 1; };
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
    const auto modify = [&](unsigned address, const auto& operation) INLINE {
        nz = operation(read(address));
        write(address, nz);
    };
    const auto set = [&](unsigned& target, unsigned value) INLINE { nz = target = value; };
    const auto branch = [&](bool taken) INLINE {
        advance(2);
        cycle += 2;
        if (taken) {
            const unsigned target = (pc + static_cast<i8>(word >> 8)) & 0xFFFF;
            cycle += (target ^ pc) & 0xFF00 ? 3 : 1;
            pc = target;
        }
    };

    static const void* const labels[256] = {
        &&op_00, &&op_01, &&op_xx, &&op_xx, &&op_xx, &&op_05, &&op_06, &&op_xx, &&op_08, &&op_09, &&op_0A, &&op_xx, &&op_xx, &&op_0D, &&op_0E, &&op_xx,
        &&op_10, &&op_11, &&op_xx, &&op_xx, &&op_xx, &&op_15, &&op_16, &&op_xx, &&op_18, &&op_19, &&op_xx, &&op_xx, &&op_xx, &&op_1D, &&op_1E, &&op_xx,
        &&op_20, &&op_21, &&op_xx, &&op_xx, &&op_24, &&op_25, &&op_26, &&op_xx, &&op_28, &&op_29, &&op_2A, &&op_xx, &&op_2C, &&op_2D, &&op_2E, &&op_xx,
        &&op_30, &&op_31, &&op_xx, &&op_xx, &&op_xx, &&op_35, &&op_36, &&op_xx, &&op_38, &&op_39, &&op_xx, &&op_xx, &&op_xx, &&op_3D, &&op_3E, &&op_xx,
        &&op_40, &&op_41, &&op_xx, &&op_xx, &&op_xx, &&op_45, &&op_46, &&op_xx, &&op_48, &&op_49, &&op_4A, &&op_xx, &&op_4C, &&op_4D, &&op_4E, &&op_xx,
        &&op_50, &&op_51, &&op_xx, &&op_xx, &&op_xx, &&op_55, &&op_56, &&op_xx, &&op_58, &&op_59, &&op_xx, &&op_xx, &&op_xx, &&op_5D, &&op_5E, &&op_xx,
        &&op_60, &&op_61, &&op_xx, &&op_xx, &&op_xx, &&op_65, &&op_66, &&op_xx, &&op_68, &&op_69, &&op_6A, &&op_xx, &&op_6C, &&op_6D, &&op_6E, &&op_xx,
        &&op_70, &&op_71, &&op_xx, &&op_xx, &&op_xx, &&op_75, &&op_76, &&op_xx, &&op_78, &&op_79, &&op_xx, &&op_xx, &&op_xx, &&op_7D, &&op_7E, &&op_xx,
        &&op_xx, &&op_81, &&op_xx, &&op_xx, &&op_84, &&op_85, &&op_86, &&op_xx, &&op_88, &&op_xx, &&op_8A, &&op_xx, &&op_8C, &&op_8D, &&op_8E, &&op_xx,
        &&op_90, &&op_91, &&op_xx, &&op_xx, &&op_94, &&op_95, &&op_96, &&op_xx, &&op_98, &&op_99, &&op_9A, &&op_xx, &&op_xx, &&op_9D, &&op_xx, &&op_xx,
        &&op_A0, &&op_A1, &&op_A2, &&op_xx, &&op_A4, &&op_A5, &&op_A6, &&op_xx, &&op_A8, &&op_A9, &&op_AA, &&op_xx, &&op_AC, &&op_AD, &&op_AE, &&op_xx,
        &&op_B0, &&op_B1, &&op_xx, &&op_xx, &&op_B4, &&op_B5, &&op_B6, &&op_xx, &&op_B8, &&op_B9, &&op_BA, &&op_xx, &&op_BC, &&op_BD, &&op_BE, &&op_xx,
        &&op_C0, &&op_C1, &&op_xx, &&op_xx, &&op_C4, &&op_C5, &&op_C6, &&op_xx, &&op_C8, &&op_C9, &&op_CA, &&op_xx, &&op_CC, &&op_CD, &&op_CE, &&op_xx,
        &&op_D0, &&op_D1, &&op_xx, &&op_xx, &&op_xx, &&op_D5, &&op_D6, &&op_xx, &&op_D8, &&op_D9, &&op_xx, &&op_xx, &&op_xx, &&op_DD, &&op_DE, &&op_xx,
        &&op_E0, &&op_E1, &&op_xx, &&op_xx, &&op_E4, &&op_E5, &&op_E6, &&op_xx, &&op_E8, &&op_E9, &&op_EA, &&op_xx, &&op_EC, &&op_ED, &&op_EE, &&op_xx,
        &&op_F0, &&op_F1, &&op_xx, &&op_xx, &&op_xx, &&op_F5, &&op_F6, &&op_xx, &&op_F8, &&op_F9, &&op_xx, &&op_xx, &&op_xx, &&op_FD, &&op_FE, &&op_xx,
    };

// Runs the next instruction. The jump is repeated behind every instruction, so that the host learns
// for each one apart what tends to follow it.
#define NEXT()                                                                              \
    do {                                                                                    \
        if (cycle >= limit) goto done;                                                      \
        if (pc >= 0x8000) {                                                               \
            const u8* at = program + (pc - 0x8000);                                       \
            word = at[0] | at[1] << 8 | at[2] << 16 | static_cast<u32>(at[3]) << 24;        \
        } else {                                                                            \
            word = fetch_outside_rom(pc);                                                 \
        }                                                                                   \
        goto* labels[word & 0xFF];                                                          \
    } while (false)
#define OP(code, cycles, ...) \
    op_##code : {             \
        __VA_ARGS__;          \
        cycle += static_cast<int>(cycles); \
        NEXT();               \
    }
#define BRANCH(code, condition) \
    op_##code : {               \
        branch(condition);      \
        NEXT();                 \
    }
// The eight addressing modes of the accumulator's operations, and the four of read-modify-write.
#define ACCUMULATOR(operation, ix, zp, im, ab, iy, zx, ay, ax)  \
    OP(ix, 6, operation(read(indirect_x())))                    \
    OP(zp, 3, operation(ram[zero_page()]))                      \
    OP(im, 2, operation(immediate()))                           \
    OP(ab, 4, operation(read(absolute())))                      \
    OP(iy, 5 + crossed, operation(read(indirect_y())))          \
    OP(zx, 4, operation(ram[zero_page_x()]))                    \
    OP(ay, 4 + crossed, operation(read(absolute_y())))          \
    OP(ax, 4 + crossed, operation(read(absolute_x())))
#define MODIFY(operation, zp, ab, zx, ax)                       \
    OP(zp, 5, modify(zero_page(), operation))                   \
    OP(ab, 6, modify(absolute(), operation))                    \
    OP(zx, 6, modify(zero_page_x(), operation))                 \
    OP(ax, 7 + crossed, modify(absolute_x(), operation))

    NEXT();

    ACCUMULATOR(ora, 01, 05, 09, 0D, 11, 15, 19, 1D)
    ACCUMULATOR(and_, 21, 25, 29, 2D, 31, 35, 39, 3D)
    ACCUMULATOR(eor, 41, 45, 49, 4D, 51, 55, 59, 5D)
    ACCUMULATOR(adc, 61, 65, 69, 6D, 71, 75, 79, 7D)
    ACCUMULATOR(cmp, C1, C5, C9, CD, D1, D5, D9, DD)
    ACCUMULATOR(sbc, E1, E5, E9, ED, F1, F5, F9, FD)
    OP(A1, 6, lda(read(indirect_x())))
    OP(A5, 3, lda(ram[zero_page()]))
    OP(A9, 2, lda(immediate()))
    OP(B1, 5 + crossed, lda(read(indirect_y())))
    OP(B5, 4, lda(ram[zero_page_x()]))
    OP(B9, 4 + crossed, lda(read(absolute_y())))
    OP(BD, 4 + crossed, lda(read(absolute_x())))
    op_AD: {  // LDA absolute, which also begins the loops that wait for sprite 0
        const unsigned address = absolute();
        lda(read(address));
        if (address == 0x2002 && pc >= 0x8000) {
            const u8* next = program + (pc - 0x8000);
            const bool hit = a & 0x40;
            // LDA $2002 / AND #$40 / BEQ or BNE back to the LDA
            if (next[0] == 0x29 && next[1] == 0x40 && next[2] == (hit ? 0xD0 : 0xF0) &&
                pc + 3 <= 0xFFFF && next[3] == 0xF9) {
                const unsigned start = pc - 3;
                const int period = 9 + (((pc + 4) ^ start) & 0xFF00 ? 2 : 0);
                const int skipped = skip_sprite0_poll(hit, period, cycle, limit);
                if (skipped != cycle) {
                    cycle = skipped;
                    pc = start;
                    NEXT();
                }
            }
        }
        cycle += 4;
        NEXT();
    }
    OP(81, 6, write(indirect_x(), a))
    OP(85, 3, ram[zero_page()] = static_cast<u8>(a))
    OP(8D, 4, write(absolute(), a))
    OP(91, 6, write(indirect_y(), a))
    OP(95, 4, ram[zero_page_x()] = static_cast<u8>(a))
    OP(99, 5, write(absolute_y(), a))
    OP(9D, 5, write(absolute_x(), a))

    OP(A2, 2, set(x, immediate()))
    OP(A6, 3, set(x, ram[zero_page()]))
    OP(AE, 4, set(x, read(absolute())))
    OP(B6, 4, set(x, ram[zero_page_y()]))
    OP(BE, 4 + crossed, set(x, read(absolute_y())))
    OP(A0, 2, set(y, immediate()))
    OP(A4, 3, set(y, ram[zero_page()]))
    OP(AC, 4, set(y, read(absolute())))
    OP(B4, 4, set(y, ram[zero_page_x()]))
    OP(BC, 4 + crossed, set(y, read(absolute_x())))
    OP(86, 3, ram[zero_page()] = static_cast<u8>(x))
    OP(8E, 4, write(absolute(), x))
    OP(96, 4, ram[zero_page_y()] = static_cast<u8>(x))
    OP(84, 3, ram[zero_page()] = static_cast<u8>(y))
    OP(8C, 4, write(absolute(), y))
    OP(94, 4, ram[zero_page_x()] = static_cast<u8>(y))

    OP(E0, 2, compare(x, immediate()))
    OP(E4, 3, compare(x, ram[zero_page()]))
    OP(EC, 4, compare(x, read(absolute())))
    OP(C0, 2, compare(y, immediate()))
    OP(C4, 3, compare(y, ram[zero_page()]))
    OP(CC, 4, compare(y, read(absolute())))
    OP(24, 3, bit(ram[zero_page()]))
    OP(2C, 4, bit(read(absolute())))

    MODIFY(asl, 06, 0E, 16, 1E)
    MODIFY(rol, 26, 2E, 36, 3E)
    MODIFY(lsr, 46, 4E, 56, 5E)
    MODIFY(ror, 66, 6E, 76, 7E)
    MODIFY(dec, C6, CE, D6, DE)
    MODIFY(inc, E6, EE, F6, FE)
    OP(0A, 2, advance(1); set(a, asl(a)))
    OP(2A, 2, advance(1); set(a, rol(a)))
    OP(4A, 2, advance(1); set(a, lsr(a)))
    OP(6A, 2, advance(1); set(a, ror(a)))

    OP(E8, 2, advance(1); set(x, inc(x)))
    OP(CA, 2, advance(1); set(x, dec(x)))
    OP(C8, 2, advance(1); set(y, inc(y)))
    OP(88, 2, advance(1); set(y, dec(y)))
    OP(AA, 2, advance(1); set(x, a))
    OP(8A, 2, advance(1); set(a, x))
    OP(A8, 2, advance(1); set(y, a))
    OP(98, 2, advance(1); set(a, y))
    OP(BA, 2, advance(1); set(x, sp))
    OP(9A, 2, advance(1); sp = x)
    OP(EA, 2, advance(1))

    OP(18, 2, advance(1); carry = 0)
    OP(38, 2, advance(1); carry = 1)
    OP(B8, 2, advance(1); overflow = 0)
    OP(58, 2, advance(1); other_flags &= ~kInterruptDisable)
    OP(78, 2, advance(1); other_flags |= kInterruptDisable)
    OP(D8, 2, advance(1); other_flags &= ~kDecimal)
    OP(F8, 2, advance(1); other_flags |= kDecimal)

    OP(48, 3, advance(1); push(a))
    OP(68, 4, advance(1); set(a, pull()))
    OP(08, 3, advance(1); push(flags() | kBreak))
    OP(28, 4, advance(1); set_flags(pull()))

    BRANCH(10, !(nz & 0x180))
    BRANCH(30, nz & 0x180)
    BRANCH(50, !overflow)
    BRANCH(70, overflow)
    BRANCH(90, !carry)
    BRANCH(B0, carry)
    BRANCH(D0, nz & 0xFF)
    BRANCH(F0, !(nz & 0xFF))

    op_4C: {
        const unsigned target = absolute();
        if (target == ((pc - 3) & 0xFFFF)) {  // waits for an interrupt
            cycle += (limit - cycle + 2) / 3 * 3;
        } else {
            cycle += 3;
        }
        pc = target;
        NEXT();
    }
    op_6C: {
        const unsigned at = absolute();
        const unsigned wrapped = (at & 0xFF00) | ((at + 1) & 0xFF);
        pc = read(at);
        pc |= read(wrapped) << 8;
        cycle += 5;
        NEXT();
    }
    OP(20, 6, advance(2); push(pc >> 8); push(pc); pc = (word >> 8) & 0xFFFF)
    OP(60, 6, pc = pull(); pc |= pull() << 8; advance(1))
    OP(40, 6, set_flags(pull()); pc = pull(); pc |= pull() << 8)
    op_00: {
        advance(2);
        push(pc >> 8);
        push(pc);
        push(flags() | kBreak);
        other_flags |= kInterruptDisable;
        pc = program[0x7FFE] | program[0x7FFF] << 8;
        cycle += 14;  // nes-py counts the seven cycles twice
        NEXT();
    }
    op_xx: {  // no game here uses the unofficial instructions; nes-py skips them as well
        advance(1);
        ++cycle;
        NEXT();
    }

done:
    s_.cpu.wait = cycle;
    s_.cpu.pc = static_cast<u16>(pc);
    s_.cpu.a = static_cast<u8>(a);
    s_.cpu.x = static_cast<u8>(x);
    s_.cpu.y = static_cast<u8>(y);
    s_.cpu.sp = static_cast<u8>(sp);
    s_.cpu.p = static_cast<u8>(flags());
}

}  // namespace nes
