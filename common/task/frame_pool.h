// Memory of coroutine frames. A request makes and frees dozens of them, mostly of the same few
// sizes, so each thread keeps the freed ones for its next coroutines. Under AddressSanitizer every
// frame is fresh, so that it can see a use after the end.
#pragma once

#include <cstddef>

namespace cairn {

// A frame may be freed on another thread than the one that made it.
void* AllocateFrame(size_t bytes);
void FreeFrame(void* frame, size_t bytes) noexcept;

}  // namespace cairn
