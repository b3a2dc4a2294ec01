#include "super_mario_bros.hpp"

#include <algorithm>
#include <stdexcept>

namespace nes::super_mario_bros {

namespace {

enum Address : u16 {
    kPlayerState = 0x000E,
    kEnemyTypes = 0x0016,  // of five enemies
    kFloatState = 0x001D,  // 3 while sliding down a flagpole
    kPlayerPage = 0x00B5,  // 1 in the picture, more below it
    kPlayerY = 0x00CE,
    kPlayerScreenX = 0x03AD,
    kChangeAreaTimer = 0x06DE,
    kGameMode = 0x0770,  // 2 at the end of a world
    kPreLevelTimer = 0x07A0,
};

constexpr u8 kDead = 0x06, kDying = 0x0B;
constexpr u8 kBowser = 0x2D, kFlagpole = 0x31;

// No cut-scene is longer than some seconds; ten minutes mean that it will never end.
constexpr int kLongestCutScene = 36000;

bool is_world_over(const u8* ram) { return ram[kGameMode] == 2; }

bool is_stage_over(const u8* ram) {
    for (int i = 0; i < 5; ++i) {
        const u8 type = ram[kEnemyTypes + i];
        // Without these two the same float state means climbing a vine.
        if (type == kBowser || type == kFlagpole) return ram[kFloatState] == 3;
    }
    return false;
}

// Cut-scenes that the player has no part in: entering, pipes, vines, walking into a castle.
bool is_busy(const u8* ram) {
    const u8 state = ram[kPlayerState];
    return state <= 0x05 || state == 0x07;
}

}  // namespace

Place mario(const u8* ram) {
    const int y = (ram[kPlayerPage] - 1) * 256 + ram[kPlayerY];
    return {ram[kPlayerScreenX], std::clamp(y, 0, kScreenHeight)};
}

bool has_ended(const u8* ram) {
    const bool dying = ram[kPlayerState] == kDying || ram[kPlayerPage] > 1;
    return dying || ram[kPlayerState] == kDead || is_world_over(ram) || is_stage_over(ram);
}

bool step(Console& console, u8 buttons, u8* picture) {
    u8* const ram = console.ram();
    console.run_frame(buttons, picture);
    if (has_ended(ram)) return true;
    const u8 timer = ram[kChangeAreaTimer];
    if (timer > 1 && timer < 255) ram[kChangeAreaTimer] = 1;
    for (int frames = 0; is_busy(ram) || is_world_over(ram); ++frames) {
        if (frames == kLongestCutScene) {
            throw std::runtime_error("the game has been in a cut-scene for ten minutes.");
        }
        ram[kPreLevelTimer] = 0;
        console.run_frame(0, picture);
    }
    return false;
}

}  // namespace nes::super_mario_bros
