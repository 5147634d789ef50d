// The randomness seam. Session ids, jitter and placement rotation draw from a Random; the
// simulation seeds one.
#pragma once

#include <cstdint>
#include <random>

namespace cairn {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
};

// Draws from the kernel (getrandom): unguessable, so fit for session ids. Thread-safe.
class SystemRandom final : public Random {
 public:
  uint64_t Next() override;
};

// The same numbers for the same seed on every machine (mt19937_64 is fully specified). Not
// thread-safe.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  uint64_t Next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace cairn
