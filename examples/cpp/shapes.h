// Runs of a build of any length: their shapes, and which sequences go through the model together.
#ifndef TVM_SPARSE_EXAMPLE_SHAPES_H_
#define TVM_SPARSE_EXAMPLE_SHAPES_H_

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensors.h"

// Tokens that each thread should have at least in a micro-batch: its activations then stay in
// caches from one layer to the next.
inline constexpr int64_t kMicroBatchTokens = 192;

// Sequences, and tokens of each; zeros where nothing was said.
struct Shape {
  int64_t batch = 0;
  int64_t seq_len = 0;
};

// The shape to run at, within what the build takes.
inline Shape ChooseShape(const std::vector<TensorSpec>& inputs, const Shape& wanted) {
  const Shape most{inputs.at(0).shape.at(0), inputs.at(0).shape.at(1)};
  if (wanted.batch == 0) return {1, std::min<int64_t>(most.seq_len, 128)};
  if (wanted.batch > most.batch || wanted.seq_len > most.seq_len) {
    throw std::runtime_error("the build takes up to " + std::to_string(most.batch) + "x" +
                             std::to_string(most.seq_len));
  }
  return wanted;
}

// Give the tensors of a build of any length the extents of one run.
inline void SetShapes(const Shape& shape, std::vector<TensorSpec>* specs) {
  for (auto& spec : *specs) {
    for (size_t i = 0; i < spec.axes.size(); ++i) {
      if (spec.axes[i] == "batch") spec.shape[i] = shape.batch;
      if (spec.axes[i] == "seq_len") spec.shape[i] = shape.seq_len;
    }
  }
}

// Neighbouring sequences of a batch.
struct MicroBatch {
  int64_t first;
  int64_t count;
};

// Cut a batch into micro-batches of like size, as tvm_sparse.load does.
inline std::vector<MicroBatch> CutBatch(const Shape& shape, int64_t threads) {
  // Sequences that a micro-batch has at least.
  const int64_t least = (kMicroBatchTokens * threads + shape.seq_len - 1) / shape.seq_len;
  const int64_t parts = std::max<int64_t>(1, shape.batch / least);
  std::vector<MicroBatch> found;
  for (int64_t part = 0, first = 0; part < parts; ++part) {
    // Where a sequence lies across a border, it belongs to the part that has most of it.
    const int64_t end = (2 * (part + 1) * shape.batch + parts - 1) / (2 * parts);
    found.push_back({first, end - first});
    first = end;
  }
  return found;
}

// The rows of a tensor that belong to a micro-batch, in memory of their own: aligned.
inline ffi::Tensor TakeRows(const TensorSpec& spec, const ffi::Tensor& whole,
                            const MicroBatch& part) {
  std::vector<int64_t> shape = spec.shape;
  if (shape.at(0) == part.count) return whole;
  const size_t row = ffi::GetDataSize(whole) / static_cast<size_t>(shape[0]);
  shape[0] = part.count;
  ffi::Tensor taken = NewTensor(shape, spec.dtype);
  std::memcpy(taken.data_ptr(), static_cast<const char*>(whole.data_ptr()) + part.first * row,
              part.count * row);
  return taken;
}

// Put what the model returned of a micro-batch where it belongs in the tensor of the whole batch.
inline void PutRows(const ffi::Tensor& rows, const MicroBatch& part, ffi::Tensor* whole) {
  const size_t size = ffi::GetDataSize(rows);
  const size_t place = size / static_cast<size_t>(part.count) * static_cast<size_t>(part.first);
  if (place + size > ffi::GetDataSize(*whole)) {
    throw std::runtime_error("the model returned another shape than metadata.json says");
  }
  std::memcpy(static_cast<char*>(whole->data_ptr()) + place, rows.data_ptr(), size);
}

// Which tokens each tile holds: number of its sequence, position there of its first token, first
// tile of its sequence, tokens of its sequence. Sequences may have lengths of their own.
inline ffi::Tensor MakeTileMap(const Shape& shape, int64_t token_tile) {
  const int64_t tiles = (shape.seq_len + token_tile - 1) / token_tile;
  ffi::Tensor map = NewTensor({shape.batch * tiles, 4}, DLDataType{kDLInt, 32, 1});
  auto* row = static_cast<int32_t*>(map.data_ptr());
  for (int64_t sequence = 0; sequence < shape.batch; ++sequence) {
    for (int64_t tile = 0; tile < tiles; ++tile, row += 4) {
      row[0] = static_cast<int32_t>(sequence);
      row[1] = static_cast<int32_t>(tile * token_tile);
      row[2] = static_cast<int32_t>(sequence * tiles);
      row[3] = static_cast<int32_t>(shape.seq_len);
    }
  }
  return map;
}

#endif  // TVM_SPARSE_EXAMPLE_SHAPES_H_
