// The processor: a 6502 without decimal mode. One instruction happens at one moment, at the first
// of its cycles, as in nes-py.
#include "console.hpp"

namespace nes {

namespace {

constexpr u8 kCarry = 0x01, kZero = 0x02, kInterruptDisable = 0x04, kDecimal = 0x08, kBreak = 0x10,
             kAlwaysSet = 0x20, kOverflow = 0x40, kNegative = 0x80;

// The registers, with the flags taken apart. `nz` holds the last result: zero if its low byte is 0,
// negative if bit 7 or 8 is set (bit 8 serves the few results that are zero and negative at once).
struct Registers {
    explicit Registers(const CpuState& s)
        : a(s.a), x(s.x), y(s.y), sp(s.sp), rest(s.p & (kInterruptDisable | kDecimal | kBreak)),
          carry(s.p & kCarry), overflow((s.p & kOverflow) != 0), pc(s.pc), nz(nz_of(s.p)) {}

    static u16 nz_of(u8 p) { return (p & kZero ? 0 : 1) | (p & kNegative ? 0x100 : 0); }
    bool zero() const { return (nz & 0xFF) == 0; }
    bool negative() const { return nz & 0x180; }

    u8 flags() const {
        return rest | kAlwaysSet | carry | (zero() ? kZero : 0) | (overflow ? kOverflow : 0) |
               (negative() ? kNegative : 0);
    }
    void set_flags(u8 p) {
        rest = p & (kInterruptDisable | kDecimal | kBreak);
        carry = p & kCarry;
        overflow = (p & kOverflow) != 0;
        nz = nz_of(p);
    }

    u8 a, x, y, sp, rest, carry, overflow;
    u16 pc, nz;
};

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
    Registers r(s_.cpu);
    int cycle = s_.cpu.wait;
    u8* const ram = ram_;
    const u8* const program = rom_.program.data();
    u32 word = 0;     // the instruction and the bytes after it
    int crossed = 0;  // 1 where an indexed address lies in another page than its base

    const auto read = [&](u16 address) INLINE -> u8 {
        const u8* page = pages_[address >> 11];
        return page != nullptr ? page[address & 0x7FF] : read_device(address, cycle);
    };
    const auto write = [&](u16 address, u8 value) INLINE {
        if (address < 0x2000) {
            ram[address & 0x7FF] = value;
        } else if (address < 0x8000) {
            write_device(address, value, cycle);
            cycle += stall_;
            stall_ = 0;
        }
    };
    const auto push = [&](u8 value) INLINE { ram[0x100 | r.sp--] = value; };
    const auto pull = [&]() INLINE -> u8 { return ram[0x100 | ++r.sp]; };
    const auto zero_page_word = [&](u8 at) INLINE -> u16 {
        return static_cast<u16>(ram[at] | ram[static_cast<u8>(at + 1)] << 8);
    };

    // Addressing modes. Each leaves `pc` behind the instruction.
    const auto low = [&]() INLINE -> u8 { return static_cast<u8>(word >> 8); };
    const auto immediate = [&]() INLINE -> u8 { r.pc += 2; return low(); };
    const auto zero_page = [&]() INLINE -> u16 { r.pc += 2; return low(); };
    const auto zero_page_x = [&]() INLINE -> u16 { r.pc += 2; return static_cast<u8>(low() + r.x); };
    const auto zero_page_y = [&]() INLINE -> u16 { r.pc += 2; return static_cast<u8>(low() + r.y); };
    const auto absolute = [&]() INLINE -> u16 { r.pc += 3; return static_cast<u16>(word >> 8); };
    const auto indexed = [&](u16 base, u8 index) INLINE -> u16 {
        crossed = ((base & 0xFF) + index) >> 8;
        return static_cast<u16>(base + index);
    };
    const auto absolute_x = [&]() INLINE -> u16 { return indexed(absolute(), r.x); };
    const auto absolute_y = [&]() INLINE -> u16 { return indexed(absolute(), r.y); };
    const auto indirect_x = [&]() INLINE -> u16 { return zero_page_word(zero_page_x()); };
    const auto indirect_y = [&]() INLINE -> u16 { return indexed(zero_page_word(immediate()), r.y); };

