// Sine, cosine and hashing that give the same bits everywhere: only correctly rounded operations,
// no mathematics library. By hand because a clip's bytes must not depend on the machine.
#pragma once

#include <cmath>
#include <cstdint>

namespace psagen::engine {

// Finaliser of splitmix64.
inline std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// sin(2 pi t): Taylor polynomial on a quarter turn, absolute error below 1e-9.
inline double sin_turns(double t) {
  t -= std::floor(t);
  const double sign = t < 0.5 ? 1.0 : -1.0;
  if (t >= 0.5) t -= 0.5;
  if (t > 0.25) t = 0.5 - t;
  const double x = t * 6.283185307179586;
  const double y = x * x;
  return sign * x *
         (1.0 +
          y * (-1.0 / 6 +
               y * (1.0 / 120 + y * (-1.0 / 5040 + y * (1.0 / 362880 + y * (-1.0 / 39916800 +
                                                                            y / 6227020800.0))))));
}

inline double cos_turns(double t) { return sin_turns(t + 0.25); }

}  // namespace psagen::engine
