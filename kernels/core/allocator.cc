#include "kernels/core/allocator.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/core/error.h"

namespace psagen {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLentAlignment = 256;  // that of GPU memory
constexpr std::size_t kMinChunk = std::size_t{1} << 20;

std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void Allocator::count(std::ptrdiff_t change) {
  in_use_ += change;
  peak_ = std::max(peak_, in_use_);
}

void* CpuAllocator::allocate(std::size_t bytes) {
  const std::size_t rounded = std::max(round_up(bytes), kAlignment);
  void* pointer = std::aligned_alloc(kAlignment, rounded);
  PSAGEN_CHECK(pointer != nullptr, ErrorCode::kOutOfMemory, "not enough memory for ", rounded,
               " bytes; ", bytes_in_use(), " bytes are in use");
  count(static_cast<std::ptrdiff_t>(bytes));
  return pointer;
}

void CpuAllocator::deallocate(void* pointer, std::size_t bytes) noexcept {
  std::free(pointer);
  count(-static_cast<std::ptrdiff_t>(bytes));
}

LentMemory::LentMemory(Device device)
    : device_(device), counts_only_(true), begin_(std::uintptr_t{1} << 40) {}

LentMemory::LentMemory(Device device, void* bytes, std::size_t size) : device_(device) {
  const auto first = reinterpret_cast<std::uintptr_t>(bytes);
  begin_ = (first + kLentAlignment - 1) / kLentAlignment * kLentAlignment;
  size_ = size - std::min(size, static_cast<std::size_t>(begin_ - first));
}

void* LentMemory::allocate(std::size_t bytes) {
  const std::size_t piece = (bytes + kLentAlignment - 1) / kLentAlignment * kLentAlignment;
  PSAGEN_CHECK(counts_only_ || piece <= size_ - taken_, ErrorCode::kOutOfMemory,
               "the memory lent for this call has ", size_, " bytes, wanted ", taken_ + piece);
  const std::uintptr_t address = begin_ + taken_;
  taken_ += piece;
  most_taken_ = std::max(most_taken_, taken_);
  count(static_cast<std::ptrdiff_t>(bytes));
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

void LentMemory::deallocate(void*, std::size_t bytes) noexcept {
  count(-static_cast<std::ptrdiff_t>(bytes));
}

std::size_t LentMemory::wanted_bytes() const {
  return most_taken_ == 0 ? 0 : most_taken_ + kLentAlignment - 1;
}

Workspace::~Workspace() {
  for (const Chunk& chunk : chunks_) allocator_.deallocate(chunk.bytes, chunk.size);
}

void* Workspace::take(std::size_t bytes) {
  if (lent_ != nullptr) return lent_->allocate(bytes);
  bytes = round_up(bytes);
  for (const Chunk& chunk : chunks_) {
    const std::size_t begin = std::max(top_, chunk.begin);
    if (begin + bytes <= chunk.begin + chunk.size) {
      top_ = begin + bytes;
      return chunk.bytes + (begin - chunk.begin);
    }
  }
  // Doubling keeps the number of chunks logarithmic until release_to() merges them.
  const std::size_t size = std::max({bytes, kMinChunk, capacity_});
  chunks_.push_back({static_cast<std::byte*>(allocator_.allocate(size)), size, capacity_});
  top_ = capacity_ + bytes;
  capacity_ += size;
  return chunks_.back().bytes;
}

void Workspace::release_to(std::size_t mark) {
  if (lent_ != nullptr) return lent_->give_back_to(mark);
  top_ = mark;
  if (mark != 0 || chunks_.size() < 2) return;
  const std::size_t size = capacity_;
  trim();
  chunks_.push_back({static_cast<std::byte*>(allocator_.allocate(size)), size, 0});
  capacity_ = size;
}

void Workspace::trim() {
  PSAGEN_ASSERT(top_ == 0);
  for (const Chunk& chunk : chunks_) allocator_.deallocate(chunk.bytes, chunk.size);
  chunks_.clear();
  capacity_ = 0;
}

}  // namespace psagen
