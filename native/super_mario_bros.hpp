// What gym-super-mario-bros does around a frame when it plays a single stage.
#pragma once

#include "console.hpp"
#include "observation.hpp"

namespace nes::super_mario_bros {

// Where Mario is in the picture: the upper left corner of the 16 x 32 pixels that he fills when he is
// big. Above and below the picture he counts as at its edge.
Place mario(const u8* ram);

// Whether the game has ended: death, flag or axe.
bool has_ended(const u8* ram);

// One call of `SuperMarioBrosEnv(target=(world, stage)).step(buttons)`: a frame and, unless the game
// has ended, as many further frames without buttons as the game is busy with a cut-scene. Draws all
// of them unless `picture` is nullptr. Returns whether the game has ended. Throws std::runtime_error
// if a cut-scene never ends.
bool step(Console& console, u8 buttons, u8* picture);

}  // namespace nes::super_mario_bros
