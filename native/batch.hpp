// Several consoles with the same stage of the same game in them, stepped by one call.
#pragma once

#include <memory>
#include <vector>

#include "console.hpp"
#include "snapshot.hpp"

namespace nes {

class Batch {
  public:
    Batch(const u8* rom, std::size_t rom_size, int size);

    int size() const { return static_cast<int>(consoles_.size()); }
    u8* ram() { return ram_.data(); }  // uint8 [size, 2048]
    Console& console(int i) { return *consoles_[i]; }
    const u8* picture(int i) const { return &pictures_[i * kPictureSize]; }

    // One bare frame of one console, drawn.
    void run_frame(int i, u8 buttons);

    // What `step` and `observe` show of a picture from now on: what is around Mario, or all of it.
    void set_close(bool close) { close_ = close; }
    void observe(int i, u8* observation) const;

    // Makes the present state and picture of console i the start of the stage, for every console.
    void set_start(int i);
    // Puts console i at the start of the stage.
    void reset(int i);

    // Holds `buttons[i]` for `frames[i]` frames of the game on every console, stopping where the game
    // ends. `observation[i]`, uint8 [84, 84], is written after the last frame and kept if the game
    // ends before it. `ran[i]` and `ended[i]` receive the frames that were run and whether the game
    // has ended.
    void step(const u8* buttons, const i32* frames, u8* observation, i32* ran, bool* ended);

    // Plays a sequence on console i, undrawn: each of `count` buttons is held for `frames` frames, and
    // after each the state goes to `snapshots[k]`, until the game ends.
    struct Played {
        i32 buttons;  // begun, the last of them perhaps not held to its end
        i32 frames;
        bool ended;
    };
    Played play(int i, const u8* buttons, int count, int frames, Snapshot* snapshots);

    static constexpr int kPictureSize = kScreenWidth * kScreenHeight;

  private:
    bool step_game(int i, u8 buttons, i32 frames, i32& ran);

    Rom rom_;
    std::vector<u8> ram_;
    std::vector<u8> pictures_;
    std::vector<std::unique_ptr<Console>> consoles_;
    Snapshot start_;
    std::vector<u8> start_picture_;
    bool close_ = false;
};

}  // namespace nes