    // Operations.
    const auto ora = [&](u8 value) INLINE { r.nz = r.a |= value; };
    const auto and_ = [&](u8 value) INLINE { r.nz = r.a &= value; };
    const auto eor = [&](u8 value) INLINE { r.nz = r.a ^= value; };
    const auto adc = [&](u8 value) INLINE {
        const int sum = r.a + value + r.carry;
        r.overflow = ((r.a ^ sum) & (value ^ sum) & 0x80) != 0;
        r.carry = sum >> 8;
        r.nz = r.a = static_cast<u8>(sum);
    };
    const auto sbc = [&](u8 value) INLINE { adc(value ^ 0xFF); };
    const auto lda = [&](u8 value) INLINE { r.nz = r.a = value; };
    const auto ldx = [&](u8 value) INLINE { r.nz = r.x = value; };
    const auto ldy = [&](u8 value) INLINE { r.nz = r.y = value; };
    const auto compare = [&](u8 with, u8 value) INLINE {
        r.carry = with >= value;
        r.nz = static_cast<u8>(with - value);
    };
    const auto cmp = [&](u8 value) INLINE { compare(r.a, value); };
    const auto bit = [&](u8 value) INLINE {
        r.overflow = (value >> 6) & 1;
        r.nz = ((value & 0x80) << 1) | ((r.a & value) != 0);
    };
    const auto asl = [&](u8 value) INLINE -> u8 { r.carry = value >> 7; return value << 1; };
    const auto lsr = [&](u8 value) INLINE -> u8 { r.carry = value & 1; return value >> 1; };
    const auto rol = [&](u8 value) INLINE -> u8 {
        const u8 in = r.carry;
        r.carry = value >> 7;
        return value << 1 | in;
    };
    const auto ror = [&](u8 value) INLINE -> u8 {
        const u8 in = r.carry << 7;
        r.carry = value & 1;
        return value >> 1 | in;
    };
    const auto inc = [&](u8 value) INLINE -> u8 { return value + 1; };
    const auto dec = [&](u8 value) INLINE -> u8 { return value - 1; };
    const auto modify = [&](u16 address, const auto& operation) INLINE {
        const u8 value = operation(read(address));
        r.nz = value;
        write(address, value);
    };
    const auto branch = [&](bool taken) INLINE {
        r.pc += 2;
        cycle += 2;
        if (taken) {
            const u16 target = static_cast<u16>(r.pc + static_cast<i8>(low()));
            cycle += (target ^ r.pc) & 0xFF00 ? 3 : 1;
            r.pc = target;
        }
    };

#define OP(code, cycles, ...) case code: { __VA_ARGS__; cycle += (cycles); break; }
// The eight addressing modes of the accumulator's operations, and the four of read-modify-write.
#define ACCUMULATOR(code, operation)                          \
    OP(code + 0x01, 6, operation(read(indirect_x())))         \
    OP(code + 0x05, 3, operation(ram[zero_page()]))           \
    OP(code + 0x09, 2, operation(immediate()))                \
    OP(code + 0x0D, 4, operation(read(absolute())))           \
    OP(code + 0x11, 5 + crossed, operation(read(indirect_y()))) \
    OP(code + 0x15, 4, operation(ram[zero_page_x()]))         \
    OP(code + 0x19, 4 + crossed, operation(read(absolute_y()))) \
    OP(code + 0x1D, 4 + crossed, operation(read(absolute_x())))
#define MODIFY(code, operation)                               \
    OP(code + 0x06, 5, modify(zero_page(), operation))        \
    OP(code + 0x0E, 6, modify(absolute(), operation))         \
    OP(code + 0x16, 6, modify(zero_page_x(), operation))      \
    OP(code + 0x1E, 7 + crossed, modify(absolute_x(), operation))

