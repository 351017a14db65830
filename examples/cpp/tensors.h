// Tensors of an artifact: what metadata.json says of them, their memory and their files.
#ifndef TVM_SPARSE_EXAMPLE_TENSORS_H_
#define TVM_SPARSE_EXAMPLE_TENSORS_H_

#include <tvm/ffi/container/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace ffi = tvm::ffi;

// The kernels load and store whole vector registers.
inline constexpr size_t kAlignment = 64;
// Absolute and relative, as `tvm-sparse run` compares builds.
inline constexpr float kTolerance = 1e-4F;

// Memory for one tensor, as tvm::ffi asks for it.
struct AlignedAllocator {
  void AllocData(DLTensor* tensor) {
    const size_t size = ffi::GetDataSize(*tensor);
    tensor->data = std::aligned_alloc(kAlignment, (size + kAlignment) / kAlignment * kAlignment);
    if (tensor->data == nullptr) throw std::bad_alloc();
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

// A tensor on memory that lies somewhere already and stays there.
struct ExistingMemory {
  void AllocData(DLTensor* tensor, const char* data) { tensor->data = const_cast<char*>(data); }
  void FreeData(DLTensor*) {}
};

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  // What decides about each extent in a build of any length: "batch", "seq_len" or nothing.
  std::vector<std::string> axes;
  DLDataType dtype;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A tensor with memory of its own.
inline ffi::Tensor NewTensor(const std::vector<int64_t>& shape, DLDataType dtype) {
  return ffi::Tensor::FromNDAlloc(AlignedAllocator(), ffi::ShapeView(shape.data(), shape.size()),
                                  dtype, DLDevice{kDLCPU, 0});
}

inline void FillTensor(const TensorSpec& spec, std::mt19937* random, ffi::Tensor* tensor) {
  const int64_t count = tensor->numel();
  if (spec.dtype.code == kDLInt && spec.dtype.bits == 32) {
    auto* values = static_cast<int32_t*>(tensor->data_ptr());
    std::uniform_int_distribution<int32_t> ids(1, 999);
    for (int64_t i = 0; i < count; ++i) {
      if (spec.name == "attention_mask") {
        values[i] = 1;
      } else {
        values[i] = spec.name == "token_type_ids" ? 0 : ids(*random);
      }
    }
  } else if (spec.dtype.code == kDLFloat && spec.dtype.bits == 32) {
    auto* values = static_cast<float*>(tensor->data_ptr());
    std::uniform_real_distribution<float> reals(-1.0F, 1.0F);
    for (int64_t i = 0; i < count; ++i) values[i] = reals(*random);
  } else {
    throw std::runtime_error("input " + spec.name + " is neither int32 nor float32");
  }
}

inline ffi::Tensor MakeInput(const TensorSpec& spec, const std::string& folder,
                             std::mt19937* random) {
  ffi::Tensor tensor = NewTensor(spec.shape, spec.dtype);
  const std::string path = folder + "/" + spec.name + ".bin";
  if (folder.empty() || !std::ifstream(path)) {
    FillTensor(spec, random, &tensor);
    return tensor;
  }
  const std::string content = ReadFile(path);
  const size_t size = ffi::GetDataSize(tensor);
  if (content.size() != size) {
    throw std::runtime_error(path + " has " + std::to_string(content.size()) + " bytes, input " +
                             spec.name + " needs " + std::to_string(size));
  }
  std::memcpy(tensor.data_ptr(), content.data(), size);
  return tensor;
}

inline void PrintOutput(const TensorSpec& spec, const ffi::Tensor& tensor) {
  std::cout << spec.name << " [";
  for (size_t i = 0; i < spec.shape.size(); ++i) std::cout << (i ? ", " : "") << spec.shape[i];
  std::cout << "]:";
  if (spec.dtype.code == kDLFloat && spec.dtype.bits == 32) {
    const auto* values = static_cast<const float*>(tensor.data_ptr());
    const int64_t shown = std::min<int64_t>(tensor.numel(), 6);
    for (int64_t i = 0; i < shown; ++i) std::cout << ' ' << values[i];
    if (shown < tensor.numel()) std::cout << " ...";
  }
  std::cout << '\n';
}

inline void WriteOutput(const TensorSpec& spec, const ffi::Tensor& tensor,
                        const std::string& folder) {
  const std::string path = folder + "/" + spec.name + ".bin";
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(tensor.data_ptr()),
               static_cast<std::streamsize>(ffi::GetDataSize(tensor)));
  if (!stream.flush()) throw std::runtime_error("cannot write " + path);
}

// Print how far an output is from what was expected; whether that is near enough.
inline bool CheckOutput(const TensorSpec& spec, const ffi::Tensor& tensor,
                        const std::string& folder, float tolerance = kTolerance) {
  const std::string path = folder + "/" + spec.name + ".bin";
  const std::string content = ReadFile(path);
  const size_t size = ffi::GetDataSize(tensor);
  if (content.size() != size) {
    throw std::runtime_error(path + " has " + std::to_string(content.size()) + " bytes, output " +
                             spec.name + " " + std::to_string(size));
  }
  if (spec.dtype.code != kDLFloat || spec.dtype.bits != 32) {
    const bool equal = std::memcmp(tensor.data_ptr(), content.data(), size) == 0;
    std::cout << spec.name << (equal ? ": as expected\n" : ": not as expected\n");
    return equal;
  }
  const auto* values = static_cast<const float*>(tensor.data_ptr());
  float largest = 0.0F;
  bool near = true;
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    float expected;
    std::memcpy(&expected, content.data() + i * sizeof(float), sizeof(float));
    const float difference = std::fabs(values[i] - expected);
    // Written so that NaN is not near.
    near = near && difference <= tolerance + tolerance * std::fabs(expected);
    largest = std::max(largest, difference);
  }
  std::cout << spec.name << ": differs by at most " << largest
            << (near ? ", as expected\n" : ", not as expected\n");
  return near;
}

#endif  // TVM_SPARSE_EXAMPLE_TENSORS_H_
