#include "engine/weights/safetensors.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "engine/config/json_fields.h"
#include "engine/weights/mapped_file.h"

namespace psagen::engine {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace {

constexpr std::size_t kLengthBytes = 8;
// The limit of the format's own reader: a longer header is damage, and parsing it wastes memory.
constexpr std::uint64_t kLongestHeader = 100'000'000;
constexpr double kLargestInteger = 9.0e18;

struct HeaderEntry {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::array<std::int64_t, 2> offsets{};
};

void read_value(const JsonValue& value, HeaderEntry& entry) {
  read_fields(value, UnknownKeys::kRefuse,
              {required("dtype", entry.dtype), required("shape", entry.shape, {0, kLargestInteger}),
               required("data_offsets", entry.offsets, {0, kLargestInteger})});
}

std::optional<DType> dtype_of_name(const std::string& name) {
  for (const DType dtype :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI64, DType::kI32, DType::kU8})
    if (name == dtype_name(dtype)) return dtype;
  return std::nullopt;
}

std::string tensor_label(const std::string& file, const std::string& name) {
  return file + ": tensor " + quoted_name(name);
}

// Number of bytes that dtype and shape ask for; nothing where it does not fit 63 bits.
std::optional<std::int64_t> bytes_of(DType dtype, const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = static_cast<std::int64_t>(dtype_size(dtype));
  // A zero makes any product zero, however large the other dimensions are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  for (const std::int64_t dim : shape)
    if (__builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
  return bytes;
}

TensorEntry checked_entry(const std::string& file, const std::string& name,
                          const HeaderEntry& header, std::span<const std::byte> data) {
  const std::string label = tensor_label(file, name);
  const std::optional<DType> dtype = dtype_of_name(header.dtype);
  PSAGEN_CHECK(dtype, ErrorCode::kUnsupported, label, " has dtype ", quoted_name(header.dtype),
               ", wanted F32, BF16 or F16");
  PSAGEN_CHECK(header.shape.size() <= Shape::kMaxRank, ErrorCode::kUnsupported, label, " has ",
               header.shape.size(), " dimensions, wanted at most ", Shape::kMaxRank);
  const auto [begin, end] = header.offsets;
  PSAGEN_CHECK(begin <= end, ErrorCode::kInvalidArgument, label, " begins at byte ", begin,
               " of the data and ends before it, at ", end);
  PSAGEN_CHECK(static_cast<std::uint64_t>(end) <= data.size(), ErrorCode::kInvalidArgument, label,
               " ends at byte ", end, " of the data, but the file has only ", data.size(),
               " (is it truncated?)");
  Shape shape;
  for (const std::int64_t dim : header.shape) shape.push_back(dim);
  const std::optional<std::int64_t> bytes = bytes_of(*dtype, header.shape);
  PSAGEN_CHECK(bytes, ErrorCode::kInvalidArgument, label, " has shape ", shape,
               ", which is too large for any file");
  PSAGEN_CHECK(end - begin == *bytes, ErrorCode::kInvalidArgument, label, " has ", end - begin,
               " bytes, wanted ", *bytes, " for shape ", shape, " of ", header.dtype);
  return {name, *dtype, shape, data.data() + begin, static_cast<std::size_t>(*bytes), file};
}

// Tensors must fill the data from end to end: anything else is damage or hides something.
void check_coverage(const std::string& file, std::vector<const TensorEntry*> entries,
                    std::span<const std::byte> data) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::pair(a->bytes, a->num_bytes) < std::pair(b->bytes, b->num_bytes);
  });
  const std::byte* position = data.data();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const TensorEntry& entry = *entries[i];
    const auto offset = entry.bytes - data.data();
    PSAGEN_CHECK(entry.bytes >= position, ErrorCode::kInvalidArgument,
                 tensor_label(file, entry.name), " begins at byte ", offset,
                 " of the data and overlaps tensor ",
                 quoted_name(entries[i == 0 ? 0 : i - 1]->name));
    PSAGEN_CHECK(entry.bytes == position, ErrorCode::kInvalidArgument,
                 tensor_label(file, entry.name), " begins at byte ", offset,
                 " of the data and leaves a hole of ", entry.bytes - position, " bytes before it");
    position += entry.num_bytes;
  }
  const auto left = data.data() + data.size() - position;
  PSAGEN_CHECK(left == 0, ErrorCode::kInvalidArgument, file, ": ", left,
               " bytes after the last tensor belong to none");
}

std::uint64_t header_length(std::span<const std::byte> file, const std::string& file_name) {
  PSAGEN_CHECK(file.size() >= kLengthBytes, ErrorCode::kInvalidArgument, file_name, ": has ",
               file.size(), " bytes, too few for a safetensors file");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  PSAGEN_CHECK(length <= file.size() - kLengthBytes, ErrorCode::kInvalidArgument, file_name,
               ": a header of ", length, " bytes is announced, but the file has only ",
               file.size() - kLengthBytes, " after its length");
  PSAGEN_CHECK(length <= kLongestHeader, ErrorCode::kInvalidArgument, file_name, ": a header of ",
               length, " bytes is announced, wanted at most ", kLongestHeader);
  return length;
}