    while (cycle < limit) {
        if (r.pc >= 0x8000) {
            const u8* at = program + (r.pc - 0x8000);
            word = at[0] | at[1] << 8 | at[2] << 16 | static_cast<u32>(at[3]) << 24;
        } else {
            const auto peek = [&](u16 address) -> u32 {
                const u8* page = pages_[address >> 11];
                return page != nullptr ? page[address & 0x7FF] : 0;
            };
            word = peek(r.pc) | peek(r.pc + 1) << 8 | peek(r.pc + 2) << 16;
        }
        switch (word & 0xFF) {
            ACCUMULATOR(0x00, ora)
            ACCUMULATOR(0x20, and_)
            ACCUMULATOR(0x40, eor)
            ACCUMULATOR(0x60, adc)
            ACCUMULATOR(0xC0, cmp)
            ACCUMULATOR(0xE0, sbc)
            OP(0xA1, 6, lda(read(indirect_x())))
            OP(0xA5, 3, lda(ram[zero_page()]))
            OP(0xA9, 2, lda(immediate()))
            OP(0xB1, 5 + crossed, lda(read(indirect_y())))
            OP(0xB5, 4, lda(ram[zero_page_x()]))
            OP(0xB9, 4 + crossed, lda(read(absolute_y())))
            OP(0xBD, 4 + crossed, lda(read(absolute_x())))
            case 0xAD: {  // LDA absolute, which also begins the loops that wait for sprite 0
                const u16 address = absolute();
                lda(read(address));
                if (address == 0x2002 && r.pc >= 0x8000) {
                    const u8* next = program + (r.pc - 0x8000);
                    const bool hit = r.a & 0x40;
                    // LDA $2002 / AND #$40 / BEQ or BNE back to the LDA
                    if (next[0] == 0x29 && next[1] == 0x40 && next[2] == (hit ? 0xD0 : 0xF0) &&
                        r.pc + 3 <= 0xFFFF && next[3] == 0xF9) {
                        const u16 start = r.pc - 3;
                        const int period = 9 + (((r.pc + 4) ^ start) & 0xFF00 ? 2 : 0);
                        const int skipped = skip_sprite0_poll(hit, period, cycle, limit);
                        if (skipped != cycle) {
                            cycle = skipped;
                            r.pc = start;
                            break;
                        }
                    }
                }
                cycle += 4;
                break;
            }
            OP(0x81, 6, write(indirect_x(), r.a))
            OP(0x85, 3, ram[zero_page()] = r.a)
            OP(0x8D, 4, write(absolute(), r.a))
            OP(0x91, 6, write(indirect_y(), r.a))
            OP(0x95, 4, ram[zero_page_x()] = r.a)
            OP(0x99, 5, write(absolute_y(), r.a))
            OP(0x9D, 5, write(absolute_x(), r.a))

            OP(0xA2, 2, ldx(immediate()))
            OP(0xA6, 3, ldx(ram[zero_page()]))
            OP(0xAE, 4, ldx(read(absolute())))
            OP(0xB6, 4, ldx(ram[zero_page_y()]))
            OP(0xBE, 4 + crossed, ldx(read(absolute_y())))
            OP(0xA0, 2, ldy(immediate()))
            OP(0xA4, 3, ldy(ram[zero_page()]))
            OP(0xAC, 4, ldy(read(absolute())))
            OP(0xB4, 4, ldy(ram[zero_page_x()]))
            OP(0xBC, 4 + crossed, ldy(read(absolute_x())))
            OP(0x86, 3, ram[zero_page()] = r.x)
            OP(0x8E, 4, write(absolute(), r.x))
            OP(0x96, 4, ram[zero_page_y()] = r.x)
            OP(0x84, 3, ram[zero_page()] = r.y)
            OP(0x8C, 4, write(absolute(), r.y))
            OP(0x94, 4, ram[zero_page_x()] = r.y)

            OP(0xE0, 2, compare(r.x, immediate()))
            OP(0xE4, 3, compare(r.x, ram[zero_page()]))
            OP(0xEC, 4, compare(r.x, read(absolute())))
            OP(0xC0, 2, compare(r.y, immediate()))
            OP(0xC4, 3, compare(r.y, ram[zero_page()]))
            OP(0xCC, 4, compare(r.y, read(absolute())))
            OP(0x24, 3, bit(ram[zero_page()]))
            OP(0x2C, 4, bit(read(absolute())))

            MODIFY(0x00, asl)
            MODIFY(0x20, rol)
            MODIFY(0x40, lsr)
            MODIFY(0x60, ror)
            MODIFY(0xC0, dec)
            MODIFY(0xE0, inc)
            OP(0x0A, 2, ++r.pc; r.nz = r.a = asl(r.a))
            OP(0x2A, 2, ++r.pc; r.nz = r.a = rol(r.a))
            OP(0x4A, 2, ++r.pc; r.nz = r.a = lsr(r.a))
            OP(0x6A, 2, ++r.pc; r.nz = r.a = ror(r.a))

            OP(0xE8, 2, ++r.pc; r.nz = ++r.x)
            OP(0xCA, 2, ++r.pc; r.nz = --r.x)
            OP(0xC8, 2, ++r.pc; r.nz = ++r.y)
            OP(0x88, 2, ++r.pc; r.nz = --r.y)
            OP(0xAA, 2, ++r.pc; r.nz = r.x = r.a)
            OP(0x8A, 2, ++r.pc; r.nz = r.a = r.x)
            OP(0xA8, 2, ++r.pc; r.nz = r.y = r.a)
            OP(0x98, 2, ++r.pc; r.nz = r.a = r.y)
            OP(0xBA, 2, ++r.pc; r.nz = r.x = r.sp)
            OP(0x9A, 2, ++r.pc; r.sp = r.x)
            OP(0xEA, 2, ++r.pc)

            OP(0x18, 2, ++r.pc; r.carry = 0)
            OP(0x38, 2, ++r.pc; r.carry = 1)
            OP(0xB8, 2, ++r.pc; r.overflow = 0)
            OP(0x58, 2, ++r.pc; r.rest &= ~kInterruptDisable)
            OP(0x78, 2, ++r.pc; r.rest |= kInterruptDisable)
            OP(0xD8, 2, ++r.pc; r.rest &= ~kDecimal)
            OP(0xF8, 2, ++r.pc; r.rest |= kDecimal)

            OP(0x48, 3, ++r.pc; push(r.a))
            OP(0x68, 4, ++r.pc; r.nz = r.a = pull())
            OP(0x08, 3, ++r.pc; push(r.flags() | kBreak))
            OP(0x28, 4, ++r.pc; r.set_flags(pull()))

            case 0x10: branch(!r.negative()); break;
            case 0x30: branch(r.negative()); break;
            case 0x50: branch(!r.overflow); break;
            case 0x70: branch(r.overflow); break;
            case 0x90: branch(!r.carry); break;
            case 0xB0: branch(r.carry); break;
            case 0xD0: branch(!r.zero()); break;
            case 0xF0: branch(r.zero()); break;

            case 0x4C: {
                const u16 target = absolute();
                if (target == static_cast<u16>(r.pc - 3)) {  // waits for an interrupt
                    cycle += (limit - cycle + 2) / 3 * 3;
                } else {
                    cycle += 3;
                }
                r.pc = target;
                break;
            }
            case 0x6C: {
                const u16 at = absolute();
                const u16 wrapped = (at & 0xFF00) | static_cast<u8>(at + 1);
                r.pc = static_cast<u16>(read(at) | read(wrapped) << 8);
                cycle += 5;
                break;
            }
            OP(0x20, 6, r.pc += 2; push(r.pc >> 8); push(r.pc & 0xFF); r.pc = static_cast<u16>(word >> 8))
            OP(0x60, 6, r.pc = pull(); r.pc |= pull() << 8; ++r.pc)
            OP(0x40, 6, r.set_flags(pull()); r.pc = pull(); r.pc |= pull() << 8)
            case 0x00: {
                r.pc += 2;
                push(r.pc >> 8);
                push(r.pc & 0xFF);
                push(r.flags() | kBreak);
                r.rest |= kInterruptDisable;
                r.pc = static_cast<u16>(program[0x7FFE] | program[0x7FFF] << 8);
                cycle += 14;  // nes-py counts the seven cycles twice
                break;
            }
            default:  // no game here uses the unofficial instructions; nes-py skips them as well
                ++r.pc;
                ++cycle;
                break;
        }
    }

    s_.cpu.wait = cycle;
    s_.cpu.pc = r.pc;
    s_.cpu.a = r.a;
    s_.cpu.x = r.x;
    s_.cpu.y = r.y;
    s_.cpu.sp = r.sp;
    s_.cpu.p = r.flags();
}

}  // namespace nes
