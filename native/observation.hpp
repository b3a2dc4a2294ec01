// What the agent sees: a picture of colour numbers, as grey, averaged over areas to 84x84. The same
// integers as in mario_a3c/envs/observation.py.
#pragma once

#include "types.hpp"

namespace nes {

constexpr int kObservationSize = 84;

// picture: uint8 [240, 256] of colour numbers; observation: uint8 [84, 84].
void observe(const u8* picture, u8* observation);

}  // namespace nes
