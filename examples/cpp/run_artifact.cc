// Run an artifact that `tvm-sparse export` wrote, from C++, without Python.
//
//   run_artifact DIR [--shape NxS] [--iterations N] [--threads N] [--inputs FOLDER]
//                [--outputs FOLDER] [--expect FOLDER]
//
// --shape    sequences x tokens, for builds of any length; one text of up to 128 tokens by default.
// --inputs   a folder with one file NAME.bin per input: its raw values in row-major order, in the
//            machine's byte order. Inputs without a file are filled: random ids, an attention mask
//            of ones, token types of zeros, floats between -1 and 1.
// --outputs  a folder that receives one such file per output.
// --expect   a folder with one such file per output: fails where a float32 output differs from it
//            by more than 1e-4 + 1e-4 |expected|, any other output by a single byte.
//
// Needs libtvm_runtime.so and libtvm_ffi.so only; the Makefile says where their headers lie.
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace ffi = tvm::ffi;
namespace json = tvm::ffi::json;

namespace {

// The kernels load and store whole vector registers.
constexpr size_t kAlignment = 64;
// Memory of the virtual machine: the CPU, device 0, with an allocator that keeps its buffers.
constexpr int kPooledAllocator = 2;
// Absolute and relative, as `tvm-sparse run` compares builds.
constexpr float kTolerance = 1e-4F;

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

// Sequences, and tokens of each; zeros where nothing was said.
struct Shape {
  int64_t batch = 0;
  int64_t seq_len = 0;
};

struct Options {
  std::string artifact;
  std::string inputs;
  std::string outputs;
  std::string expected;
  Shape shape;
  int iterations = 20;
};

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <typename T>
T Field(const json::Object& object, const char* key) {
  const auto found = object.Get(ffi::String(key));
  if (!found.has_value()) throw std::runtime_error(std::string("metadata.json lacks ") + key);
  return found.value().cast<T>();
}

std::vector<TensorSpec> ReadSpecs(const json::Object& metadata, const char* key) {
  std::vector<TensorSpec> specs;
  for (const auto& item : Field<json::Array>(metadata, key)) {
    const auto object = item.cast<json::Object>();
    TensorSpec spec;
    spec.name = Field<ffi::String>(object, "name");
    for (const auto& size : Field<json::Array>(object, "shape")) {
      spec.shape.push_back(size.cast<int64_t>());
    }
    for (const auto& axis : Field<json::Array>(object, "axes")) {
      spec.axes.push_back(axis.cast<ffi::String>());
    }
    spec.dtype = ffi::StringToDLDataType(Field<ffi::String>(object, "dtype"));
    specs.push_back(std::move(spec));
  }
  return specs;
}

// The shape to run at, within what the build takes.
Shape ChooseShape(const std::vector<TensorSpec>& inputs, const Shape& wanted) {
  const Shape most{inputs.at(0).shape.at(0), inputs.at(0).shape.at(1)};
  if (wanted.batch == 0) return {1, std::min<int64_t>(most.seq_len, 128)};
  if (wanted.batch > most.batch || wanted.seq_len > most.seq_len) {
    throw std::runtime_error("the build takes up to " + std::to_string(most.batch) + "x" +
                             std::to_string(most.seq_len));
  }
  return wanted;
}

// Give the tensors of a build of any length the extents of one run.
void SetShapes(const Shape& shape, std::vector<TensorSpec>* specs) {
  for (auto& spec : *specs) {
    for (size_t i = 0; i < spec.axes.size(); ++i) {
      if (spec.axes[i] == "batch") spec.shape[i] = shape.batch;
      if (spec.axes[i] == "seq_len") spec.shape[i] = shape.seq_len;
    }
  }
}

// Which tokens each tile holds: number of its sequence, position there of its first token, first
// tile of its sequence, tokens of its sequence. Sequences may have lengths of their own.
ffi::Tensor MakeTileMap(const Shape& shape, int64_t token_tile) {
  const int64_t tiles = (shape.seq_len + token_tile - 1) / token_tile;
  const std::vector<int64_t> extents{shape.batch * tiles, 4};
  ffi::Tensor map = ffi::Tensor::FromNDAlloc(
      AlignedAllocator(), ffi::ShapeView(extents.data(), extents.size()),
      DLDataType{kDLInt, 32, 1}, DLDevice{kDLCPU, 0});
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

void FillTensor(const TensorSpec& spec, std::mt19937* random, ffi::Tensor* tensor) {
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

ffi::Tensor MakeInput(const TensorSpec& spec, const std::string& folder, std::mt19937* random) {
  ffi::Tensor tensor = ffi::Tensor::FromNDAlloc(
      AlignedAllocator(), ffi::ShapeView(spec.shape.data(), spec.shape.size()), spec.dtype,
      DLDevice{kDLCPU, 0});
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

// The weights lie in the library; its table says for each: offset in bytes, type code, bits, number
// of dimensions, dimensions. The library is never closed: the tensors only point into it.
std::vector<ffi::Tensor> MapWeights(const std::string& path) {
  // TVM has loaded it already: this only finds it again.
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto* weights = static_cast<const char*>(dlsym(library, "tvm_sparse_weights"));
  const auto* word = static_cast<const int64_t*>(dlsym(library, "tvm_sparse_weight_table"));
  if (weights == nullptr || word == nullptr) throw std::runtime_error(path + " holds no weights");
  std::vector<ffi::Tensor> tensors;
  for (int64_t remaining = *word++; remaining > 0; --remaining) {
    const char* data = weights + word[0];
    const DLDataType dtype{static_cast<uint8_t>(word[1]), static_cast<uint8_t>(word[2]), 1};
    const ffi::ShapeView shape(word + 4, static_cast<size_t>(word[3]));
    tensors.push_back(ffi::Tensor::FromNDAlloc(ExistingMemory(), shape, dtype,
                                               DLDevice{kDLCPU, 0}, data));
    word += 4 + shape.size();
  }
  return tensors;
}

void PrintOutput(const TensorSpec& spec, const ffi::Tensor& tensor) {
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

void WriteOutput(const TensorSpec& spec, const ffi::Tensor& tensor, const std::string& folder) {
  const std::string path = folder + "/" + spec.name + ".bin";
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(tensor.data_ptr()),
               static_cast<std::streamsize>(ffi::GetDataSize(tensor)));
  if (!stream.flush()) throw std::runtime_error("cannot write " + path);
}

// Print how far an output is from what was expected; whether that is near enough.
bool CheckOutput(const TensorSpec& spec, const ffi::Tensor& tensor, const std::string& folder) {
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
    near = near && difference <= kTolerance + kTolerance * std::fabs(expected);
    largest = std::max(largest, difference);
  }
  std::cout << spec.name << ": differs by at most " << largest
            << (near ? ", as expected\n" : ", not as expected\n");
  return near;
}

Shape ParseShape(const std::string& text) {
  Shape shape;
  char separator = 0;
  std::istringstream stream(text);
  const bool parsed = static_cast<bool>(stream >> shape.batch >> separator >> shape.seq_len);
  if (!parsed || !stream.eof() || separator != 'x' || shape.batch < 1 || shape.seq_len < 1) {
    throw std::invalid_argument("--shape " + text + " given: write sequences x tokens, as 3x17");
  }
  return shape;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      options.artifact = word;
      continue;
    }
    if (++i == argc) throw std::invalid_argument(word + " needs a value");
    if (word == "--iterations") {
      options.iterations = std::max(1, std::stoi(argv[i]));
    } else if (word == "--shape") {
      options.shape = ParseShape(argv[i]);
    } else if (word == "--threads") {
      // Read by TVM when it starts its threads, at the first run.
      setenv("TVM_NUM_THREADS", argv[i], 1);
    } else if (word == "--inputs") {
      options.inputs = argv[i];
    } else if (word == "--outputs") {
      options.outputs = argv[i];
    } else if (word == "--expect") {
      options.expected = argv[i];
    } else {
      throw std::invalid_argument("unknown option " + word);
    }
  }
  if (options.artifact.empty()) throw std::invalid_argument("no artifact directory given");
  return options;
}

// Returns whether all outputs are as expected, if it was said what to expect.
bool Run(const Options& options) {
  const auto metadata =
      json::Parse(ReadFile(options.artifact + "/metadata.json")).cast<json::Object>();
  auto input_specs = ReadSpecs(metadata, "inputs");
  auto output_specs = ReadSpecs(metadata, "outputs");
  const auto token_tile = Field<int64_t>(metadata, "token_tile");
  Shape shape;
  if (token_tile > 0) {
    shape = ChooseShape(input_specs, options.shape);
    SetShapes(shape, &input_specs);
    SetShapes(shape, &output_specs);
  } else if (options.shape.batch > 0) {
    throw std::runtime_error("--shape is for builds of any length: this one has a shape");
  }
  const std::string entry = Field<ffi::String>(metadata, "entry");
  // TVM takes half of the cores by itself; a value that is set stays.
  setenv("TVM_NUM_THREADS", std::to_string(Field<int64_t>(metadata, "threads")).c_str(), 0);
  // TVM pins its threads to cores: on a machine that does other work besides, they then wait.
  setenv("TVM_BIND_THREADS", "0", 0);

  const ffi::Module library = ffi::Module::LoadFromFile(options.artifact + "/model.so");
  const auto make_machine = library->GetFunction("vm_load_executable");
  if (!make_machine.has_value()) throw std::runtime_error("model.so holds no compiled model");
  const auto machine = (*make_machine)().cast<ffi::Module>();
  (*machine->GetFunction("vm_initialization"))(static_cast<int>(kDLCPU), 0, kPooledAllocator);
  const auto forward = machine->GetFunction(entry);
  if (!forward.has_value()) throw std::runtime_error("model.so has no function " + entry);

  std::mt19937 random(0);
  std::vector<ffi::Any> tensors;
  for (const auto& spec : input_specs) {
    tensors.emplace_back(MakeInput(spec, options.inputs, &random));
  }
  if (token_tile > 0) tensors.emplace_back(MakeTileMap(shape, token_tile));
  for (const auto& weight : MapWeights(options.artifact + "/model.so")) {
    tensors.emplace_back(weight);
  }
  const std::vector<ffi::AnyView> arguments(tensors.begin(), tensors.end());

  ffi::Any result;
  std::vector<double> latencies_ms;
  for (int i = 0; i < options.iterations + 1; ++i) {
    const auto start = std::chrono::steady_clock::now();
    forward.value().CallPacked(arguments.data(), static_cast<int>(arguments.size()), &result);
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    // The first run starts the threads.
    if (i > 0) latencies_ms.push_back(elapsed.count());
  }

  const auto outputs = result.cast<ffi::Array<ffi::Tensor>>();
  if (outputs.size() != output_specs.size()) {
    throw std::runtime_error("the model returned " + std::to_string(outputs.size()) + " outputs");
  }
  bool as_expected = true;
  for (size_t i = 0; i < output_specs.size(); ++i) {
    const ffi::Tensor output = outputs[static_cast<int64_t>(i)];
    PrintOutput(output_specs[i], output);
    if (!options.outputs.empty()) WriteOutput(output_specs[i], output, options.outputs);
    if (!options.expected.empty() && !CheckOutput(output_specs[i], output, options.expected)) {
      as_expected = false;
    }
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  std::cout << std::fixed << std::setprecision(3) << "latency: median "
            << latencies_ms[latencies_ms.size() / 2] << " ms, min " << latencies_ms.front()
            << " ms of " << latencies_ms.size() << " runs\n";
  return as_expected;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(ParseOptions(argc, argv)) ? 0 : 1;
  } catch (const std::invalid_argument& error) {
    std::cerr << "run_artifact: " << error.what() << "\n"
              << "usage: run_artifact DIR [--shape NxS] [--iterations N] [--threads N] "
                 "[--inputs FOLDER] [--outputs FOLDER] [--expect FOLDER]\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "run_artifact: " << error.what() << "\n";
    return 1;
  }
}