class SafetensorsSource final : public WeightSource {
 public:
  explicit SafetensorsSource(std::string description) : description_(std::move(description)) {}

  // Maps a file and takes in its tensors. Names must be new: the caller checked them.
  std::vector<TensorEntry> map(const std::filesystem::path& path) {
    files_.emplace_back(path);
    return parse_safetensors(files_.back().bytes(), path.string());
  }

  void add(TensorEntry entry) {
    std::string name = entry.name;
    entries_.emplace(std::move(name), std::move(entry));
  }

  const TensorEntry* find(const std::string& name) const override {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    std::sort(result.begin(), result.end());
    return result;
  }

  std::string description() const override { return description_; }

  void drop_from_memory() const override {
    for (const MappedFile& file : files_) file.drop_from_memory();
  }

 private:
  std::string description_;
  std::vector<MappedFile> files_;
  std::unordered_map<std::string, TensorEntry> entries_;
};

// A file of the same folder, with nothing in its name that a message could not show.
bool is_plain_file_name(const std::string& name) {
  const bool is_shown = std::all_of(name.begin(), name.end(), [](char c) {
    return c == ' ' || std::isgraph(static_cast<unsigned char>(c)) != 0;
  });
  return is_shown && !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos;
}

// Tensor name -> shard, from the index.
std::map<std::string, std::string> read_index(const std::filesystem::path& index) {
  const JsonDocument document = JsonDocument::load(index);
  const std::optional<JsonValue> map = document.root().member("weight_map");
  PSAGEN_CHECK(map && map->is_object(), ErrorCode::kInvalidArgument, index.string(),
               ": has no \"weight_map\" of tensors and their files");
  std::map<std::string, std::string> shard_of;
  for (const auto& [name, value] : map->members()) {
    std::string& shard = shard_of[name];
    read_value(value, shard);
    if (!is_plain_file_name(shard)) value.fail_type("the name of a file beside the index");
  }
  return shard_of;
}

std::unique_ptr<WeightSource> open_shards(const std::filesystem::path& index) {
  auto source = std::make_unique<SafetensorsSource>(index.parent_path().string());
  const std::map<std::string, std::string> shard_of = read_index(index);
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    const std::filesystem::path path = index.parent_path() / shard;
    std::error_code ignored;
    PSAGEN_CHECK(std::filesystem::exists(path, ignored), ErrorCode::kNotFound, path.string(),
                 ": no such file, but ", index.filename().string(), " names it");
    for (TensorEntry& entry : source->map(path)) {
      const auto it = shard_of.find(entry.name);
      PSAGEN_CHECK(it != shard_of.end() && it->second == shard, ErrorCode::kInvalidArgument,
                   tensor_label(path.string(), entry.name), " is not in this file according to ",
                   index.filename().string());
      source->add(std::move(entry));
    }
  }
  for (const auto& [name, shard] : shard_of)
    PSAGEN_CHECK(source->find(name) != nullptr, ErrorCode::kNotFound,
                 (index.parent_path() / shard).string(), ": has no tensor ", quoted_name(name),
                 ", but ", index.filename().string(), " says so");
  return source;
}

}  // namespace

std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> file,
                                           const std::string& file_name) {
  const std::uint64_t length = header_length(file, file_name);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  const std::span<const std::byte> data = file.subspan(kLengthBytes + length);
  const JsonDocument header = JsonDocument::parse(text, file_name + " (header)");
  if (!header.root().is_object()) header.root().fail_type("an object");

  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : header.root().members()) {
    if (name == "__metadata__") continue;
    HeaderEntry entry;
    read_value(value, entry);
    entries.push_back(checked_entry(file_name, name, entry, data));
  }
  std::vector<const TensorEntry*> pointers;
  pointers.reserve(entries.size());
  for (const TensorEntry& entry : entries) pointers.push_back(&entry);
  check_coverage(file_name, std::move(pointers), data);
  return entries;
}

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& directory,
                                               const std::string& stem) {
  std::error_code ignored;
  PSAGEN_CHECK(std::filesystem::is_directory(directory, ignored), ErrorCode::kNotFound,
               directory.string(), ": no such directory");
  const std::filesystem::path index = directory / (stem + ".safetensors.index.json");
  if (std::filesystem::exists(index, ignored)) return open_shards(index);
  const std::filesystem::path file = directory / (stem + ".safetensors");
  PSAGEN_CHECK(std::filesystem::exists(file, ignored), ErrorCode::kNotFound, directory.string(),
               ": has neither ", index.filename().string(), " nor ", file.filename().string());
  auto source = std::make_unique<SafetensorsSource>(file.string());
  for (TensorEntry& entry : source->map(file)) source->add(std::move(entry));
  return source;
}

}  // namespace psagen::engine
