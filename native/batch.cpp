#include "batch.hpp"

#include <algorithm>

#include "observation.hpp"
#include "super_mario_bros.hpp"

namespace nes {

Batch::Batch(const u8* rom, std::size_t rom_size, int size)
    : rom_(rom, rom_size),
      ram_(static_cast<std::size_t>(size) * kRamSize),
      pictures_(static_cast<std::size_t>(size) * kPictureSize),
      start_picture_(kPictureSize) {
    for (int i = 0; i < size; ++i) {
        consoles_.push_back(std::make_unique<Console>(rom_, &ram_[i * kRamSize]));
    }
    save_snapshot(*consoles_[0], start_);
}

void Batch::run_frame(int i, u8 buttons) {
    consoles_[i]->run_frame(buttons, &pictures_[i * kPictureSize]);
}

void Batch::observe(int i, u8* observation) const {
    if (close_) {
        observe_around(picture(i), super_mario_bros::mario(consoles_[i]->ram()), observation);
    } else {
        nes::observe(picture(i), observation);
    }
}

void Batch::set_start(int i) {
    save_snapshot(*consoles_[i], start_);
    std::copy_n(picture(i), kPictureSize, start_picture_.begin());
}

void Batch::reset(int i) {
    load_snapshot(*consoles_[i], &start_, sizeof start_);
    std::copy_n(start_picture_.begin(), kPictureSize, &pictures_[i * kPictureSize]);
}

void Batch::step(const u8* buttons, const i32* frames, u8* observation, i32* ran, bool* ended) {
    for (int i = 0; i < size(); ++i) {
        ran[i] = 0;
        ended[i] = false;
        if (frames[i] <= 0) continue;
        ended[i] = step_game(i, buttons[i], frames[i], ran[i]);
        if (ran[i] == frames[i]) {
            observe(i, observation + i * kObservationSize * kObservationSize);
        }
    }
}

bool Batch::step_game(int i, u8 buttons, i32 frames, i32& ran) {
    Console& console = *consoles_[i];
    u8* const picture = &pictures_[i * kPictureSize];
    const MachineState machine = console.state();
    u8 ram[kRamSize];
    std::copy_n(console.ram(), kRamSize, ram);
    for (ran = 1; ran < frames; ++ran) {
        if (!super_mario_bros::step(console, buttons, nullptr)) continue;
        // The game has ended in a frame that was not drawn: go back and see it once more.
        console.set_state(machine);
        std::copy_n(ram, kRamSize, console.ram());
        for (i32 frame = 1; frame < ran; ++frame) super_mario_bros::step(console, buttons, nullptr);
        super_mario_bros::step(console, buttons, picture);
        return true;
    }
    return super_mario_bros::step(console, buttons, picture);
}

Batch::Played Batch::play(int i, const u8* buttons, int count, int frames, Snapshot* snapshots) {
    Console& console = *consoles_[i];
    Played played{0, 0, false};
    while (played.buttons < count && !played.ended) {
        for (int frame = 0; frame < frames && !played.ended; ++frame) {
            played.ended = super_mario_bros::step(console, buttons[played.buttons], nullptr);
            ++played.frames;
        }
        save_snapshot(console, snapshots[played.buttons++]);
    }
    return played;
}

}  // namespace nes
