// What the agent sees of a picture of colour numbers: grey, 84x84, averaged over areas. The same
// integers as in mario_a3c/envs/observation.py.
#pragma once

#include "types.hpp"

namespace nes {

constexpr int kObservationSize = 84;

// The whole picture. picture: uint8 [240, 256] of colour numbers; observation: uint8 [84, 84].
void observe(const u8* picture, u8* observation);

struct Place {  // in the picture, in pixels from its upper left corner
    int x;
    int y;
};

// What is around a place, always seen at the same point of the observation: a window of 168 x 168
// pixels, black where there is no picture.
void observe_around(const u8* picture, Place place, u8* observation);

}  // namespace nes
