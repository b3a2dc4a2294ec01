#include "console.hpp"

#include <cstring>

namespace nes {

namespace {

constexpr int kCyclesPerFrame = 29781;
constexpr int kPageSize = 2048;

}  // namespace

Console::Console(const Rom& rom, u8* ram) : rom_(rom), ram_(ram), s_{}, ppu_(rom, s_.ppu) {
    for (int page = 0; page < 32; ++page) {
        if (page < 4) {
            pages_[page] = ram_;
        } else if (page < 16) {
            pages_[page] = nullptr;
        } else {
            pages_[page] = rom.program.data() + (page - 16) * kPageSize;
        }
    }
    reset();
}

void Console::reset() {
    std::memset(&s_, 0, sizeof s_);
    ppu_.power_on();
    s_.cpu.sp = 0xFD;
    s_.cpu.p = 0x34;
    s_.cpu.pc = static_cast<u16>(rom_.program[0x7FFC] | rom_.program[0x7FFD] << 8);
    s_.controller.strobe = 1;
}

void Console::run_frame(u8 buttons, u8* picture) {
    s_.controller.buttons = buttons;
    ppu_.begin_frame(picture);
    while (true) {
        const int interrupt_cycle = ppu_.earliest_vblank() / kDotsPerCycle;
        if (interrupt_cycle >= kCyclesPerFrame) break;
        run_cpu(interrupt_cycle);
        ppu_.catch_up(dots_at(interrupt_cycle));
        if (ppu_.take_interrupt()) interrupt();
    }
    run_cpu(kCyclesPerFrame);
    ppu_.catch_up(dots_at(kCyclesPerFrame - 1));
    s_.cpu.wait -= kCyclesPerFrame;
    s_.cpu.odd_cycle ^= kCyclesPerFrame & 1;
}

const MachineState& Console::state() {
    ppu_.find_sprites();
    return s_;
}

bool Console::set_state(const MachineState& state) {
    const CpuState& cpu = state.cpu;
    const PpuState& ppu = state.ppu;
    const auto is_flag = [](u8 value) { return value <= 1; };
    bool valid = cpu.wait >= 0 && cpu.wait < 2000 && is_flag(cpu.odd_cycle) && ppu.row >= 0 &&
                 ppu.row < 262 && ppu.column >= (ppu.row == 0 ? -1 : 0) && ppu.column < 341 &&
                 ppu.fine_x < 8 && is_flag(ppu.first_write) && is_flag(ppu.in_vblank) &&
                 is_flag(ppu.sprite0_hit) && is_flag(ppu.even_frame) && ppu.sprites_known == 1 &&
                 ppu.sprite_count <= 8 && ppu.reserved == 0 && is_flag(state.controller.strobe) &&
                 state.controller.reserved == 0;
    for (const u8 sprite : ppu.sprites) valid = valid && sprite < 64;
    if (valid) s_ = state;
    return valid;
}

unsigned Console::peek(unsigned address) const {
    const u8* page = pages_[(address & 0xFFFF) / kPageSize];
    return page != nullptr ? page[address % kPageSize] : 0;
}

unsigned Console::read_device(unsigned address, int cycle) {
    if (address >= 0x2000 && address < 0x4000) {
        ppu_.catch_up(dots_at(cycle));
        switch (address & 7) {
            case 2: return ppu_.read_status();
            case 4: return ppu_.read_oam();
            case 7: return ppu_.read_data();
            default: return 0;
        }
    }
    if (address == 0x4017) return 0x40;  // nobody holds the second controller
    if (address != 0x4016) return 0;
    ControllerState& pad = s_.controller;
    if (pad.strobe) return 0x40 | (pad.buttons & 1);
    const unsigned bit = pad.shift & 1;
    pad.shift >>= 1;
    return 0x40 | bit;
}

int Console::write_device(unsigned address, unsigned byte, int cycle) {
    const u8 value = static_cast<u8>(byte);
    if (address == 0x4014) return copy_sprites(value, cycle);
    if (address == 0x4016) {
        s_.controller.strobe = value & 1;
        if (!s_.controller.strobe) s_.controller.shift = s_.controller.buttons;
    } else if (address < 0x4000) {
        ppu_.catch_up(dots_at(cycle));
        switch (address & 7) {
            case 0: ppu_.write_control(value); break;
            case 1: ppu_.write_mask(value); break;
            case 3: ppu_.write_oam_address(value); break;
            case 4: ppu_.write_oam(value); break;
            case 5: ppu_.write_scroll(value); break;
            case 6: ppu_.write_address(value); break;
            case 7: ppu_.write_data(value); break;
            default: break;
        }
    }
    return 0;
}

int Console::copy_sprites(unsigned page, int cycle) {
    ppu_.catch_up(dots_at(cycle));
    const unsigned address = page << 8;
    const u8* source = pages_[address / kPageSize];
    if (source != nullptr) ppu_.copy_to_oam(source + address % kPageSize);
    return 513 + ((s_.cpu.odd_cycle + cycle + 1) & 1);
}

}  // namespace nes
