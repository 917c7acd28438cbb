// Where tensors get their bytes, and the arena from which ops take scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core/device.h"

namespace psagen {

// Memory of one device. Pointers are aligned to 64 bytes (a cache line, an AVX-512 register).
// Running out throws Error(kOutOfMemory) that says how much was wanted.
class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual Device device() const = 0;
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* pointer, std::size_t bytes) noexcept = 0;

  // Bytes held now, and the most held since construction or the last reset_peak().
  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t peak_bytes() const { return peak_; }
  void reset_peak() { peak_ = in_use_; }

 protected:
  void count(std::ptrdiff_t change);

 private:
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
};

class CpuAllocator final : public Allocator {
 public:
  Device device() const override { return {}; }
  void* allocate(std::size_t bytes) override;
  void deallocate(void* pointer, std::size_t bytes) noexcept override;
};

// Memory that a caller lends for one call, handed out from its beginning; tensors give nothing
// back. Made without bytes it only counts: its addresses have no memory behind them, and it has no
// end.
class LentMemory final : public Allocator {
 public:
  explicit LentMemory(Device device);
  LentMemory(Device device, void* bytes, std::size_t size);

  Device device() const override { return device_; }
  void* allocate(std::size_t bytes) override;
  void deallocate(void*, std::size_t bytes) noexcept override;

  bool counts_only() const { return counts_only_; }
  // Bytes handed out now, gaps between pieces included.
  std::size_t taken() const { return taken_; }
  void give_back_to(std::size_t taken) { taken_ = taken; }
  // How much must be lent for what was handed out, wherever it begins.
  std::size_t wanted_bytes() const;

 private:
  Device device_;
  bool counts_only_ = false;
  std::uintptr_t begin_ = 0;
  std::size_t size_ = 0;
  std::size_t taken_ = 0;
  std::size_t most_taken_ = 0;
};

// A stack of scratch memory: grows while the first step shows how much is needed, then never again.
// Take memory only through a Scope; what was taken inside it is free again when it ends.
class Workspace {
 public:
  explicit Workspace(Allocator& allocator) : allocator_(allocator) {}
  // Takes from what a caller lends, and no more than asked for.
  explicit Workspace(LentMemory& memory) : allocator_(memory), lent_(&memory) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), mark_(workspace.mark()) {}
    ~Scope() { workspace_.release_to(mark_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // `count` uninitialised elements, aligned to 64 bytes.
    template <typename T>
    T* take(std::size_t count) {
      return static_cast<T*>(workspace_.take(count * sizeof(T)));
    }
    bool counts_only() const { return workspace_.counts_only(); }

   private:
    Workspace& workspace_;
    std::size_t mark_;
  };

  // Gives everything back to the allocator; no scope may be open.
  void trim();
  std::size_t capacity() const { return capacity_; }
  // Whether only the amount of scratch memory is asked for: an op takes it and returns.
  bool counts_only() const { return lent_ != nullptr && lent_->counts_only(); }
  bool is_lent() const { return lent_ != nullptr; }

 private:
  struct Chunk {
    std::byte* bytes;
    std::size_t size;
    std::size_t begin;  // offset of the chunk in the arena's address space
  };

  std::size_t mark() const { return lent_ != nullptr ? lent_->taken() : top_; }
  void* take(std::size_t bytes);
  void release_to(std::size_t mark);

  Allocator& allocator_;
  LentMemory* lent_ = nullptr;
  std::vector<Chunk> chunks_;
  std::size_t top_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace psagen
